// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls of our own programs without a process for each.
//!
//! They go to one [`worker`](crate::worker), which is started for the first and
//! ends with drbdadm. One that does not answer in time is left behind, as a
//! program would be, and the next call gets another.

use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use memchr::memmem::Finder;

use crate::call::Program;
use crate::driver;
use crate::worker::{Answer, Order, WORD};

/// What became of an order.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered(Answer),
    /// Not within the limit; the worker is still at it.
    Late,
    /// The worker ended in the middle of it.
    Ended(io::Result<ExitStatus>),
}

/// The worker, if there is one, and which programs it stands for.
#[derive(Default)]
pub(crate) struct Inside {
    own: [OnceCell<bool>; 2],
    worker: RefCell<Option<Worker>>,
}

struct Worker {
    child: Child,
    socket: UnixStream,
}

impl Inside {
    /// Whether calls of a program need no process, because what would be started
    /// is this package's and lies beside drbdadm. `path` is the search path.
    pub(crate) fn serves(&self, program: Program, name: &str, path: &str) -> bool {
        let [setup, meta] = &self.own;
        let (cell, mark) = match program {
            Program::Drbdsetup => (setup, drbdsetup::MARK),
            Program::Drbdmeta => (meta, drbdmeta::MARK),
        };
        *cell.get_or_init(|| is_own(program, name, path, mark))
    }

    /// Gives an order; `None` if there is no worker to be had.
    pub(crate) fn order(&self, order: &Order, limit: Option<Duration>) -> Option<Outcome> {
        let mut place = self.worker.borrow_mut();
        let mut worker = match place.take() {
            Some(worker) => worker,
            None => Worker::start().ok()?,
        };
        match worker.order(order, limit) {
            Ok(Some(answer)) => {
                *place = Some(worker);
                Some(Outcome::Answered(answer))
            }
            Ok(None) => Some(Outcome::Late),
            Err(_) => {
                drop(worker.socket);
                Some(Outcome::Ended(worker.child.wait()))
            }
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(Worker { mut child, socket }) = self.worker.take() {
            drop(socket);
            // It has nothing to do, so it ends; a failure has nobody to hear it.
            let _ = child.wait();
        }
    }
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let (socket, theirs) = UnixStream::pair()?;
        // drbdsetup goes by this name where it cannot ask the driver.
        let name = if driver::dialect().is_84() {
            "drbdadm-84"
        } else {
            "drbdadm"
        };
        let child = Command::new("/proc/self/exe")
            .arg0(name)
            .arg(WORD)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Worker { child, socket })
    }

    /// `None` if there is no answer within the limit.
    fn order(&mut self, order: &Order, limit: Option<Duration>) -> io::Result<Option<Answer>> {
        let end = limit.map(|limit| Instant::now() + limit);
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.socket.write_all(&line)?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while answer.last() != Some(&b'\n') {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            self.socket.set_read_timeout(left)?;
            match self.socket.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => answer.extend_from_slice(piece.get(..len).unwrap_or_default()),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(serde_json::from_slice(&answer)?))
    }
}

fn is_own(program: Program, name: &str, path: &str, mark: &str) -> bool {
    let found = find(name, path).and_then(|found| found.canonicalize().ok());
    let own = std::env::current_exe().and_then(|own| own.canonicalize());
    let (Some(found), Ok(own)) = (found, own) else {
        return false;
    };
    found == own.with_file_name(program.name()) && holds(&found, mark).unwrap_or(false)
}

/// What starting a program of that name would start.
fn find(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let executable = |file: &PathBuf| {
        file.is_file() && nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok()
    };
    let mut places = path.split(':').map(|folder| Path::new(folder).join(name));
    places.find(executable)
}

/// Whether a file holds a text.
fn holds(file: &Path, text: &str) -> io::Result<bool> {
    const PIECE: usize = 1 << 20;
    let finder = Finder::new(text);
    let file = File::open(file)?;
    let mut piece = Vec::with_capacity(PIECE + text.len());
    loop {
        let read = (&file).take(PIECE as u64).read_to_end(&mut piece)?;
        if finder.find(&piece).is_some() {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // The text may begin at the end of this piece.
        piece.drain(..piece.len().saturating_sub(text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_across_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("program");
        for (before, expected) in [(0, true), ((1 << 20) - 3, true), (3 << 20, true)] {
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(b"the mark");
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(holds(&file, "the mark").unwrap(), expected, "{before}");
            assert!(!holds(&file, "the other").unwrap());
        }
    }

    #[test]
    fn only_what_can_be_executed_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().to_str().unwrap();
        std::fs::write(directory.path().join("sh"), "").unwrap();
        let found = find("sh", &format!("{folder}:/bin"));
        assert_eq!(found, Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("sh", folder), None);
        assert_eq!(find("/x/sh", folder), Some(PathBuf::from("/x/sh")));
    }
}
