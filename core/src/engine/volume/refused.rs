// SPDX-License-Identifier: GPL-2.0-or-later
//! A write that one disk did not take and the other did.
//!
//! Whichever node dies next, the copy that lacks the write must not pass for the good one. So the
//! upper layer does not hear of it before that is on stable storage: a disk here says in its own
//! superblock that it is not consistent, and if it cannot, the peer's data is waited for to go on in
//! a generation of its own; when the peer's disk refused, the data here goes on in a generation that
//! the peer does not have. (The stock driver leaves all of that to what happens next.)

use super::{Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Action, Kind, OpId},
    },
    state::{Conn, Disk as DiskState},
};

impl<M: Mem> Volume<M> {
    /// The own disk failed on `op`, which the peer's disk has or may get. Any context.
    pub(super) fn own_disk_lacks_write(&mut self, op: OpId) {
        let at = *self.ops.at(op);
        let elsewhere = match at.kind {
            Kind::AppWrite => at.any(flag::EXP_BARR_ACK),
            Kind::PeerWrite => self.state.pdsk >= DiskState::Inconsistent,
            _ => false,
        };
        let usable = self.state.disk > DiskState::Inconsistent;
        let Some(disk) = self
            .disk
            .as_mut()
            .filter(|disk| elsewhere && usable && !disk.failed)
        else {
            return;
        };
        disk.lacks_write = true;
        self.update_md_flags();
        self.hold_refused(op);
    }

    /// The peer's disk failed on `op`, which the own disk has or may get. Any context.
    pub(super) fn peer_lacks_write(&mut self, op: OpId) {
        let at = *self.ops.at(op);
        // A disk that refuses a discard is not broken: it stays as good as it is.
        if at.action != Action::Data || self.state.pdsk != DiskState::UpToDate {
            return;
        }
        let own = self.disk.as_ref().filter(|disk| !disk.failed);
        if self.state.disk != DiskState::UpToDate || own.is_none() {
            return;
        }
        if own.is_some_and(|disk| disk.needs_generation()) {
            self.new_current_uuid();
        }
        if self.uuid_hold.is_some() && !at.any(flag::COMPLETING | flag::DONE_UPPER) {
            self.hold_refused(op);
        }
    }

    /// Whether the peer alone has `op`, and it is not known yet that its data belongs to a
    /// generation that the own disk does not have. When the connection goes, it will not be known: the end of the
    /// connection takes back what the peer promised.
    pub(super) fn is_new_to_peer_alone(&self, op: OpId) -> bool {
        let at = self.ops.at(op);
        at.kind == Kind::AppWrite
            && at.has(flag::EXP_BARR_ACK | flag::NET_OK)
            && !at.any(flag::LOCAL_OK)
            && (self.generation_is_open() || self.state.conn < Conn::Connected)
    }

    /// The own disk is lost, and the peer has not named the generation that goes on without it.
    fn generation_is_open(&self) -> bool {
        self.loses_disk() || self.awaits_generation()
    }

    /// `op` waits for the superblock as it is now.
    pub(super) fn hold_refused(&mut self, op: OpId) {
        let version = self.md_version();
        let at = self.ops.at_mut(op);
        at.ticket = version;
        if !at.any(flag::REFUSED) {
            at.set(flag::REFUSED);
            self.refused = self.refused.saturating_add(1);
        }
        self.todo(Todo::METADATA);
    }

    /// What they wait for may have come: they are looked at in task context.
    pub(super) fn recheck_refused(&mut self) {
        if self.refused > 0 {
            self.todo(Todo::READY);
        }
    }

    /// Ends the writes whose fate is on stable storage, or never will be. Task context.
    pub(super) fn release_refused(&mut self, link: &mut dyn Link) {
        if self.refused == 0 || self.generation_is_open() {
            return;
        }
        for op in 0..self.ops.capacity() {
            let at = *self.ops.at(op);
            let is_settled = self.md_is_durable(at.ticket) && !self.is_new_to_peer_alone(op);
            if !at.any(flag::REFUSED) || !is_settled {
                continue;
            }
            self.ops.at_mut(op).clear(flag::REFUSED);
            self.refused = self.refused.saturating_sub(1);
            match at.kind {
                Kind::PeerWrite => self.peer_write_done(op, false, link),
                _ => self.settle(op, link),
            }
        }
    }
}

#[cfg(test)]
#[path = "refused_tests.rs"]
mod tests;
