// SPDX-License-Identifier: GPL-2.0-or-later
//! What a volume tells about itself.

use super::Volume;
use crate::{
    activity_log::extents_of,
    bitmap::bits_outward,
    config::ReadBalancing,
    engine::{
        mem::Mem,
        op::{flag, Op, OpId},
    },
    state::{Conn, State},
    uuid::GenUuids,
};

/// What was counted since the volume was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Sectors read from the disk.
    pub read_sectors: u64,
    /// Sectors written to the disk.
    pub written_sectors: u64,
    /// Sectors that applications read and wrote.
    pub app_sectors: u64,
    /// Activity-log transactions.
    pub al_writes: u64,
    /// Bitmap pages written.
    pub bm_writes: u64,
    /// Operations on the disk.
    pub lower_pending: u32,
    /// Of what was read and written: for a resync or verify.
    pub background_sectors: u64,
    /// Sectors written by resync, as the target.
    pub resynced_sectors: u64,
}

/// Progress of a resync.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Sectors when it began; 0 when there is none.
    pub total_sectors: u64,
    /// Sectors that failed.
    pub failed_sectors: u64,
    /// Sectors on their way.
    pub in_flight_sectors: u64,
    /// Sectors that did not have to travel: their checksums were equal.
    pub same_sectors: u64,
    /// When it began.
    pub started_ms: u64,
}

/// Everything a status command shows of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Size, sectors.
    pub size_sectors: u64,
    /// Counters.
    pub counters: Counters,
    /// Application operations under way.
    pub upper_pending: u32,
    /// Whether application I/O is held back.
    pub held: bool,
    /// Sectors out of sync.
    pub out_of_sync_sectors: u64,
    /// Sectors sent to the peer.
    pub sent_sectors: u64,
    /// Sectors received from the peer.
    pub received_sectors: u64,
    /// Operations that wait for the peer.
    pub pending: u32,
    /// Those of them that are a resync's or a verify's.
    pub resync_pending: u32,
    /// Operations of the peer under way.
    pub unacked: u32,
    /// Progress of a resync.
    pub progress: Progress,
    /// Progress of online verify.
    pub verify: super::VerifyProgress,
    /// Own UUIDs; zero without a disk.
    pub uuids: GenUuids,
    /// UUID of the data that applications saw last.
    pub exposed_uuid: u64,
    /// Flags of the metadata, raw.
    pub md_flags: u32,
    /// Flags of the peer's slot, raw.
    pub peer_md_flags: u32,
    /// Whether activity-log updates are suspended.
    pub al_suspended: bool,
}

/// Operations by whom they wait for.
#[derive(Clone, Copy, Default)]
struct Waiting {
    pending: u32,
    resync_pending: u32,
    unacked: u32,
}

impl<M: Mem> Volume<M> {
    /// A snapshot for status commands. `State` is beside it, see [`Volume::state`].
    pub fn snapshot(&self) -> Snapshot {
        let sectors = |bits: u64| bits.saturating_mul(crate::meta::SECTORS_PER_BIT);
        let syncing = self.state.conn >= Conn::SyncSource;
        let disk = self.disk.as_ref();
        let Waiting {
            pending,
            resync_pending,
            unacked,
        } = self.count_ops();
        Snapshot {
            size_sectors: self.capacity_sectors,
            counters: self.counters,
            upper_pending: self.upper_pending(),
            held: !self.accepts_app_io(),
            out_of_sync_sectors: sectors(disk.map_or(0, |disk| disk.out_of_sync_bits())),
            sent_sectors: self.peer.sent_sectors,
            received_sectors: self.peer.received_sectors,
            pending,
            resync_pending,
            unacked,
            progress: Progress {
                total_sectors: if syncing {
                    sectors(self.resync.total_bits)
                } else {
                    0
                },
                failed_sectors: sectors(self.resync.failed_bits),
                in_flight_sectors: self.resync.in_flight_sectors(),
                same_sectors: self.resync.same_sectors,
                started_ms: self.resync.started_ms,
            },
            verify: self.verify_progress(),
            uuids: disk.map_or(GenUuids::default(), |disk| disk.uuids()),
            exposed_uuid: self.exposed_uuid,
            md_flags: disk.map_or(0, |disk| disk.flags().bits()),
            peer_md_flags: disk.map_or(0, |disk| disk.peer_flags().bits()),
            al_suspended: disk.is_some_and(|disk| disk.al.is_suspended()),
        }
    }

    fn count_ops(&self) -> Waiting {
        use crate::engine::op::Kind;
        let mut count = Waiting::default();
        for op in self.ops.iter_used() {
            let at = self.ops.at(op);
            if at.any(flag::GONE) {
                continue;
            }
            let waits = u32::from(at.any(flag::NET_PENDING));
            match at.kind {
                Kind::AppRead | Kind::AppWrite => {
                    count.pending = count.pending.saturating_add(waits);
                }
                Kind::RsTarget | Kind::OvOwn => {
                    count.pending = count.pending.saturating_add(waits);
                    count.resync_pending = count.resync_pending.saturating_add(waits);
                }
                Kind::PeerRead | Kind::PeerWrite | Kind::RsRead | Kind::OvPeer => {
                    count.unacked = count.unacked.saturating_add(1);
                }
                Kind::Late | Kind::Free => {}
            }
        }
        count
    }

    /// Whether nothing is left over: no operation, no extent of the activity log held.
    pub fn is_idle(&self) -> bool {
        let al_idle = self.disk.as_ref().is_none_or(|disk| disk.al.is_idle());
        self.ops.used() == 0 && al_idle && self.counters.lower_pending == 0
    }

    /// Whether it is known here that the block at `sector` may differ from the peer's: it is
    /// marked, or about to be with all others, or a write that is not durable on both holds its extent.
    pub fn expects_difference(&self, sector: u64) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            let bit = bits_outward(sector, 1).start;
            let mut extents = extents_of(sector, 1).into_iter().flatten();
            disk.bitmap.test(disk.bm_slot, bit)
                || disk.bulk.is_some_and(|bulk| bulk.value)
                || extents.any(|extent| disk.al.is_held(extent))
        })
    }

    /// All operations in use, for diagnosis.
    pub fn ops_in_use(&self) -> impl Iterator<Item = (OpId, &Op)> {
        self.ops.iter_used().map(|op| (op, self.ops.at(op)))
    }

    /// When the oldest request was launched that the peer has not answered, or whose epoch it
    /// has not acknowledged (wire-protocol section 10, timeout and ko-count).
    pub fn oldest_unanswered_ms(&self) -> Option<u64> {
        use crate::engine::op::{flag, Kind, NIL};
        let write = match self.log.head {
            NIL => None,
            op => Some(self.ops.at(op).start_ms),
        };
        // What goes before a postponed write is on its way.
        let write = if self.postponed > 0 {
            let postponed = |at: &&Op| at.any(flag::POSTPONED);
            let all = self.ops.iter_used().map(|op| self.ops.at(op));
            let oldest = all.filter(postponed).map(|at| at.start_ms).min();
            write.into_iter().chain(oldest).min()
        } else {
            write
        };
        // Few volumes send reads to the peer.
        if self.may_write_locally() && self.read_balancing() == ReadBalancing::PreferLocal {
            return write;
        }
        let read = self
            .ops
            .iter_used()
            .map(|op| self.ops.at(op))
            .filter(|at| at.kind == Kind::AppRead && at.any(flag::NET_PENDING))
            .map(|at| at.start_ms)
            .min();
        match (write, read) {
            (Some(write), Some(read)) => Some(write.min(read)),
            (some, None) | (None, some) => some,
        }
    }

    /// The state word, for the peer and for user space.
    pub fn state_word(&self) -> State {
        self.state
    }
}
