// SPDX-License-Identifier: GPL-2.0-or-later
//! How much a resync or an online verify asks for at once, and how fast.
//!
//! A self-clocked window replaces the stock driver's 100 ms timer: every answered block makes room
//! for the next request. The window begins at c-fill-target, grows within c-plan-ahead to its
//! bound while answers come in, and that bound is half of max-buffers (a hard limit at the peer
//! could deadlock two congested nodes) or, without a fill target, what arrives in c-delay-target.
//! The rate is kept by a bucket: c-max-rate is the ceiling, resync-rate with c-plan-ahead 0;
//! c-min-rate is what remains while applications use the disk (design section 8.17).
//!
//! A source slows down by itself, too, since its applications are what the target does not see.

use super::{Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{Kind, List, OpId},
    },
    meta::SECTORS_PER_BIT,
    state::Role,
};

/// Interval at which the bucket is filled, and of retries.
pub(super) const TICK_MS: u64 = 100;
/// What may be in flight at first, sectors.
const WINDOW_SECTORS_MIN: u64 = 256;
/// What others may do on the disk in a tick before they count as somebody, sectors.
const BUSY_SECTORS: u64 = 64;
/// The bucket holds what the rate gives in this time, or in the last tick if that took longer.
const BURST_MS: u64 = 3 * TICK_MS;
const BURST_MS_MAX: u64 = 1000;
/// The bucket counts in these parts of a sector: KiB/s times ms times 2.
const PARTS: u64 = 1000;

/// Window and rate of a resync or verify.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Sectors asked for and not answered.
    pub(super) in_flight_sectors: u64,
    /// How many may be.
    window_sectors: u64,
    /// What may still be asked for, in parts of a sector; less than nothing after a large block.
    bucket: i64,
    /// c-min-rate counts: somebody else uses the disk.
    slow: bool,
    tick_ms: u64,
    /// What others had done on the disk at the last tick, sectors.
    others_mark: u64,
    /// Sectors that were answered since the last tick.
    answered: u64,
    progress: bool,
    /// As the source: reads that wait, oldest first.
    held: List,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            in_flight_sectors: 0,
            window_sectors: 0,
            bucket: 0,
            slow: false,
            tick_ms: 0,
            others_mark: 0,
            answered: 0,
            progress: false,
            held: List::new(),
        }
    }
}

impl Pace {
    /// The pace of what begins now. Requests from before may not have been turned away yet.
    pub(super) fn begun(&self, fill_target: u32, now_ms: u64) -> Pace {
        Pace {
            in_flight_sectors: self.in_flight_sectors,
            window_sectors: u64::from(fill_target).max(WINDOW_SECTORS_MIN),
            tick_ms: now_ms.saturating_sub(TICK_MS),
            others_mark: self.others_mark,
            held: self.held,
            ..Pace::default()
        }
    }

    pub(super) fn note_progress(&mut self) {
        self.progress = true;
    }

    /// Sectors that window and rate allow.
    pub(super) fn budget_sectors(&self) -> u64 {
        let room = self.window_sectors.saturating_sub(self.in_flight_sectors);
        room.min(u64::try_from(self.bucket).unwrap_or(0) / PARTS)
    }

    /// No hurry: nothing more in this tick.
    pub(super) fn rest(&mut self) {
        self.bucket = 0;
    }

    /// Fills the bucket by what `rate_kib` gives in `elapsed_ms`. Whatever the rate, a block gets
    /// through some time.
    fn fill(&mut self, rate_kib: u32, elapsed_ms: u64) {
        let per_ms = u64::from(rate_kib).saturating_mul(2);
        let block = SECTORS_PER_BIT.saturating_mul(PARTS);
        let burst_ms = elapsed_ms.clamp(BURST_MS, BURST_MS_MAX);
        let most = per_ms.saturating_mul(burst_ms).max(block);
        let more = per_ms.saturating_mul(elapsed_ms);
        let [most, more] = [most, more].map(|parts| i64::try_from(parts).unwrap_or(i64::MAX));
        self.bucket = self.bucket.saturating_add(more).min(most);
    }

    fn take(&mut self, sectors: u64) {
        let parts = i64::try_from(sectors.saturating_mul(PARTS)).unwrap_or(i64::MAX);
        self.bucket = self.bucket.saturating_sub(parts);
    }
}

impl<M: Mem> Volume<M> {
    /// Looks at the clock: fills the bucket, and judges the window.
    pub(super) fn refill_tokens(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.resync.pace.tick_ms);
        if elapsed_ms < TICK_MS {
            return;
        }
        let others = self.disk_use_of_others();
        let used = others.saturating_sub(self.resync.pace.others_mark);
        let busy = used.saturating_mul(TICK_MS) > BUSY_SECTORS.saturating_mul(elapsed_ms);
        let limit = self.window_limit(elapsed_ms);
        let options = &self.peer.options;
        let steps = u64::from(options.c_plan_ahead_ds).max(1);
        let slow = busy && options.c_min_rate_kib != 0;
        let ceiling_kib = match (options.c_plan_ahead_ds, options.c_max_rate_kib) {
            (0, _) => options.resync_rate_kib,
            (_, 0) => u32::MAX,
            (_, rate_kib) => rate_kib,
        };
        let rate_kib = if slow {
            ceiling_kib.min(options.c_min_rate_kib)
        } else {
            ceiling_kib
        };
        let pace = &mut self.resync.pace;
        pace.tick_ms = now_ms;
        pace.others_mark = others;
        pace.slow = slow;
        pace.fill(rate_kib, elapsed_ms);
        pace.answered = 0;
        if core::mem::take(&mut pace.progress) {
            let wider = pace.window_sectors.saturating_add(limit.div_ceil(steps));
            pace.window_sectors = wider;
        }
        pace.window_sectors = pace.window_sectors.min(limit);
    }

    /// Sectors that were read and written, but not for a resync or verify.
    fn disk_use_of_others(&self) -> u64 {
        let counters = &self.counters;
        counters
            .read_sectors
            .saturating_add(counters.written_sectors)
            .saturating_sub(counters.background_sectors)
    }

    /// Largest window, sectors.
    fn window_limit(&self, elapsed_ms: u64) -> u64 {
        let options = &self.peer.options;
        let buffers = u64::from(options.max_buffers_pages / 2).saturating_mul(SECTORS_PER_BIT);
        let fixed = options.c_plan_ahead_ds == 0 || options.c_fill_target_sectors != 0;
        let wanted = if fixed {
            buffers
        } else {
            let target_ms = u64::from(options.c_delay_target_ds).saturating_mul(100);
            let answered = self.resync.pace.answered;
            let delay = answered.saturating_mul(target_ms).checked_div(elapsed_ms);
            delay.unwrap_or(buffers).min(buffers)
        };
        wanted.max(WINDOW_SECTORS_MIN)
    }

    /// Whether window and rate allow `sectors` more.
    pub(super) fn has_budget(&self, sectors: u64) -> bool {
        self.resync.pace.budget_sectors() >= sectors
    }

    /// `sectors` more are asked for.
    pub(super) fn spend_budget(&mut self, sectors: u64) {
        let pace = &mut self.resync.pace;
        pace.in_flight_sectors = pace.in_flight_sectors.saturating_add(sectors);
        pace.take(sectors);
    }

    /// What was asked for is done with.
    pub(super) fn settle_budget(&mut self, len_sectors: u32) {
        let sectors = u64::from(len_sectors);
        let pace = &mut self.resync.pace;
        pace.in_flight_sectors = pace.in_flight_sectors.saturating_sub(sectors);
        pace.answered = pace.answered.saturating_add(sectors);
        pace.note_progress();
    }

    /// As the source: whether the read of a block for the target has to wait because somebody else
    /// needs the disk. It is not among the ranges yet: no write waits behind it.
    pub(super) fn holds_read_back(&mut self, op: OpId, now_ms: u64) -> bool {
        if !matches!(self.ops.at(op).kind, Kind::RsRead | Kind::OvPeer) {
            return false;
        }
        self.refill_tokens(now_ms);
        if self.resync.pace.held.is_empty() && self.takes_read(op) {
            return false;
        }
        self.ops.push_back(&mut self.resync.pace.held, op);
        self.todo(Todo::RESYNC);
        true
    }

    /// Whether the pace allows to read the block of `op` now; it is counted then.
    fn takes_read(&mut self, op: OpId) -> bool {
        let sectors = u64::from(self.ops.at(op).len_sectors);
        // Who is not slowed down is paced by the target; a Primary that is the target goes first.
        if !self.resync.pace.slow || self.state.peer == Role::Primary {
            return true;
        }
        let pace = &mut self.resync.pace;
        if pace.bucket <= 0 {
            return false;
        }
        // A large block leaves a debt.
        pace.take(sectors);
        true
    }

    /// Reads that were held back begin, as many as the pace allows; when to look again. Task
    /// context.
    pub(super) fn begin_held_reads(&mut self, link: &mut dyn Link, now_ms: u64) -> Option<u64> {
        if self.resync.pace.held.is_empty() {
            return None;
        }
        self.refill_tokens(now_ms);
        while !self.resync.pace.held.is_empty() && self.takes_read(self.resync.pace.held.head) {
            if let Some(op) = self.ops.pop_front(&mut self.resync.pace.held) {
                self.enter_ranges(op, link, now_ms);
            }
        }
        (!self.resync.pace.held.is_empty()).then_some(now_ms.saturating_add(TICK_MS))
    }

    /// The connection is gone: nobody needs them any more.
    pub(super) fn drop_held_reads(&mut self) {
        while let Some(op) = self.ops.pop_front(&mut self.resync.pace.held) {
            self.release(op);
        }
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
