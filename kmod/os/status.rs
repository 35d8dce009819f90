// SPDX-License-Identifier: GPL-2.0-or-later
//! Result of one block I/O (`blk_status_t`).

use crate::sys as c;

/// How a bio ended. Context: any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Status(u8);

impl Status {
    /// Success.
    pub(crate) const OK: Status = Status(0);
    /// Generic I/O error.
    pub(crate) const IOERR: Status = Status(c::BLK_STS_IOERR);
    /// The device does not do this operation.
    pub(crate) const NOTSUPP: Status = Status(c::BLK_STS_NOTSUPP);
    /// No space (thin provisioning).
    pub(crate) const NOSPC: Status = Status(c::BLK_STS_NOSPC);
    /// The medium failed (uncorrectable read).
    pub(crate) const MEDIUM: Status = Status(c::BLK_STS_MEDIUM);
    /// Timed out.
    pub(crate) const TIMEOUT: Status = Status(c::BLK_STS_TIMEOUT);
    /// The submitter asked not to wait.
    pub(crate) const AGAIN: Status = Status(c::BLK_STS_AGAIN);
    /// Out of memory or another resource.
    pub(crate) const RESOURCE: Status = Status(c::BLK_STS_RESOURCE);

    /// Wraps the raw value of a finished bio.
    pub(super) const fn from_raw(raw: u8) -> Self {
        Status(raw)
    }

    /// The value to store in a bio.
    pub(super) const fn raw(self) -> u8 {
        self.0
    }

    /// True for success.
    pub(crate) const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// The negative errno of this status, 0 for success.
    pub(crate) fn errno(self) -> i32 {
        // SAFETY: Table look-up; unknown values are handled by the callee.
        unsafe { c::blk_status_to_errno(self.0) }
    }

    /// The status for a negative errno; 0 gives [`Status::OK`].
    pub(crate) fn from_errno(errno: i32) -> Self {
        if errno == 0 {
            return Status::OK;
        }
        // SAFETY: Table look-up; unknown values become an I/O error.
        Status(unsafe { c::errno_to_blk_status(errno) })
    }
}
