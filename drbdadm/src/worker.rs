// SPDX-License-Identifier: GPL-2.0-or-later
//! The process that carries out calls of our own drbdsetup and drbdmeta, one
//! after the other.
//!
//! It is drbdadm itself, started with [`WORD`] and a socket in the place of
//! standard input; orders and answers are lines of JSON. A process and not a
//! thread, because a call may hang in the kernel: drbdadm then has to be able to
//! go on, and to end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

use crate::call::Program;

/// The only argument of the process.
pub(crate) const WORD: &str = "--carry-out-calls";

/// Where a call writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Streams {
    /// Where drbdadm does.
    Shown,
    /// No errors.
    Quiet,
    /// Nowhere.
    Silent,
    /// No errors, and the rest into the answer.
    Captured,
}

/// One call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) program: Program,
    pub(crate) args: Vec<String>,
    pub(crate) streams: Streams,
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: u8,
    /// What it printed, if that was captured.
    pub(crate) output: String,
}

/// Carries out orders until nobody gives any; the result is the exit code.
pub(crate) fn serve() -> u8 {
    match Worker::new().and_then(|mut worker| worker.work()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {WORD} is what drbdadm starts itself with: {error}");
            1
        }
    }
}

struct Worker {
    orders: BufReader<UnixStream>,
    answers: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
    null: File,
    setup: drbdsetup::Session,
    meta: drbdmeta::Session,
}

impl Worker {
    fn new() -> io::Result<Worker> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Not a socket: somebody typed the word.
        socket.peer_addr()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        Ok(Worker {
            orders: BufReader::new(socket.try_clone()?),
            answers: socket,
            stdout: io::stdout().as_fd().try_clone_to_owned()?,
            stderr: io::stderr().as_fd().try_clone_to_owned()?,
            null,
            setup: drbdsetup::Session::default(),
            meta: drbdmeta::Session::default(),
        })
    }

    fn work(&mut self) -> io::Result<()> {
        let mut line = String::new();
        while self.orders.read_line(&mut line)? > 0 {
            let order: Order = serde_json::from_str(&line)?;
            let mut answer = serde_json::to_vec(&self.carry_out(order)?)?;
            answer.push(b'\n');
            if self.answers.write_all(&answer).is_err() {
                // It took too long: drbdadm has gone on without it.
                return Ok(());
            }
            line.clear();
        }
        Ok(())
    }

    fn carry_out(&mut self, order: Order) -> io::Result<Answer> {
        let captured = match order.streams {
            Streams::Captured => Some(File::from(memfd_create("output", MFdFlags::MFD_CLOEXEC)?)),
            Streams::Shown | Streams::Quiet | Streams::Silent => None,
        };
        let null = self.null.as_fd();
        match order.streams {
            Streams::Shown => {}
            Streams::Quiet => dup2_stderr(null)?,
            Streams::Silent => {
                dup2_stdout(null)?;
                dup2_stderr(null)?;
            }
            Streams::Captured => {
                dup2_stdout(captured.as_ref().map_or(null, AsFd::as_fd))?;
                dup2_stderr(null)?;
            }
        }
        let args = order.args.into_iter().map(OsString::from);
        let setup = &mut self.setup;
        let status = match order.program {
            Program::Drbdsetup => drbdsetup::call(args, setup),
            Program::Drbdmeta => drbdmeta::call(args, &mut self.meta, &mut |minor| {
                setup.disk_state(minor).map(str::to_owned)
            }),
        };
        // A reader that went away is no failure of the call.
        let _ = io::stdout().flush();
        dup2_stdout(&self.stdout)?;
        dup2_stderr(&self.stderr)?;
        let mut output = Vec::new();
        if let Some(mut file) = captured {
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut output)?;
        }
        let output = String::from_utf8_lossy(&output).into_owned();
        Ok(Answer { status, output })
    }
}
