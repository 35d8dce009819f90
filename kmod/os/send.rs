// SPDX-License-Identifier: GPL-2.0-or-later
//! Sending through a [`Socket`]: bytes, payloads and writes from above, by copy or by reference.

use super::{bio::BioData, pages::Payload, socket::Socket};
use crate::sys as c;
use core::mem::MaybeUninit;
use kernel::prelude::*;

/// How to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SendFlags {
    /// More follows at once: do not push a partial segment.
    pub(crate) more: bool,
    /// Send what fits and do not wait.
    pub(crate) nowait: bool,
}

impl SendFlags {
    /// Wait for room, push at the end.
    pub(crate) const NONE: Self = SendFlags {
        more: false,
        nowait: false,
    };
    /// Wait for room, more follows.
    pub(crate) const MORE: Self = SendFlags {
        more: true,
        nowait: false,
    };
    /// Do not wait, push at the end.
    pub(crate) const NOWAIT: Self = SendFlags {
        more: false,
        nowait: true,
    };
    /// Do not wait, more follows.
    pub(crate) const MORE_NOWAIT: Self = SendFlags {
        more: true,
        nowait: true,
    };

    fn raw(self) -> u32 {
        let mut flags = c::MSG_NOSIGNAL;
        if self.more {
            flags |= c::MSG_MORE;
        }
        if self.nowait {
            flags |= c::MSG_DONTWAIT;
        }
        flags
    }
}

/// What TCP does with the pages of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PageMode {
    /// Copies them: they may change as soon as the call returns.
    Copy,
    /// Refers to them until the peer has acknowledged the bytes. They must keep their contents
    /// until then, or [`Socket::abort`] must come first. Pages that TCP cannot hold are copied.
    Splice,
}

impl Socket {
    /// Sends the start of `bytes` in one call; returns how much, at least 1 unless `bytes` is
    /// empty. Context: task.
    ///
    /// Errors: `EAGAIN` (no room: with `nowait` at once, else after the send timeout), `EPIPE`,
    /// `ECONNRESET`, ...
    pub(crate) fn send(&self, bytes: &[u8], flags: SendFlags) -> Result<usize> {
        let mut m = message(flags.raw());
        let mut v = c::kvec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: Live socket; the vector describes readable bytes, which are only read.
        sent(unsafe { c::kernel_sendmsg(self.raw(), &mut m, &mut v, 1, bytes.len()) })
    }

    /// Sends all of `bytes` from `*done` on, which tells the progress also after an error.
    pub(crate) fn send_all(&self, bytes: &[u8], done: &mut usize, flags: SendFlags) -> Result {
        while let Some(rest) = bytes.get(*done..).filter(|rest| !rest.is_empty()) {
            *done = done.saturating_add(self.send(rest, flags)?);
        }
        Ok(())
    }

    /// Sends a payload from offset `from` on, in one call; as [`Self::send`].
    pub(crate) fn send_payload(
        &self,
        payload: &Payload,
        from: usize,
        mode: PageMode,
        flags: SendFlags,
    ) -> Result<usize> {
        if from >= payload.len() {
            return Ok(0);
        }
        let mut m = message(flags.raw());
        // Pages of a payload come from the page allocator: TCP can hold them.
        if mode == PageMode::Splice {
            m.msg_flags |= c::MSG_SPLICE_PAGES;
        }
        // SAFETY: The table stays as it is during the call; `from` is inside. Live socket.
        sent(unsafe {
            c::iov_iter_bvec(
                &mut m.msg_iter,
                c::ITER_SOURCE,
                payload.table(),
                payload.chunk_count(),
                payload.len(),
            );
            c::iov_iter_advance(&mut m.msg_iter, from);
            c::sock_sendmsg(self.raw(), &mut m)
        })
    }

    /// Sends the payload of a write from above, from offset `from` on, in one call; as
    /// [`Self::send`]. Errors: `EINVAL` for an operation without payload.
    pub(crate) fn send_bio(
        &self,
        data: &BioData,
        from: usize,
        mode: PageMode,
        flags: SendFlags,
    ) -> Result<usize> {
        if !data.has_pages() {
            return Err(EINVAL);
        }
        if from >= data.len() {
            return Ok(0);
        }
        let mut m = message(flags.raw());
        // SAFETY: The bio is alive and its vectors do not change. Live socket.
        sent(unsafe {
            if mode == PageMode::Splice && c::kg_bio_sendpage_ok(data.raw()) {
                m.msg_flags |= c::MSG_SPLICE_PAGES;
            }
            c::kg_iov_iter_bio(&mut m.msg_iter, c::ITER_SOURCE, data.raw(), from);
            c::sock_sendmsg(self.raw(), &mut m)
        })
    }
}

pub(super) fn message(flags: u32) -> c::msghdr {
    // SAFETY: Integers and pointers, valid when zero.
    let mut m: c::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    m.msg_flags = flags;
    m
}

fn sent(rc: c_int) -> Result<usize> {
    usize::try_from(rc).map_err(|_| Error::from_errno(rc))
}
