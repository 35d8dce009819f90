// SPDX-License-Identifier: GPL-2.0-or-later
//! Application I/O that stands still: suspend-io, no data within reach, a peer to be fenced.
//!
//! replication-semantics sections 8, 9 and 12. suspend-io lets end what has begun and starts nothing
//! new. The other two reasons, *frozen*, also keep what has begun from ending: nobody may hear of a
//! write that one copy alone has, or that none could take. Such an operation gives up what became
//! of it and is parked like one that never was launched; it keeps its place among overlapping ones
//! and its extents of the activity log. When I/O goes on it is launched once more, for the peer
//! that came back, the disk that was attached, or without either; that its first attempt left
//! something on a disk does no harm, since nobody was told.
//!
//! What had completed before, and is not known to be durable at the peer, is out of sync from then
//! on, as after any lost connection; but no new generation begins, which would make a split brain of
//! a peer that takes over. If that peer comes back as it was it has those writes: the marks stay
//! until the next resync. If it comes back rebooted they are resynchronised at once.

use super::{Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind, OpId, NIL},
    },
    state::{Change, Conn, OnNoData, Role},
};

impl<M: Mem> Volume<M> {
    /// Whether what has begun may not end.
    pub(super) fn is_frozen(&self) -> bool {
        self.state.susp_nod || self.state.susp_fen
    }

    /// suspend-io: nothing new starts. Task context.
    pub fn suspend_io(&mut self, link: &mut dyn Link, now_ms: u64) {
        self.hard(link, now_ms, |state| state.susp = true);
    }

    /// resume-io: whatever the reason was, I/O goes on. Task context.
    pub fn resume_io(&mut self, link: &mut dyn Link, now_ms: u64) {
        if self.new_uuid_deferred {
            self.new_current_uuid();
        }
        let frozen = self.is_frozen();
        self.hard(link, now_ms, |state| {
            state.susp = false;
            state.susp_nod = false;
            state.susp_fen = false;
        });
        if frozen && self.state.conn < Conn::Connected {
            self.clean_log_soon(link);
        }
    }

    /// Whether operations of the application were started and have not ended: what suspend-io
    /// waits for. Frozen ones do not count.
    pub fn app_io_runs(&self) -> bool {
        let runs = |at: &crate::engine::op::Op| {
            matches!(at.kind, Kind::AppRead | Kind::AppWrite)
                && at.any(flag::LAUNCHED)
                && !at.any(flag::DONE_UPPER)
        };
        self.ops.iter_used().any(|op| runs(self.ops.at(op)))
    }

    /// Whether `op`, which failed, waits for better days instead of ending with an error.
    pub(super) fn outlasts_failure(&self, op: OpId) -> bool {
        let at = self.ops.at(op);
        if at.kind == Kind::AppWrite && at.any(flag::RETRY) {
            return false;
        }
        // The state does not know yet of a disk that failed a moment ago.
        let undecided = self.io_error_pending && self.state.role == Role::Primary;
        self.is_frozen() || undecided && self.context.on_no_data == OnNoData::SuspendIo
    }

    /// Whether the peer did not confirm write or flush `op` as the protocol demands.
    pub(super) fn is_here_alone(&self, op: OpId) -> bool {
        let at = self.ops.at(op);
        at.kind == Kind::AppWrite && !at.any(flag::NET_OK)
    }

    /// `op` forgets what became of it, and waits to be launched again. Any context.
    pub(super) fn park_again(&mut self, op: OpId) {
        if self.ops.at(op).any(flag::EXP_BARR_ACK) {
            self.ops.unlink(&mut self.log, op);
        }
        self.left_the_wire(op);
        let at = self.ops.at_mut(op);
        at.clear(flag::EXP_BARR_ACK);
        if at.any(flag::LOCAL_PENDING | flag::NET_QUEUED) {
            at.set(flag::HELD);
            return;
        }
        let launched = at.any(flag::LAUNCHED) && at.kind == Kind::AppWrite;
        at.clear(
            flag::SINCE_LAUNCH
                | flag::HELD
                | flag::EXP_RECEIVE_ACK
                | flag::OUT_OF_SYNC
                | flag::RETRY,
        );
        at.set(flag::PARKED);
        self.ops.push_back(&mut self.parked, op);
        if launched {
            self.write_ends();
            // It is behind now what waited for it.
            let (sector, end) = (self.ops.at(op).sector, self.ops.at(op).end());
            self.wake_waiters(sector, end);
        }
        // It may be that I/O goes on already.
        self.frozen_due = true;
        self.todo(Todo::READY);
    }

    /// What was parked may go on, if it may. Task context.
    pub(super) fn tend_frozen(&mut self) {
        if core::mem::take(&mut self.frozen_due) {
            self.unpark();
        }
    }

    /// The connection is gone for good and I/O is frozen: what the peer owes an answer for will be
    /// launched again.
    pub(super) fn park_unanswered(&mut self, link: &mut dyn Link) {
        let mut op = self.log.head;
        while op != NIL {
            let next = self.ops.next_in(&self.log, op);
            if self.ops.at(op).any(flag::COMPLETING | flag::DONE_UPPER) {
                self.unconfirmed = true;
                self.lost(op, link);
            } else {
                self.stop_awaiting(op);
                self.park_again(op);
            }
            op = next;
        }
        for op in 0..self.ops.capacity() {
            let at = self.ops.at(op);
            if at.kind == Kind::AppRead && at.any(flag::NET_PENDING) {
                self.stop_awaiting(op);
                self.park_again(op);
            }
        }
        self.recheck_refused();
    }

    /// Gives up the peer's copy of what it did not confirm: now, or when the generation that goes on
    /// without it is durable.
    pub(super) fn clean_log_soon(&mut self, link: &mut dyn Link) {
        if self.uuid_hold.is_some() {
            self.clean_log = true;
        } else {
            self.clean_log_now(link);
        }
    }

    /// After a state change: what becomes of frozen I/O beyond what the tables say.
    pub(super) fn follow_freeze(&mut self, change: &Change, link: &mut dyn Link, now_ms: u64) {
        let (old, new) = (change.old, change.new);
        if old.role == Role::Primary && new.role == Role::Secondary && self.is_frozen() {
            // Nobody is left who would be told too early. But this data may be ahead.
            if core::mem::take(&mut self.new_uuid_deferred) && self.unconfirmed {
                self.new_current_uuid();
            }
            self.hard(link, now_ms, |state| {
                state.susp_nod = false;
                state.susp_fen = false;
            });
        }
    }
}

#[cfg(test)]
#[path = "frozen_tests.rs"]
mod tests;
