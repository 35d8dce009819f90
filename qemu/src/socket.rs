// SPDX-License-Identifier: GPL-2.0-or-later
//! Sockets on which a machine that is being started calls back.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

use crate::error::{Error, Result};

/// A listening socket and the file it is known by.
pub(crate) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Opens `path`, which must not exist.
    pub(crate) fn open(path: &Path) -> Result<Door> {
        let listener = UnixListener::bind(path).map_err(Error::file(path))?;
        Ok(Door {
            listener,
            path: path.to_owned(),
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The listener, for those who wait in a way of their own.
    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Waits for a caller while `alive` says that there will be one.
    pub(crate) fn accept(
        &self,
        limit: Duration,
        mut alive: impl FnMut() -> bool,
    ) -> io::Result<UnixStream> {
        let end = Instant::now() + limit;
        loop {
            if wait_readable(&self.listener, Duration::from_millis(50))? {
                return self.listener.accept().map(|(stream, _)| stream);
            }
            if !alive() {
                return Err(io::Error::new(
                    io::ErrorKind::BrokenPipe,
                    "the caller ended",
                ));
            }
            if Instant::now() >= end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody called"));
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Waits up to `limit` for something to read.
pub(crate) fn wait_readable(fd: &impl AsFd, limit: Duration) -> io::Result<bool> {
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
