// SPDX-License-Identifier: GPL-2.0-or-later
//! The source's side of a resync.
//!
//! A block is read and its answer queued while no write to it can run, so the answer is in the
//! stream before any later mirrored write to the range (wire-protocol section 15.7).

use super::{Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind, OpId},
        send_queue::SendItem,
    },
    state::{action::Side, Conn, Disk as DiskState, State},
    wire::command::Command,
};

impl<M: Mem> Volume<M> {
    /// A block for the target was read, or could not be. Any context.
    pub(super) fn rs_read_done(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        let at = self.ops.at(op);
        let orphan = at.any(flag::ORPHAN);
        if ok && !orphan && at.any(flag::CHECKSUM | flag::RS_THIN) {
            self.queue_compare(op);
            return;
        }
        if ok && !orphan {
            self.answer_with_data(op, link);
            return;
        }
        if !orphan {
            self.acknowledge(Command::NegRsDreply, self.ack_of(op), link);
            self.resync.failed_bits = self
                .resync
                .failed_bits
                .saturating_add(u64::from(self.ops.at(op).len_sectors.div_ceil(8)));
        }
        self.release(op);
    }

    pub(super) fn answer_with_data(&mut self, op: OpId, link: &mut dyn Link) {
        let volume = self.number;
        if link.send(SendItem::Reply { volume, op }) {
            let at = self.ops.at_mut(op);
            at.set(flag::NET_QUEUED);
            // Not only when it was sent: its acknowledgement may be here before the sender says so.
            let sectors = u64::from(at.len_sectors);
            self.resync.unacked_sectors = self.resync.unacked_sectors.saturating_add(sectors);
            // The answer is in the queue: later writes are behind it.
            self.leave_ranges(op);
        } else {
            self.release(op);
        }
    }

    /// Sectors of answers to the target that wait to be sent.
    pub(super) fn queued_answers_sectors(&self) -> u64 {
        let ops = self.ops.iter_used().map(|op| self.ops.at(op));
        let queued = ops.filter(|at| at.kind == Kind::RsRead && at.any(flag::NET_QUEUED));
        queued.map(|at| u64::from(at.len_sectors)).sum()
    }

    /// P_RS_WRITE_ACK for a resync block: the target has it.
    pub fn resync_acked(&mut self, sector: u64, len_sectors: u32) {
        if !self.conn().is_sync_source() {
            return; // of a resync that was given up
        }
        let _ = self.set_in_sync(sector, len_sectors);
        let sectors = u64::from(len_sectors);
        self.resync.unacked_sectors = self.resync.unacked_sectors.saturating_sub(sectors);
        self.resync.note_progress();
    }

    /// P_NEG_ACK for a resync block: the target could not write it.
    pub fn resync_refused(&mut self, len_sectors: u32) {
        let bits = u64::from(len_sectors.div_ceil(8));
        self.resync.failed_bits = self.resync.failed_bits.saturating_add(bits);
        let sectors = u64::from(len_sectors);
        self.resync.unacked_sectors = self.resync.unacked_sectors.saturating_sub(sectors);
    }

    /// Whether no block is left that the target would ask for. The resync of a grown part compared no
    /// bitmaps: what else is marked here, from before a crash, is nothing to the target.
    pub(super) fn nothing_left(&self) -> bool {
        self.resync.of_growth || self.dirty_bits() <= self.resync.failed_bits
    }

    /// Whether everything dirty was sent or is about to be, acknowledged or not: the target may have finished. It cannot have
    /// without its UUID.
    pub(super) fn everything_sent(&self) -> bool {
        let unacked = self
            .resync
            .unacked_sectors
            .div_ceil(crate::meta::SECTORS_PER_BIT);
        self.pending_sync_uuid.is_none() && self.dirty_bits() <= unacked
    }

    /// The target is done; so is this node as soon as no bit is left. Acknowledged writes whose
    /// local half is still under way clear theirs when they end.
    pub(super) fn finish_source_when_clean(&mut self, link: &mut dyn Link) {
        let source = self.conn().is_sync_source();
        if source
            && self.peer.target_finished
            && self.peer.finish_source_ping.is_none()
            && self.nothing_left()
        {
            self.peer.finish_source_ping = Some(link.ping());
        }
    }

    /// The target, which finished, begins what comes next before this node has seen its last
    /// acknowledgements: they are not waited for, and what is marked here belongs to what follows.
    pub(super) fn target_went_on(&mut self, link: &mut dyn Link, now_ms: u64) {
        let source = self.conn().is_sync_source();
        if source && self.peer.target_finished {
            self.finish_source_uuids();
            self.finish_resync(true, link, now_ms);
        }
    }

    /// A target that could not write every block ends the resync as it is; it says so by a
    /// P_STATE that is Connected and Inconsistent.
    pub(super) fn note_failed_resync(&mut self, told: State, link: &mut dyn Link, now_ms: u64) {
        let source = self.conn().is_sync_source();
        let ended = told.conn == Conn::Connected && told.disk == DiskState::Inconsistent;
        if source && ended && self.resync.target_seen {
            self.finish_resync(false, link, now_ms);
        }
    }

    /// A source begins when every acknowledgement of an earlier resync has arrived: a late one
    /// would clear bits that were set since. The two sockets do not wait for each other, a ping
    /// does. True if it has to wait.
    pub(super) fn source_waits(&mut self, link: &mut dyn Link) -> bool {
        if !core::mem::replace(&mut self.peer.was_source, true) {
            return false;
        }
        self.peer.start_source_ping = Some(link.ping());
        true
    }

    /// Whether a resync from here is due: of what a comparison of bitmaps found, of what was written
    /// while Ahead, or of a part that is new.
    pub(super) fn source_may_begin(&self) -> bool {
        match self.conn() {
            Conn::WfBitMapS | Conn::StartingSyncS | Conn::Ahead => true,
            Conn::Connected => self.sizing.source_due,
            _ => false,
        }
    }

    /// The answer to the ping that the end of a resync waits for (replication-semantics
    /// section 7.4); `answered` counts P_PING_ACK since the connection began.
    pub fn ping_answered(&mut self, answered: u32, link: &mut dyn Link, now_ms: u64) {
        let reached = |ping: Option<u32>| {
            // wire-protocol gives no number: both count from the start of the connection.
            ping.is_some_and(|ping| answered.wrapping_sub(ping) as i32 >= 0)
        };
        if reached(self.peer.finish_source_ping) {
            self.peer.finish_source_ping = None;
            let source = self.conn().is_sync_source();
            if source && self.nothing_left() {
                self.finish_resync_source(link, now_ms);
            }
        }
        if reached(self.peer.start_source_ping) {
            self.peer.start_source_ping = None;
            self.peer.was_source = false;
            if self.source_may_begin() {
                self.start_resync(Side::Source, link, now_ms);
            }
            self.sizing_look_again();
        }
        if reached(self.peer.told_ping) {
            self.peer.told_ping = None;
        }
        if reached(self.resync.finish_ping) {
            self.resync.finish_ping = None;
            // Bits may have been set meanwhile: then it goes on.
            let done = self.dirty_bits() <= self.resync.failed_bits;
            if self.conn() == Conn::SyncTarget && done {
                self.finish_resync_target(link, now_ms);
            }
            self.todo(Todo::RESYNC);
        }
        self.todo(Todo::WAKE);
    }
}
