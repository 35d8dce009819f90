// SPDX-License-Identifier: GPL-2.0-or-later
//! Two Primaries: both write to the same sectors at once.
//!
//! wire-protocol sections 6.1 and 6.5, replication-semantics section 6.5. Each node has its own
//! write under way and gets the other's. One of the two, the resolver, decides: its write stands,
//! the other is told that its own was superseded, if the resolver's covers all of it, or is to be
//! tried again behind it. The other node does not carry out what it gets before its own write was
//! answered and left the disk, so on both disks the resolver's write is the last.
//!
//! The resolver has to know whether the peer had seen its write: the two sockets deliver in any
//! order. Data packets and acknowledgements of a volume share one count, and the host holds a write
//! back until every acknowledgement before it was handled.
//!
//! Writes that were not launched do not take part: they wait for all the peer's, see
//! [`crate::engine::ranges`].

use super::{End, Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind, Op, OpId},
    },
    wire::{command::Command, packet::Packet},
};

/// Whether the peer owes the answer to a mirrored write of the application. The answer may be here before the sender has
/// noted that the write left: what the peer wrote after its answer comes after the write, and is no conflict.
fn unanswered(op: &Op) -> bool {
    op.kind == Kind::AppWrite && op.has(flag::LAUNCHED | flag::EXP_WRITE_ACK | flag::NET_PENDING)
}

impl<M: Mem> Volume<M> {
    /// Whether all acknowledgements before the data packet with this number were handled. A write
    /// is offered to [`Volume::peer_write`] only then; [`Todo::WAKE`] says when to look again.
    /// Receiver.
    pub fn sequence_reached(&self, seq_num: u32) -> bool {
        let before = seq_num.wrapping_sub(1);
        !self.resolves() || (before.wrapping_sub(self.peer.sequence) as i32) <= 0
    }

    /// Whether conflicts may come and this node decides about them.
    fn resolves(&self) -> bool {
        self.context.two_primaries && self.peer.resolve_conflicts
    }

    /// The number of the next data packet or acknowledgement to the peer (wire-protocol section 6.1).
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.peer.sequence_sent = self.peer.sequence_sent.wrapping_add(1);
        self.peer.sequence_sent
    }

    /// A packet with this number was handled.
    pub(super) fn note_sequence(&mut self, seq_num: u32) {
        // wire-protocol: the count wraps at 2^32.
        if (seq_num.wrapping_sub(self.peer.sequence) as i32) > 0 {
            self.peer.sequence = seq_num;
            if self.resolves() {
                self.todo(Todo::WAKE);
            }
        }
    }

    /// The number in an acknowledgement.
    pub(super) fn sequence_of(packet: &Packet) -> Option<u32> {
        match packet {
            Packet::RecvAck(ack)
            | Packet::WriteAck(ack)
            | Packet::RsWriteAck(ack)
            | Packet::Superseded(ack)
            | Packet::NegAck(ack)
            | Packet::NegDreply(ack)
            | Packet::NegRsDreply(ack)
            | Packet::OvResult(ack)
            | Packet::RsIsInSync(ack)
            | Packet::RsCancel(ack)
            | Packet::RetryWrite(ack) => Some(ack.seq_num),
            _ => None,
        }
    }

    /// What the peer is to do with its write of the range, which an own one excludes.
    pub(super) fn conflict(&self, sector: u64, end: u64) -> Option<Command> {
        if !self.resolves() {
            return None;
        }
        let own = self
            .ranges
            .first_overlap(&self.ops, sector, end, unanswered)?;
        let own = self.ops.at(own);
        let covered = own.sector <= sector && end <= own.end();
        Some(if covered {
            Command::Superseded
        } else {
            Command::RetryWrite
        })
    }

    /// The peer's write `op` is not carried out. It keeps its place behind the own one, so that the
    /// barrier behind it is not acknowledged before the peer has that one: until then a stock peer
    /// counts its write in.
    pub(super) fn reject(&mut self, op: OpId, answer: Command, link: &mut dyn Link) {
        // A superseded write is complete when the peer hears of it: nobody may read here what was before both. (The stock
        // driver answers at once.)
        let at = *self.ops.at(op);
        let lands = |own: &Op| unanswered(own) && own.any(flag::LOCAL_PENDING);
        let is_superseded = answer == Command::Superseded;
        let own = self
            .ranges
            .first_overlap(&self.ops, at.sector, at.end(), lands);
        if is_superseded && own.is_some() {
            self.ops.at_mut(op).set(flag::WITHHELD);
            self.withheld = self.withheld.saturating_add(1);
        } else {
            let ack = self.ack_of(op);
            self.acknowledge(answer, ack, link);
        }
        let epoch = link.peer_write_rejected();
        let at = self.ops.at_mut(op);
        at.epoch = epoch;
        at.clear(flag::IN_EPOCH);
        at.set(flag::REJECTED);
        if self.ranges.insert(&mut self.ops, op) {
            return self.forget_rejected(op, link);
        }
        self.wait_in_range(op);
    }

    /// The own write `own` left the disk: the peer hears that writes of it were superseded. Any context.
    #[inline(never)]
    pub(super) fn answer_superseded(&mut self, own: OpId, link: &mut dyn Link) {
        let (sector, end) = (self.ops.at(own).sector, self.ops.at(own).end());
        let waits = |op: &Op| op.any(flag::WITHHELD);
        while let Some(op) = self.ranges.first_overlap(&self.ops, sector, end, waits) {
            self.stop_withholding(op);
            let ack = self.ack_of(op);
            self.acknowledge(Command::Superseded, ack, link);
        }
    }

    fn stop_withholding(&mut self, op: OpId) {
        let at = self.ops.at_mut(op);
        if at.any(flag::WITHHELD) {
            at.clear(flag::WITHHELD);
            self.withheld = self.withheld.saturating_sub(1);
        }
    }

    /// What the rejected `op` gave way to is done.
    pub(super) fn forget_rejected(&mut self, op: OpId, link: &mut dyn Link) {
        self.stop_withholding(op);
        let epoch = self.ops.at(op).epoch;
        link.peer_write_forgotten(epoch);
        self.release(op);
    }

    /// P_SUPERSEDED: the peer's own write, which covers this one, is on its way and comes after it.
    pub(super) fn write_superseded(
        &mut self,
        handle: u64,
        sector: u64,
        link: &mut dyn Link,
    ) -> Result<(), End> {
        let op = self.leave_epoch(handle, sector, link)?;
        self.ops.at_mut(op).set(flag::NET_OK);
        self.settle(op, link);
        Ok(())
    }

    /// P_RETRY_WRITE: the peer's own write is on its way and comes first, this one again after it.
    pub(super) fn write_postponed(
        &mut self,
        handle: u64,
        sector: u64,
        link: &mut dyn Link,
    ) -> Result<(), End> {
        let op = self.leave_epoch(handle, sector, link)?;
        self.ops.at_mut(op).set(flag::POSTPONED);
        self.postponed = self.postponed.saturating_add(1);
        self.settle(op, link);
        Ok(())
    }

    /// The peer rejected a write, and does not count it in its epoch.
    fn leave_epoch(&mut self, handle: u64, sector: u64, link: &mut dyn Link) -> Result<OpId, End> {
        let op = self
            .awaited(handle, sector, Kind::AppWrite)
            .filter(|op| unanswered(self.ops.at(*op)))
            .ok_or(End::network("the answer to a conflict that is none"))?;
        self.stop_awaiting(op);
        self.net_done(op);
        self.ops.unlink(&mut self.log, op);
        let at = self.ops.at_mut(op);
        at.clear(flag::EXP_BARR_ACK);
        let epoch = at.epoch;
        link.write_rejected(epoch);
        Ok(op)
    }

    /// The postponed `op` left the own disk: the peer's write may go there, and this one waits
    /// again.
    pub(super) fn postpone(&mut self, op: OpId) {
        let at = self.ops.at_mut(op);
        let waits_for_peer = !at.any(flag::PEER_REFUSED);
        at.clear(flag::SINCE_LAUNCH);
        let (sector, end) = (at.sector, at.end());
        self.wait_in_range(op);
        if !waits_for_peer {
            self.resume(op);
        }
        self.write_ends();
        self.wake_waiters(sector, end);
    }

    /// A write of the peer was refused at once, since there is no disk for it. An own one that was postponed for it, or
    /// will be by an answer that is on its way, would wait for ever.
    pub(super) fn refused_peer_write(&mut self, sector: u64, end: u64) {
        if !self.context.two_primaries {
            return;
        }
        let under_way = |op: &Op| {
            let given_way = op.any(flag::POSTPONED) && op.any(flag::LAUNCHED);
            (unanswered(op) || given_way) && !op.any(flag::PEER_REFUSED)
        };
        while let Some(own) = self.ranges.first_overlap(&self.ops, sector, end, under_way) {
            self.ops.at_mut(own).set(flag::PEER_REFUSED);
        }
        self.resume_waiting(sector, end);
    }

    /// Postponed writes that have left the own disk are tried again.
    fn resume_waiting(&mut self, sector: u64, end: u64) {
        let waiting = |op: &Op| op.has(flag::POSTPONED | flag::WAIT_RANGE);
        while self.postponed > 0 {
            let found = self.ranges.first_overlap(&self.ops, sector, end, waiting);
            let Some(op) = found else {
                return;
            };
            self.resume(op);
            let at = self.ops.at(op);
            let (sector, end) = (at.sector, at.end());
            self.wake_waiters(sector, end);
        }
    }

    fn resume(&mut self, op: OpId) {
        self.ops.at_mut(op).clear(flag::POSTPONED);
        self.postponed = self.postponed.saturating_sub(1);
    }

    /// A write of the peer is done with the range: what was postponed there is tried again.
    pub(super) fn resume_postponed(&mut self, sector: u64, end: u64) {
        let postponed = |op: &Op| op.any(flag::POSTPONED);
        while self.postponed > 0 {
            let found = self.ranges.first_overlap(&self.ops, sector, end, postponed);
            let Some(op) = found else {
                return;
            };
            self.resume(op);
        }
    }

    /// The connection is lost, and that is on record: what was postponed goes on without the peer.
    pub(super) fn resume_all_postponed(&mut self) {
        if self.postponed == 0 {
            return;
        }
        self.postponed = 0;
        for op in 0..self.ops.capacity() {
            if !self.ops.at(op).any(flag::POSTPONED) {
                continue;
            }
            self.ops.at_mut(op).clear(flag::POSTPONED);
            let at = *self.ops.at(op);
            if at.any(flag::WAIT_RANGE) {
                self.wake_waiters(at.sector, at.end());
            }
        }
    }

    /// The connection is lost: what waits for own writes would wait for the peer's answers to them,
    /// and was not promised. Whatever the peer wrote it has marked.
    pub(super) fn drop_waiting_writes(&mut self, link: &mut dyn Link) {
        for op in 0..self.ops.capacity() {
            let at = *self.ops.at(op);
            if at.kind != Kind::PeerWrite || !at.any(flag::WAIT_RANGE) {
                continue;
            }
            if at.any(flag::REJECTED) {
                self.ops.at_mut(op).clear(flag::WAIT_RANGE);
                self.forget_rejected(op, link);
            } else if self.waits_for_own(op) {
                self.ops.at_mut(op).clear(flag::WAIT_RANGE);
                self.peer_write_done(op, false, link);
            }
        }
    }

    fn waits_for_own(&self, op: OpId) -> bool {
        let at = self.ops.at(op);
        let own = |other: &Op| other.kind == Kind::AppWrite && other.any(flag::LAUNCHED);
        self.ranges
            .first_overlap(&self.ops, at.sector, at.end(), own)
            .is_some()
    }
}

#[cfg(test)]
#[path = "conflict_tests.rs"]
mod tests;
