// SPDX-License-Identifier: GPL-2.0-or-later
//! What waits to go out on a connection's meta socket, and the receive epoch behind it.
//!
//! One first-in first-out queue for acknowledgements, state replies, pings and their answers:
//! that alone keeps the two orders a peer relies on, write acks before the barrier ack of their
//! epoch and no ping ack overtaking an ack (wire-protocol sections 15.5 and 15.6). A leaf lock of
//! the host guards it; entries come from completions in hard interrupt context.

use super::mem::{Mem, Ring};
use crate::wire::{
    block::{BarrierAck, BlockAck},
    command::Command,
    packet::Packet,
    StateReply,
};

/// One packet for the meta socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyItem {
    /// One of the block acknowledgements; the sender fills in the sequence number.
    Block {
        /// Volume.
        volume: u16,
        /// P_WRITE_ACK and its like.
        command: Command,
        /// What it acknowledges.
        ack: BlockAck,
    },
    /// P_BARRIER_ACK.
    BarrierAck {
        /// The number as received, byte for byte.
        number: u32,
        /// Writes of the epoch.
        set_size: u32,
    },
    /// Answer to P_STATE_CHG_REQ or P_CONN_ST_CHG_REQ.
    StateReply {
        /// Volume; 0 for the connection.
        volume: u16,
        /// Whether it is about the connection.
        connection: bool,
        /// Result code.
        code: i32,
    },
    /// P_PING.
    Ping,
    /// P_PING_ACK.
    PingAck,
}

impl ReplyItem {
    /// The volume whose sequence number the packet takes, if it takes one.
    pub fn numbered(&self) -> Option<u16> {
        match self {
            ReplyItem::Block { volume, .. } => Some(*volume),
            ReplyItem::BarrierAck { .. }
            | ReplyItem::StateReply { .. }
            | ReplyItem::Ping
            | ReplyItem::PingAck => None,
        }
    }

    /// The packet, and the volume it is about. `None` for a block acknowledgement that does not
    /// exist.
    pub fn packet(self, seq_num: u32) -> Option<(u16, Packet)> {
        Some(match self {
            ReplyItem::Ping => (0, Packet::Ping),
            ReplyItem::PingAck => (0, Packet::PingAck),
            ReplyItem::BarrierAck { number, set_size } => {
                (0, Packet::BarrierAck(BarrierAck { number, set_size }))
            }
            ReplyItem::StateReply {
                volume,
                connection: true,
                code,
            } => (volume, Packet::ConnStChgReply(StateReply(code))),
            ReplyItem::StateReply { volume, code, .. } => {
                (volume, Packet::StateChgReply(StateReply(code)))
            }
            ReplyItem::Block {
                volume,
                command,
                ack,
            } => (volume, block_packet(command, BlockAck { seq_num, ..ack })?),
        })
    }
}

fn block_packet(command: Command, ack: BlockAck) -> Option<Packet> {
    Some(match command {
        Command::RecvAck => Packet::RecvAck(ack),
        Command::WriteAck => Packet::WriteAck(ack),
        Command::RsWriteAck => Packet::RsWriteAck(ack),
        Command::NegAck => Packet::NegAck(ack),
        Command::NegDreply => Packet::NegDreply(ack),
        Command::NegRsDreply => Packet::NegRsDreply(ack),
        Command::RsCancel => Packet::RsCancel(ack),
        Command::RsIsInSync => Packet::RsIsInSync(ack),
        Command::OvResult => Packet::OvResult(ack),
        _ => return None,
    })
}

/// What P_BARRIER demands of the receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BarrierStep {
    /// Writes of the epoch are still on their way to the disk: call again when they are done.
    Drain,
    /// Flush every disk of the connection that asks for it, then call
    /// [`ReplyQueue::barrier_flushed`].
    Flush,
}

/// Meta socket queue and receive epoch of one connection.
///
/// # Invariants
///
/// `active <= size`: writes that are not yet acknowledged are writes of the epoch.
pub struct ReplyQueue<M: Mem> {
    items: Ring<ReplyItem, M>,
    /// Writes received since the last barrier.
    size: u32,
    /// Of these, not yet on disk.
    active: u32,
    open: bool,
    overflow: bool,
    /// Count of connections, so that a late completion is not counted in a new epoch.
    incarnation: u32,
}

impl<M: Mem> ReplyQueue<M> {
    /// An empty queue with room for one acknowledgement per operation of a peer, plus some
    /// twenty for the rest.
    pub fn new(items: M::Buf<ReplyItem>) -> Self {
        ReplyQueue {
            items: Ring::new(items),
            size: 0,
            active: 0,
            open: false,
            overflow: false,
            incarnation: 0,
        }
    }

    /// Starts a fresh connection.
    pub fn open(&mut self) {
        self.items.clear();
        self.size = 0;
        self.active = 0;
        self.open = true;
        self.overflow = false;
        self.incarnation = self.incarnation.wrapping_add(1);
    }

    /// Ends the connection: nothing is accepted or sent any more.
    pub fn close(&mut self) {
        self.open = false;
        self.items.clear();
    }

    /// Whether an entry had no room: the connection has to end.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// Queues `item`; dropped when the connection is closed.
    pub fn push(&mut self, item: ReplyItem) {
        if self.open && !self.items.push(item) {
            self.overflow = true;
        }
    }

    /// Takes the oldest entry.
    pub fn pop(&mut self) -> Option<ReplyItem> {
        self.items.pop()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A write of the peer arrived and counts in the current epoch.
    pub fn write_received(&mut self) {
        self.size = self.size.saturating_add(1);
        self.active = self.active.saturating_add(1);
    }

    /// A write without a disk to go to: counted, and done at once.
    pub fn write_drained(&mut self) {
        self.size = self.size.saturating_add(1);
    }

    /// A write of the epoch is done, its acknowledgement queued before. True when it was the
    /// last one: the receiver may wait for that.
    pub fn write_done(&mut self) -> bool {
        debug_assert!(self.active > 0, "more writes done than received");
        self.active = self.active.saturating_sub(1);
        self.active == 0
    }

    /// Writes of the epoch that are not done.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// What to do about a P_BARRIER that was received.
    pub fn barrier_step(&self) -> BarrierStep {
        if self.active > 0 {
            BarrierStep::Drain
        } else {
            BarrierStep::Flush
        }
    }

    /// The epoch is on stable storage: acknowledges it and begins the next one. Stock
    /// acknowledges before the flush; a power cut then loses what it acknowledged
    /// (design section 8.2).
    pub fn barrier_flushed(&mut self, number: u32) {
        let set_size = self.size;
        self.size = 0;
        if set_size > 0 {
            self.push(ReplyItem::BarrierAck { number, set_size });
        }
    }

    /// Takes over a larger buffer; gives the old one back.
    pub fn grow(&mut self, items: M::Buf<ReplyItem>) -> M::Buf<ReplyItem> {
        let (Ok(old) | Err(old)) = self.items.grow(items);
        old
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{super::mem::tests::Heap, *};
    use std::vec;

    fn queue() -> ReplyQueue<Heap> {
        let mut queue = ReplyQueue::new(vec![ReplyItem::Ping; 8].into_boxed_slice());
        queue.open();
        queue
    }

    #[test]
    fn the_barrier_ack_waits_for_disk_and_flush() {
        let mut queue = queue();
        queue.write_received();
        queue.write_received();
        assert_eq!(queue.barrier_step(), BarrierStep::Drain);
        assert!(!queue.write_done());
        assert!(queue.write_done());
        assert_eq!(queue.barrier_step(), BarrierStep::Flush);
        assert_eq!(
            queue.pop(),
            None,
            "nothing is acknowledged before the flush"
        );
        queue.barrier_flushed(5);
        let ack = ReplyItem::BarrierAck {
            number: 5,
            set_size: 2,
        };
        assert_eq!(queue.pop(), Some(ack));
    }

    #[test]
    fn an_empty_epoch_is_not_acknowledged() {
        let mut queue = queue();
        queue.barrier_flushed(1);
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_closed_queue_sends_nothing() {
        let mut queue = queue();
        queue.push(ReplyItem::Ping);
        queue.close();
        queue.push(ReplyItem::Ping);
        assert_eq!(queue.pop(), None);
    }
}
