// SPDX-License-Identifier: GPL-2.0-or-later
//! What a volume needs from the connection to its peer.

use super::{op::OpId, reply_queue::ReplyItem, send_queue::SendItem};
use crate::wire::packet::Packet;

/// When everything that was sent so far is durable at the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durable {
    /// Nobody knows: there is no connection.
    Unknown,
    /// It is.
    Already,
    /// When this epoch is acknowledged.
    After(u32),
}

/// The connection as a volume sees it. Called with the volume locked: implementations take only
/// the leaf locks of the two queues, and wake their senders.
///
/// While there is no connection everything is dropped, and the functions that report say so.
pub trait Link {
    /// Queues a write and tells its epoch; `None` when not connected.
    fn send_write(&mut self, volume: u16, op: OpId) -> Option<u32>;
    /// Queues `item`; false when not connected.
    fn send(&mut self, item: SendItem) -> bool;
    /// Queues a packet without payload; false when not connected.
    fn control(&mut self, volume: u16, packet: Packet) -> bool;
    /// A write of `epoch` completes towards the application.
    fn completed(&mut self, epoch: u32);
    /// Closes the current epoch.
    fn new_epoch(&mut self);
    /// Closes the current epoch, as the peer flushes at its end.
    fn flush(&mut self) -> Durable;
    /// Queues a packet for the meta socket.
    fn reply(&mut self, item: ReplyItem);
    /// Queues a ping; the number that the count of answers has to reach for it to be answered.
    fn ping(&mut self) -> u32;
    /// A write of the peer counts in the receive epoch.
    fn peer_write_received(&mut self);
    /// The same, and `item` tells the peer that it came.
    fn peer_write_received_told(&mut self, item: ReplyItem) {
        self.peer_write_received();
        self.reply(item);
    }
    /// A write of the peer that has no disk to go to counts in the receive epoch.
    fn peer_write_drained(&mut self);
    /// A write of the peer is done; its acknowledgement was queued before.
    fn peer_write_done(&mut self);
    /// A write of the peer is done, and `item` acknowledges it.
    fn peer_write_acknowledged(&mut self, item: ReplyItem) {
        self.reply(item);
        self.peer_write_done();
    }
    /// The peer did not carry out a write of `epoch`: it had one of its own.
    fn write_rejected(&mut self, epoch: u32);
    /// A write of the peer is not carried out; its number of the receive epoch.
    fn peer_write_rejected(&mut self) -> u32;
    /// What a rejected write of that receive epoch gave way to is at the peer.
    fn peer_write_forgotten(&mut self, epoch: u32);
}

/// No connection at all.
pub struct Unlinked;

impl Link for Unlinked {
    fn send_write(&mut self, _: u16, _: OpId) -> Option<u32> {
        None
    }
    fn send(&mut self, _: SendItem) -> bool {
        false
    }
    fn control(&mut self, _: u16, _: Packet) -> bool {
        false
    }
    fn completed(&mut self, _: u32) {}
    fn new_epoch(&mut self) {}
    fn flush(&mut self) -> Durable {
        Durable::Unknown
    }
    fn reply(&mut self, _: ReplyItem) {}
    fn ping(&mut self) -> u32 {
        0
    }
    fn peer_write_received(&mut self) {}
    fn peer_write_drained(&mut self) {}
    fn peer_write_done(&mut self) {}
    fn write_rejected(&mut self, _: u32) {}
    fn peer_write_rejected(&mut self) -> u32 {
        0
    }
    fn peer_write_forgotten(&mut self, _: u32) {}
}
