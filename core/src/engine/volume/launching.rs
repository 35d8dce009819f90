// SPDX-License-Identifier: GPL-2.0-or-later
//! When an operation may run: its place among those that touch the same sectors.

use super::{Todo, Volume};
use crate::engine::{
    link::Link,
    mem::Mem,
    op::{flag, Kind, OpId},
};

impl<M: Mem> Volume<M> {
    /// Runs what waited for another operation. Task context.
    pub fn run_ready(&mut self, link: &mut dyn Link, now_ms: u64) {
        while let Some(op) = self.ops.pop_front(&mut self.ready) {
            let at = self.ops.at(op);
            let own = at.kind == Kind::AppWrite && at.any(flag::INDEXED);
            // A write of the peer that came meanwhile goes first.
            if own && self.ranges.blocked(&self.ops, op) {
                self.wait_in_range(op);
                continue;
            }
            self.launch(op, link, now_ms);
        }
    }

    /// Puts `op` on the list of what may run.
    pub(super) fn make_ready(&mut self, op: OpId) {
        self.ops
            .at_mut(op)
            .clear(flag::WAIT_RANGE | flag::WAIT_AL | flag::PARKED);
        self.ops.push_back(&mut self.ready, op);
        self.todo(Todo::READY);
    }

    /// Takes `op` out of the range index and lets those run that waited for it.
    #[inline]
    pub(crate) fn leave_ranges(&mut self, op: OpId) {
        let at = self.ops.at(op);
        if !at.any(flag::INDEXED) {
            return;
        }
        let (sector, end) = (at.sector, at.end());
        self.ranges.remove(&mut self.ops, op);
        self.wake_waiters(sector, end);
    }

    #[inline]
    pub(crate) fn wake_waiters(&mut self, sector: u64, end: u64) {
        while let Some(waiter) = self.ranges.first_waiter(&self.ops, sector, end) {
            self.make_ready(waiter);
        }
    }

    /// Enters `op` into the range index; launches it, or leaves it waiting.
    pub(crate) fn enter_ranges(&mut self, op: OpId, link: &mut dyn Link, now_ms: u64) {
        if self.ranges.insert(&mut self.ops, op) {
            self.launch(op, link, now_ms);
        } else {
            self.wait_in_range(op);
        }
    }

    /// `op`, which is in the range index, waits for what is before it.
    pub(super) fn wait_in_range(&mut self, op: OpId) {
        self.ops.at_mut(op).set(flag::WAIT_RANGE);
        self.ranges.note_waiter();
    }

    /// Starts `op`, which nothing holds back.
    pub(super) fn launch(&mut self, op: OpId, link: &mut dyn Link, now_ms: u64) {
        match self.ops.at(op).kind {
            Kind::AppRead | Kind::AppWrite => self.launch_app(op, link, now_ms),
            Kind::PeerWrite => self.launch_peer_write(op, link),
            Kind::PeerRead | Kind::RsRead | Kind::OvPeer => self.launch_read(op, link),
            Kind::OvOwn => self.launch_verify(op, link),
            Kind::RsTarget => self.launch_rs_write(op, link),
            Kind::Late | Kind::Free => {}
        }
    }

    #[inline]
    pub(crate) fn queue_submit(&mut self, op: OpId) {
        debug_assert!(!self.ops.at(op).any(flag::LATE), "the disk has it still");
        self.ops.at_mut(op).set(flag::LOCAL_PENDING);
        self.counters.lower_pending = self.counters.lower_pending.saturating_add(1);
        self.ops.push_back(&mut self.submit, op);
    }
}
