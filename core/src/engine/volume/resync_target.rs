// SPDX-License-Identifier: GPL-2.0-or-later
//! The target's side of a resync: which blocks to ask for, how many at once, and the end.
//!
//! A self-clocked window replaces the stock driver's 100 ms timer: every answered block makes room
//! for the next request. The window begins at c-fill-target, grows while answers come in, and is
//! bounded by half of max-buffers (wire: a hard limit could deadlock two congested nodes).
//! c-max-rate (or resync-rate with c-plan-ahead 0) is a ceiling kept by a token bucket, c-min-rate
//! the rate that remains while applications use the disk (design section 8.17).

use super::{checksum::CHECKSUM_BLOCKS_MAX, Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Action, Kind, OpId},
        send_queue::SendItem,
    },
    meta::SECTORS_PER_BIT,
    state::Conn,
    wire::{
        block::{BlockAck, BlockId},
        command::Command,
    },
};

/// Largest request, in blocks of 4 KiB (1 MiB).
const REQUEST_BLOCKS_MAX: u64 = 256;
/// Interval of the rate limit, and of retries.
pub(super) const TICK_MS: u64 = 100;
/// Answers are awaited while the peer is asked for no more than this, at first (sectors).
const WINDOW_SECTORS_MIN: u64 = 256;

/// How far the bitmap that a resync to here works on has come to the disk.
///
/// The source forgets a block as soon as we acknowledged it, and that is before it is flushed. If
/// the power goes, our own bitmap has to know of the block: so it is durable before the first
/// request, and no bit leaves the disk before the data is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Pages {
    /// Being written.
    #[default]
    Writing,
    /// Written; durable with this version of the superblock.
    Flushing(u64),
    /// There.
    Durable,
}

/// A resync under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resync {
    /// Next bit to look at.
    cursor: u64,
    /// Bits when it began.
    pub(crate) total_bits: u64,
    /// Bits that could not be synchronised.
    pub(crate) failed_bits: u64,
    /// As the source: sectors sent and not acknowledged.
    pub(crate) unacked_sectors: u64,
    /// Sectors asked for and not answered.
    in_flight_sectors: u64,
    /// How many may be.
    window_sectors: u64,
    /// Sectors that may still be asked for in this tick.
    tokens: u64,
    tick_ms: u64,
    /// Application sectors written and read at the last tick.
    app_mark: u64,
    /// Whether the merged bitmap is on the own disk.
    pages: Pages,
    /// As the source: the target asked for blocks.
    pub(crate) target_seen: bool,
    /// The ping after which it is over.
    pub(crate) finish_ping: Option<u32>,
    pub(crate) started_ms: u64,
    progress: bool,
    /// As the target: blocks are asked for by their digests.
    pub(super) checksums: bool,
    /// Sectors whose digests were equal.
    pub(super) same_sectors: u64,
}

impl Resync {
    pub(crate) fn begin(&mut self, total_bits: u64, fill_target: u32, now_ms: u64) {
        *self = Resync {
            total_bits,
            // Behind: requests from before may not have been turned away yet.
            in_flight_sectors: self.in_flight_sectors,
            window_sectors: u64::from(fill_target).max(WINDOW_SECTORS_MIN),
            tick_ms: now_ms.saturating_sub(TICK_MS),
            started_ms: now_ms,
            ..Resync::default()
        };
    }

    pub(crate) fn note_progress(&mut self) {
        self.progress = true;
    }

    /// The digests of a block were equal.
    pub(super) fn note_same(&mut self, len_sectors: u32) {
        self.same_sectors = self.same_sectors.saturating_add(u64::from(len_sectors));
    }

    pub(crate) fn in_flight_sectors(&self) -> u64 {
        self.in_flight_sectors
    }
}

/// What becomes of resync data that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyFate {
    /// It belongs to this operation: put the payload into the host's table, then call
    /// [`Volume::resync_data`].
    Take(OpId),
    /// There is no disk any more: drop it. The answer is on its way.
    Drop,
    /// Nobody asked for it: end the connection.
    Unexpected,
}

impl<M: Mem> Volume<M> {
    /// Sends as many resync requests as window and rate allow. Task context; the result is when
    /// to call again at the latest.
    pub fn resync_work(&mut self, link: &mut dyn Link, now_ms: u64) -> Option<u64> {
        self.finish_source_when_clean(link);
        if self.conn() == Conn::Ahead {
            return self.ahead_work(link, now_ms);
        }
        if let Some(until_ms) = self.awaits_generation {
            if now_ms < until_ms {
                return Some(until_ms);
            }
            self.awaits_generation = None;
            self.unpark();
            self.todo(Todo::WAKE);
        }
        if self.conn() == Conn::VerifyS {
            return self.verify_work(link, now_ms);
        }
        if self.conn() != Conn::SyncTarget || self.state.resync_held() || !self.bitmap_is_durable()
        {
            return None;
        }
        self.refill_tokens(now_ms);
        while let Some((bit, blocks)) = self.next_request() {
            let sector = bit.saturating_mul(SECTORS_PER_BIT);
            let sectors = blocks
                .saturating_mul(SECTORS_PER_BIT)
                .min(self.capacity_sectors.saturating_sub(sector));
            let len_sectors = u32::try_from(sectors).unwrap_or(0);
            if len_sectors == 0
                || !self
                    .ranges
                    .is_free(&self.ops, Kind::RsTarget, sector, len_sectors)
                || !self.request_block(sector, len_sectors, link, now_ms)
            {
                // In use just now: this block comes with the next round.
                break;
            }
            self.resync.cursor = bit.saturating_add(blocks);
        }
        self.maybe_finish(link);
        Some(now_ms.saturating_add(TICK_MS))
    }

    /// Whether requests may be made. The metadata thread asks for the next look by
    /// [`Todo::RESYNC`].
    fn bitmap_is_durable(&mut self) -> bool {
        match self.resync.pages {
            Pages::Writing => {
                if let Some(disk) = self.disk.as_mut().filter(|disk| disk.writeout.is_none()) {
                    disk.touch();
                    self.resync.pages = Pages::Flushing(disk.version);
                    self.todo(Todo::METADATA);
                }
                false
            }
            Pages::Flushing(version) => {
                let durable = self.md_is_durable(version);
                if durable {
                    self.resync.pages = Pages::Durable;
                }
                durable
            }
            Pages::Durable => true,
        }
    }

    pub(super) fn refill_tokens(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.resync.tick_ms);
        if elapsed_ms < TICK_MS {
            return;
        }
        self.resync.tick_ms = now_ms;
        let options = &self.peer.options;
        let ceiling_kib = if options.c_plan_ahead_ds == 0 {
            options.resync_rate_kib
        } else if options.c_max_rate_kib == 0 {
            u32::MAX
        } else {
            options.c_max_rate_kib
        };
        let app = self.counters.app_sectors;
        let app_busy = app.saturating_sub(self.resync.app_mark) > 64;
        self.resync.app_mark = app;
        let rate_kib = if app_busy && options.c_min_rate_kib != 0 {
            ceiling_kib.min(options.c_min_rate_kib.max(4))
        } else {
            ceiling_kib
        };
        // KiB/s over the elapsed time, in sectors; at most one second's worth is saved up.
        let sectors = u64::from(rate_kib)
            .saturating_mul(2)
            .saturating_mul(elapsed_ms.min(1000))
            / 1000;
        let smallest = SECTORS_PER_BIT;
        self.resync.tokens = sectors.max(smallest);
        // Answers came in and the window was in use: widen it.
        if core::mem::take(&mut self.resync.progress) {
            let limit = self.window_limit();
            let wider = self.resync.window_sectors.saturating_mul(2);
            self.resync.window_sectors = wider.min(limit);
        }
    }

    /// Half of max-buffers, sectors.
    fn window_limit(&self) -> u64 {
        u64::from(self.peer.options.max_buffers_pages / 2)
            .saturating_mul(SECTORS_PER_BIT)
            .max(WINDOW_SECTORS_MIN)
    }

    /// Whether window and rate allow `sectors` more.
    pub(super) fn has_budget(&self, sectors: u64) -> bool {
        let resync = &self.resync;
        let after = resync.in_flight_sectors.saturating_add(sectors);
        after <= resync.window_sectors && resync.tokens >= sectors
    }

    /// `sectors` more are asked for.
    pub(super) fn spend_budget(&mut self, sectors: u64) {
        let resync = &mut self.resync;
        resync.in_flight_sectors = resync.in_flight_sectors.saturating_add(sectors);
        resync.tokens = resync.tokens.saturating_sub(sectors);
    }

    /// What was asked for is done with.
    pub(super) fn settle_budget(&mut self, len_sectors: u32) {
        let resync = &mut self.resync;
        let sectors = u64::from(len_sectors);
        resync.in_flight_sectors = resync.in_flight_sectors.saturating_sub(sectors);
        resync.note_progress();
    }

    /// The next dirty run: naturally aligned, a power of two of blocks, within the budget.
    fn next_request(&mut self) -> Option<(u64, u64)> {
        let disk = self.disk.as_ref()?;
        let room = self
            .resync
            .window_sectors
            .saturating_sub(self.resync.in_flight_sectors);
        let budget_blocks = room.min(self.resync.tokens) / SECTORS_PER_BIT;
        if budget_blocks == 0 {
            return None;
        }
        let most = if self.resync.checksums {
            CHECKSUM_BLOCKS_MAX
        } else {
            REQUEST_BLOCKS_MAX
        };
        let end = disk.bitmap.n_bits();
        let bit = match disk
            .bitmap
            .find_next_set(disk.bm_slot, self.resync.cursor..end)
        {
            Some(bit) => bit,
            None => {
                self.resync.cursor = end;
                return None;
            }
        };
        let run_end = disk
            .bitmap
            .find_next_clear(disk.bm_slot, bit..end.min(bit.saturating_add(most)))
            .unwrap_or(end.min(bit.saturating_add(most)));
        let run = run_end.saturating_sub(bit).max(1);
        let limit = run.min(budget_blocks).min(most);
        let mut blocks = 1u64;
        while blocks.saturating_mul(2) <= limit
            && bit & blocks.saturating_mul(2).saturating_sub(1) == 0
        {
            blocks = blocks.saturating_mul(2);
        }
        Some((bit, blocks))
    }

    pub(super) fn request_block(
        &mut self,
        sector: u64,
        len_sectors: u32,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> bool {
        let Some(op) = self.ops.alloc(Kind::RsTarget) else {
            return false;
        };
        let at = self.ops.at_mut(op);
        at.sector = sector;
        at.len_sectors = len_sectors;
        at.block_id = BlockId::SYNCER.0;
        at.start_ms = now_ms;
        let _ = self.ranges.insert(&mut self.ops, op);
        self.spend_budget(u64::from(len_sectors));
        if self.resync.checksums {
            self.ops.at_mut(op).set(flag::CHECKSUM);
            self.queue_submit(op);
            return true;
        }
        let volume = self.number;
        if !link.send(SendItem::RsRequest { volume, op }) {
            self.resync_forget(op);
            return false;
        }
        self.await_peer(op, flag::NET_QUEUED);
        true
    }

    /// P_RS_DATA_REPLY or P_RS_DEALLOCATED for `sector`, before its payload is received.
    pub fn resync_reply(
        &mut self,
        sector: u64,
        len_sectors: u32,
        link: &mut dyn Link,
    ) -> ReplyFate {
        let Some(op) = self.ranges.find(&self.ops, Kind::RsTarget, sector) else {
            // Asked for in a resync that was given up meanwhile.
            return ReplyFate::Drop;
        };
        let at = self.ops.at(op);
        if at.any(flag::CHECKSUM) && !at.any(flag::NET_PENDING) {
            return ReplyFate::Drop; // nor yet asked for in this one
        }
        if at.len_sectors != len_sectors || at.any(flag::RS_WRITING) {
            return ReplyFate::Unexpected;
        }
        if !self.has_disk() {
            self.acknowledge(Command::NegAck, self.ack_of(op), link);
            self.resync_forget(op);
            return ReplyFate::Drop;
        }
        ReplyFate::Take(op)
    }

    /// The payload of `op` is in the host's table (or, with `zeroes`, there is none): write it.
    pub fn resync_data(&mut self, op: OpId, zeroes: bool, link: &mut dyn Link, now_ms: u64) {
        if self.ops.at(op).kind != Kind::RsTarget {
            return;
        }
        self.stop_awaiting(op);
        let at = self.ops.at_mut(op);
        // Whatever it was asked for by: it is to be written.
        let asked = flag::CHECKSUM | flag::OUT_OF_SYNC;
        at.clear(asked | flag::LOCAL_COMPLETED | flag::LOCAL_OK);
        at.action = if zeroes {
            Action::Discard
        } else {
            Action::Data
        };
        self.peer.received_sectors = self
            .peer
            .received_sectors
            .saturating_add(u64::from(self.ops.at(op).len_sectors));
        if self.ranges.data_arrived(&mut self.ops, op) {
            self.launch_rs_write(op, link);
        } else {
            self.ops.at_mut(op).set(flag::WAIT_RANGE);
        }
        let _ = now_ms;
    }

    pub(super) fn launch_rs_write(&mut self, op: OpId, link: &mut dyn Link) {
        self.ops.at_mut(op).set(flag::LAUNCHED);
        if self.has_disk() {
            self.queue_submit(op);
        } else {
            self.rs_write_done(op, false, link);
        }
    }

    /// A resync block is on the disk, or failed. Any context.
    pub(super) fn rs_write_done(&mut self, op: OpId, ok: bool, link: &mut dyn Link) {
        let at = *self.ops.at(op);
        if !at.any(flag::ORPHAN) {
            let ack = self.ack_of(op);
            if at.any(flag::OUT_OF_SYNC) {
                // See `overtake_resync`: refused, so that the source keeps its bits.
                self.acknowledge(Command::NegAck, ack, link);
            } else if ok {
                let sectors = u64::from(at.len_sectors);
                self.counters.resynced_sectors =
                    self.counters.resynced_sectors.saturating_add(sectors);
                let _ = self.set_in_sync(at.sector, at.len_sectors);
                self.acknowledge(Command::RsWriteAck, ack, link);
            } else {
                self.resync_refused(at.len_sectors);
                self.acknowledge(Command::NegAck, ack, link);
            }
        }
        self.resync_forget(op);
    }

    /// P_NEG_RS_DREPLY (`failed`) or P_RS_CANCEL for a block that was asked for.
    pub fn resync_not_served(&mut self, ack: BlockAck, failed: bool) {
        if self.verify_not_served(ack.sector) {
            return;
        }
        let Some(op) = self.ranges.find(&self.ops, Kind::RsTarget, ack.sector) else {
            return; // asked for in a resync that was given up meanwhile
        };
        let at = self.ops.at(op);
        if at.any(flag::RS_WRITING) || at.any(flag::CHECKSUM) && !at.any(flag::NET_PENDING) {
            return;
        }
        if failed {
            self.resync_refused(self.ops.at(op).len_sectors);
        } else {
            // The source is about to leave this node behind: no need to hurry.
            self.resync.tokens = 0;
        }
        self.resync_forget(op);
    }

    pub(super) fn resync_forget(&mut self, op: OpId) {
        self.stop_awaiting(op);
        let sectors = u64::from(self.ops.at(op).len_sectors);
        self.resync.in_flight_sectors = self.resync.in_flight_sectors.saturating_sub(sectors);
        self.resync.note_progress();
        self.release(op);
        self.todo(Todo::RESYNC);
    }

    /// Drops requests that nobody will answer any more; those being written end by themselves.
    pub(super) fn cancel_resync_requests(&mut self) {
        for op in 0..self.ops.capacity() {
            let at = *self.ops.at(op);
            if at.kind != Kind::RsTarget || at.any(flag::RS_WRITING | flag::GONE) {
                continue;
            }
            if at.any(flag::LOCAL_PENDING) {
                // Its digest is not needed any more.
                self.ops.at_mut(op).set(flag::ORPHAN);
                continue;
            }
            self.peer.checksums_stale |= at.any(flag::CHECKSUM);
            self.resync_forget(op);
        }
    }

    /// Ends the resync when nothing is left to do: after a ping, which orders all earlier
    /// acknowledgements (replication-semantics section 7.4).
    fn maybe_finish(&mut self, link: &mut dyn Link) {
        let Some(disk) = self.disk.as_ref() else {
            return;
        };
        let left = disk.out_of_sync_bits();
        if self.resync.in_flight_sectors > 0 || self.resync.finish_ping.is_some() {
            return;
        }
        if left > self.resync.failed_bits {
            // Bits were set behind the cursor, or blocks were in use: another round.
            if self.resync.cursor >= disk.bitmap.n_bits() {
                self.resync.cursor = 0;
            }
            return;
        }
        self.resync.finish_ping = Some(link.ping());
    }
}
