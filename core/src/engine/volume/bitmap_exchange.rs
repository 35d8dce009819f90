// SPDX-License-Identifier: GPL-2.0-or-later
//! The exchange of bitmaps before a resync (wire-protocol section 7, replication-semantics
//! section 7.1).
//!
//! The source sends first, when no application write is in flight, so that no bit is set too late;
//! from then on writes go as P_OUT_OF_SYNC. The target merges, sends the merged bitmap back and
//! waits for the sync UUID.

use super::{End, Todo, Volume};
use crate::{
    bitmap::{Bitmap, PageState},
    engine::{link::Link, mem::Mem, send_queue::SendItem},
    state::{action::Side, Conn, Disk as DiskState},
    wire::{
        bitmap::{BitSink, BitSource, BitmapReceiver, BitmapSender, Chunk, Progress},
        command::Command,
    },
};

/// State of the exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exchange {
    /// The bitmap can be queued: nothing is in flight any more.
    pub(super) start_due: bool,
    sender: Option<BitmapSender>,
    receiver: Option<BitmapReceiver>,
    sent: bool,
    /// The last packet was made; the sender did not say yet that it is sent.
    handed_out: bool,
    received: bool,
}

struct Slot<'a, M: Mem>(&'a mut Bitmap<M::Buf<u64>, M::Buf<PageState>>, u32);

impl<M: Mem> BitSink for Slot<'_, M> {
    fn set_range(&mut self, start: u64, len: u64) {
        let _ = self.0.set_range(self.1, start..start.saturating_add(len));
    }
}

struct View<'a, M: Mem>(&'a Bitmap<M::Buf<u64>, M::Buf<PageState>>, u32);

impl<M: Mem> BitSource for View<'_, M> {
    fn next_set(&self, from: u64) -> Option<u64> {
        self.0.find_next_set(self.1, from..self.0.n_bits())
    }
    fn next_clear(&self, from: u64) -> Option<u64> {
        self.0.find_next_clear(self.1, from..self.0.n_bits())
    }
    fn word(&self, index: u64) -> u64 {
        self.0.word(self.1, index)
    }
}

impl<M: Mem> Volume<M> {
    /// Begins to send the bitmap as the source.
    pub(super) fn begin_bitmap_send(&mut self, link: &mut dyn Link) {
        self.end_exchange();
        self.bitmap_hold = true;
        if self.launched_writes == 0 {
            self.queue_bitmap(link);
        }
    }

    /// Queues the bitmap and admits application I/O again: what it writes from here on is behind
    /// the bitmap in the stream.
    pub(super) fn queue_bitmap(&mut self, link: &mut dyn Link) {
        self.exchange.start_due = false;
        if !self.bitmap_hold && self.conn() == Conn::WfBitMapS {
            return;
        }
        self.bitmap_hold = false;
        if matches!(self.conn(), Conn::WfBitMapS | Conn::WfBitMapT) {
            self.send_bitmap(link);
        }
        self.unpark();
    }

    fn send_bitmap(&mut self, link: &mut dyn Link) {
        let volume = self.number;
        if link.send(SendItem::Bitmap { volume }) {
            self.bitmaps_queued = self.bitmaps_queued.saturating_add(1);
        }
    }

    /// The exchange is over, or given up: what is still queued for it is not sent.
    pub(super) fn end_exchange(&mut self) {
        self.exchange = Exchange::default();
        self.bitmaps_stale = self.bitmaps_queued;
    }

    /// The connection is gone, and its send queue with it.
    pub(super) fn forget_exchange(&mut self) {
        self.exchange = Exchange::default();
        self.bitmaps_queued = 0;
        self.bitmaps_stale = 0;
    }

    /// The state says that this node is the target. The source's bitmap may be here already: its
    /// P_STATE can be behind it (replication-semantics section 7.1).
    pub(super) fn become_bitmap_target(&mut self, link: &mut dyn Link) {
        if self.exchange.received {
            self.send_bitmap(link);
        }
    }

    /// Fills `body` with the next packet of the bitmap; `None` at the end, or when the exchange
    /// was given up. Sender.
    pub fn bitmap_chunk(&mut self, body: &mut [u8]) -> Option<Chunk> {
        let dialect = self.peer.dialect;
        let use_rle = self.peer.options.use_rle;
        let disk = self.disk.as_ref()?;
        let exchanging = matches!(self.state.conn, Conn::WfBitMapS | Conn::WfBitMapT);
        // A connection that is about to end may do so because the bitmaps do not match.
        if !exchanging || self.bitmaps_stale > 0 || self.peer.ends {
            return None;
        }
        let bits = disk.bitmap.n_bits();
        let sender = self
            .exchange
            .sender
            .get_or_insert_with(|| BitmapSender::new(dialect, bits, use_rle));
        let chunk = sender
            .next_chunk(&View::<M>(&disk.bitmap, disk.bm_slot), body)
            .ok()
            .flatten();
        self.exchange.handed_out |= chunk.is_none_or(|chunk| chunk.last);
        chunk
    }

    /// As the target: the source answered to the whole bitmap before the sender reported its end.
    pub(super) fn note_bitmap_answered(&mut self, link: &mut dyn Link, now_ms: u64) {
        if self.conn() == Conn::WfBitMapT && self.exchange.received && self.exchange.handed_out {
            self.hard(link, now_ms, |state| state.conn = Conn::WfSyncUuid);
        }
    }

    /// The whole bitmap was handed to the socket. Sender.
    pub fn bitmap_sent(&mut self, link: &mut dyn Link, now_ms: u64) {
        self.bitmaps_queued = self.bitmaps_queued.saturating_sub(1);
        if self.bitmaps_stale > 0 {
            self.bitmaps_stale = self.bitmaps_stale.saturating_sub(1);
            return;
        }
        if self.peer.ends {
            return;
        }
        self.exchange.sender = None;
        self.exchange.sent = true;
        match self.conn() {
            Conn::WfBitMapT => {
                self.hard(link, now_ms, |state| state.conn = Conn::WfSyncUuid);
            }
            Conn::WfBitMapS if self.exchange.received => {
                self.start_resync(Side::Source, link, now_ms);
            }
            _ => {}
        }
    }

    /// Not if the disk is lost, which the peer has not heard yet: it would pass for the bitmap of an exchange that is to come.
    fn takes_bitmap(&self) -> bool {
        self.state.disk >= DiskState::Negotiating
    }

    /// A bitmap packet whose payload is about to be received. `Err` ends the connection: it is not of the size that it has
    /// to be here. Receiver.
    pub fn bitmap_packet_comes(&mut self, command: Command, len: usize) -> Result<(), End> {
        let dialect = self.peer.dialect;
        let misfit = self.out_of_step("a piece of bitmap of the wrong size");
        let Some(disk) = self.disk.as_ref().filter(|_| self.takes_bitmap()) else {
            return Ok(());
        };
        let bits = disk.bitmap.n_bits();
        self.exchange
            .receiver
            .get_or_insert_with(|| BitmapReceiver::new(dialect, bits))
            .check(command, len)
            .map_err(|_| misfit)
    }

    /// A packet of the peer's bitmap. `Err` ends the connection. Receiver.
    pub fn bitmap_packet(
        &mut self,
        command: Command,
        body: &[u8],
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), End> {
        let misplaced = End::protocol("a bitmap that was not looked at");
        let malformed = self.out_of_step("a malformed bitmap");
        if !self.takes_bitmap() {
            return Ok(());
        }
        let Some(disk) = self.disk.as_mut() else {
            return Ok(());
        };
        let slot = disk.bm_slot;
        let receiver = self.exchange.receiver.as_mut().ok_or(misplaced)?;
        let mut sink = Slot::<M>(&mut disk.bitmap, slot);
        match receiver
            .receive(command, body, &mut sink)
            .map_err(|_| malformed)?
        {
            Progress::More => Ok(()),
            Progress::Done => {
                self.exchange.receiver = None;
                self.bitmap_received(link, now_ms)
            }
        }
    }

    fn bitmap_received(&mut self, link: &mut dyn Link, now_ms: u64) -> Result<(), End> {
        self.exchange.received = true;
        match self.conn() {
            Conn::WfBitMapT => {
                self.send_bitmap(link);
                Ok(())
            }
            // See `become_bitmap_target`.
            Conn::WfReportParams | Conn::Connected => Ok(()),
            Conn::WfBitMapS => {
                if self.exchange.sent {
                    self.start_resync(Side::Source, link, now_ms);
                }
                Ok(())
            }
            // Of a disk that was attached, lost and attached again faster than the peer heard of it, this is the second one:
            // its bits count too.
            Conn::WfSyncUuid => {
                self.exchange.received = false;
                Ok(())
            }
            _ => Err(End::protocol("a bitmap that nobody waits for")),
        }
    }

    /// P_OUT_OF_SYNC: the peer wrote without us.
    pub fn peer_out_of_sync(&mut self, sector: u64, len_sectors: u32) -> Result<(), End> {
        let end = sector.saturating_add(u64::from(len_sectors));
        if len_sectors == 0 || end > self.capacity_sectors {
            return Err(End::protocol("P_OUT_OF_SYNC outside of the device"));
        }
        self.set_out_of_sync(sector, len_sectors);
        self.overtake_resync(sector, len_sectors);
        self.doubt_checksum(sector, len_sectors);
        self.todo(Todo::NOTIFY);
        Ok(())
    }
}
