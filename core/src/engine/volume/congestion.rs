// SPDX-License-Identifier: GPL-2.0-or-later
//! What a node does when the peer does not keep up: pull ahead of it, or drop it.
//!
//! replication-semantics section 7.8. Ahead, writes go to the own disk alone and the peer only
//! hears which blocks they touched; when everything mirrored before is durable there, a resync
//! brings it back without an exchange of bitmaps. That rests on the target knowing every block
//! that the source knows of, so a resync under way must have come to rest before it is left.

use super::{pace::TICK_MS, Todo, Volume};
use crate::{
    config::OnCongestion,
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind, OpId},
    },
    state::{action::Side, Conn, Disk as DiskState, State},
    wire::handshake::ReplicationProtocol,
};

/// How long nothing has to be on its way before the resync begins (replication-semantics
/// section 7.1, "end of Ahead"): at once, a burst would pull ahead again and again.
const REST_MS: u64 = 1000;

/// How much of a volume's data is on its way to the peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Congestion {
    /// Sectors of writes that were queued for the peer and whose epoch it has not acknowledged.
    in_flight_sectors: u64,
    /// Ahead: since when that is nothing.
    rests_since_ms: Option<u64>,
}

impl<M: Mem> Volume<M> {
    /// Sectors that applications wrote, on their way to the peer or not yet durable there.
    pub fn mirrored_in_flight_sectors(&self) -> u64 {
        self.congestion.in_flight_sectors
    }

    /// A write entered the send queue.
    pub(super) fn note_mirrored(&mut self, len_sectors: u32) {
        let in_flight = &mut self.congestion.in_flight_sectors;
        *in_flight = in_flight.saturating_add(u64::from(len_sectors));
    }

    /// The peer has `op` on stable storage, or never will.
    pub(super) fn net_done(&mut self, op: OpId) {
        self.left_the_wire(op);
        self.ops.at_mut(op).set(flag::NET_DONE);
    }

    /// `op` counts as in flight no more, if it did.
    pub(super) fn left_the_wire(&mut self, op: OpId) {
        let at = self.ops.at(op);
        if at.any(flag::EXP_BARR_ACK) && !at.any(flag::NET_DONE) {
            let sectors = u64::from(at.len_sectors);
            let in_flight = &mut self.congestion.in_flight_sectors;
            *in_flight = in_flight.saturating_sub(sectors);
            if *in_flight == 0 && self.conn() == Conn::Ahead {
                self.todo(Todo::RESYNC);
            }
        }
    }

    /// Looks whether the peer keeps up, before a write is launched.
    pub(super) fn look_for_congestion(&mut self, link: &mut dyn Link, now_ms: u64) {
        // Only protocol A lets writers go before the peer has the data: nothing is gained else.
        if self.peer.protocol != ReplicationProtocol::A
            || !self.peer.dialect.has_out_of_sync()
            || !self.state.replicates()
            || self.state.disk != DiskState::UpToDate
            || !self.may_write_locally()
            || !self.is_congested()
        {
            return;
        }
        match self.peer.options.on_congestion {
            OnCongestion::Block => {}
            OnCongestion::PullAhead if !self.may_leave_behind() => {}
            OnCongestion::PullAhead => self.pull_ahead(link, now_ms),
            OnCongestion::Disconnect => {
                if self.connection_request.is_none() {
                    self.end_connection(Conn::Disconnecting);
                }
            }
        }
    }

    fn pull_ahead(&mut self, link: &mut dyn Link, now_ms: u64) {
        if self.target_heard_of_checksums(link) {
            self.congestion.rests_since_ms = None;
            self.hard(link, now_ms, |state| state.conn = Conn::Ahead);
            self.todo(Todo::RESYNC);
        }
    }

    fn is_congested(&self) -> bool {
        let options = &self.peer.options;
        let full = options.cong_fill_sectors != 0
            && self.congestion.in_flight_sectors >= u64::from(options.cong_fill_sectors);
        full || self
            .disk
            .as_ref()
            .is_some_and(|disk| disk.al.extents_held() >= options.cong_extents)
    }

    /// Whether the peer can be left behind now. In a resync only when each answer is accounted
    /// for: one that comes later would clear the bit of a block that was written meanwhile, or, not
    /// heeded, leave one set that the target does not know. And not when the target may be about to
    /// end it.
    fn may_leave_behind(&self) -> bool {
        if self.admin.is_asking() || self.sizes_pending() {
            return false;
        }
        match self.conn() {
            Conn::Connected => self.state.pdsk == DiskState::UpToDate,
            Conn::SyncSource | Conn::PausedSyncS => {
                self.peer.start_source_ping.is_none()
                    && self.pending_sync_uuid.is_none()
                    && self.resync.unacked_sectors == 0
                    && self.dirty_bits() > self.resync.failed_bits
                    && !self.serves_resync()
            }
            _ => false,
        }
    }

    fn serves_resync(&self) -> bool {
        self.ops
            .iter_used()
            .any(|op| self.ops.at(op).kind == Kind::RsRead)
    }

    /// Whether requests of the resync target are turned away: Ahead, or as soon as its answers are in. Once one was, all are:
    /// the in-tree driver does not ask again before it was left behind.
    pub(super) fn turns_resync_away(&mut self) -> bool {
        if !self.conn().is_sync_source() {
            return self.conn() == Conn::Ahead;
        }
        let wants = self.peer.options.on_congestion == OnCongestion::PullAhead
            && self.peer.protocol == ReplicationProtocol::A
            && self.peer.dialect.has_out_of_sync();
        if wants && self.is_congested() && !self.resync.turned_away {
            self.resync.turned_away = true;
            self.todo(Todo::RESYNC);
        }
        self.resync.turned_away
    }

    /// Leaves a target behind whose requests were turned away, also when nobody writes any more. The result is when to look
    /// again.
    pub(super) fn turned_away_work(&mut self, link: &mut dyn Link, now_ms: u64) -> Option<u64> {
        if !self.resync.turned_away || !self.conn().is_sync_source() {
            return None;
        }
        if self.may_write_locally() && self.may_leave_behind() {
            self.pull_ahead(link, now_ms);
        }
        Some(now_ms.saturating_add(TICK_MS))
    }

    /// Ahead: begins the resync when the peer has had time to catch up. The result is when to look
    /// again.
    pub(super) fn ahead_work(&mut self, link: &mut dyn Link, now_ms: u64) -> Option<u64> {
        if self.congestion.in_flight_sectors > 0 {
            self.congestion.rests_since_ms = None;
            return None;
        }
        let since = *self.congestion.rests_since_ms.get_or_insert(now_ms);
        let due = since.saturating_add(REST_MS);
        if now_ms < due {
            return Some(due);
        }
        if self.peer.start_source_ping.is_none() {
            self.start_resync(Side::Source, link, now_ms);
        }
        // What holds the start, a helper program or an answer that is due, may end without a word.
        (self.conn() == Conn::Ahead).then(|| now_ms.saturating_add(REST_MS))
    }

    /// The target of a resync from here has everything and pulls ahead at once, before this node has
    /// seen the last acknowledgements: they will not be heeded, and their blocks come once more.
    pub(super) fn note_target_went_ahead(&mut self, told: State, link: &mut dyn Link, now_ms: u64) {
        if told.conn == Conn::Ahead {
            self.target_went_on(link, now_ms);
        }
    }

    /// Behind: the peer wrote blocks again whose older contents are on their way to our disk. What
    /// is being written does not make them equal, and the source must not think so either.
    pub(super) fn overtake_resync(&mut self, sector: u64, len_sectors: u32) {
        let end = sector.saturating_add(u64::from(len_sectors));
        let old = |at: &crate::engine::op::Op| {
            at.kind == Kind::RsTarget && at.any(flag::RS_WRITING) && !at.any(flag::OUT_OF_SYNC)
        };
        while let Some(op) = self.ranges.first_overlap(&self.ops, sector, end, old) {
            self.ops.at_mut(op).set(flag::OUT_OF_SYNC);
        }
    }
}

#[cfg(test)]
#[path = "congestion_tests.rs"]
mod tests;
