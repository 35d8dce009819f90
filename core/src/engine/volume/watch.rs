// SPDX-License-Identifier: GPL-2.0-or-later
//! disk-timeout: a disk that does not answer is given up.
//!
//! replication-semantics section 9, design section 8.6. The host looks now and then; nothing is
//! counted where operations come and go. When the oldest of those that the disk has is too old, the
//! disk is detached as by an error of its metadata: what it has ends by the peer's copy or as failed,
//! and stays marked, whether or not it gets there some day. The slot of such an operation serves no
//! other before its late answer, and no disk is attached before the last one.

use super::{Todo, Volume};
use crate::engine::{
    link::Link,
    mem::Mem,
    op::{flag, Kind, OpId},
};

/// How often a disk is looked at, milliseconds: a quarter of disk-timeout, within these bounds.
const LOOK_MIN_MS: u32 = 25;
const LOOK_MAX_MS: u32 = 1000;

/// What a look at the disk found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watched {
    /// Look again after this many milliseconds; `None`: not before a disk is attached, or
    /// disk-timeout is set.
    pub again_ms: Option<u32>,
    /// The disk was given up, with so many operations that it has not answered.
    pub given_up: Option<u32>,
}

impl<M: Mem> Volume<M> {
    /// disk-timeout in milliseconds; 0 for never, or without a disk.
    pub fn disk_timeout_ms(&self) -> u32 {
        let disk = self.disk.as_ref();
        disk.map_or(0, |disk| disk.facts.options.disk_timeout_ms)
    }

    /// Looks whether the disk answers, and gives it up if it does not. An operation is given up
    /// between one and one and a half of disk-timeout after the disk got it. Task context.
    pub fn watch_disk(&mut self, link: &mut dyn Link, now_ms: u64) -> Watched {
        let timeout_ms = self.disk_timeout_ms();
        if timeout_ms == 0 {
            return Watched::default();
        }
        let given_up = self
            .oldest_exceeds(timeout_ms, now_ms)
            .then(|| self.disk_hangs(link, now_ms));
        Watched {
            again_ms: Some((timeout_ms / 4).clamp(LOOK_MIN_MS, LOOK_MAX_MS)),
            given_up,
        }
    }

    /// Whether the disk has had an operation for `timeout_ms`. Takes note of those that it got
    /// since the last look.
    fn oldest_exceeds(&mut self, timeout_ms: u32, now_ms: u64) -> bool {
        let now = u32::try_from(now_ms & u64::from(u32::MAX)).unwrap_or(0);
        let mut exceeds = false;
        // Most slots in use are among the first: the search ends early.
        let mut left = self.counters.lower_pending;
        for op in 0..self.ops.capacity() {
            if left == 0 {
                break;
            }
            let at = self.ops.at_mut(op);
            if !at.any(flag::LOCAL_PENDING) {
                continue;
            }
            left = left.saturating_sub(1);
            if at.any(flag::WATCHED) {
                exceeds |= now.wrapping_sub(at.disk_ms) >= timeout_ms;
            } else {
                at.set(flag::WATCHED);
                at.disk_ms = now;
            }
        }
        exceeds
    }

    /// The disk does not answer: it is detached, whatever on-io-error says, and what it has ends
    /// without it. The host says so of a write of metadata or a flush that took longer than
    /// disk-timeout, after it ended that as failed. Returns how many operations the disk has not
    /// answered. Task context.
    pub fn disk_hangs(&mut self, link: &mut dyn Link, now_ms: u64) -> u32 {
        let Some(disk) = self.disk.as_mut() else {
            return 0;
        };
        // Nobody is to wait for what would not be written either.
        disk.failed |= disk.facts.layout.placement.is_internal();
        let failed = disk.failed;
        self.io_error_pending = true;
        self.force_detach = true;
        self.flush_lost = true;
        // The disk never gets these.
        while let Some(op) = self.ops.pop_front(&mut self.submit) {
            self.local_done(op, false, link);
        }
        let before = self.late;
        for op in 0..self.ops.capacity() {
            if self.drained() {
                break;
            }
            let at = self.ops.at_mut(op);
            if at.any(flag::LOCAL_PENDING) {
                at.set(flag::LATE);
                self.late = self.late.saturating_add(1);
                self.local_done(op, false, link);
            }
        }
        if failed {
            self.metadata_lost(link);
        }
        // Before anything else goes to this disk.
        self.tend_disk(link, now_ms);
        self.todo(Todo::WAKE);
        self.late.saturating_sub(before)
    }

    /// Operations that a disk was given up with and has not answered.
    pub fn late_io(&self) -> u32 {
        self.late
    }

    /// Whether the disk was given up, or failed otherwise, so that nobody waits for its metadata.
    pub fn metadata_is_lost(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.failed)
    }

    /// `op` is over for everybody but the disk. Any context.
    pub(super) fn bury(&mut self, op: OpId) {
        let at = self.ops.at_mut(op);
        at.kind = Kind::Late;
        at.flags = flag::LATE | flag::GONE;
    }

    /// The disk answers what it was given up with. Nobody asks how it ended. Any context.
    pub(super) fn late_done(&mut self, op: OpId) {
        let at = self.ops.at_mut(op);
        if !at.any(flag::LATE) {
            debug_assert!(false, "completion of what was not submitted");
            return;
        }
        at.clear(flag::LATE);
        if at.kind == Kind::Late {
            self.ops.push_back(&mut self.released, op);
        }
        self.late = self.late.saturating_sub(1);
        if self.late == 0 {
            self.todo(Todo::WAKE);
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
