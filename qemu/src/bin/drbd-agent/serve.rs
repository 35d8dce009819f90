// SPDX-License-Identifier: GPL-2.0-or-later
//! The agent's loop: frames in, jobs started, frames out.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drbd_qemu::proto::{self, Exit, Frame, Kind, Ready, Request};

use crate::job::{self, Job};

/// Threads here run a few frames deep; the default of 2 MiB each would count
/// against a small guest once everything is locked in memory.
pub(crate) const STACK_BYTES: usize = 128 * 1024;

/// The way back to the harness, shared by all jobs.
#[derive(Clone)]
pub(crate) struct Sender {
    port: Arc<Mutex<File>>,
}

impl Sender {
    /// Sends one frame; waits while the harness is behind.
    pub(crate) fn send(&self, kind: Kind, job: u32, payload: &[u8]) -> io::Result<()> {
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        proto::write_frame(&mut *port, kind, job, payload)
    }

    /// Sends the frame that closes a job.
    pub(crate) fn exit(&self, job: u32, exit: &Exit) -> io::Result<()> {
        let payload = serde_json::to_vec(exit).unwrap_or_else(|_| b"{}".to_vec());
        self.send(Kind::Exit, job, &payload)
    }

    fn refuse(&self, job: u32, why: String) -> io::Result<()> {
        self.exit(
            job,
            &Exit {
                error: Some(why),
                ..Exit::default()
            },
        )
    }
}

/// Serves until the port fails, which it does not while the guest lives.
pub(crate) fn run() -> io::Result<()> {
    // No memory must ever be missing here, or a guest that thrashes could not
    // be asked why.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    use nix::sys::mman::{mlockall, MlockAllFlags};
    let _ = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);

    let path = find_port(Duration::from_secs(30))?;
    let port = OpenOptions::new().read(true).write(true).open(&path)?;
    let sender = Sender {
        port: Arc::new(Mutex::new(port.try_clone()?)),
    };
    sender.send(
        Kind::Ready,
        0,
        &serde_json::to_vec(&greeting()).unwrap_or_default(),
    )?;

    let mut reader = BufReader::with_capacity(16 * 1024, port);
    let mut jobs: HashMap<u32, Job> = HashMap::new();
    loop {
        match proto::read_frame(&mut reader) {
            Ok(frame) => dispatch(frame, &mut jobs, &sender)?,
            // With no harness connected the port reads as ended.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error),
        }
        jobs.retain(|_, job| !job.is_over());
    }
}

fn dispatch(frame: Frame, jobs: &mut HashMap<u32, Job>, sender: &Sender) -> io::Result<()> {
    let id = frame.job;
    match frame.kind {
        Kind::Request => match serde_json::from_slice::<Request>(&frame.payload) {
            Ok(request) => match job::start(id, request, sender) {
                Ok(job) => {
                    jobs.insert(id, job);
                }
                Err(error) => sender.refuse(id, error.to_string())?,
            },
            Err(error) => sender.refuse(id, format!("request not understood: {error}"))?,
        },
        Kind::Input => {
            if let Some(job) = jobs.get(&id) {
                job.input(frame.payload);
            }
        }
        Kind::InputEnd => {
            if let Some(job) = jobs.get_mut(&id) {
                job.end_input();
            }
        }
        Kind::Signal => {
            if let (Some(job), Some(number)) = (jobs.get(&id), frame.payload.first()) {
                job.signal(i32::from(*number));
            }
        }
        // These go the other way only.
        Kind::Ready | Kind::Output | Kind::ErrorOutput | Kind::Ack | Kind::Exit => {}
    }
    Ok(())
}

fn greeting() -> Ready {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    // "12.34 ..." has always two decimals: 1234 hundredths.
    let hundredths: String = uptime
        .chars()
        .take_while(|c| *c != ' ')
        .filter(char::is_ascii_digit)
        .collect();
    Ready {
        version: proto::VERSION,
        kernel: kernel.trim().to_owned(),
        uptime_ms: hundredths.parse::<u64>().unwrap_or(0).saturating_mul(10),
    }
}

/// There is no udev to make `/dev/virtio-ports/NAME`.
fn find_port(limit: Duration) -> io::Result<PathBuf> {
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        if let Ok(entries) = std::fs::read_dir("/sys/class/virtio-ports") {
            for entry in entries.flatten() {
                let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
                if name.trim() == proto::PORT_NAME {
                    return Ok(PathBuf::from("/dev").join(entry.file_name()));
                }
            }
        }
        if waited >= limit {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "no virtio-serial port named {} in {limit:?}",
                    proto::PORT_NAME
                ),
            ));
        }
        std::thread::sleep(step);
        waited += step;
    }
}
