// SPDX-License-Identifier: GPL-2.0-or-later
//! What the disk, the sender and the peer tell about an application's operation, and its end.
//!
//! The events of replication-semantics section 6.3. Bits change while the operation still keeps
//! others off its range, or when a promise of the peer turns out not to hold.

use super::{Effect, End, IoResult, ReadFrom, Todo, Volume};
use crate::{
    bitmap::{bits_inward, bits_outward},
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Action, Kind, OpId},
        send_queue::SendItem,
    },
    planted::{self, Bug},
    state::{Conn, Disk as DiskState, Role},
};

/// An operation of the application with any of these has an answer to come.
const OWED: u64 = flag::LOCAL_PENDING | flag::NET_PENDING | flag::NET_QUEUED | flag::REFUSED;

impl<M: Mem> Volume<M> {
    /// Looks whether `op` of the application is done; called after every event.
    #[inline]
    pub(super) fn settle(&mut self, op: OpId, link: &mut dyn Link) {
        // Most events are not the last one that an operation waits for.
        let at = self.ops.at(op);
        let waits = at.any(OWED) && !at.any(flag::HELD);
        if !waits {
            self.settle_now(op, link);
        }
    }

    #[inline(never)]
    fn settle_now(&mut self, op: OpId, link: &mut dyn Link) {
        let at = self.ops.at(op);
        // Not all of it is copied: this runs for every write.
        let (kind, flags, epoch) = (at.kind, at.flags, at.epoch);
        let (sector, len_sectors) = (at.sector, at.len_sectors);
        let any = |mask| flags & mask != 0;
        if !matches!(kind, Kind::AppRead | Kind::AppWrite) || !any(flag::LAUNCHED) {
            return;
        }
        if any(flag::HELD) {
            return self.park_again(op);
        }
        if any(OWED) {
            return;
        }
        if any(flag::POSTPONED) {
            return self.postpone(op);
        }
        if any(flag::DONE_UPPER) {
            self.maybe_destroy(op);
            return;
        }
        if any(flag::COMPLETING) {
            return;
        }
        let ok = any(flag::LOCAL_OK | flag::NET_OK);
        if kind == Kind::AppRead && !ok && self.retry_read(op, link) {
            return;
        }
        if !ok && self.outlasts_failure(op) || self.is_frozen() && self.is_here_alone(op) {
            return self.park_again(op);
        }
        if self.is_new_to_peer_alone(op) {
            return self.hold_refused(op);
        }
        // Before the upper layer hears of it, so that what it submits next is in a later epoch.
        if any(flag::EXP_BARR_ACK) && !any(flag::NET_DONE) {
            link.completed(epoch);
        }
        // While nothing else touches the range: a later write may change the bits again.
        if kind == Kind::AppWrite && len_sectors > 0 {
            if !(any(flag::LOCAL_OK) && any(flag::NET_OK)) {
                self.set_out_of_sync(sector, len_sectors);
            } else if any(flag::NET_SIS) {
                let _ = self.set_in_sync(sector, len_sectors);
            }
        }
        self.leave_ranges(op);
        self.ops.at_mut(op).set(flag::COMPLETING);
        self.ops.push_back(&mut self.complete, op);
    }

    /// A failed read goes to the other side, once.
    fn retry_read(&mut self, op: OpId, link: &mut dyn Link) -> bool {
        let at = self.ops.at_mut(op);
        let failed_locally = at.any(flag::LOCAL_COMPLETED) && !at.any(flag::LOCAL_OK);
        if at.any(flag::RETRY) {
            return false;
        }
        at.set(flag::RETRY);
        at.clear(flag::LOCAL_COMPLETED | flag::NET_SENT | flag::NET_DONE);
        let (sector, len) = (at.sector, at.len_sectors);
        match self.read_from(sector, len) {
            ReadFrom::Local if !failed_locally => self.queue_submit(op),
            ReadFrom::Local | ReadFrom::Peer if self.state.pdsk == DiskState::UpToDate => {
                let volume = self.number;
                if !link.send(SendItem::Read { volume, op }) {
                    return false;
                }
                self.await_peer(op, flag::NET_QUEUED);
            }
            ReadFrom::Local | ReadFrom::Peer | ReadFrom::Nobody => return false,
        }
        true
    }

    /// The host takes the completion of `op`.
    pub(super) fn deliver(&mut self, op: OpId) -> Effect {
        let at = self.ops.at_mut(op);
        at.clear(flag::COMPLETING);
        at.set(flag::DONE_UPPER);
        let result = if at.any(flag::LOCAL_OK | flag::NET_OK) {
            IoResult::Done
        } else if at.has(flag::LOCAL_COMPLETED)
            && !at.any(flag::LATE)
            && matches!(at.action, Action::Discard)
        {
            IoResult::Unsupported
        } else {
            IoResult::Error
        };
        self.upper_pending = self.upper_pending.saturating_sub(1);
        self.maybe_destroy(op);
        Effect::Complete { op, result }
    }

    /// Ends the life of `op` when nobody needs it any more.
    pub(super) fn maybe_destroy(&mut self, op: OpId) {
        let at = self.ops.at(op);
        if at.any(OWED | flag::LATE) {
            if at.any(flag::LATE) {
                self.maybe_bury(op);
            }
            return;
        }
        if self.let_go(op) {
            self.ops.free(op);
        }
    }

    /// The same while a disk that was given up has it still.
    #[inline(never)]
    fn maybe_bury(&mut self, op: OpId) {
        if !self.ops.at(op).any(OWED) && self.let_go(op) {
            self.bury(op);
        }
    }

    /// Takes `op` out of everything but its slot, if it is over.
    #[inline(always)]
    fn let_go(&mut self, op: OpId) -> bool {
        let at = self.ops.at(op);
        let awaits_barrier_ack = at.any(flag::EXP_BARR_ACK) && !at.any(flag::NET_DONE);
        if !at.any(flag::DONE_UPPER) || awaits_barrier_ack {
            return false;
        }
        let (kind, flags) = (at.kind, at.flags);
        let (sector, len_sectors) = (at.sector, at.len_sectors);
        if flags & flag::EXP_BARR_ACK != 0 {
            self.ops.unlink(&mut self.log, op);
        }
        if kind == Kind::AppWrite {
            self.write_ends();
        }
        if flags & flag::IN_ACT_LOG != 0 {
            self.end_al(sector, len_sectors);
        }
        self.app_used = self.app_used.saturating_sub(1);
        self.todo(Todo::ADMIT.with(Todo::WAKE));
        true
    }

    /// A write that was launched is destroyed, or will be launched again.
    pub(super) fn write_ends(&mut self) {
        self.launched_writes = self.launched_writes.saturating_sub(1);
        if self.launched_writes > 0 {
            return;
        }
        if self.state.role != Role::Primary {
            self.md_flags_due = true;
            self.todo(Todo::READY);
        }
        if self.bitmap_hold {
            self.todo(Todo::READY);
            self.exchange.start_due = true;
        }
    }

    /// Marks a range out of sync. The extent's activity-log reference is still held.
    pub(crate) fn set_out_of_sync(&mut self, sector: u64, len_sectors: u32) {
        let capacity = self.capacity_sectors;
        if let Some(disk) = &mut self.disk {
            let bits = bits_outward(sector, u64::from(len_sectors));
            let end = bits.end.min(crate::bitmap::bits_outward(0, capacity).end);
            let _ = disk
                .bitmap
                .set_range(disk.bm_slot, bits.start.min(end)..end);
        }
    }

    /// Marks a range in sync; true if something was out of sync before.
    pub(crate) fn set_in_sync(&mut self, sector: u64, len_sectors: u32) -> bool {
        let capacity = self.capacity_sectors;
        let Some(disk) = &mut self.disk else {
            return false;
        };
        let bits = bits_inward(sector, u64::from(len_sectors), capacity);
        let cleared = disk.bitmap.clear_range(disk.bm_slot, bits) > 0;
        if cleared {
            self.todo(Todo::RESYNC);
        }
        cleared
    }

    /// Whether an answer of the peer about `handle` fits an operation in flight.
    pub(super) fn awaited(&self, handle: u64, sector: u64, kind: Kind) -> Option<OpId> {
        let op = self.ops.by_handle(handle)?;
        let at = self.ops.at(op);
        (at.kind == kind && at.sector == sector && at.any(flag::NET_SENT | flag::NET_QUEUED))
            .then_some(op)
    }

    /// The sender handed `op` to the socket.
    pub fn handed_over(&mut self, op: OpId, link: &mut dyn Link) {
        let at = self.ops.at_mut(op);
        at.clear(flag::NET_QUEUED);
        match at.kind {
            Kind::AppWrite if at.any(flag::OUT_OF_SYNC) => at.set(flag::NET_DONE),
            Kind::AppWrite => {
                at.set(flag::NET_SENT);
                self.peer.sent_sectors =
                    self.peer.sent_sectors.saturating_add(at.payload_sectors());
                let acked = flag::EXP_RECEIVE_ACK | flag::EXP_WRITE_ACK;
                if at.any(flag::NET_PENDING) && !at.any(acked) {
                    at.set(flag::NET_OK);
                    self.stop_awaiting(op);
                }
            }
            Kind::AppRead => at.set(flag::NET_SENT),
            Kind::PeerRead | Kind::RsRead => {
                let sectors = u64::from(at.len_sectors);
                let sent = if at.any(flag::RS_DEALLOCATED) {
                    0
                } else {
                    sectors
                };
                self.peer.sent_sectors = self.peer.sent_sectors.saturating_add(sent);
                self.release(op);
                return;
            }
            Kind::RsTarget | Kind::OvOwn if at.any(flag::GONE) => {
                at.clear(flag::GONE);
                self.release(op);
                return;
            }
            Kind::RsTarget | Kind::OvOwn => at.set(flag::NET_SENT),
            Kind::OvPeer if at.any(flag::GONE | flag::ORPHAN) => {
                at.clear(flag::GONE);
                self.release(op);
                return;
            }
            // It keeps applications off until the result is there.
            Kind::OvPeer => {
                at.set(flag::NET_SENT);
                return;
            }
            Kind::PeerWrite | Kind::Late | Kind::Free => return,
        }
        self.settle(op, link);
    }

    /// The sender did not send `op`, or only a part of it: the connection ended. Every item that
    /// was taken from the send queue ends here or in [`Self::handed_over`].
    pub fn send_canceled(&mut self, op: OpId, link: &mut dyn Link) {
        let at = self.ops.at_mut(op);
        at.clear(flag::NET_QUEUED);
        match at.kind {
            Kind::AppRead | Kind::AppWrite => self.settle(op, link),
            Kind::PeerRead | Kind::RsRead => self.release(op),
            Kind::OvPeer => {
                at.clear(flag::GONE);
                self.release(op);
            }
            Kind::RsTarget | Kind::OvOwn if at.any(flag::GONE) => {
                at.clear(flag::GONE);
                self.release(op);
            }
            Kind::RsTarget | Kind::OvOwn | Kind::PeerWrite | Kind::Late | Kind::Free => {}
        }
    }

    /// P_RECV_ACK, P_WRITE_ACK or P_RS_WRITE_ACK for a write. `Err`: no such write, which ends
    /// the connection.
    pub fn write_acked(
        &mut self,
        handle: u64,
        sector: u64,
        set_in_sync: bool,
        link: &mut dyn Link,
    ) -> Result<(), End> {
        let op = self
            .awaited(handle, sector, Kind::AppWrite)
            .ok_or(End::network("an acknowledgement for no request"))?;
        self.stop_awaiting(op);
        let at = self.ops.at_mut(op);
        at.set(flag::NET_OK);
        // Too late for a write that completed: another one may have followed.
        if set_in_sync && !at.any(flag::COMPLETING | flag::DONE_UPPER | flag::BEFORE_BULK) {
            at.set(flag::NET_SIS);
        }
        self.settle(op, link);
        Ok(())
    }

    /// All bits are about to be set, here and at the peer. The peer cleared those of a write that is under way
    /// before that, if it did: here they stay set, or a target would never ask for blocks that the source
    /// waits to be asked for.
    pub(super) fn distrust_answers(&mut self) {
        let mut op = self.log.head;
        while op != crate::engine::op::NIL {
            let at = self.ops.at_mut(op);
            at.clear(flag::NET_SIS);
            at.set(flag::BEFORE_BULK);
            op = self.ops.next_in(&self.log, op);
        }
    }

    /// P_NEG_ACK for a write: its fate is the local disk's; the range gets out of sync.
    pub fn write_refused(
        &mut self,
        handle: u64,
        sector: u64,
        len_sectors: u32,
        link: &mut dyn Link,
    ) {
        match self.awaited(handle, sector, Kind::AppWrite) {
            Some(op) => {
                self.stop_awaiting(op);
                self.ops.at_mut(op).clear(flag::NET_OK);
                self.mark_if_settled(op);
                self.peer_lacks_write(op);
                self.settle(op, link);
            }
            // Late, with protocol A or B: the request is gone (wire-protocol section 4).
            None => self.set_out_of_sync(sector, len_sectors),
        }
    }

    /// The operation that a P_DATA_REPLY answers.
    pub fn expected_reply(&self, handle: u64, sector: u64) -> Option<OpId> {
        self.awaited(handle, sector, Kind::AppRead)
    }

    /// The peer's data for a read is in the application's buffer (`ok`), or it has none.
    pub fn read_answered(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        if self.ops.at(op).kind != Kind::AppRead {
            return;
        }
        self.stop_awaiting(op);
        let at = self.ops.at_mut(op);
        at.set(flag::NET_DONE | if ok { flag::NET_OK } else { 0 });
        self.settle(op, link);
    }

    /// P_BARRIER_ACK: everything of epochs up to `epoch` is durable at the peer.
    pub fn barrier_acked(&mut self, epoch: u32, link: &mut dyn Link) {
        let mut op = self.log.head;
        while op != crate::engine::op::NIL {
            let at = *self.ops.at(op);
            let next = self.ops.next_in(&self.log, op);
            // wire-protocol: barrier numbers wrap at 2^32.
            if (at.epoch.wrapping_sub(epoch) as i32) > 0 {
                break;
            }
            self.net_done(op);
            if at.len_sectors == 0 {
                self.stop_awaiting(op);
                self.ops.at_mut(op).set(flag::NET_OK);
            }
            self.settle(op, link);
            op = next;
        }
    }

    /// The acknowledgement of epochs up to `epoch` is not waited for any more. The peer may not have
    /// flushed what was written in them, so that is copied again by the next resync. Not by one that
    /// runs from here: its target would not know.
    pub fn barrier_forgiven(&mut self, epoch: u32, link: &mut dyn Link) {
        let is_source = self.conn().is_sync_source();
        let mut op = self.log.head;
        while op != crate::engine::op::NIL {
            let at = *self.ops.at(op);
            // wire-protocol: barrier numbers wrap at 2^32.
            if (at.epoch.wrapping_sub(epoch) as i32) > 0 {
                break;
            }
            if at.len_sectors > 0 && !is_source {
                self.set_out_of_sync(at.sector, at.len_sectors);
            }
            op = self.ops.next_in(&self.log, op);
        }
        self.barrier_acked(epoch, link);
    }

    /// The connection is gone for good: nobody answers any more
    /// (replication-semantics section 8).
    pub(super) fn clean_log_now(&mut self, link: &mut dyn Link) {
        let mut op = self.log.head;
        while op != crate::engine::op::NIL {
            let next = self.ops.next_in(&self.log, op);
            self.lost(op, link);
            op = next;
        }
        // Reads that the peer should have served are not in the log.
        for index in 0..self.ops.capacity() {
            let at = self.ops.at(index);
            if at.kind == Kind::AppRead && at.any(flag::NET_PENDING) {
                self.lost(index, link);
            }
        }
        self.recheck_refused();
        self.resume_all_postponed();
    }

    pub(super) fn lost(&mut self, op: OpId, link: &mut dyn Link) {
        self.stop_awaiting(op);
        self.net_done(op);
        let at = self.ops.at_mut(op);
        // What is not barrier-acknowledged may be lost at the peer, so it is out of sync, whatever
        // was acknowledged before; but a write that completed stays completed.
        at.clear(flag::NET_OK);
        let only_copy = at.kind == Kind::AppWrite && !at.any(flag::LOCAL_PENDING | flag::LOCAL_OK);
        if only_copy && at.any(flag::COMPLETING | flag::DONE_UPPER) {
            // It may be gone with the peer's cache: who asks whether it is durable is told.
            self.flush_fails = true;
        }
        if !planted::is(Bug::ForgetBit) || op % 4 > 0 {
            self.mark_if_settled(op);
        }
        self.settle(op, link);
    }

    /// A write that completed turns out not to be at the peer.
    fn mark_if_settled(&mut self, op: OpId) {
        let at = *self.ops.at(op);
        let settled = at.any(flag::COMPLETING | flag::DONE_UPPER);
        if settled && at.kind == Kind::AppWrite && at.len_sectors > 0 {
            self.set_out_of_sync(at.sector, at.len_sectors);
        }
    }

    /// Whether any application write is on its way.
    pub fn app_writes_in_flight(&self) -> u32 {
        self.launched_writes
    }

    /// Application operations the upper layer waits for.
    pub fn upper_pending(&self) -> u32 {
        self.upper_pending
    }

    pub(super) fn conn(&self) -> Conn {
        self.state.conn
    }
}
