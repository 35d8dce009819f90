// SPDX-License-Identifier: GPL-2.0-or-later
//! Which of two good copies serves a read (replication-semantics section 6.6).
//!
//! The peer may serve a read only if it has on its disk what this node's applications may know of:
//! a block that is marked, and one that is being written or was completed before the peer had it
//! on its disk (protocols A and B), is read here.

use super::{ReadFrom, Volume};
use crate::{
    bitmap::bits_outward,
    config::ReadBalancing,
    engine::{
        mem::Mem,
        op::{flag, Kind, Op, OpId, NIL},
    },
    state::Conn,
};

/// Sectors are 2^9 bytes.
const SECTOR_SHIFT: u32 = 9;

impl<M: Mem> Volume<M> {
    /// Where the read `op`, which can be served `from`, is served: by the option read-balancing where
    /// there is a choice.
    pub(super) fn balance(&mut self, op: OpId, from: ReadFrom) -> ReadFrom {
        let Op {
            sector,
            len_sectors,
            ..
        } = *self.ops.at(op);
        let policy = self.read_balancing();
        let choice = from == ReadFrom::Local
            && policy != ReadBalancing::PreferLocal
            && self.peer_has(sector, len_sectors);
        if choice && self.prefers_peer(policy, sector) {
            ReadFrom::Peer
        } else {
            from
        }
    }

    /// Option read-balancing of the disk.
    pub(super) fn read_balancing(&self) -> ReadBalancing {
        self.disk
            .as_ref()
            .map_or(ReadBalancing::PreferLocal, |disk| {
                disk.facts.options.read_balancing
            })
    }

    fn prefers_peer(&mut self, policy: ReadBalancing, sector: u64) -> bool {
        let stripe = |shift: u32| sector >> shift.saturating_sub(SECTOR_SHIFT) & 1 == 1;
        match policy {
            // Kernels of today do not tell whether a device is congested.
            ReadBalancing::PreferLocal | ReadBalancing::WhenCongestedRemote => false,
            ReadBalancing::PreferRemote => true,
            ReadBalancing::RoundRobin => {
                self.peer_turn = !self.peer_turn;
                self.peer_turn
            }
            ReadBalancing::LeastPending => self.counters.lower_pending > self.awaited_answers,
            ReadBalancing::Striping32K => stripe(15),
            ReadBalancing::Striping64K => stripe(16),
            ReadBalancing::Striping128K => stripe(17),
            ReadBalancing::Striping256K => stripe(18),
            ReadBalancing::Striping512K => stripe(19),
            ReadBalancing::Striping1M => stripe(20),
        }
    }

    /// Whether a read of the range at the peer returns what it would here.
    fn peer_has(&self, sector: u64, len_sectors: u32) -> bool {
        let end = sector.saturating_add(u64::from(len_sectors));
        let writes = |at: &Op| at.kind == Kind::AppWrite;
        self.peer.linked
            && self.state.conn >= Conn::Connected
            && self.state.reads_remotely()
            && self
                .ranges
                .first_overlap(&self.ops, sector, end, writes)
                .is_none()
            && !self.is_marked(sector, len_sectors)
            && !self.was_written_ahead(sector, end)
    }

    fn is_marked(&self, sector: u64, len_sectors: u32) -> bool {
        let bits = bits_outward(sector, u64::from(len_sectors));
        self.disk
            .as_ref()
            .is_none_or(|disk| disk.bitmap.count_range(disk.bm_slot, bits) > 0)
    }

    /// Whether a completed write of the range may not be on the peer's disk yet.
    fn was_written_ahead(&self, sector: u64, end: u64) -> bool {
        let mut op = self.log.head;
        while op != NIL {
            let at = self.ops.at(op);
            let on_disk = at.any(flag::NET_DONE) || at.has(flag::EXP_WRITE_ACK | flag::NET_OK);
            if !on_disk && at.sector < end && sector < at.end() {
                return true;
            }
            op = self.ops.next_in(&self.log, op);
        }
        false
    }

    /// `op` waits for the peer from here on.
    pub(super) fn await_peer(&mut self, op: OpId, also: u64) {
        let at = self.ops.at_mut(op);
        let new = !at.any(flag::NET_PENDING);
        at.set(flag::NET_PENDING | also);
        self.awaited_answers = self.awaited_answers.saturating_add(u32::from(new));
    }

    /// It does not any more.
    pub(super) fn stop_awaiting(&mut self, op: OpId) {
        let at = self.ops.at_mut(op);
        let was = at.any(flag::NET_PENDING);
        at.clear(flag::NET_PENDING);
        self.awaited_answers = self.awaited_answers.saturating_sub(u32::from(was));
    }
}

#[cfg(test)]
#[path = "read_balancing_tests.rs"]
mod tests;
