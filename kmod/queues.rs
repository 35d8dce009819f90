// SPDX-License-Identifier: GPL-2.0-or-later
//! The two outgoing queues of a connection, and how volumes reach them.
//!
//! Lock order: a volume's lock, then one of these. They are leaves.

use crate::{
    mem::KMem,
    os::{
        lock::{new_spinlock_irq, Arc, Atomic, Relaxed, SpinLockIrq},
        mem::Buf,
        wait::{Event, WaitQueue},
    },
};
use drbd_core::{
    config::NetOptions,
    engine::{
        link::{Durable, Link},
        op::OpId,
        reply_queue::{BarrierStep, HeldAck, ReplyItem, ReplyQueue},
        send_queue::{BarrierMismatch, ClosedEpoch, Outgoing, SendItem, SendQueue},
    },
    wire::packet::Packet,
};
use kernel::prelude::*;

/// Operations of all volumes that fit into the queues at first.
const OPS: usize = 4096;
/// Barriers of the peer that may follow one whose writes lost a conflict.
const HELD_ACKS: usize = 1024;
/// Control packets that may wait.
const CONTROLS: usize = 256;

/// Something had no room in a queue: the connection has to end.
pub(crate) struct Overflow;

struct Replies {
    queue: ReplyQueue<KMem>,
    /// Pings queued since the connection began.
    pings: u32,
}

/// Both queues with their wake-ups.
#[pin_data]
pub(crate) struct Queues {
    #[pin]
    send: SpinLockIrq<SendQueue<KMem>>,
    #[pin]
    replies: SpinLockIrq<Replies>,
    /// Something to send, or the connection ends.
    #[pin]
    pub(crate) send_event: Event,
    /// Something to send on the meta socket, or the connection ends.
    #[pin]
    pub(crate) reply_event: Event,
    /// The receive epoch may be drained.
    #[pin]
    pub(crate) drained: WaitQueue,
    /// The data sender has taken something and not come back for more.
    sending: Atomic<bool>,
}

impl Queues {
    /// Closed queues. Context: task.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let send = SendQueue::new(
            Buf::filled(OPS, SendItem::Control)?,
            Buf::filled(CONTROLS, (0, Packet::Ping))?,
            Buf::filled(OPS, ClosedEpoch::default())?,
        );
        let queue = ReplyQueue::new(
            Buf::filled(OPS, ReplyItem::Ping)?,
            Buf::filled(HELD_ACKS, HeldAck::default())?,
        );
        Arc::pin_init(
            pin_init!(Queues {
                send <- new_spinlock_irq!(send, "drbd_send"),
                replies <- new_spinlock_irq!(Replies { queue, pings: 0 }, "drbd_replies"),
                send_event <- Event::new(),
                reply_event <- Event::new(),
                drained <- WaitQueue::new(),
                sending: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Begins a connection. Context: task.
    pub(crate) fn open(&self, net: &NetOptions) {
        self.set_options(net);
        self.send.lock().open();
        let mut replies = self.replies.lock();
        replies.queue.open();
        replies.pings = 0;
    }

    /// Ends it: nothing is accepted any more. Context: any.
    pub(crate) fn close(&self) {
        self.send.lock().close();
        self.replies.lock().queue.close();
        self.wake();
    }

    /// Wakes both senders and whoever waits for the epoch. Context: any.
    pub(crate) fn wake(&self) {
        self.send_event.signal();
        self.reply_event.signal();
        self.drained.wake_all();
    }

    /// Makes room for the operations of a further volume. Context: task.
    pub(crate) fn grow(&self, operations: usize) -> Result {
        let items = Buf::filled(operations.saturating_add(CONTROLS), SendItem::Control)?;
        let closed = Buf::filled(operations, ClosedEpoch::default())?;
        let replies = Buf::filled(operations.saturating_add(CONTROLS), ReplyItem::Ping)?;
        // The old buffers are freed outside of the locks.
        let old_send = self.send.lock().grow(items, closed);
        let old_replies = self.replies.lock().queue.grow(replies);
        drop((old_send, old_replies));
        Ok(())
    }

    /// [`SendQueue::set_options`]. Context: any.
    pub(crate) fn set_options(&self, net: &NetOptions) {
        let mut send = self.send.lock();
        send.set_options(net.max_epoch_size, net.two_primaries);
    }

    /// What to send next, and whether more waits behind it. Context: any.
    pub(crate) fn pop(&self) -> Result<Option<(Outgoing, bool)>, Overflow> {
        let mut send = self.send.lock();
        let outgoing = send.pop();
        self.sending.store(outgoing.is_some(), Relaxed);
        match outgoing {
            Some(outgoing) => Ok(Some((outgoing, send.has_next()))),
            None if send.overflowed() => Err(Overflow),
            None => Ok(None),
        }
    }

    /// Whether everything for the data socket was handed to it. Context: any.
    pub(crate) fn all_sent(&self) -> bool {
        let send = self.send.lock();
        send.is_empty() && !self.sending.load(Relaxed)
    }

    /// An item that will not be sent any more. Context: any.
    pub(crate) fn pop_raw(&self) -> Option<SendItem> {
        self.send.lock().pop_raw()
    }

    /// [`SendQueue::barrier_acked`]. Context: any.
    pub(crate) fn barrier_acked(
        &self,
        number: u32,
        set_size: u32,
    ) -> Result<Option<u32>, BarrierMismatch> {
        self.send.lock().barrier_acked(number, set_size)
    }

    /// Gives up waiting for the acknowledgement of epochs that lost a conflict; see
    /// [`SendQueue::forgive`]. Context: any.
    pub(crate) fn forgive(&self) -> Option<u32> {
        self.send.lock().forgive()
    }

    /// Hands the packets for the meta socket to `take`, in order, for as long as it wants more.
    /// Context: any; `take` runs with interrupts off.
    #[inline]
    pub(crate) fn pop_replies(
        &self,
        mut take: impl FnMut(ReplyItem) -> bool,
    ) -> Result<(), Overflow> {
        let mut replies = self.replies.lock();
        while let Some(item) = replies.queue.pop() {
            if !take(item) {
                break;
            }
        }
        if replies.queue.overflowed() {
            return Err(Overflow);
        }
        Ok(())
    }

    /// Queues one. Context: any.
    pub(crate) fn push_reply(&self, item: ReplyItem) {
        self.replies.lock().queue.push(item);
        self.reply_event.signal();
    }

    /// Whether all writes of the receive epoch are done. Context: any.
    pub(crate) fn epoch_is_drained(&self) -> bool {
        self.replies.lock().queue.barrier_step() == BarrierStep::Flush
    }

    /// The receive epoch is durable. Context: any.
    pub(crate) fn barrier_flushed(&self, number: u32) {
        self.replies.lock().queue.barrier_flushed(number);
        self.reply_event.signal();
    }

    /// Queues a packet without payload; false when closed. Context: any.
    pub(crate) fn control(&self, volume: u16, packet: Packet) -> bool {
        let queued = self.send.lock().push_control(volume, packet);
        self.send_event.signal();
        queued
    }

    /// Queues a ping; see [`Link::ping`]. Context: any.
    pub(crate) fn ping(&self) -> u32 {
        let number = {
            let mut replies = self.replies.lock();
            replies.pings = replies.pings.wrapping_add(1);
            replies.queue.push(ReplyItem::Ping);
            replies.pings
        };
        self.reply_event.signal();
        number
    }
}

/// A volume's way to its connection, for the time of one call.
pub(crate) struct Via<'a>(pub(crate) Option<&'a Queues>);

impl Link for Via<'_> {
    fn send_write(&mut self, volume: u16, op: OpId) -> Option<u32> {
        let queues = self.0?;
        let epoch = queues.send.lock().push_write(volume, op)?;
        queues.send_event.signal();
        Some(epoch)
    }

    fn send(&mut self, item: SendItem) -> bool {
        let Some(queues) = self.0 else {
            return false;
        };
        let queued = queues.send.lock().push(item);
        queues.send_event.signal();
        queued
    }

    fn control(&mut self, volume: u16, packet: Packet) -> bool {
        self.0.is_some_and(|queues| queues.control(volume, packet))
    }

    fn completed(&mut self, epoch: u32) {
        if let Some(queues) = self.0 {
            queues.send.lock().completed(epoch);
            // An idle sender has a barrier to send now.
            queues.send_event.signal();
        }
    }

    fn new_epoch(&mut self) {
        if let Some(queues) = self.0 {
            queues.send.lock().new_epoch();
            queues.send_event.signal();
        }
    }

    fn flush(&mut self) -> Durable {
        let Some(queues) = self.0 else {
            return Durable::Unknown;
        };
        let durable = queues.send.lock().flush();
        if matches!(durable, Durable::After(_)) {
            queues.send_event.signal();
        }
        durable
    }

    fn reply(&mut self, item: ReplyItem) {
        if let Some(queues) = self.0 {
            queues.push_reply(item);
        }
    }

    fn ping(&mut self) -> u32 {
        self.0.map_or(0, Queues::ping)
    }

    fn peer_write_received(&mut self) {
        if let Some(queues) = self.0 {
            queues.replies.lock().queue.write_received();
        }
    }

    fn peer_write_received_told(&mut self, item: ReplyItem) {
        if let Some(queues) = self.0 {
            {
                let mut replies = queues.replies.lock();
                replies.queue.write_received();
                replies.queue.push(item);
            }
            queues.reply_event.signal();
        }
    }

    fn peer_write_drained(&mut self) {
        if let Some(queues) = self.0 {
            queues.replies.lock().queue.write_drained();
        }
    }

    fn peer_write_done(&mut self) {
        if let Some(queues) = self.0 {
            if queues.replies.lock().queue.write_done() {
                queues.drained.wake_all();
            }
        }
    }

    fn peer_write_acknowledged(&mut self, item: ReplyItem) {
        let Some(queues) = self.0 else {
            return;
        };
        let drained = {
            let mut replies = queues.replies.lock();
            replies.queue.push(item);
            replies.queue.write_done()
        };
        queues.reply_event.signal();
        if drained {
            queues.drained.wake_all();
        }
    }

    fn write_rejected(&mut self, epoch: u32) {
        if let Some(queues) = self.0 {
            queues.send.lock().write_rejected(epoch);
        }
    }

    fn peer_write_rejected(&mut self) -> u32 {
        self.0
            .map_or(0, |queues| queues.replies.lock().queue.write_rejected())
    }

    fn peer_write_forgotten(&mut self, epoch: u32) {
        if let Some(queues) = self.0 {
            queues.replies.lock().queue.write_forgotten(epoch);
            queues.reply_event.signal();
        }
    }
}
