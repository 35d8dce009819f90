// SPDX-License-Identifier: GPL-2.0-or-later
//! Datagrams to and from the kernel.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket as RawSocket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

use crate::Error;

/// What carries datagrams; tests put a recording here.
pub trait Transport {
    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`].
    fn send(&mut self, datagram: &[u8]) -> Result<(), Error>;

    /// Receives one datagram, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Overrun`], [`Error::Socket`].
    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, Error>;
}

/// A generic netlink socket.
pub struct Socket {
    raw: RawSocket,
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Socket { action, source }
}

impl Socket {
    /// Opens and binds a socket.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`].
    pub fn open() -> Result<Self, Error> {
        let mut raw = RawSocket::new(NETLINK_GENERIC).map_err(failed("opening"))?;
        raw.bind_auto().map_err(failed("binding"))?;
        raw.connect(&SocketAddr::new(0, 0))
            .map_err(failed("connecting"))?;
        Ok(Self { raw })
    }

    /// Joins a multicast group.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`].
    pub fn join(&mut self, group: u32) -> Result<(), Error> {
        self.raw
            .add_membership(group)
            .map_err(failed("joining the group 'events' on"))
    }

    /// Sets the size of the receive buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`].
    pub fn set_receive_buffer(&mut self, bytes: u32) -> Result<(), Error> {
        self.raw.set_rx_buf_sz(bytes).map_err(failed("sizing"))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        let sent = self.raw.send(datagram, 0).map_err(failed("writing to"))?;
        if sent == datagram.len() {
            Ok(())
        } else {
            Err(Error::TooLarge)
        }
    }

    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, Error> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // A poll of zero milliseconds at the very end still takes what is there.
            let limit = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.raw.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, limit) {
                Ok(0) if left.is_zero() || end <= Instant::now() => {
                    return Err(Error::Timeout(timeout))
                }
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => match self.raw.recv_from_full() {
                    Ok((datagram, _)) => return Ok(datagram),
                    Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                        return Err(Error::Overrun)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(failed("reading from")(error)),
                },
                Err(errno) => return Err(failed("waiting for")(errno.into())),
            }
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> i32 {
        self.raw.as_raw_fd()
    }
}
