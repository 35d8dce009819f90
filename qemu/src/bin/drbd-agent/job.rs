// SPDX-License-Identifier: GPL-2.0-or-later
//! One thing the harness asked for, while it runs.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use drbd_qemu::proto::{Exit, Kind, Request, PAYLOAD_MAX};
use nix::sys::signal::{kill, killpg, Signal};
use nix::unistd::Pid;

use crate::file;
use crate::serve::{Sender, STACK_BYTES};

/// A daemon left behind by a command may hold its output open for ever. The
/// job is over when the command is, and nothing was read for this long. On a
/// busy host the readers may not run for a while although there is something.
const SILENCE: Duration = Duration::from_secs(3);

/// Handle of a running job.
pub(crate) struct Job {
    input: Option<mpsc::Sender<Vec<u8>>>,
    group: Option<Pid>,
    over: Arc<AtomicBool>,
}

impl Job {
    /// Whether its exit has been reported.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Queues input; what the job does not want is dropped.
    pub(crate) fn input(&self, data: Vec<u8>) {
        if let Some(sender) = &self.input {
            let _ = sender.send(data);
        }
    }

    /// Closes the input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Sends a signal to everything the command started.
    pub(crate) fn signal(&self, number: i32) {
        let (Some(group), Ok(signal)) = (self.group, Signal::try_from(number)) else {
            return;
        };
        if killpg(group, signal).is_err() {
            let _ = kill(group, signal);
        }
    }
}

/// Starts what was asked for.
pub(crate) fn start(id: u32, request: Request, sender: &Sender) -> io::Result<Job> {
    let (input_sender, input_receiver) = mpsc::channel();
    let over = Arc::new(AtomicBool::new(false));
    let mut job = Job {
        input: Some(input_sender),
        group: None,
        over: Arc::clone(&over),
    };
    let sender = sender.clone();
    match request {
        Request::Put { path, mode } => {
            spawn("put", move || {
                let result = file::put(&path, mode, &input_receiver, |n| ack(&sender, id, n));
                finish(&sender, id, &over, copied(result, &path));
            })?;
        }
        Request::Get { path } => {
            spawn("get", move || {
                let result = file::get(&path, |data| sender.send(Kind::Output, id, data));
                finish(&sender, id, &over, copied(result, &path));
            })?;
        }
        Request::Exec {
            argv,
            env,
            cwd,
            input,
        } => {
            let mut command = Command::new("/proc/self/exe");
            command
                .arg("child")
                .args(argv)
                .envs(env)
                .current_dir(cwd.as_deref().unwrap_or("/"));
            command.stdin(if input { Stdio::piped() } else { Stdio::null() });
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0);
            let child = command.spawn()?;
            job.group = i32::try_from(child.id()).ok().map(Pid::from_raw);
            if !input {
                job.input = None;
            }
            spawn("exec", move || {
                run(child, id, input_receiver, &sender, &over)
            })?;
        }
    }
    Ok(job)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
}

fn finish(sender: &Sender, id: u32, over: &AtomicBool, exit: Exit) {
    let _ = sender.exit(id, &exit);
    over.store(true, Ordering::Release);
}

fn copied(result: io::Result<()>, path: &str) -> Exit {
    match result {
        Ok(()) => Exit {
            code: Some(0),
            ..Exit::default()
        },
        Err(error) => Exit {
            error: Some(format!("{path}: {error}")),
            ..Exit::default()
        },
    }
}

fn ack(sender: &Sender, id: u32, bytes: usize) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let _ = sender.send(Kind::Ack, id, &bytes.to_be_bytes());
}

fn run(mut child: Child, id: u32, input: Receiver<Vec<u8>>, sender: &Sender, over: &AtomicBool) {
    if let Some(pipe) = child.stdin.take() {
        let sender = sender.clone();
        let _ = spawn("stdin", move || feed(pipe, id, &input, &sender));
    }
    let progress = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        readers.push(pump(pipe, Kind::Output, id, sender, &progress));
    }
    if let Some(pipe) = child.stderr.take() {
        readers.push(pump(pipe, Kind::ErrorOutput, id, sender, &progress));
    }

    let status = child.wait();
    let mut seen = progress.load(Ordering::Acquire);
    let mut silent = Duration::ZERO;
    let step = Duration::from_millis(2);
    while silent < SILENCE && !readers.iter().flatten().all(|reader| reader.is_finished()) {
        thread::sleep(step);
        silent += step;
        let now = progress.load(Ordering::Acquire);
        if now != seen {
            seen = now;
            silent = Duration::ZERO;
        }
    }

    let exit = match status {
        Ok(status) => Exit {
            code: status.code(),
            signal: status.signal(),
            error: None,
        },
        Err(error) => Exit {
            error: Some(error.to_string()),
            ..Exit::default()
        },
    };
    finish(sender, id, over, exit);
}

fn feed(mut pipe: impl Write, id: u32, input: &Receiver<Vec<u8>>, sender: &Sender) {
    let mut broken = false;
    while let Ok(data) = input.recv() {
        // After a broken pipe the rest is swallowed, and acknowledged, so that
        // the harness does not wait for room.
        broken = broken || pipe.write_all(&data).and_then(|()| pipe.flush()).is_err();
        ack(sender, id, data.len());
    }
}

fn pump(
    mut pipe: impl Read + Send + 'static,
    kind: Kind,
    id: u32,
    sender: &Sender,
    progress: &Arc<AtomicU64>,
) -> io::Result<thread::JoinHandle<()>> {
    let sender = sender.clone();
    let progress = Arc::clone(progress);
    spawn("pump", move || {
        let mut buffer = vec![0u8; PAYLOAD_MAX];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    progress.fetch_add(1, Ordering::AcqRel);
                    let Some(data) = buffer.get(..length) else {
                        return;
                    };
                    if sender.send(kind, id, data).is_err() {
                        return;
                    }
                    progress.fetch_add(1, Ordering::AcqRel);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })
}
