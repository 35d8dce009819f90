// SPDX-License-Identifier: GPL-2.0-or-later
//! What waits to go out on a connection's data socket, and the epochs of the writes in it.
//!
//! One leaf lock of the host guards it: volumes enter with their own lock held, the sender pops
//! without any. A write gets its epoch as it enters; completing a write towards the application
//! closes that epoch under the same lock before the bio ends, so a write that an application
//! submits after it saw an earlier one complete is never in the same epoch (wire-protocol
//! sections 6.6 and 15.4; design section 8.3).

use super::{
    link::Durable,
    mem::{Mem, Ring},
    op::OpId,
};
use crate::{
    planted::{self, Bug},
    wire::packet::Packet,
};

/// One thing to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendItem {
    /// A write of the application: P_DATA, P_TRIM or P_ZEROES.
    Write {
        /// Volume.
        volume: u16,
        /// The operation.
        op: OpId,
        /// Its epoch.
        epoch: u32,
    },
    /// A read of the application that the peer serves: P_DATA_REQUEST.
    Read {
        /// Volume.
        volume: u16,
        /// The operation.
        op: OpId,
    },
    /// P_OUT_OF_SYNC for the range of an application write.
    OutOfSync {
        /// Volume.
        volume: u16,
        /// The operation.
        op: OpId,
    },
    /// A block that the resync target asks for.
    RsRequest {
        /// Volume.
        volume: u16,
        /// The operation.
        op: OpId,
    },
    /// Data that the peer asked for: P_DATA_REPLY or P_RS_DATA_REPLY.
    Reply {
        /// Volume.
        volume: u16,
        /// The operation.
        op: OpId,
    },
    /// The next control packet.
    Control,
    /// The whole bitmap, in chunks.
    Bitmap {
        /// Volume.
        volume: u16,
    },
}

/// What the sender does next.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Outgoing {
    /// Send the packets of an item.
    Item(SendItem),
    /// Send a packet without payload; for a volume, or for the connection.
    Control(u16, Packet),
    /// Send P_BARRIER with this number.
    Barrier(u32),
}

/// A barrier that was sent and not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClosedEpoch {
    /// Its number.
    pub number: u32,
    /// Writes sent in it.
    pub writes: u32,
    /// Of these, not carried out by the peer, which had writes of its own.
    pub rejected: u32,
    /// The first of its connection, with two Primaries.
    pub first: bool,
    /// How often [`SendQueue::forgive`] left it.
    pub looks: u8,
    /// Acknowledged, but an older one is not.
    pub held: bool,
}

/// How often an epoch with rejected writes is left, and how often the first of a connection: mostly that one is only slow.
const LOOKS_REJECTED: u8 = 1;
const LOOKS_FIRST: u8 = 10;

impl ClosedEpoch {
    /// Writes that the peer counts.
    fn counted(&self) -> u32 {
        self.writes.saturating_sub(self.rejected)
    }

    /// Whether the peer may never acknowledge it. The stock driver counts a rejected write as active for ever: it says
    /// nothing of that epoch, nor of the first of the next connection if that epoch was still open when the last one ended
    /// (wire-protocol section 6.6).
    fn is_doubtful(&self) -> bool {
        self.rejected > 0 || self.first
    }

    /// How often it is left before it is given up.
    fn patience(&self) -> u8 {
        match (self.counted(), self.rejected) {
            (0, _) => 0,
            (_, 0) => LOOKS_FIRST,
            _ => LOOKS_REJECTED,
        }
    }
}

/// A barrier acknowledgement that does not fit what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarrierMismatch {
    /// What the oldest unacknowledged barrier was: number and writes.
    pub expected: Option<(u32, u32)>,
}

/// Send queue and epochs of one connection.
///
/// # Invariants
///
/// `closed` holds one entry for each barrier sent and not acknowledged, oldest first, and those whose acknowledgement is
/// held for an older one; `held` counts these.
pub struct SendQueue<M: Mem> {
    items: Ring<SendItem, M>,
    controls: Ring<(u16, Packet), M>,
    closed: Ring<ClosedEpoch, M>,
    held: usize,
    /// Epoch that new writes get.
    current: u32,
    /// Writes that entered the current epoch.
    current_writes: u32,
    /// Epoch of the last write that entered, until its barrier is acknowledged.
    newest: Option<u32>,
    /// Epoch of the last write that was sent.
    sent_epoch: u32,
    /// Writes sent in it since its barrier was due, and how many of them the peer rejected.
    sent_writes: u32,
    sent_rejected: u32,
    /// No barrier was sent on this connection.
    first: bool,
    /// Epochs up to this one are not waited for any more, whatever the peer says of them.
    forgiven: Option<u32>,
    max_epoch_size: u32,
    two_primaries: bool,
    open: bool,
    overflow: bool,
}

impl<M: Mem> SendQueue<M> {
    /// An empty queue. `items` needs room for every operation of every volume plus the control
    /// packets; `closed` for one epoch per application write.
    pub fn new(
        items: M::Buf<SendItem>,
        controls: M::Buf<(u16, Packet)>,
        closed: M::Buf<ClosedEpoch>,
    ) -> Self {
        SendQueue {
            items: Ring::new(items),
            controls: Ring::new(controls),
            closed: Ring::new(closed),
            held: 0,
            current: 0,
            current_writes: 0,
            newest: None,
            sent_epoch: 0,
            sent_writes: 0,
            sent_rejected: 0,
            first: true,
            forgiven: None,
            max_epoch_size: 2048,
            two_primaries: false,
            open: false,
            overflow: false,
        }
    }

    /// Sets net options max-epoch-size (writes) and allow-two-primaries.
    pub fn set_options(&mut self, max_epoch_size: u32, two_primaries: bool) {
        self.max_epoch_size = max_epoch_size.max(1);
        self.two_primaries = two_primaries;
    }

    /// Starts accepting items for a fresh connection. The epoch counter goes on
    /// (wire-protocol section 6.6); the first write initialises the last-sent number.
    pub fn open(&mut self) {
        self.items.clear();
        self.controls.clear();
        self.closed.clear();
        self.held = 0;
        self.sent_writes = 0;
        self.sent_rejected = 0;
        self.first = true;
        self.forgiven = None;
        self.newest = None;
        self.open = true;
        self.overflow = false;
        self.new_epoch();
    }

    /// Stops accepting items. What is queued stays for the host to cancel with [`Self::pop_raw`].
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Whether items are accepted.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether an item had no room: the connection has to end. Cannot happen with buffers sized
    /// as [`Self::new`] asks.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// Queues `item`; false when the connection is closed or the queue overflowed.
    #[must_use]
    pub fn push(&mut self, item: SendItem) -> bool {
        if !self.open {
            return false;
        }
        if matches!(item, SendItem::OutOfSync { .. }) {
            // Its volume is not mirrored, but others may be: their writes behind it need an epoch
            // of their own, since it is sent behind the barrier of the one before it.
            self.new_epoch();
        }
        let pushed = self.items.push(item);
        self.overflow |= !pushed;
        pushed
    }

    /// Queues an application write and tells its epoch.
    #[must_use]
    pub fn push_write(&mut self, volume: u16, op: OpId) -> Option<u32> {
        let epoch = self.current;
        if !self.push(SendItem::Write { volume, op, epoch }) {
            return None;
        }
        self.newest = Some(epoch);
        self.current_writes = self.current_writes.saturating_add(1);
        if self.current_writes >= self.max_epoch_size {
            self.new_epoch();
        }
        Some(epoch)
    }

    /// Queues a packet without payload.
    #[must_use]
    pub fn push_control(&mut self, volume: u16, packet: Packet) -> bool {
        if !self.open {
            return false;
        }
        if !self.controls.push((volume, packet)) {
            self.overflow = true;
            return false;
        }
        self.push(SendItem::Control)
    }

    /// Epoch that the next write gets.
    pub fn current_epoch(&self) -> u32 {
        self.current
    }

    /// A write of `epoch` completed towards the application.
    pub fn completed(&mut self, epoch: u32) {
        if epoch == self.current {
            self.new_epoch();
        }
    }

    /// Closes the current epoch if it has writes.
    pub fn new_epoch(&mut self) {
        if self.current_writes > 0 {
            // wire-protocol: barrier numbers wrap at 2^32.
            self.current = self.current.wrapping_add(1);
            self.current_writes = 0;
        }
    }

    /// Closes the current epoch, and tells when all writes so far are durable at the peer: it
    /// flushes before it acknowledges a barrier.
    pub fn flush(&mut self) -> Durable {
        if !self.open {
            return Durable::Unknown;
        }
        self.new_epoch();
        self.newest.map_or(Durable::Already, Durable::After)
    }

    /// What to send next.
    pub fn pop(&mut self) -> Option<Outgoing> {
        if !self.open {
            return None;
        }
        let Some(item) = self.items.front() else {
            // The queue ran empty: tell the peer that the last epoch is complete.
            let due = self.barrier_due();
            if due && planted::is(Bug::DropBarrier) && self.sent_epoch % 8 == 7 {
                self.sent_writes = 0;
                return None;
            }
            return due.then(|| self.barrier());
        };
        if let SendItem::Write { epoch, .. } = item {
            if self.sent_writes > 0 && self.sent_epoch != epoch {
                return Some(self.barrier());
            }
        }
        // P_OUT_OF_SYNC belongs behind the barrier of the writes before it: none of their epoch
        // follow, since it began a new one. Behind a read more may follow.
        if matches!(item, SendItem::OutOfSync { .. }) && self.barrier_due() {
            return Some(self.barrier());
        }
        let _ = self.items.pop();
        match item {
            SendItem::Write { epoch, .. } => {
                self.sent_epoch = epoch;
                self.sent_writes = self.sent_writes.saturating_add(1);
                Some(Outgoing::Item(item))
            }
            SendItem::Control => self
                .controls
                .pop()
                .map(|(volume, packet)| Outgoing::Control(volume, packet)),
            SendItem::Read { .. }
            | SendItem::OutOfSync { .. }
            | SendItem::RsRequest { .. }
            | SendItem::Reply { .. }
            | SendItem::Bitmap { .. } => Some(Outgoing::Item(item)),
        }
    }

    /// Whether [`Self::pop`] has something at once.
    pub fn has_next(&self) -> bool {
        self.open && (!self.items.is_empty() || self.barrier_due())
    }

    /// The epoch of the writes that were sent is closed, and the peer does not know.
    fn barrier_due(&self) -> bool {
        self.sent_writes > 0 && self.sent_epoch != self.current
    }

    fn barrier(&mut self) -> Outgoing {
        let number = self.sent_epoch;
        let first = core::mem::replace(&mut self.first, false);
        let closed = ClosedEpoch {
            number,
            writes: self.sent_writes,
            rejected: self.sent_rejected,
            first: first && self.two_primaries,
            ..ClosedEpoch::default()
        };
        if !self.closed.push(closed) {
            self.overflow = true;
        }
        self.sent_writes = 0;
        self.sent_rejected = 0;
        Outgoing::Barrier(number)
    }

    /// The peer did not carry out a write of `epoch`, so it does not count it. Two Primaries.
    pub fn write_rejected(&mut self, epoch: u32) {
        if self.sent_writes > 0 && self.sent_epoch == epoch {
            self.sent_rejected = self.sent_rejected.saturating_add(1);
            return;
        }
        if let Some(closed) = self.closed_mut(epoch) {
            closed.rejected = closed.rejected.saturating_add(1);
        }
    }

    fn closed_mut(&mut self, number: u32) -> Option<&mut ClosedEpoch> {
        let fits = |closed: Option<&mut ClosedEpoch>| closed.is_some_and(|at| at.number == number);
        let index = (0..self.closed.len()).find(|index| fits(self.closed.at_mut(*index)))?;
        self.closed.at_mut(index)
    }

    /// Gives up waiting for the oldest epochs that the peer may never acknowledge, and tells the last of them. Called about
    /// once a second: an epoch is left for some time, since its acknowledgement may still come.
    pub fn forgive(&mut self) -> Option<u32> {
        let mut last = None;
        while let Some(closed) = self.closed.at_mut(0) {
            if closed.held || !closed.is_doubtful() {
                break;
            }
            if closed.looks < closed.patience() {
                closed.looks = closed.looks.saturating_add(1);
                break;
            }
            last = Some(closed.number);
            self.forget_oldest();
        }
        self.forgiven = Some(last?);
        self.release().or(last)
    }

    /// Whether [`Self::forgive`] may have something to do.
    pub fn may_forgive(&self) -> bool {
        let oldest = self.closed.front();
        oldest.is_some_and(|closed| closed.is_doubtful())
    }

    fn forget_oldest(&mut self) {
        if let Some(closed) = self.closed.pop() {
            if self.newest == Some(closed.number) {
                self.newest = None;
            }
        }
    }

    /// Takes items without sending them, after [`Self::close`].
    pub fn pop_raw(&mut self) -> Option<SendItem> {
        self.items.pop()
    }

    /// P_BARRIER_ACK: it has to name an epoch whose barrier was sent, and its writes (wire-protocol section 6.6). Tells up to
    /// which epoch everything is acknowledged by it. That may be none: a peer that neither drains nor flushes acknowledges an
    /// epoch as soon as its own writes are done, also before an older one.
    pub fn barrier_acked(
        &mut self,
        number: u32,
        set_size: u32,
    ) -> Result<Option<u32>, BarrierMismatch> {
        // wire-protocol: barrier numbers wrap at 2^32.
        let is_late = |forgiven: u32| (number.wrapping_sub(forgiven) as i32) <= 0;
        let forgiven = self.forgiven.is_some_and(is_late);
        match self.closed_mut(number) {
            Some(closed) if closed.counted() == set_size && !closed.held => closed.held = true,
            None if forgiven => return Ok(None),
            _ => {
                let oldest = self.closed.front();
                let expected = oldest.map(|closed| (closed.number, closed.counted()));
                return Err(BarrierMismatch { expected });
            }
        }
        self.held = self.held.saturating_add(1);
        Ok(self.release())
    }

    /// Forgets the oldest epochs that need not be waited for, and tells the last of them: those that are acknowledged, and
    /// those that may never be, if a later one is: that was flushed after them.
    fn release(&mut self) -> Option<u32> {
        let mut last = None;
        while let Some(oldest) = self.closed.front() {
            if oldest.held {
                self.held = self.held.saturating_sub(1);
            } else if oldest.is_doubtful() && self.held > 0 {
                self.forgiven = Some(oldest.number);
            } else {
                break;
            }
            last = Some(oldest.number);
            self.forget_oldest();
        }
        last
    }

    /// Control packets waiting.
    pub fn controls(&self) -> usize {
        self.controls.len()
    }

    /// Items waiting.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Room for further items.
    pub fn room(&self) -> usize {
        self.items.capacity().saturating_sub(self.items.len())
    }

    /// Takes over larger buffers, for more operations or volumes; gives the old ones back to
    /// be freed outside of the lock.
    #[allow(clippy::type_complexity)]
    pub fn grow(
        &mut self,
        items: M::Buf<SendItem>,
        closed: M::Buf<ClosedEpoch>,
    ) -> (M::Buf<SendItem>, M::Buf<ClosedEpoch>) {
        let (Ok(items) | Err(items)) = self.items.grow(items);
        let (Ok(closed) | Err(closed)) = self.closed.grow(closed);
        (items, closed)
    }
}

#[cfg(test)]
#[path = "send_queue_tests.rs"]
mod tests;
