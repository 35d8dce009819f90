// SPDX-License-Identifier: GPL-2.0-or-later
//! Receiving from a [`Socket`]: bytes, payloads and reads from above, with timeouts that are told
//! apart from a lost connection.

use super::{bio::BioData, pages::Payload, send::message, socket::Socket, timer};
use crate::sys as c;
use kernel::prelude::*;

/// How long to wait for bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecvWait {
    /// Not at all.
    Never,
    /// Until they come.
    Forever,
    /// At most so many milliseconds for the whole call.
    Ms(u32),
}

impl RecvWait {
    pub(super) fn jiffies(self) -> isize {
        match self {
            RecvWait::Never | RecvWait::Forever => c::MAX_SCHEDULE_TIMEOUT,
            // SAFETY: Pure arithmetic. 0 would mean "do not wait".
            RecvWait::Ms(ms) => unsafe { c::kg_ms_to_jiffies(ms) }.max(1),
        }
    }
}

/// Why nothing (more) was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecvError {
    /// The peer closed its side, or this side was shut down.
    Closed,
    /// Not in time; what has come is kept.
    TimedOut,
    /// The thread has a signal (it is being stopped).
    Interrupted,
    /// The connection failed, e.g. `ECONNRESET`.
    Failed(Error),
}

impl RecvError {
    fn from_rc(rc: c_int) -> Self {
        let e = Error::from_errno(rc);
        if e == EAGAIN {
            RecvError::TimedOut
        } else if e == EINTR || e == ERESTARTSYS {
            RecvError::Interrupted
        } else {
            RecvError::Failed(e)
        }
    }
}

/// Time left of a wait.
struct Deadline {
    wait: RecvWait,
    end_ms: u64,
}

impl Deadline {
    fn new(wait: RecvWait) -> Self {
        let end_ms = match wait {
            RecvWait::Ms(ms) => timer::now_ms().saturating_add(u64::from(ms)),
            RecvWait::Never | RecvWait::Forever => 0,
        };
        Deadline { wait, end_ms }
    }

    /// What is left; `None` when it is over.
    fn left(&self) -> Option<RecvWait> {
        match self.wait {
            RecvWait::Ms(_) => match self.end_ms.saturating_sub(timer::now_ms()) {
                0 => None,
                ms => Some(RecvWait::Ms(u32::try_from(ms).unwrap_or(u32::MAX))),
            },
            other => Some(other),
        }
    }
}

impl Socket {
    /// Receives what is there, at least one byte, at most `buf`. Context: task.
    pub(crate) fn recv(&self, buf: &mut [u8], wait: RecvWait) -> Result<usize, RecvError> {
        self.recv_bytes(buf, wait, 0)
    }

    fn recv_bytes(&self, buf: &mut [u8], wait: RecvWait, flags: u32) -> Result<usize, RecvError> {
        let mut m = message(0);
        let mut v = c::kvec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        let flags = self.prepare(wait, flags);
        // SAFETY: Live socket; the vector describes writable bytes.
        received(unsafe { c::kernel_recvmsg(self.raw(), &mut m, &mut v, 1, buf.len(), flags) })
    }

    /// Sets the receive timeout and gives the flags for one call.
    fn prepare(&self, wait: RecvWait, flags: u32) -> c_int {
        // SAFETY: Live socket; one receiver at a time.
        unsafe { c::kg_sk_set_rcvtimeo(self.raw(), wait.jiffies()) };
        let nowait = if wait == RecvWait::Never {
            c::MSG_DONTWAIT
        } else {
            0
        };
        (flags | nowait | c::MSG_NOSIGNAL) as c_int
    }

    /// Calls `step(socket, got, time left)` until `got` reaches `len`.
    fn until_full(
        &self,
        len: usize,
        got: &mut usize,
        wait: RecvWait,
        mut step: impl FnMut(&Self, usize, RecvWait) -> Result<usize, RecvError>,
    ) -> Result<(), RecvError> {
        let deadline = Deadline::new(wait);
        let mut left = wait;
        while *got < len {
            *got = got.saturating_add(step(self, *got, left)?);
            if *got < len {
                left = deadline.left().ok_or(RecvError::TimedOut)?;
            }
        }
        Ok(())
    }

    /// Fills `buf` from `*got` on. After a timeout, call again with the same `got`. Context: task.
    pub(crate) fn recv_exact(
        &self,
        buf: &mut [u8],
        got: &mut usize,
        wait: RecvWait,
    ) -> Result<(), RecvError> {
        self.until_full(buf.len(), got, wait, |sock, at, left| {
            match buf.get_mut(at..) {
                Some(rest) => sock.recv_bytes(rest, left, c::MSG_WAITALL),
                None => Err(RecvError::Failed(EINVAL)),
            }
        })
    }

    /// Receives what is there, at least a byte, at most what fits; 0 only for an empty `buf`.
    /// Context: task.
    pub(crate) fn recv_some(&self, buf: &mut [u8], wait: RecvWait) -> Result<usize, RecvError> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.recv_bytes(buf, wait, 0)
    }

    /// Fills a payload from `*got` on, normally in one call. Context: task.
    pub(crate) fn recv_payload(
        &self,
        payload: &mut Payload,
        got: &mut usize,
        wait: RecvWait,
    ) -> Result<(), RecvError> {
        let len = payload.len();
        self.until_full(len, got, wait, |sock, at, left| {
            let mut m = message(0);
            let flags = sock.prepare(left, c::MSG_WAITALL);
            // SAFETY: The payload is borrowed exclusively; `at` is inside. Live socket.
            received(unsafe {
                c::iov_iter_bvec(
                    &mut m.msg_iter,
                    c::ITER_DEST,
                    payload.table(),
                    payload.chunk_count(),
                    len,
                );
                c::iov_iter_advance(&mut m.msg_iter, at);
                c::sock_recvmsg(sock.raw(), &mut m, flags)
            })
        })
    }

    /// Fills the pages of a read from above from `*got` on. Context: task.
    ///
    /// Errors: `Failed(EINVAL)` when the bio is not a read.
    pub(crate) fn recv_bio(
        &self,
        data: &BioData,
        got: &mut usize,
        wait: RecvWait,
    ) -> Result<(), RecvError> {
        if !data.is_read() {
            return Err(RecvError::Failed(EINVAL));
        }
        self.until_full(data.len(), got, wait, |sock, at, left| {
            let mut m = message(0);
            let flags = sock.prepare(left, c::MSG_WAITALL);
            // SAFETY: The bio is alive, its pages are there to be written; `at` is inside.
            received(unsafe {
                c::kg_iov_iter_bio(&mut m.msg_iter, c::ITER_DEST, data.raw(), at);
                c::sock_recvmsg(sock.raw(), &mut m, flags)
            })
        })
    }

    /// Receives and forgets `len` bytes. Context: task.
    pub(crate) fn recv_discard(&self, len: usize, wait: RecvWait) -> Result<(), RecvError> {
        let mut got = 0;
        let mut sink = [0u8; 256];
        self.until_full(len, &mut got, wait, |sock, at, left| {
            let n = len.saturating_sub(at).min(sink.len());
            match sink.get_mut(..n) {
                Some(part) => sock.recv_bytes(part, left, 0),
                None => Err(RecvError::Failed(EINVAL)),
            }
        })
    }

    /// True when the connection looks alive: it has bytes for us, or just nothing to say.
    pub(crate) fn alive(&self) -> bool {
        let mut byte = [0u8; 1];
        match self.recv_bytes(&mut byte, RecvWait::Never, c::MSG_PEEK) {
            Ok(_) | Err(RecvError::TimedOut) => true,
            Err(_) => false,
        }
    }

    /// True when bytes are waiting. Context: task.
    pub(crate) fn readable(&self) -> bool {
        let mut byte = [0u8; 1];
        self.recv_bytes(&mut byte, RecvWait::Never, c::MSG_PEEK)
            .is_ok()
    }
}

fn received(rc: c_int) -> Result<usize, RecvError> {
    match usize::try_from(rc) {
        Ok(0) => Err(RecvError::Closed),
        Ok(n) => Ok(n),
        Err(_) => Err(RecvError::from_rc(rc)),
    }
}
