// SPDX-License-Identifier: GPL-2.0-or-later
//! The target's side of a resync: which blocks to ask for, how many at once, and the end.
//!
//! How much is asked for at once, and how fast, is in [`super::pace`].

use super::{
    checksum::CHECKSUM_BLOCKS_MAX,
    pace::{Pace, TICK_MS},
    Todo, Volume,
};
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
    /// As the source: it is the resync of a part by which both grew.
    pub(crate) of_growth: bool,
    /// As the source: sectors sent, or about to be, and not acknowledged.
    pub(crate) unacked_sectors: u64,
    /// How much may be asked for, and how fast.
    pub(super) pace: Pace,
    /// Whether the merged bitmap is on the own disk.
    pages: Pages,
    /// As the source: the target asked for blocks.
    pub(crate) target_seen: bool,
    /// As the source: the target was told not to wait for blocks that it asked for.
    pub(super) turned_away: bool,
    /// The ping after which it is over.
    pub(crate) finish_ping: Option<u32>,
    pub(crate) started_ms: u64,
    /// As the target: the disk turned out not to discard.
    pub(super) no_thin: bool,
    /// As the target: blocks are asked for by their digests.
    pub(super) checksums: bool,
    /// Sectors whose digests were equal.
    pub(super) same_sectors: u64,
}

impl Resync {
    pub(crate) fn begin(&mut self, total_bits: u64, fill_target: u32, now_ms: u64) {
        *self = Resync {
            total_bits,
            pace: self.pace.begun(fill_target, now_ms),
            started_ms: now_ms,
            ..Resync::default()
        };
    }

    pub(crate) fn note_progress(&mut self) {
        self.pace.note_progress();
    }

    /// The digests of a block were equal.
    pub(super) fn note_same(&mut self, len_sectors: u32) {
        self.same_sectors = self.same_sectors.saturating_add(u64::from(len_sectors));
    }

    pub(crate) fn in_flight_sectors(&self) -> u64 {
        self.pace.in_flight_sectors
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
        let held = self.begin_held_reads(link, now_ms);
        let turned_away = self.turned_away_work(link, now_ms);
        if self.conn() == Conn::Ahead {
            return self.ahead_work(link, now_ms);
        }
        if let Some(until_ms) = self.wait_for_generation(now_ms) {
            return Some(until_ms);
        }
        if self.conn() == Conn::VerifyS {
            return self.verify_work(link, now_ms);
        }
        if self.conn() != Conn::SyncTarget || self.state.resync_held() || !self.bitmap_is_durable()
        {
            return held.or(turned_away);
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

    /// The next dirty run: naturally aligned, a power of two of blocks, within the budget.
    fn next_request(&mut self) -> Option<(u64, u64)> {
        let disk = self.disk.as_ref()?;
        let budget_blocks = self.resync.pace.budget_sectors() / SECTORS_PER_BIT;
        if budget_blocks == 0 {
            return None;
        }
        let thin = self.thin_blocks();
        let most = match thin {
            _ if self.resync.checksums => CHECKSUM_BLOCKS_MAX,
            Some(thin) => thin.min(REQUEST_BLOCKS_MAX),
            None => REQUEST_BLOCKS_MAX,
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
        // Less than its granularity the disk does not discard: the last request may exceed the budget.
        let thin = thin.filter(|thin| *thin <= most).unwrap_or(0);
        let budget = budget_blocks.max(thin);
        let limit = run.min(budget).min(most);
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
        if self.thin_blocks() == Some(u64::from(len_sectors) / SECTORS_PER_BIT) {
            self.ops.at_mut(op).set(flag::RS_THIN);
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
        if !zeroes {
            let sectors = u64::from(self.ops.at(op).len_sectors);
            self.peer.received_sectors = self.peer.received_sectors.saturating_add(sectors);
        }
        if self.ranges.data_arrived(&mut self.ops, op) {
            self.launch_rs_write(op, link);
        } else {
            self.wait_in_range(op);
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
        if !ok && at.action == Action::Discard && self.asks_again(op, link) {
            return;
        }
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
            self.resync.pace.rest();
        }
        self.resync_forget(op);
    }

    pub(super) fn resync_forget(&mut self, op: OpId) {
        self.stop_awaiting(op);
        self.settle_budget(self.ops.at(op).len_sectors);
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
        if self.resync.in_flight_sectors() > 0 || self.resync.finish_ping.is_some() {
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
