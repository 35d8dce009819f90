// SPDX-License-Identifier: GPL-2.0-or-later
//! Thin resync: what is all zeroes at the source does not travel, and is discarded at the target.
//!
//! replication-semantics section 7.7. The target asks so (P_RS_THIN_REQ) for blocks of exactly
//! rs-discard-granularity, when its disk can discard and the peer knows of it. The source answers
//! P_RS_DEALLOCATED or with the data. What the target's disk does not discard it asks for again,
//! as data.

use super::Volume;
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Action, OpId},
        send_queue::SendItem,
    },
    meta::SECTORS_PER_BIT,
    wire::command::Command,
};

impl<M: Mem> Volume<M> {
    /// As the target: the length of a thin request in blocks; `None` without them.
    pub(super) fn thin_blocks(&self) -> Option<u64> {
        let facts = &self.disk.as_ref()?.facts;
        let blocks = u64::from(facts.options.rs_discard_sectors) / SECTORS_PER_BIT;
        let may = facts.can_discard
            && !self.resync.no_thin
            && self.peer.dialect.may_send(Command::RsThinReq);
        (may && blocks.is_power_of_two()).then_some(blocks)
    }

    /// As the target: the disk does not discard after all. The block is asked for as data, and so
    /// is what comes after it; false if there is nobody to ask. Any context.
    pub(super) fn asks_again(&mut self, op: OpId, link: &mut dyn Link) -> bool {
        if self.ops.at(op).any(flag::ORPHAN) {
            return false;
        }
        self.resync.no_thin = true;
        let at = self.ops.at_mut(op);
        at.action = Action::Data;
        at.clear(flag::RS_WRITING | flag::RS_THIN | flag::LAUNCHED | flag::LOCAL_COMPLETED);
        let volume = self.number;
        if link.send(SendItem::RsRequest { volume, op }) {
            self.await_peer(op, flag::NET_QUEUED);
        } else {
            self.resync_forget(op);
        }
        // Mirrored writes waited for what was to be written here.
        let (sector, end) = (self.ops.at(op).sector, self.ops.at(op).end());
        self.wake_waiters(sector, end);
        true
    }

    /// As the source: whether the host is to test the block of `op` for zeroes, not to compare its
    /// digest.
    pub fn tests_for_zeroes(&self, op: OpId) -> bool {
        self.ops.at(op).any(flag::RS_THIN)
    }

    /// As the source: the block was tested.
    pub(super) fn zeroes_tested(&mut self, op: OpId, zeroes: bool, link: &mut dyn Link) {
        if self.ops.at(op).any(flag::ORPHAN) {
            self.release(op);
            return;
        }
        if zeroes {
            self.ops.at_mut(op).set(flag::RS_DEALLOCATED);
        }
        self.answer_with_data(op, link);
    }
}
