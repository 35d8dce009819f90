// SPDX-License-Identifier: GPL-2.0-or-later
//! Checksum-based resync: blocks that are equal do not travel.
//!
//! The target reads a block and asks for it with its digest (P_CSUM_RS_REQUEST); the source reads
//! its own and answers P_RS_IS_IN_SYNC, or with the data (replication-semantics section 7.4,
//! wire-protocol section 9).
//!
//! Mirrored writes pass a request on the target, as in any resync. What the target read plus the
//! writes that were on their way is what the source has when it compares, so equal digests say
//! that the two are equal when these writes are done. P_RS_IS_IN_SYNC however comes on the meta
//! socket and may overtake what follows it or be overtaken: a request whose block fails to be
//! written, or is said to be out of sync, meanwhile, is not believed in, see
//! [`Volume::doubt_checksum`].

use super::Volume;
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind, Op, OpId},
        send_queue::SendItem,
    },
    wire::{block::BlockAck, command::Command},
};

/// Largest request with a digest, in blocks of 4 KiB: what a single changed block moves.
pub(super) const CHECKSUM_BLOCKS_MAX: u64 = 8;

impl<M: Mem> Volume<M> {
    /// Whether a resync to here that begins now goes by checksums.
    pub(super) fn wants_checksums(&self) -> bool {
        let options = &self.peer.options;
        let crashed = self.disk.as_ref().is_some_and(|disk| disk.crashed_primary);
        !options.csums_alg.is_empty()
            && self.peer.dialect.may_send(Command::CsumRsRequest)
            && (!options.csums_after_crash_only || crashed)
            // A late answer could be taken for one to a new request: they have no handles.
            && !self.peer.checksums_stale
    }

    /// As the target: the own block is read, its digest goes out next. Any context.
    pub(super) fn checksum_read_done(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        if self.ops.at(op).any(flag::ORPHAN) {
            self.resync_forget(op);
            return;
        }
        if !ok {
            // Then the data itself is asked for.
            self.ops.at_mut(op).clear(flag::CHECKSUM);
        }
        let volume = self.number;
        if link.send(SendItem::RsRequest { volume, op }) {
            self.await_peer(op, flag::NET_QUEUED);
        } else {
            self.resync_forget(op);
        }
    }

    /// The host has no memory to read the block of `op` into: the data itself is asked for. Task
    /// context.
    pub fn checksum_unread(&mut self, op: OpId, link: &mut dyn Link) {
        let at = self.ops.at_mut(op);
        if at.any(flag::LATE) {
            self.late_done(op);
            return;
        }
        if at.kind != Kind::RsTarget || !at.any(flag::LOCAL_PENDING) {
            return;
        }
        at.clear(flag::LOCAL_PENDING | flag::WATCHED);
        self.counters.lower_pending = self.counters.lower_pending.saturating_sub(1);
        self.checksum_read_done(op, false, link);
        self.disk_answered();
    }

    /// P_RS_IS_IN_SYNC. Its block id means nothing (wire-protocol section 4).
    pub(super) fn resync_in_sync(&mut self, ack: &BlockAck) {
        let Some(op) = self.ranges.find(&self.ops, Kind::RsTarget, ack.sector) else {
            return; // asked for in a resync that was given up meanwhile
        };
        let at = *self.ops.at(op);
        if !at.has(flag::CHECKSUM | flag::NET_PENDING) || at.len_bytes() != ack.size {
            return;
        }
        if !at.any(flag::OUT_OF_SYNC) {
            let _ = self.set_in_sync(at.sector, at.len_sectors);
            self.resync.note_same(at.len_sectors);
        }
        self.resync_forget(op);
    }

    /// As the target: what was read from the range may not be what it comes to be. Any context.
    pub(super) fn doubt_checksum(&mut self, sector: u64, len_sectors: u32) {
        let end = sector.saturating_add(u64::from(len_sectors));
        let asked = |at: &Op| {
            at.kind == Kind::RsTarget && at.any(flag::CHECKSUM) && !at.any(flag::OUT_OF_SYNC)
        };
        while let Some(op) = self.ranges.first_overlap(&self.ops, sector, end, asked) {
            self.ops.at_mut(op).set(flag::OUT_OF_SYNC);
        }
    }

    /// As the source: the host compared the target's digest with that of the own block, to which
    /// nobody could write meanwhile.
    pub(super) fn checksum_compared(&mut self, op: OpId, equal: bool, link: &mut dyn Link) {
        let at = *self.ops.at(op);
        if at.any(flag::ORPHAN) {
            self.release(op);
            return;
        }
        if !equal {
            self.answer_with_data(op, link);
            return;
        }
        if self.conn().is_sync_source() {
            let _ = self.set_in_sync(at.sector, at.len_sectors);
            self.resync.note_same(at.len_sectors);
            self.peer.told_in_sync = true;
            self.acknowledge(Command::RsIsInSync, self.ack_of(op), link);
        } else {
            // Of a resync that was given up: this node keeps its bits, so does the peer.
            self.acknowledge(Command::RsCancel, self.ack_of(op), link);
        }
        self.release(op);
    }

    /// As the source: whether the target has heard of all blocks that it was told are in sync. If
    /// not, asks for a sign. A target of another make believes in such an answer whatever it hears
    /// before.
    pub(super) fn target_heard_of_checksums(&mut self, link: &mut dyn Link) -> bool {
        if self.peer.told_in_sync && self.peer.told_ping.is_none() {
            self.peer.told_in_sync = false;
            self.peer.told_ping = Some(link.ping());
        }
        self.peer.told_ping.is_none()
    }
}

#[cfg(test)]
#[path = "checksum_tests.rs"]
mod tests;
