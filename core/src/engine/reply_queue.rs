// SPDX-License-Identifier: GPL-2.0-or-later
//! What waits to go out on a connection's meta socket, and the receive epoch behind it.
//!
//! One first-in first-out queue for acknowledgements, state replies, pings and their answers:
//! that alone keeps the two orders a peer relies on, write acks before the barrier ack of their
//! epoch and no ping ack overtaking an ack (wire-protocol sections 15.5 and 15.6). A leaf lock of
//! the host guards it; entries come from completions in hard interrupt context.

use super::mem::{Mem, Ring};
use crate::wire::{
    block::{BarrierAck, BlockAck, BlockId},
    command::Command,
    packet::Packet,
    StateReply,
};

/// A P_NEG_ACK for more than this the in-tree driver takes for nonsense: it is the largest discard of its older versions.
const PIECE_SECTORS: u32 = 8192;

/// Handle of no write that anybody waits for.
const NO_WRITE: BlockId = BlockId(0);

/// One packet for the meta socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyItem {
    /// One of the block acknowledgements, with its number of the volume's count.
    Block {
        /// Volume.
        volume: u16,
        /// P_WRITE_ACK and its like.
        command: Command,
        /// What it acknowledges.
        ack: BlockAck,
    },
    /// P_NEG_ACKs for a range that was acknowledged and may be lost; [`ReplyQueue::pop`] gives them one by one.
    Unflushed {
        /// Volume.
        volume: u16,
        /// First sector.
        sector: u64,
        /// Length.
        len_sectors: u64,
        /// Number of the volume's count.
        seq_num: u32,
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
    /// The packet, and the volume it is about. `None` for a block acknowledgement that does not
    /// exist, and for what is more than one.
    pub fn packet(self) -> Option<(u16, Packet)> {
        Some(match self {
            ReplyItem::Unflushed { .. } => return None,
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
            } => (volume, block_packet(command, ack)?),
        })
    }
}

fn block_packet(command: Command, ack: BlockAck) -> Option<Packet> {
    Some(match command {
        Command::RecvAck => Packet::RecvAck(ack),
        Command::WriteAck => Packet::WriteAck(ack),
        Command::RsWriteAck => Packet::RsWriteAck(ack),
        Command::NegAck => Packet::NegAck(ack),
        Command::Superseded => Packet::Superseded(ack),
        Command::RetryWrite => Packet::RetryWrite(ack),
        Command::NegDreply => Packet::NegDreply(ack),
        Command::NegRsDreply => Packet::NegRsDreply(ack),
        Command::RsCancel => Packet::RsCancel(ack),
        Command::RsIsInSync => Packet::RsIsInSync(ack),
        Command::OvResult => Packet::OvResult(ack),
        _ => return None,
    })
}

/// A P_BARRIER_ACK that waits: writes of its epoch were rejected, and the peer does not count those
/// any more as soon as it has what they gave way to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeldAck {
    number: u32,
    set_size: u32,
    rejected: u32,
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
    /// Writes of the epoch that were rejected, and what they gave way to is not at the peer yet.
    rejected: u32,
    /// Acknowledgements that wait for such, and those behind them.
    held: Ring<HeldAck, M>,
    /// Count of receive epochs: `held` ends with the one before this.
    epoch: u32,
    open: bool,
    overflow: bool,
    /// Count of connections, so that a late completion is not counted in a new epoch.
    incarnation: u32,
}

impl<M: Mem> ReplyQueue<M> {
    /// An empty queue with room for one acknowledgement per operation of a peer, plus some
    /// twenty for the rest; `held` has the acknowledgements of so many barriers as the peer may
    /// send behind one that waits for the end of a conflict.
    pub fn new(items: M::Buf<ReplyItem>, held: M::Buf<HeldAck>) -> Self {
        ReplyQueue {
            items: Ring::new(items),
            size: 0,
            active: 0,
            rejected: 0,
            held: Ring::new(held),
            epoch: 0,
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
        self.rejected = 0;
        self.held.clear();
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

    /// Takes the oldest entry, or a part of it.
    #[inline]
    pub fn pop(&mut self) -> Option<ReplyItem> {
        match self.items.at_mut(0) {
            Some(ReplyItem::Unflushed { .. }) => self.pop_piece(),
            _ => self.items.pop(),
        }
    }

    #[inline(never)]
    fn pop_piece(&mut self) -> Option<ReplyItem> {
        let Some(ReplyItem::Unflushed {
            volume,
            sector,
            len_sectors,
            seq_num,
        }) = self.items.at_mut(0)
        else {
            return None;
        };
        let piece_sectors = (*len_sectors).min(u64::from(PIECE_SECTORS));
        let piece = ReplyItem::Block {
            volume: *volume,
            command: Command::NegAck,
            ack: BlockAck {
                sector: *sector,
                block_id: NO_WRITE,
                size: (piece_sectors as u32).saturating_mul(512),
                seq_num: *seq_num,
            },
        };
        *sector = sector.saturating_add(piece_sectors);
        *len_sectors = len_sectors.saturating_sub(piece_sectors);
        if *len_sectors == 0 {
            let _ = self.items.pop();
        }
        Some(piece)
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

    /// A write of the peer is not carried out, and not counted; the number of its receive epoch,
    /// for [`Self::write_forgotten`]. Two Primaries.
    pub fn write_rejected(&mut self) -> u32 {
        self.rejected = self.rejected.saturating_add(1);
        self.epoch
    }

    /// What a rejected write of receive epoch `epoch` gave way to is at the peer.
    pub fn write_forgotten(&mut self, epoch: u32) {
        if epoch == self.epoch {
            self.rejected = self.rejected.saturating_sub(1);
            return;
        }
        let behind = self.epoch.wrapping_sub(epoch) as usize;
        let index = self.held.len().checked_sub(behind);
        if let Some(held) = index.and_then(|index| self.held.at_mut(index)) {
            held.rejected = held.rejected.saturating_sub(1);
        }
        while self.held.front().is_some_and(|held| held.rejected == 0) {
            self.acknowledge_held();
        }
    }

    fn acknowledge_held(&mut self) {
        if let Some(held) = self.held.pop() {
            self.acknowledge(held.number, held.set_size);
        }
    }

    /// An empty epoch is not acknowledged.
    fn acknowledge(&mut self, number: u32, set_size: u32) {
        if set_size > 0 {
            self.push(ReplyItem::BarrierAck { number, set_size });
        }
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
        self.epoch = self.epoch.wrapping_add(1);
        let rejected = core::mem::take(&mut self.rejected);
        if rejected == 0 && self.held.is_empty() {
            return self.acknowledge(number, set_size);
        }
        let held = HeldAck {
            number,
            set_size,
            rejected,
        };
        // The receiver must not wait for room: what makes some may be behind this barrier. One of
        // ours does not count what it was told of anyway.
        if self.held.len() >= self.held.capacity() {
            self.acknowledge_held();
        }
        let _ = self.held.push(held);
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
        let mut queue = ReplyQueue::new(
            vec![ReplyItem::Ping; 8].into_boxed_slice(),
            vec![HeldAck::default(); 2].into_boxed_slice(),
        );
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
    fn an_epoch_with_a_rejected_write_waits_for_the_end_of_the_conflict() {
        let mut queue = queue();
        queue.write_received();
        let first = queue.write_rejected();
        assert!(queue.write_done());
        queue.barrier_flushed(5);
        let second = queue.write_rejected();
        queue.barrier_flushed(6);
        queue.write_forgotten(second);
        assert_eq!(queue.pop(), None, "in their order");
        queue.write_forgotten(first);
        queue.write_received();
        assert!(queue.write_done());
        queue.barrier_flushed(7);
        let ack = |number| ReplyItem::BarrierAck {
            number,
            set_size: 1,
        };
        assert_eq!(queue.pop(), Some(ack(5)));
        assert_eq!(queue.pop(), Some(ack(7)), "nothing was written in 6");
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn an_empty_epoch_is_not_acknowledged() {
        let mut queue = queue();
        queue.barrier_flushed(1);
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn what_may_be_lost_is_told_before_the_epoch_is_acknowledged() {
        let mut queue = queue();
        queue.write_received();
        assert!(queue.write_done());
        queue.push(ReplyItem::Unflushed {
            volume: 3,
            sector: 100,
            len_sectors: u64::from(PIECE_SECTORS) + 8,
            seq_num: 7,
        });
        queue.barrier_flushed(5);
        let mut told = vec![];
        while let Some(ReplyItem::Block { volume, ack, .. }) = queue.pop() {
            assert_eq!((volume, ack.seq_num, ack.block_id), (3, 7, NO_WRITE));
            told.push((ack.sector, ack.size));
        }
        assert_eq!(told, [(100, 4 << 20), (8292, 4096)]);
        assert_eq!(queue.pop(), None, "the acknowledgement ended it");
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
