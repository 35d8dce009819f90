// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes that the peer mirrors to us and reads that it asks for.
//!
//! replication-semantics sections 6.4 and 6.6, wire-protocol sections 6.2, 6.5 and 6.7. A write is
//! acknowledged when it is on the disk as the protocol demands, counts in the receive epoch from
//! its arrival to its acknowledgement, and never runs beside an overlapping one.

use super::{Todo, Volume};
use crate::{
    activity_log::Begin,
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, payload_sectors, Action, BioFlags, Kind, List, OpId},
        reply_queue::ReplyItem,
        send_queue::SendItem,
    },
    state::{Conn, Disk as DiskState},
    wire::{
        block::{BlockAck, BlockId},
        command::Command,
        handshake::ReplicationProtocol,
    },
};

/// A write of the peer that has all of these, and nothing of [`NOT_PLAIN`], ends by the short way.
const PLAIN: u64 = flag::IN_EPOCH | flag::LOCAL_COMPLETED;
const NOT_PLAIN: u64 = flag::REFUSED
    | flag::ORPHAN
    | flag::IN_ACT_LOG
    | flag::ONLY_COPY
    | flag::NET_QUEUED
    | flag::LATE
    | flag::GONE;

/// A write of the peer, as received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerWrite {
    /// What it does.
    pub action: Action,
    /// First sector.
    pub sector: u64,
    /// Length.
    pub len_sectors: u32,
    /// Handle of the peer.
    pub block_id: BlockId,
    /// FUA, preflush, sync.
    pub bio: BioFlags,
    /// DP_SEND_RECEIVE_ACK.
    pub want_recv_ack: bool,
    /// DP_SEND_WRITE_ACK.
    pub want_write_ack: bool,
    /// DP_MAY_SET_IN_SYNC.
    pub may_set_in_sync: bool,
    /// See [`Volume::sequence_reached`].
    pub seq_num: u32,
}

/// What became of a write of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerWriteFate {
    /// It is operation `0`: its payload goes into the host's table.
    Accepted(OpId),
    /// It is operation `0`, and nothing holds it back: the host gives it to the disk now, as for
    /// [`super::Effect::SubmitWrite`]. Told by [`Volume::peer_write_at_once`] only.
    Launched(OpId),
    /// There is no disk, or none of use: drop the payload. The answer is on its way.
    Dropped,
    /// All slots are in use: grow the slab, or end the connection.
    NoSlot,
    /// It lies outside the device: end the connection.
    OutOfRange,
}

/// What the peer wants to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerReadKind {
    /// P_DATA_REQUEST.
    Data,
    /// P_RS_DATA_REQUEST.
    Resync,
    /// P_RS_THIN_REQ.
    ThinResync,
    /// P_CSUM_RS_REQUEST.
    ChecksumResync,
    /// P_OV_REQUEST.
    Verify,
}

impl<M: Mem> Volume<M> {
    /// A mirrored write arrived, payload and all. Receiver.
    pub fn peer_write(
        &mut self,
        write: PeerWrite,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> PeerWriteFate {
        match self.peer_write_at_once(write, link, now_ms) {
            PeerWriteFate::Launched(op) => {
                self.ops.push_back(&mut self.submit, op);
                PeerWriteFate::Accepted(op)
            }
            other => other,
        }
    }

    /// The same for a host that has its payload at hand and submits it itself. Receiver.
    #[inline]
    pub fn peer_write_at_once(
        &mut self,
        write: PeerWrite,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> PeerWriteFate {
        let end = write.sector.saturating_add(u64::from(write.len_sectors));
        if end > self.capacity_sectors {
            return PeerWriteFate::OutOfRange;
        }
        let ack = BlockAck {
            sector: write.sector,
            block_id: write.block_id,
            size: write.len_sectors.saturating_mul(512),
            seq_num: 0,
        };
        if !self.has_disk() || self.has_nothing_to_add_to() {
            self.note_sequence(write.seq_num);
            link.peer_write_drained();
            self.refused_peer_write(write.sector, end);
            self.acknowledge(Command::NegAck, ack, link);
            return PeerWriteFate::Dropped;
        }
        let Some(op) = self.ops.alloc(Kind::PeerWrite) else {
            return PeerWriteFate::NoSlot;
        };
        self.note_sequence(write.seq_num);
        self.note_unflushed(write.sector, write.len_sectors);
        let want = |wanted: bool, flag: u64| if wanted { flag } else { 0 };
        let at = self.ops.at_mut(op);
        at.action = write.action;
        at.sector = write.sector;
        at.len_sectors = write.len_sectors;
        at.bio = write.bio;
        at.block_id = write.block_id.0;
        at.start_ms = now_ms;
        at.set(flag::IN_EPOCH);
        at.set(want(write.want_recv_ack, flag::WANT_RECV_ACK));
        at.set(want(write.want_write_ack, flag::WANT_WRITE_ACK));
        // What came before P_SYNC_UUID was sent before the resync that this node waits for.
        let may_set_in_sync = write.may_set_in_sync && self.state.resyncs();
        at.set(want(may_set_in_sync, flag::MAY_SET_IN_SYNC));
        self.peer.received_sectors = self
            .peer
            .received_sectors
            .saturating_add(payload_sectors(write.action, write.len_sectors));
        if let Some(answer) = self.conflict(write.sector, end) {
            self.reject(op, answer, link);
            return PeerWriteFate::Accepted(op);
        }
        self.note_only_copy(op);
        // The only copy is promised when the activity log has it.
        if write.want_recv_ack && self.peer.linked && !self.is_only_copy() {
            self.ops.at_mut(op).clear(flag::WANT_RECV_ACK);
            link.peer_write_received_told(self.numbered(Command::RecvAck, ack));
        } else {
            link.peer_write_received();
        }
        if !self.ranges.insert(&mut self.ops, op) {
            self.wait_in_range(op);
        } else if self.is_only_copy() || !self.may_write_locally() {
            self.launch_peer_write(op, link);
        } else {
            // As that does for one that just came.
            let at = self.ops.at_mut(op);
            at.set(flag::LAUNCHED | flag::LOCAL_PENDING);
            self.counters.lower_pending = self.counters.lower_pending.saturating_add(1);
            return PeerWriteFate::Launched(op);
        }
        PeerWriteFate::Accepted(op)
    }

    /// Whether the peer, who writes, has no disk.
    #[inline]
    fn is_only_copy(&self) -> bool {
        self.state.pdsk < DiskState::Inconsistent
    }

    /// A Primary without disk took this one for a good one, but it is old in places: what it writes here it
    /// would not find again.
    fn has_nothing_to_add_to(&self) -> bool {
        self.is_only_copy() && self.state.disk < DiskState::UpToDate
    }

    /// Without a disk of the peer's this is the only copy of `op`, and remains it when the peer attaches one before `op` is
    /// written: its bit is set for the bitmap that follows, and the activity log counts until it is done.
    #[inline]
    fn note_only_copy(&mut self, op: OpId) {
        if self.is_only_copy() {
            self.mark_only_copy(op);
        }
    }

    fn mark_only_copy(&mut self, op: OpId) {
        let at = self.ops.at_mut(op);
        if at.len_sectors == 0 || at.any(flag::ONLY_COPY) {
            return;
        }
        at.set(flag::ONLY_COPY);
        at.clear(flag::MAY_SET_IN_SYNC);
        let (sector, len_sectors) = (at.sector, at.len_sectors);
        self.set_out_of_sync(sector, len_sectors);
        self.only_copies = self.only_copies.saturating_add(1);
    }

    /// One less is under way. While the peer has no disk the activity log counts anyway.
    fn only_copy_ends(&mut self) {
        self.only_copies = self.only_copies.saturating_sub(1);
        if self.only_copies == 0 && !self.is_only_copy() {
            self.md_flags_due = true;
            self.todo(Todo::READY);
        }
    }

    /// The only copy is tracked like a local write. True if the write has to wait for the activity log;
    /// its place among overlapping writes it has already.
    fn waits_for_log(&mut self, op: OpId) -> bool {
        self.note_only_copy(op);
        let at = *self.ops.at(op);
        if !at.any(flag::ONLY_COPY) || at.any(flag::IN_ACT_LOG) {
            return false;
        }
        if self.log_is_ignored() {
            self.ops.at_mut(op).set(flag::WAIT_AL);
            self.ops.push_back(&mut self.al_full, op);
            self.todo(Todo::METADATA);
            return true;
        }
        let begun = match &mut self.disk {
            Some(disk) if !disk.failed => disk
                .al
                .begin(super::app::al_extents(at.sector, at.len_sectors)),
            Some(_) | None => Begin::Suspended,
        };
        let at = self.ops.at_mut(op);
        match begun {
            Begin::Ready => at.set(flag::IN_ACT_LOG),
            Begin::Wait { ticket } => {
                at.set(flag::IN_ACT_LOG | flag::WAIT_AL);
                at.ticket = ticket;
                self.ops.push_back(&mut self.al_wait, op);
                self.todo(Todo::METADATA);
                return true;
            }
            Begin::Full | Begin::TooLong => return self.waits_for_bits(op),
            Begin::Suspended | Begin::Failed => {}
        }
        false
    }

    /// The log has no room for the only copy, and perhaps will have none before it is written: own writes that hold the
    /// room may wait for a peer that writes too, and waits for this one. Its bits are made durable instead. True until then.
    fn waits_for_bits(&mut self, op: OpId) -> bool {
        let at = *self.ops.at(op);
        let Some(disk) = self.disk.as_mut() else {
            return false;
        };
        let begun = at.ticket > 0;
        if begun && disk.durable_version >= at.ticket {
            return false;
        }
        let written = super::app::al_extents(at.sector, at.len_sectors)
            .flat_map(|extent| disk.bitmap.pages_of_al_extent(extent))
            .all(|page| disk.bitmap.page_state(page).is_written());
        if written && !begun {
            // What is written before the superblock is durable with it.
            disk.touch();
            self.ops.at_mut(op).ticket = disk.version;
        } else if !written && disk.writeout.is_none() {
            disk.writeout = Some(0);
        }
        self.ops.at_mut(op).set(flag::WAIT_AL);
        self.ops.push_back(&mut self.al_full, op);
        self.todo(Todo::METADATA);
        true
    }

    /// Writes of the peer that found the activity log full try again, in their order.
    pub(super) fn retry_al_full(&mut self) {
        while let Some(op) = self.ops.pop_front(&mut self.al_full) {
            self.make_ready(op);
        }
    }

    /// The connection is lost. A write of a Primary without disk that still waits for the activity
    /// log would not be found there after a crash, since the log counts no more: it is not carried
    /// out, unless it was promised before the Primary lost its disk.
    pub(super) fn drop_untracked(&mut self, link: &mut dyn Link) {
        let mut waiting = core::mem::replace(&mut self.al_full, List::new());
        while let Some(op) = self.ops.pop_front(&mut waiting) {
            if self.ops.at(op).kind == Kind::PeerWrite && !self.is_promised(op) {
                self.peer_write_done(op, false, link);
            } else {
                self.ops.push_back(&mut self.al_full, op);
            }
        }
    }

    /// Whether the peer may have told its application of a write that is not on the disk yet.
    fn is_promised(&self, op: OpId) -> bool {
        // A Primary without disk asks for P_WRITE_ACK, whatever the protocol is.
        let at = self.ops.at(op);
        let owed = at.any(flag::WANT_RECV_ACK | flag::WANT_WRITE_ACK);
        self.peer.protocol == ReplicationProtocol::B && !owed
    }

    pub(super) fn launch_peer_write(&mut self, op: OpId, link: &mut dyn Link) {
        if self.ops.at(op).any(flag::REJECTED) {
            return self.forget_rejected(op, link);
        }
        if self.ops.at(op).any(flag::ORPHAN) && !self.is_promised(op) {
            // It waited for another write while the connection was lost, see `drop_untracked`.
            self.peer_write_done(op, false, link);
            return;
        }
        if self.waits_for_log(op) {
            return;
        }
        if self.ops.at(op).any(flag::WANT_RECV_ACK) {
            self.ops.at_mut(op).clear(flag::WANT_RECV_ACK);
            let ack = self.ack_of(op);
            self.acknowledge(Command::RecvAck, ack, link);
        }
        self.ops.at_mut(op).set(flag::LAUNCHED);
        if self.may_write_locally() {
            self.queue_submit(op);
        } else {
            self.peer_write_done(op, false, link);
        }
    }

    /// Queues a block acknowledgement, unless the volume is not connected any more.
    /// It is numbered here and not when it is sent: a write that waited for what is acknowledged
    /// comes after it, and may be sent before.
    pub(super) fn acknowledge(&mut self, command: Command, ack: BlockAck, link: &mut dyn Link) {
        if self.peer.linked {
            link.reply(self.numbered(command, ack));
        }
    }

    #[inline]
    fn numbered(&mut self, command: Command, ack: BlockAck) -> ReplyItem {
        let seq_num = self.next_sequence();
        ReplyItem::Block {
            volume: self.number,
            command,
            ack: BlockAck { seq_num, ..ack },
        }
    }

    pub(super) fn ack_of(&self, op: OpId) -> BlockAck {
        let at = self.ops.at(op);
        BlockAck {
            sector: at.sector,
            block_id: BlockId(at.block_id),
            size: at.len_bytes(),
            seq_num: 0,
        }
    }

    /// A mirrored write is on the disk. Any context.
    ///
    /// Mostly both disks are equal and nobody waits for it: that is the short way of [`Self::peer_write_done`], and comes
    /// to the same.
    #[inline]
    pub(super) fn peer_write_landed(&mut self, op: OpId, link: &mut dyn Link) {
        let at = self.ops.at(op);
        let plain = at.has(PLAIN) && !at.any(NOT_PLAIN) && self.postponed == 0;
        if !plain || self.state.conn != Conn::Connected || !self.peer.linked {
            return self.peer_write_done(op, true, link);
        }
        if at.any(flag::WANT_WRITE_ACK) {
            let ack = self.ack_of(op);
            link.peer_write_acknowledged(self.numbered(Command::WriteAck, ack));
        } else {
            link.peer_write_done();
        }
        self.leave_ranges(op);
        self.ops.free(op);
        self.todo(Todo::WAKE);
    }

    /// A mirrored write is on the disk, or failed. Any context.
    #[inline(never)]
    pub(super) fn peer_write_done(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        let at = self.ops.at(op);
        let (flags, sector, len_sectors) = (at.flags, at.sector, at.len_sectors);
        let any = |mask| flags & mask != 0;
        if any(flag::REFUSED) {
            return; // it comes here again when the metadata says so
        }
        if !ok {
            self.set_out_of_sync(sector, len_sectors);
            self.doubt_checksum(sector, len_sectors);
        }
        let orphan = any(flag::ORPHAN);
        if !orphan {
            if let Some(command) = self.answer_to(ok, flags, sector, len_sectors) {
                let ack = self.ack_of(op);
                self.acknowledge(command, ack, link);
            }
            if any(flag::IN_EPOCH) {
                link.peer_write_done();
            }
        }
        if any(flag::IN_ACT_LOG) {
            self.end_al(sector, len_sectors);
        }
        if any(flag::ONLY_COPY) {
            self.only_copy_ends();
        }
        if !orphan {
            let end = sector.saturating_add(u64::from(len_sectors));
            self.resume_postponed(sector, end);
        }
        // What failed may never have been given to the disk: the host has its payload still.
        if any(flag::LOCAL_OK) {
            self.release_written(op);
        } else {
            self.release(op);
        }
    }

    /// What the peer is told of a write that is over.
    fn answer_to(
        &mut self,
        ok: bool,
        flags: u64,
        sector: u64,
        len_sectors: u32,
    ) -> Option<Command> {
        if !ok {
            return Some(Command::NegAck);
        }
        if flags & flag::WANT_WRITE_ACK == 0 {
            return None;
        }
        if self.state.resyncs() && flags & flag::MAY_SET_IN_SYNC != 0 {
            let _ = self.set_in_sync(sector, len_sectors);
            return Some(Command::RsWriteAck);
        }
        Some(Command::WriteAck)
    }

    /// The peer asks for data. `Some` is the operation into whose payload the host reads; with
    /// `None` the answer is on its way already. Receiver. `Err`: outside of the device, or no slot.
    pub fn peer_read(
        &mut self,
        kind: PeerReadKind,
        sector: u64,
        len_sectors: u32,
        block_id: BlockId,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<Option<OpId>, PeerWriteFate> {
        let end = sector.saturating_add(u64::from(len_sectors));
        if len_sectors == 0 || end > self.capacity_sectors {
            return Err(PeerWriteFate::OutOfRange);
        }
        let ack = BlockAck {
            sector,
            block_id,
            size: len_sectors.saturating_mul(512),
            seq_num: 0,
        };
        let resync = kind != PeerReadKind::Data;
        if self.state.disk != DiskState::UpToDate || self.disk.is_none() {
            let command = if resync {
                Command::NegRsDreply
            } else {
                Command::NegDreply
            };
            self.acknowledge(command, ack, link);
            return Ok(None);
        }
        let op_kind = match kind {
            PeerReadKind::Data => Kind::PeerRead,
            PeerReadKind::Resync | PeerReadKind::ThinResync | PeerReadKind::ChecksumResync => {
                Kind::RsRead
            }
            PeerReadKind::Verify => Kind::OvPeer,
        };
        let resyncs = op_kind == Kind::RsRead;
        if resyncs && self.turns_resync_away() {
            self.acknowledge(Command::RsCancel, ack, link);
            return Ok(None);
        }
        if resync && self.conn().is_sync_source() {
            self.resync.target_seen = true;
            // It asks when the sync UUID, the name of what it has until the end, is on its disk.
            if let Some(disk) = self.disk.as_mut() {
                disk.peer_may_have_current = false;
            }
        }
        if kind == PeerReadKind::Verify {
            self.verify_asked(sector);
        }
        let op = self.ops.alloc(op_kind).ok_or(PeerWriteFate::NoSlot)?;
        let at = self.ops.at_mut(op);
        at.sector = sector;
        at.len_sectors = len_sectors;
        at.block_id = block_id.0;
        at.start_ms = now_ms;
        if kind == PeerReadKind::ThinResync {
            at.set(flag::RS_THIN);
        }
        if kind == PeerReadKind::ChecksumResync {
            at.set(flag::CHECKSUM);
        }
        Ok(Some(op))
    }

    /// The host put a payload buffer into its table for `op`: go.
    pub fn peer_read_start(&mut self, op: OpId, link: &mut dyn Link, now_ms: u64) {
        if !self.holds_read_back(op, now_ms) {
            self.enter_ranges(op, link, now_ms);
        }
    }

    pub(super) fn launch_read(&mut self, op: OpId, link: &mut dyn Link) {
        self.ops.at_mut(op).set(flag::LAUNCHED);
        if self.has_disk() {
            self.queue_submit(op);
        } else if self.ops.at(op).kind == Kind::RsRead {
            self.rs_read_done(op, false, link);
        } else if self.ops.at(op).kind == Kind::OvPeer {
            self.verify_served(op, link);
        } else {
            self.peer_read_done(op, false, link);
        }
    }

    pub(super) fn peer_read_done(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        let volume = self.number;
        let orphan = self.ops.at(op).any(flag::ORPHAN);
        if ok && !orphan && link.send(SendItem::Reply { volume, op }) {
            self.ops.at_mut(op).set(flag::NET_QUEUED);
            return;
        }
        if !ok && !orphan {
            self.acknowledge(Command::NegDreply, self.ack_of(op), link);
        }
        self.release(op);
    }

    /// Gives `op` back; the host drops what belongs to it when it sees the effect. What is still
    /// in the send queue keeps its slot until the sender is done with it.
    pub(super) fn release(&mut self, op: OpId) {
        if self.ops.at(op).any(flag::GONE) {
            debug_assert!(false, "operation released twice");
            return;
        }
        self.leave_ranges(op);
        let at = self.ops.at_mut(op);
        at.set(flag::GONE);
        if !at.any(flag::NET_QUEUED | flag::LATE) {
            self.ops.push_back(&mut self.released, op);
        } else if !at.any(flag::NET_QUEUED) {
            self.bury(op);
        }
    }

    /// As [`Self::release`] for a write of the peer that the disk has had: its payload went there, so that nothing of
    /// the host's belongs to it, and the slot is free at once.
    fn release_written(&mut self, op: OpId) {
        if self
            .ops
            .at(op)
            .any(flag::NET_QUEUED | flag::LATE | flag::GONE)
        {
            return self.release(op);
        }
        self.leave_ranges(op);
        self.ops.free(op);
        self.todo(Todo::WAKE);
    }

    /// Whether operations of the peer are still on their way; a new connection waits for them.
    pub fn peer_ops_in_flight(&self) -> bool {
        self.ops.iter_used().any(|op| {
            let at = self.ops.at(op);
            !matches!(
                at.kind,
                Kind::AppRead | Kind::AppWrite | Kind::Late | Kind::Free
            )
        })
    }
}

#[cfg(test)]
#[path = "peer_io_tests.rs"]
mod tests;
