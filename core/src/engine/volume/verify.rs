// SPDX-License-Identifier: GPL-2.0-or-later
//! Online verify: both nodes read the same block, and their digests are compared.
//!
//! replication-semantics section 7.6, wire-protocol section 9. The node that asks (VerifyS) keeps
//! applications off the block from its request to the comparison, and reads it when the peer's
//! digest is there: what the peer mirrored before it answered is on the disk by then. The peer
//! (VerifyT) keeps applications off it from its read to the result. So a block that only had a
//! write on the way never differs.
//!
//! What does differ can still be a block that an application changed while it was being written,
//! and that it will write again: such a block is asked for once more after a pause, and only the
//! second difference is reported. That needs a peer that does not count each result as a block
//! done; it says so by the block id of its answer, which the stock driver ignores (design
//! section 8.17).
//!
//! Digests are computed by the host; this module sees operations only.

use super::{pace::TICK_MS, DigestFate, Todo, Volume};
use crate::{
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind, List, OpId},
        send_queue::SendItem,
    },
    meta::SECTORS_PER_BIT,
    state::{action::Helper, Conn, State},
    wire::{
        block::{BlockAck, BlockId},
        command::Command,
    },
};

/// Block that is verified at once, sectors: the stock driver counts results, not sectors.
const BLOCK_SECTORS: u64 = SECTORS_PER_BIT;
/// Pause before a block that differed is asked for again.
const AGAIN_MS: u64 = 200;
/// Blocks that wait for that.
const AGAIN_MAX: u32 = 256;
/// Ranges that wait to be reported.
const FINDINGS: usize = 8;

/// In P_OV_REPLY: the block may be asked for again. In P_OV_RESULT: it will be.
const AGAIN: BlockId = BlockId(4713);

/// A range of sectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// First sector.
    pub sector: u64,
    /// Sectors.
    pub sectors: u64,
}

/// What online verify has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// These sectors differ.
    OutOfSync(Range),
    /// More ranges differ than could be kept for the report.
    More,
    /// It is over.
    Ended {
        /// Whether everything was compared that was to be.
        complete: bool,
        /// Blocks of 4 KiB that differ.
        differing_blocks: u64,
        /// Blocks that could not be read at the peer.
        skipped_blocks: u64,
        /// Where it stopped, sectors.
        position: u64,
    },
}

/// Progress of online verify, for status commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VerifyProgress {
    /// First sector.
    pub start_sector: u64,
    /// Where it stops; the end of the device if nothing else was asked for.
    pub stop_sector: u64,
    /// Next sector.
    pub position: u64,
    /// Sectors that are left.
    pub left_sectors: u64,
    /// Sectors that the peer could not read.
    pub skipped_sectors: u64,
}

/// An online verify under way, or the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verify {
    /// What was asked for: first sector, and where to stop.
    wanted: (u64, u64),
    start: u64,
    stop: u64,
    position: u64,
    left_blocks: u64,
    differing: u64,
    skipped: u64,
    /// As the target: the first request told where it begins.
    start_known: bool,
    /// Differing blocks that are asked for again, oldest first.
    again: List,
    again_len: u32,
    run: Range,
    findings: [Range; FINDINGS],
    findings_len: usize,
    more: bool,
    ended: Option<bool>,
}

impl Default for Verify {
    fn default() -> Self {
        Verify {
            wanted: (0, u64::MAX),
            start: 0,
            stop: 0,
            position: 0,
            left_blocks: 0,
            differing: 0,
            skipped: 0,
            start_known: false,
            again: List::new(),
            again_len: 0,
            run: Range::default(),
            findings: [Range::default(); FINDINGS],
            findings_len: 0,
            more: false,
            ended: None,
        }
    }
}

fn verifies(conn: Conn) -> bool {
    matches!(conn, Conn::VerifyS | Conn::VerifyT)
}

impl<M: Mem> Volume<M> {
    /// Sets what the next verify from here compares, or where the one under way stops.
    ///
    /// `start` is a sector, rounded down to a block; `None` goes on where the last one stopped.
    /// `stop` is the first sector that is not compared; `None` the end of the device. False when
    /// the peer's protocol does not know of stopping.
    pub fn prepare_verify(&mut self, start: Option<u64>, stop: Option<u64>) -> bool {
        if stop.is_some() && !self.peer.dialect.has_verify_stop_sector() {
            return false;
        }
        if self.conn() == Conn::VerifyS {
            self.verify.stop = stop.unwrap_or(u64::MAX).min(self.capacity_sectors);
            self.todo(Todo::RESYNC.with(Todo::NOTIFY));
            return true;
        }
        let last = &self.verify;
        let goes_on = if last.position < self.capacity_sectors {
            last.position
        } else {
            0
        };
        let start = start.unwrap_or(goes_on);
        let start = start.saturating_sub(start % BLOCK_SECTORS);
        self.verify.wanted = (start, stop.unwrap_or(u64::MAX));
        true
    }

    fn blocks_from(&self, sector: u64) -> u64 {
        self.capacity_sectors
            .saturating_sub(sector)
            .div_ceil(BLOCK_SECTORS)
    }

    /// The state became VerifyS or VerifyT.
    pub(super) fn verify_begins(&mut self, now_ms: u64) {
        let again = self.verify.again;
        let (start, stop) = match self.conn() {
            Conn::VerifyS => self.verify.wanted,
            _ => (0, u64::MAX),
        };
        let end = self.capacity_sectors;
        let start = if start < end { start } else { 0 };
        self.verify = Verify {
            again,
            again_len: self.verify.again_len,
            start,
            stop: stop.min(end),
            position: start,
            left_blocks: self.blocks_from(start),
            ..Verify::default()
        };
        let fill = self.peer.options.c_fill_target_sectors;
        self.resync.begin(self.verify.left_blocks, fill, now_ms);
        self.todo(Todo::RESYNC);
    }

    /// The state left VerifyS or VerifyT, for whatever reason.
    pub(super) fn verify_ends(&mut self, old: State) {
        self.end_run();
        let waits = self.resync.in_flight_sectors() > 0 || self.verify.again_len > 0;
        let all = self.verify.position >= self.verify.stop && !waits;
        // A stop sector is known to the node that asks only.
        let complete =
            self.conn() == Conn::Connected && self.has_disk() && (old.conn == Conn::VerifyT || all);
        self.verify.ended = Some(complete);
        if complete && self.verify.differing > 0 {
            self.want_helper(Helper::OutOfSync);
        }
        self.drop_repeats();
        self.todo(Todo::FINDING);
    }

    /// Asks for as many blocks as window and rate allow; the result is when to call again.
    pub(super) fn verify_work(&mut self, link: &mut dyn Link, now_ms: u64) -> Option<u64> {
        self.refill_tokens(now_ms);
        self.ask_again(link, now_ms);
        while self.verify.position < self.verify.stop
            && self.verify.again_len < AGAIN_MAX
            && self.has_budget(BLOCK_SECTORS)
        {
            let sector = self.verify.position;
            let left = self.capacity_sectors.saturating_sub(sector);
            let len_sectors = u32::try_from(left.min(BLOCK_SECTORS)).unwrap_or(0);
            let Some(op) = self.ops.alloc(Kind::OvOwn) else {
                break;
            };
            let at = self.ops.at_mut(op);
            at.sector = sector;
            at.len_sectors = len_sectors;
            self.verify.position = sector.saturating_add(u64::from(len_sectors));
            self.ask(op, link, now_ms);
        }
        if self.verify.position >= self.verify.stop
            && self.resync.in_flight_sectors() == 0
            && self.verify.again_len == 0
        {
            self.hard(link, now_ms, |state| state.conn = Conn::Connected);
            return None;
        }
        Some(now_ms.saturating_add(TICK_MS))
    }

    fn ask(&mut self, op: OpId, link: &mut dyn Link, now_ms: u64) {
        self.spend_budget(u64::from(self.ops.at(op).len_sectors));
        self.ops.at_mut(op).start_ms = now_ms;
        self.enter_ranges(op, link, now_ms);
    }

    /// Blocks that differed some time ago are asked for once more.
    fn ask_again(&mut self, link: &mut dyn Link, now_ms: u64) {
        while self.has_budget(BLOCK_SECTORS) {
            let op = self.verify.again.head;
            let due = self.ops.at(op).start_ms.saturating_add(AGAIN_MS);
            if self.verify.again.is_empty() || now_ms < due {
                return;
            }
            let _ = self.ops.pop_front(&mut self.verify.again);
            self.verify.again_len = self.verify.again_len.saturating_sub(1);
            self.ask(op, link, now_ms);
        }
    }

    /// Nothing holds the block back: ask the peer, or, when its digest is there, read.
    pub(super) fn launch_verify(&mut self, op: OpId, link: &mut dyn Link) {
        let at = self.ops.at_mut(op);
        at.set(flag::LAUNCHED);
        if !at.any(flag::RS_WRITING) {
            let volume = self.number;
            let asked =
                self.conn() == Conn::VerifyS && link.send(SendItem::RsRequest { volume, op });
            if asked {
                let at = self.ops.at_mut(op);
                at.set(flag::NET_PENDING | flag::NET_QUEUED);
            } else {
                self.verify_forget(op);
            }
        } else if self.has_disk() {
            self.queue_submit(op);
        } else {
            self.verify_result(op, BlockId::IN_SYNC, link);
        }
    }

    /// P_OV_REPLY for `sector`.
    pub fn verify_reply(
        &mut self,
        sector: u64,
        len_sectors: u32,
        block_id: BlockId,
        link: &mut dyn Link,
    ) -> DigestFate {
        let Some(op) = self.ranges.find(&self.ops, Kind::OvOwn, sector) else {
            return DigestFate::Unexpected;
        };
        let at = self.ops.at_mut(op);
        if at.len_sectors != len_sectors || !at.any(flag::NET_PENDING) {
            return DigestFate::Unexpected;
        }
        at.clear(flag::NET_PENDING);
        at.block_id = block_id.0;
        if !self.has_disk() {
            self.verify_result(op, BlockId::IN_SYNC, link);
            return DigestFate::Drop;
        }
        DigestFate::Take(op)
    }

    /// Digest and payload of `op` are in the host's table: read the block.
    pub fn verify_read(&mut self, op: OpId, link: &mut dyn Link) {
        if self.ops.at(op).kind != Kind::OvOwn {
            return;
        }
        if self.ranges.data_arrived(&mut self.ops, op) {
            self.launch_verify(op, link);
        } else {
            self.wait_in_range(op);
        }
    }

    /// The host compared the halves of `op`.
    pub(super) fn verify_compared(
        &mut self,
        op: OpId,
        equal: bool,
        link: &mut dyn Link,
        now_ms: u64,
    ) {
        let at = *self.ops.at(op);
        if at.any(flag::ORPHAN) {
            self.verify_forget(op);
            return;
        }
        if equal {
            self.verify_result(op, BlockId::IN_SYNC, link);
            return;
        }
        let patient = at.block_id == AGAIN.0 && !at.any(flag::RETRY);
        if patient && self.conn() != Conn::VerifyS {
            // It was given up: what is not sure is not said.
            self.acknowledge(Command::OvResult, self.result_of(op, AGAIN), link);
            self.verify_forget(op);
            return;
        }
        if !patient {
            self.note_differing(at.sector, at.len_sectors);
            self.verify_result(op, BlockId::OUT_OF_SYNC, link);
            return;
        }
        self.acknowledge(Command::OvResult, self.result_of(op, AGAIN), link);
        self.leave_ranges(op);
        self.settle_budget(at.len_sectors);
        let at = self.ops.at_mut(op);
        at.clear(!0);
        at.set(flag::RETRY);
        at.start_ms = now_ms;
        self.ops.push_back(&mut self.verify.again, op);
        self.verify.again_len = self.verify.again_len.saturating_add(1);
        self.todo(Todo::RESYNC);
    }

    fn result_of(&self, op: OpId, block_id: BlockId) -> BlockAck {
        BlockAck {
            block_id,
            ..self.ack_of(op)
        }
    }

    fn verify_result(&mut self, op: OpId, result: BlockId, link: &mut dyn Link) {
        self.acknowledge(Command::OvResult, self.result_of(op, result), link);
        self.verify.left_blocks = self.verify.left_blocks.saturating_sub(1);
        self.verify_forget(op);
    }

    fn verify_forget(&mut self, op: OpId) {
        self.settle_budget(self.ops.at(op).len_sectors);
        self.release(op);
        self.todo(Todo::RESYNC);
    }

    /// P_NEG_RS_DREPLY for a block that is verified; false if it is none.
    pub(super) fn verify_not_served(&mut self, sector: u64) -> bool {
        let Some(op) = self.ranges.find(&self.ops, Kind::OvOwn, sector) else {
            return false;
        };
        if self.ops.at(op).any(flag::NET_PENDING) {
            self.verify.left_blocks = self.verify.left_blocks.saturating_sub(1);
            self.verify.skipped = self.verify.skipped.saturating_add(1);
            self.verify_forget(op);
        }
        true
    }

    /// P_OV_REQUEST: the first one tells where the verify begins.
    pub(super) fn verify_asked(&mut self, sector: u64) {
        if self.conn() != Conn::VerifyT {
            return;
        }
        if !self.verify.start_known {
            self.verify.start_known = true;
            self.verify.start = sector;
            self.verify.left_blocks = self.blocks_from(sector);
            self.resync.total_bits = self.verify.left_blocks;
        }
        let end = sector.saturating_add(BLOCK_SECTORS);
        self.verify.position = self.verify.position.max(end.min(self.capacity_sectors));
    }

    /// The peer's block was read, or could not be; the digest is the host's. Any context.
    pub(super) fn verify_served(&mut self, op: OpId, link: &mut dyn Link) {
        let (volume, at) = (self.number, *self.ops.at(op));
        let sent = !at.any(flag::ORPHAN) && link.send(SendItem::Reply { volume, op });
        if !sent {
            self.release(op);
            return;
        }
        let done = flag::NET_QUEUED | flag::LOCAL_COMPLETED;
        self.ops.at_mut(op).set(done);
        // What the peer mirrors from now on is behind the answer.
        self.wake_waiters(at.sector, at.end());
    }

    /// Block id of the answer to the peer's request.
    pub(super) fn verify_answer_id() -> BlockId {
        AGAIN
    }

    /// P_OV_RESULT: the peer compared a block.
    pub(super) fn verify_result_received(
        &mut self,
        ack: BlockAck,
        link: &mut dyn Link,
        now_ms: u64,
    ) {
        if let Some(op) = self.ranges.find(&self.ops, Kind::OvPeer, ack.sector) {
            // The result may be here before the sender says that the answer went out.
            if self.ops.at(op).any(flag::NET_SENT | flag::NET_QUEUED) {
                self.release(op);
            }
        }
        if ack.block_id == AGAIN {
            return;
        }
        if ack.block_id == BlockId::OUT_OF_SYNC {
            self.note_differing(ack.sector, ack.size / 512);
        }
        if self.conn() != Conn::VerifyT {
            return;
        }
        self.verify.left_blocks = self.verify.left_blocks.saturating_sub(1);
        self.resync.note_progress();
        if self.verify.left_blocks == 0 && self.verify.start_known {
            self.finish_verify_target(link, now_ms);
        }
    }

    /// Everything was compared, or the peer says that it is finished.
    pub(super) fn finish_verify_target(&mut self, link: &mut dyn Link, now_ms: u64) {
        self.hard(link, now_ms, |state| state.conn = Conn::Connected);
    }

    fn note_differing(&mut self, sector: u64, len_sectors: u32) {
        let end = sector.saturating_add(u64::from(len_sectors));
        if len_sectors == 0 || end > self.capacity_sectors {
            return;
        }
        self.set_out_of_sync(sector, len_sectors);
        let verify = &mut self.verify;
        verify.differing = verify.differing.saturating_add(1);
        let run = verify.run;
        if run.sectors > 0 && run.sector.saturating_add(run.sectors) == sector {
            let longer = run.sectors.saturating_add(u64::from(len_sectors));
            self.verify.run.sectors = longer;
            return;
        }
        self.end_run();
        self.verify.run = Range {
            sector,
            sectors: u64::from(len_sectors),
        };
    }

    /// No block follows the range of differing ones.
    fn end_run(&mut self) {
        let run = core::mem::take(&mut self.verify.run);
        if run.sectors == 0 {
            return;
        }
        match self.verify.findings.get_mut(self.verify.findings_len) {
            Some(place) => {
                *place = run;
                self.verify.findings_len = self.verify.findings_len.saturating_add(1);
            }
            None => self.verify.more = true,
        }
        self.todo(Todo::FINDING);
    }

    /// What is to be reported next, after [`Todo::FINDING`].
    pub fn take_finding(&mut self) -> Option<Finding> {
        let verify = &mut self.verify;
        if let Some(last) = verify.findings_len.checked_sub(1) {
            let first = verify.findings.first().copied().unwrap_or_default();
            verify.findings.rotate_left(1);
            verify.findings_len = last;
            return Some(Finding::OutOfSync(first));
        }
        if core::mem::take(&mut verify.more) {
            return Some(Finding::More);
        }
        let complete = verify.ended.take()?;
        Some(Finding::Ended {
            complete,
            differing_blocks: verify.differing,
            skipped_blocks: verify.skipped,
            position: verify.position,
        })
    }

    fn drop_repeats(&mut self) {
        while let Some(op) = self.ops.pop_front(&mut self.verify.again) {
            self.release(op);
        }
        self.verify.again_len = 0;
    }

    /// The connection is gone: nobody answers any more. What the disk or the host has still to
    /// do ends by itself.
    pub(super) fn cancel_verify(&mut self) {
        self.drop_repeats();
        for op in 0..self.ops.capacity() {
            let at = *self.ops.at(op);
            let waits = at.any(flag::WAIT_RANGE);
            let idle = match at.kind {
                Kind::OvOwn => waits || at.any(flag::NET_PENDING),
                Kind::OvPeer => waits || at.any(flag::NET_SENT),
                _ => false,
            };
            if !idle || at.any(flag::GONE) {
                continue;
            }
            self.ops.at_mut(op).clear(flag::WAIT_RANGE);
            match at.kind {
                Kind::OvOwn => self.verify_forget(op),
                _ => self.release(op),
            }
        }
    }

    /// Whether a verify runs, and how far it is.
    pub(super) fn verify_progress(&self) -> VerifyProgress {
        if !verifies(self.conn()) {
            return VerifyProgress::default();
        }
        let verify = &self.verify;
        let skipped_sectors = verify.skipped.saturating_mul(BLOCK_SECTORS);
        let left = verify.left_blocks.saturating_mul(BLOCK_SECTORS);
        let unasked = self.capacity_sectors.saturating_sub(verify.stop);
        VerifyProgress {
            start_sector: verify.start,
            stop_sector: verify.stop,
            position: verify.position,
            left_sectors: left.saturating_sub(unasked),
            skipped_sectors,
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
