// SPDX-License-Identifier: GPL-2.0-or-later
//! The harness's end of the agent's port.

use std::collections::HashMap;
use std::io::BufReader;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::proto::{self, Exit, Frame, Kind, Ready, Request, PAYLOAD_MAX, WINDOW_BYTES};

/// A command may say this much on each of its outputs; what follows is
/// counted, not kept.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why the agent did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not in time.
    Late,
    /// The machine, or the agent's end of the port, is gone.
    Gone(String),
}

/// What one job has said and how it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) output: Vec<u8>,
    pub(crate) error_output: Vec<u8>,
    pub(crate) lost_bytes: u64,
    pub(crate) exit: Option<Exit>,
    acked: u64,
}

#[derive(Default)]
struct State {
    ready: Option<Ready>,
    gone: Option<String>,
    jobs: HashMap<u32, Transcript>,
    job_last: u32,
}

/// Connection to one machine's agent, for one power-on.
pub(crate) struct Agent {
    writer: Mutex<UnixStream>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Agent {
    /// Starts listening to the agent that will speak on `stream`.
    pub(crate) fn new(stream: UnixStream) -> std::io::Result<Arc<Agent>> {
        // A frozen guest reads nothing; a request to it must not hang for ever.
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        let reader = stream.try_clone()?;
        let agent = Arc::new(Agent {
            writer: Mutex::new(stream),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let listener = Arc::clone(&agent);
        thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || listener.listen(reader))?;
        Ok(agent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, stream: UnixStream) {
        let mut reader = BufReader::with_capacity(256 * 1024, stream);
        loop {
            match proto::read_frame(&mut reader) {
                Ok(frame) => self.take(frame),
                Err(error) => return self.lose(format!("the machine is gone ({error})")),
            }
            self.changed.notify_all();
        }
    }

    fn lose(&self, why: String) {
        let mut state = self.lock();
        state.ready = None;
        state.gone.get_or_insert(why);
        self.changed.notify_all();
    }

    fn take(&self, frame: Frame) {
        let mut state = self.lock();
        if frame.kind == Kind::Ready {
            let Ok(ready) = serde_json::from_slice::<Ready>(&frame.payload) else {
                return;
            };
            state.ready = Some(ready);
            for job in state.jobs.values_mut().filter(|job| job.exit.is_none()) {
                let error = Some("the machine started anew meanwhile".to_owned());
                job.exit = Some(Exit {
                    error,
                    ..Exit::default()
                });
            }
            return;
        }
        let Some(job) = state.jobs.get_mut(&frame.job) else {
            return;
        };
        match frame.kind {
            Kind::Output => keep(&mut job.output, &frame.payload, &mut job.lost_bytes),
            Kind::ErrorOutput => keep(&mut job.error_output, &frame.payload, &mut job.lost_bytes),
            Kind::Ack => {
                if let Ok(bytes) = frame.payload.as_slice().try_into() {
                    job.acked += u64::from(u32::from_be_bytes(bytes));
                }
            }
            Kind::Exit => {
                let exit = serde_json::from_slice(&frame.payload).unwrap_or_default();
                job.exit.get_or_insert(exit);
            }
            Kind::Request | Kind::Input | Kind::InputEnd | Kind::Signal | Kind::Ready => {}
        }
    }

    fn send(&self, kind: Kind, job: u32, payload: &[u8]) -> Result<(), Failure> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        proto::write_frame(&mut *writer, kind, job, payload).map_err(|error| {
            // Half a frame may have gone: nothing sensible can follow it.
            let _ = writer.shutdown(Shutdown::Both);
            Failure::Gone(format!("the agent's port failed ({error})"))
        })
    }

    /// Waits until `done` finds what it looks for in the state.
    fn wait<T>(
        &self,
        limit: Duration,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Failure> {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(result) = done(&mut state) {
                return Ok(result);
            }
            if let Some(why) = &state.gone {
                return Err(Failure::Gone(why.clone()));
            }
            let left = end
                .checked_duration_since(Instant::now())
                .ok_or(Failure::Late)?;
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Waits for the agent's greeting.
    pub(crate) fn wait_ready(&self, limit: Duration) -> Result<Ready, Failure> {
        self.wait(limit, |state| state.ready.clone())
    }

    /// Opens a job; its number.
    pub(crate) fn open(&self, request: &Request) -> Result<u32, Failure> {
        let payload = serde_json::to_vec(request)
            .map_err(|error| Failure::Gone(format!("request not encodable: {error}")))?;
        if payload.len() > PAYLOAD_MAX {
            return Err(Failure::Gone(format!(
                "command longer than {PAYLOAD_MAX} bytes"
            )));
        }
        let id = {
            let mut state = self.lock();
            if state.ready.is_none() {
                let why = state.gone.clone();
                return Err(Failure::Gone(
                    why.unwrap_or_else(|| "not booted yet".to_owned()),
                ));
            }
            state.job_last += 1;
            let id = state.job_last;
            state.jobs.insert(id, Transcript::default());
            id
        };
        self.send(Kind::Request, id, &payload)?;
        Ok(id)
    }

    /// Sends all of `data` as the job's input; waits while it does not read.
    pub(crate) fn input(
        &self,
        id: u32,
        sent: &mut u64,
        data: &[u8],
        limit: Duration,
    ) -> Result<(), Failure> {
        for chunk in data.chunks(PAYLOAD_MAX) {
            let after = *sent + chunk.len() as u64;
            // A job that is over takes no input; that is for its exit to tell.
            let over = self.wait(limit, |state| match state.jobs.get(&id) {
                Some(job) if job.exit.is_none() => {
                    (after <= job.acked + WINDOW_BYTES).then_some(false)
                }
                _ => Some(true),
            })?;
            if over {
                return Ok(());
            }
            self.send(Kind::Input, id, chunk)?;
            *sent = after;
        }
        Ok(())
    }

    /// Ends the job's input.
    pub(crate) fn end_input(&self, id: u32) -> Result<(), Failure> {
        self.send(Kind::InputEnd, id, &[])
    }

    /// Sends a signal to the job.
    pub(crate) fn signal(&self, id: u32, number: u8) -> Result<(), Failure> {
        self.send(Kind::Signal, id, &[number])
    }

    /// Waits until the job is over.
    pub(crate) fn wait_exit(&self, id: u32, limit: Duration) -> Result<Exit, Failure> {
        self.wait(limit, |state| {
            state.jobs.get(&id).and_then(|job| job.exit.clone())
        })
    }

    /// Waits until the job is over or `enough` says so of what it has said.
    pub(crate) fn wait_output(
        &self,
        id: u32,
        limit: Duration,
        mut enough: impl FnMut(&Transcript) -> bool,
    ) -> Result<(), Failure> {
        self.wait(limit, |state| match state.jobs.get(&id) {
            Some(job) => (job.exit.is_some() || enough(job)).then_some(()),
            None => Some(()),
        })
    }

    /// What the job has said so far.
    pub(crate) fn transcript(&self, id: u32) -> Transcript {
        self.lock().jobs.get(&id).cloned().unwrap_or_default()
    }

    /// Takes what the job has said so far, for those who follow it.
    pub(crate) fn take_output(&self, id: u32) -> (Vec<u8>, Vec<u8>) {
        self.lock()
            .jobs
            .get_mut(&id)
            .map_or_else(Default::default, |job| {
                (
                    std::mem::take(&mut job.output),
                    std::mem::take(&mut job.error_output),
                )
            })
    }

    /// Forgets the job.
    pub(crate) fn forget(&self, id: u32) -> Transcript {
        self.lock().jobs.remove(&id).unwrap_or_default()
    }
}

fn keep(buffer: &mut Vec<u8>, data: &[u8], lost: &mut u64) {
    let room = OUTPUT_BYTES_MAX.saturating_sub(buffer.len());
    let kept = data.get(..room.min(data.len())).unwrap_or_default();
    buffer.extend_from_slice(kept);
    *lost += (data.len() - kept.len()) as u64;
}
