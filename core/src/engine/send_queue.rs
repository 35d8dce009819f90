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
/// `closed` holds one entry for each barrier sent and not acknowledged, oldest first.
pub struct SendQueue<M: Mem> {
    items: Ring<SendItem, M>,
    controls: Ring<(u16, Packet), M>,
    closed: Ring<(u32, u32), M>,
    /// Epoch that new writes get.
    current: u32,
    /// Writes that entered the current epoch.
    current_writes: u32,
    /// Epoch of the last write that entered, until its barrier is acknowledged.
    newest: Option<u32>,
    /// Epoch of the last write that was sent.
    sent_epoch: u32,
    /// Writes sent in it since its barrier was due.
    sent_writes: u32,
    max_epoch_size: u32,
    open: bool,
    overflow: bool,
}

impl<M: Mem> SendQueue<M> {
    /// An empty queue. `items` needs room for every operation of every volume plus the control
    /// packets; `closed` for one epoch per application write.
    pub fn new(
        items: M::Buf<SendItem>,
        controls: M::Buf<(u16, Packet)>,
        closed: M::Buf<(u32, u32)>,
    ) -> Self {
        SendQueue {
            items: Ring::new(items),
            controls: Ring::new(controls),
            closed: Ring::new(closed),
            current: 0,
            current_writes: 0,
            newest: None,
            sent_epoch: 0,
            sent_writes: 0,
            max_epoch_size: 2048,
            open: false,
            overflow: false,
        }
    }

    /// Sets net option max-epoch-size (writes).
    pub fn set_max_epoch_size(&mut self, writes: u32) {
        self.max_epoch_size = writes.max(1);
    }

    /// Starts accepting items for a fresh connection. The epoch counter goes on
    /// (wire-protocol section 6.6); the first write initialises the last-sent number.
    pub fn open(&mut self) {
        self.items.clear();
        self.controls.clear();
        self.closed.clear();
        self.sent_writes = 0;
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
        if !self.closed.push((number, self.sent_writes)) {
            self.overflow = true;
        }
        self.sent_writes = 0;
        Outgoing::Barrier(number)
    }

    /// Takes items without sending them, after [`Self::close`].
    pub fn pop_raw(&mut self) -> Option<SendItem> {
        self.items.pop()
    }

    /// Checks P_BARRIER_ACK: it has to name the oldest unacknowledged epoch and its writes
    /// (wire-protocol section 6.6); on success that epoch is forgotten.
    pub fn barrier_acked(&mut self, number: u32, set_size: u32) -> Result<(), BarrierMismatch> {
        let expected = self.closed.front();
        if expected != Some((number, set_size)) {
            return Err(BarrierMismatch { expected });
        }
        let _ = self.closed.pop();
        if self.newest == Some(number) {
            self.newest = None;
        }
        Ok(())
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
        closed: M::Buf<(u32, u32)>,
    ) -> (M::Buf<SendItem>, M::Buf<(u32, u32)>) {
        let (Ok(items) | Err(items)) = self.items.grow(items);
        let (Ok(closed) | Err(closed)) = self.closed.grow(closed);
        (items, closed)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{super::mem::tests::Heap, *};
    use std::vec;

    fn queue() -> SendQueue<Heap> {
        let mut queue = SendQueue::new(
            vec![SendItem::Control; 16].into_boxed_slice(),
            vec![(0, Packet::Ping); 4].into_boxed_slice(),
            vec![(0, 0); 16].into_boxed_slice(),
        );
        queue.open();
        queue
    }

    fn pop_write(queue: &mut SendQueue<Heap>) -> Option<OpId> {
        match queue.pop() {
            Some(Outgoing::Item(SendItem::Write { op, .. })) => Some(op),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dependent_write_is_behind_a_barrier() {
        let mut queue = queue();
        let first = queue.push_write(0, 1).unwrap();
        assert_eq!(queue.push_write(0, 2), Some(first));
        queue.completed(first);
        assert_eq!(queue.push_write(0, 3), Some(first + 1));
        assert_eq!(pop_write(&mut queue), Some(1));
        assert_eq!(pop_write(&mut queue), Some(2));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
        assert_eq!(pop_write(&mut queue), Some(3));
        assert_eq!(queue.pop(), None, "the open epoch needs no barrier");
        assert!(!queue.has_next());
        queue.completed(first + 1);
        assert!(queue.has_next());
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(first + 1)));
        assert!(!queue.has_next());
        assert_eq!(queue.pop(), None);
        assert!(queue.barrier_acked(first + 1, 1).is_err(), "out of order");
        assert!(queue.barrier_acked(first, 1).is_err(), "wrong count");
        assert!(queue.barrier_acked(first, 2).is_ok());
        assert!(queue.barrier_acked(first + 1, 1).is_ok());
        assert!(queue.barrier_acked(first + 1, 1).is_err());
    }

    #[test]
    fn what_is_out_of_sync_parts_the_epoch_of_another_volume() {
        let mut queue = queue();
        let first = queue.push_write(0, 1).unwrap();
        let item = SendItem::OutOfSync { volume: 1, op: 2 };
        assert!(queue.push(item));
        assert_eq!(queue.push_write(0, 3), Some(first + 1));
        queue.completed(first + 1);
        assert_eq!(pop_write(&mut queue), Some(1));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
        assert_eq!(queue.pop(), Some(Outgoing::Item(item)));
        assert_eq!(pop_write(&mut queue), Some(3));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(first + 1)));
        assert!(queue.barrier_acked(first, 1).is_ok());
        assert!(queue.barrier_acked(first + 1, 1).is_ok());
    }

    #[test]
    fn a_read_between_two_writes_does_not_part_their_epoch() {
        let mut queue = queue();
        let first = queue.push_write(0, 1).unwrap();
        assert!(queue.push(SendItem::Read { volume: 0, op: 2 }));
        assert_eq!(queue.push_write(0, 3), Some(first));
        queue.completed(first);
        assert_eq!(pop_write(&mut queue), Some(1));
        let read = Outgoing::Item(SendItem::Read { volume: 0, op: 2 });
        assert_eq!(queue.pop(), Some(read));
        assert_eq!(pop_write(&mut queue), Some(3));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
        assert!(queue.barrier_acked(first, 2).is_ok());
    }

    #[test]
    fn a_flush_waits_for_the_newest_epoch() {
        let mut queue = queue();
        assert_eq!(queue.flush(), Durable::Already);
        let first = queue.push_write(0, 1).unwrap();
        assert_eq!(queue.flush(), Durable::After(first));
        let second = queue.push_write(0, 2).unwrap();
        assert_eq!(pop_write(&mut queue), Some(1));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(first)));
        assert!(queue.barrier_acked(first, 1).is_ok());
        assert_eq!(queue.flush(), Durable::After(second));
        assert_eq!(pop_write(&mut queue), Some(2));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(second)));
        assert_eq!(queue.flush(), Durable::After(second), "not acknowledged");
        assert!(queue.barrier_acked(second, 1).is_ok());
        assert_eq!(queue.flush(), Durable::Already);
        queue.close();
        assert_eq!(queue.flush(), Durable::Unknown);
    }

    #[test]
    fn barrier_numbers_wrap() {
        let mut queue = queue();
        queue.current = u32::MAX;
        let last = queue.push_write(0, 1).unwrap();
        queue.completed(last);
        let next = queue.push_write(0, 2).unwrap();
        assert_eq!((last, next), (u32::MAX, 0));
        assert_eq!(pop_write(&mut queue), Some(1));
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(u32::MAX)));
        assert_eq!(pop_write(&mut queue), Some(2));
        queue.completed(next);
        assert_eq!(queue.pop(), Some(Outgoing::Barrier(0)));
        assert!(queue.barrier_acked(u32::MAX, 1).is_ok());
        assert!(queue.barrier_acked(0, 1).is_ok());
    }

    #[test]
    fn epochs_close_at_their_size_limit() {
        let mut queue = queue();
        queue.set_max_epoch_size(2);
        let first = queue.push_write(0, 1).unwrap();
        assert_eq!(queue.push_write(0, 2), Some(first));
        assert_eq!(queue.push_write(0, 3), Some(first + 1));
    }

    #[test]
    fn empty_epochs_are_not_closed() {
        let mut queue = queue();
        let epoch = queue.current_epoch();
        queue.new_epoch();
        queue.completed(epoch);
        assert_eq!(queue.current_epoch(), epoch);
    }

    #[test]
    fn a_reconnect_forgets_barriers_and_keeps_counting() {
        let mut queue = queue();
        let first = queue.push_write(0, 1).unwrap();
        assert_eq!(pop_write(&mut queue), Some(1));
        queue.close();
        assert_eq!(queue.push_write(0, 2), None);
        assert_eq!(queue.pop(), None);
        queue.open();
        assert_eq!(queue.push_write(0, 2), Some(first + 1));
        assert_eq!(pop_write(&mut queue), Some(2), "no barrier for the old one");
    }
}
