// SPDX-License-Identifier: GPL-2.0-or-later
//! Which operations exclude each other because they touch the same sectors.
//!
//! Overlapping operations run one after the other, in order of arrival. That one rule gives the
//! ordering guarantees of wire-protocol section 15.7 and replication-semantics sections 6.1, 6.4
//! and 7.2: a resync read is answered before a later mirrored write to the range is sent, and a
//! target never has two writes to one block on the way to its disk.
//!
//! An index of hashed 1 MiB regions finds neighbours; an operation sits in the region of its first
//! sector, so that one region more is searched backwards. Operations longer than a region (only
//! discards and write-zeroes) are in a list of their own that every search walks.

use super::{
    mem::Mem,
    op::{flag, Kind, List, Op, OpId, Slab, NIL, RANGE},
};

const REGION_SHIFT: u32 = 11;
const REGION_SECTORS: u64 = 1 << REGION_SHIFT;
/// Buckets that a volume's index should have: a power of two.
pub const BUCKETS: usize = 256;

/// One hashed region of the index.
#[derive(Clone, Copy, Debug)]
pub struct Bucket(List<RANGE>);

impl Bucket {
    /// A bucket with nothing in it, to fill new storage with.
    pub const EMPTY: Bucket = Bucket(List::new());
}

/// The range index of a volume.
pub(crate) struct Ranges<M: Mem> {
    buckets: M::Buf<Bucket>,
    large: List<RANGE>,
    null: Bucket,
    order: u64,
    /// Operations that are in it.
    indexed: u32,
    /// Somebody may wait in it: no search for whom to wake otherwise.
    waiters: bool,
}

/// Whether `new`, arriving after `old`, has to wait for it.
fn excludes(old: &Op, new: &Op) -> bool {
    let rs_requested = |op: &Op| op.kind == Kind::RsTarget && !op.any(flag::RS_WRITING);
    match (old.kind, new.kind) {
        // A block that was asked for, but has not arrived: its answer is ordered behind
        // what the peer mirrors meanwhile, so only our own applications wait for it.
        // Making the peer's write wait could deadlock: the answer may be behind a barrier
        // that waits for this very write.
        (_, Kind::PeerWrite) if rs_requested(old) => false,
        (Kind::AppWrite | Kind::PeerWrite, Kind::AppWrite | Kind::PeerWrite) => true,
        (Kind::RsRead | Kind::RsTarget, Kind::AppWrite | Kind::PeerWrite) => true,
        (Kind::AppWrite | Kind::PeerWrite, Kind::RsRead | Kind::RsTarget) => true,
        (Kind::RsTarget, Kind::RsTarget) => true,
        (Kind::RsRead, Kind::RsRead | Kind::RsTarget) | (Kind::RsTarget, Kind::RsRead) => false,
        // As a resync block: while the peer's digest is awaited its writes pass.
        (Kind::OvOwn, Kind::PeerWrite) => old.any(flag::RS_WRITING),
        // Read already: what the peer mirrors now is behind our answer.
        (Kind::OvPeer, Kind::PeerWrite) => !old.any(flag::LOCAL_COMPLETED),
        (Kind::OvOwn | Kind::OvPeer, Kind::AppWrite) => true,
        (Kind::AppWrite | Kind::PeerWrite, Kind::OvOwn | Kind::OvPeer) => true,
        (Kind::OvOwn | Kind::OvPeer, _) | (_, Kind::OvOwn | Kind::OvPeer) => false,
        // With protocols A and B the peer's application knows of a write that is not on the disk
        // here, and may read it.
        (Kind::PeerWrite, Kind::PeerRead) => true,
        (Kind::AppRead | Kind::PeerRead | Kind::Late | Kind::Free, _)
        | (_, Kind::AppRead | Kind::PeerRead | Kind::Late | Kind::Free) => false,
    }
}

/// Place of `op` in the order of arrival, as seen by an operation of kind `other`.
///
/// A resync block arrives twice: when it is asked for, which our applications wait behind, and
/// when its data comes, which is behind what the peer mirrored until then. An application's write
/// that was not launched is behind everything else: the peer's writes would wait for an answer of
/// the peer, who waits for ours, and so would what they wait for.
fn place(op: &Op, other: Kind) -> u64 {
    if op.kind == Kind::AppWrite && other != Kind::AppWrite && !op.any(flag::LAUNCHED) {
        return u64::MAX;
    }
    let twice = matches!(op.kind, Kind::RsTarget | Kind::OvOwn);
    let data = twice && op.any(flag::RS_WRITING);
    if data && other == Kind::PeerWrite {
        op.ticket
    } else {
        op.order
    }
}

fn arrived_before(old: &Op, new: &Op) -> bool {
    place(old, new.kind) < place(new, old.kind)
}

#[inline]
fn overlap(op: &Op, sector: u64, end: u64) -> bool {
    op.sector < end && sector < op.end()
}

impl<M: Mem> Ranges<M> {
    /// An empty index over `buckets`, whose contents are overwritten.
    pub(crate) fn new(mut buckets: M::Buf<Bucket>) -> Self {
        buckets.as_mut().fill(Bucket::EMPTY);
        Ranges {
            buckets,
            large: List::new(),
            null: Bucket::EMPTY,
            order: 0,
            indexed: 0,
            waiters: false,
        }
    }

    fn bucket_index(&self, region: u64) -> usize {
        // A power of two, see `BUCKETS`; with another number some would stay empty.
        let mask = self.buckets.as_ref().len().saturating_sub(1);
        (region as usize) & mask
    }

    fn bucket(&self, region: u64) -> &List<RANGE> {
        let at = self.bucket_index(region);
        &self.buckets.as_ref().get(at).unwrap_or(&self.null).0
    }

    fn list_of_mut(&mut self, sector: u64, len_sectors: u32) -> &mut List<RANGE> {
        if u64::from(len_sectors) > REGION_SECTORS {
            return &mut self.large;
        }
        let at = self.bucket_index(sector >> REGION_SHIFT);
        let Ranges { buckets, null, .. } = self;
        &mut buckets.as_mut().get_mut(at).unwrap_or(null).0
    }

    /// Calls `visit` for every indexed operation that overlaps `sector..end` until it returns
    /// false.
    fn for_overlaps(
        &self,
        ops: &Slab<M>,
        sector: u64,
        end: u64,
        mut visit: impl FnMut(OpId, &Op) -> bool,
    ) {
        if sector >= end {
            return;
        }
        let mut walk = |list: &List<RANGE>| -> bool {
            let mut id = list.head;
            while id != NIL {
                let op = ops.at(id);
                let next = ops.next_in(list, id);
                if overlap(op, sector, end) && !visit(id, op) {
                    return false;
                }
                id = next;
            }
            true
        };
        if !self.large.is_empty() && !walk(&self.large) {
            return;
        }
        let first = (sector >> REGION_SHIFT).saturating_sub(1);
        let last = end.saturating_sub(1) >> REGION_SHIFT;
        if last.saturating_sub(first) >= self.buckets.as_ref().len() as u64 {
            for bucket in self.buckets.as_ref() {
                if !walk(&bucket.0) {
                    return;
                }
            }
            return;
        }
        let mut region = first;
        while region <= last {
            let list = self.bucket(region);
            if !list.is_empty() && !walk(list) {
                return;
            }
            region = region.saturating_add(1);
        }
    }

    /// Whether an earlier operation keeps `id` from running.
    pub(crate) fn blocked(&self, ops: &Slab<M>, id: OpId) -> bool {
        if self.indexed <= 1 {
            return false;
        }
        let op = ops.at(id);
        let mut blocked = false;
        self.for_overlaps(ops, op.sector, op.end(), |other, old| {
            blocked = other != id && arrived_before(old, op) && excludes(old, op);
            !blocked
        });
        blocked
    }

    /// Enters `id` behind everything that is here; true if it may run at once.
    pub(crate) fn insert(&mut self, ops: &mut Slab<M>, id: OpId) -> bool {
        self.order = self.order.wrapping_add(1);
        let op = ops.at_mut(id);
        op.order = self.order;
        if op.len_sectors == 0 {
            return true;
        }
        op.set(flag::INDEXED);
        let (sector, len_sectors) = (op.sector, op.len_sectors);
        self.indexed = self.indexed.saturating_add(1);
        ops.push_back(self.list_of_mut(sector, len_sectors), id);
        !self.blocked(ops, id)
    }

    /// Whether an operation of `kind` on the range could run at once.
    pub(crate) fn is_free(&self, ops: &Slab<M>, kind: Kind, sector: u64, len_sectors: u32) -> bool {
        let probe = Op {
            kind,
            sector,
            len_sectors,
            ..Op::FREE
        };
        let mut free = true;
        self.for_overlaps(ops, sector, probe.end(), |_, old| {
            free = !excludes(old, &probe);
            free
        });
        free
    }

    /// The data of resync block `id` arrived: it goes behind the peer's writes that are here. True
    /// if it may be written at once.
    pub(crate) fn data_arrived(&mut self, ops: &mut Slab<M>, id: OpId) -> bool {
        self.order = self.order.wrapping_add(1);
        let op = ops.at_mut(id);
        op.ticket = self.order;
        op.set(flag::RS_WRITING);
        !self.blocked(ops, id)
    }

    /// Takes `id` out; the caller then asks [`Ranges::first_waiter`] who may run.
    pub(crate) fn remove(&mut self, ops: &mut Slab<M>, id: OpId) {
        if !ops.at(id).any(flag::INDEXED) {
            return;
        }
        let op = ops.at_mut(id);
        op.clear(flag::INDEXED);
        let list = self.list_of_mut(op.sector, op.len_sectors);
        debug_assert!(!list.is_empty());
        ops.unlink(list, id);
        self.indexed = self.indexed.saturating_sub(1);
        self.waiters &= self.indexed > 0;
    }

    /// An operation that is in it was marked [`flag::WAIT_RANGE`].
    pub(crate) fn note_waiter(&mut self) {
        self.waiters = true;
    }

    /// The oldest waiting operation overlapping the range that nothing blocks any more.
    #[inline]
    pub(crate) fn first_waiter(&self, ops: &Slab<M>, sector: u64, end: u64) -> Option<OpId> {
        if self.waiters {
            return self.search_waiter(ops, sector, end);
        }
        debug_assert!(self.search_waiter(ops, sector, end).is_none());
        None
    }

    fn search_waiter(&self, ops: &Slab<M>, sector: u64, end: u64) -> Option<OpId> {
        let mut best: Option<(u64, OpId)> = None;
        self.for_overlaps(ops, sector, end, |id, op| {
            let better = best.is_none_or(|(order, _)| op.order < order);
            let waits = op.any(flag::WAIT_RANGE) && !op.any(flag::POSTPONED);
            if waits && better && !self.blocked(ops, id) {
                best = Some((op.order, id));
            }
            true
        });
        best.map(|(_, id)| id)
    }

    /// Some operation on the range for which `fits` holds.
    pub(crate) fn first_overlap(
        &self,
        ops: &Slab<M>,
        sector: u64,
        end: u64,
        fits: impl Fn(&Op) -> bool,
    ) -> Option<OpId> {
        let mut found = None;
        self.for_overlaps(ops, sector, end, |id, op| {
            found = Some(id).filter(|_| fits(op));
            found.is_none()
        });
        found
    }

    /// The operation of `kind` that starts exactly at `sector`.
    pub(crate) fn find(&self, ops: &Slab<M>, kind: Kind, sector: u64) -> Option<OpId> {
        let mut found = None;
        self.for_overlaps(ops, sector, sector.saturating_add(1), |id, op| {
            if op.kind == kind && op.sector == sector {
                found = Some(id);
            }
            found.is_none()
        });
        found
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{super::mem::tests::Heap, *};
    use std::{vec, vec::Vec};

    struct Rig {
        ops: Slab<Heap>,
        ranges: Ranges<Heap>,
    }

    impl Rig {
        fn new() -> Self {
            Rig {
                ops: Slab::new(vec![Op::FREE; 64].into_boxed_slice()),
                ranges: Ranges::new(vec![Bucket::EMPTY; BUCKETS].into_boxed_slice()),
            }
        }
        fn add(&mut self, kind: Kind, sector: u64, len_sectors: u32) -> (OpId, bool) {
            let id = self.ops.alloc(kind).unwrap();
            let op = self.ops.at_mut(id);
            op.sector = sector;
            op.len_sectors = len_sectors;
            let ready = self.ranges.insert(&mut self.ops, id);
            let flag = if ready {
                flag::LAUNCHED
            } else {
                flag::WAIT_RANGE
            };
            self.ops.at_mut(id).set(flag);
            self.ranges.waiters |= !ready;
            (id, ready)
        }
        fn del(&mut self, id: OpId) -> Vec<OpId> {
            let (sector, end) = (self.ops.at(id).sector, self.ops.at(id).end());
            self.ranges.remove(&mut self.ops, id);
            self.ops.free(id);
            let mut ready = Vec::new();
            while let Some(id) = self.ranges.first_waiter(&self.ops, sector, end) {
                self.ops.at_mut(id).clear(flag::WAIT_RANGE);
                self.ops.at_mut(id).set(flag::LAUNCHED);
                ready.push(id);
            }
            ready
        }
    }

    #[test]
    fn overlapping_writes_run_in_order_of_arrival() {
        let mut rig = Rig::new();
        let (a, ready) = rig.add(Kind::AppWrite, 0, 8);
        assert!(ready);
        let (b, ready) = rig.add(Kind::AppWrite, 4, 8);
        assert!(!ready);
        let (c, ready) = rig.add(Kind::AppWrite, 8, 8);
        assert!(!ready, "waits behind a waiting one");
        let (_, ready) = rig.add(Kind::AppWrite, 16, 8);
        assert!(ready);
        assert_eq!(rig.del(a), [b]);
        assert_eq!(rig.del(b), [c]);
    }

    #[test]
    fn resync_read_excludes_writes_but_not_reads() {
        let mut rig = Rig::new();
        let (rs, ready) = rig.add(Kind::RsRead, 0, 64);
        assert!(ready);
        assert!(rig.add(Kind::AppRead, 0, 8).1);
        let (w, ready) = rig.add(Kind::AppWrite, 63, 8);
        assert!(!ready);
        assert_eq!(rig.del(rs), [w]);
    }

    #[test]
    fn a_requested_block_holds_applications_but_not_the_peer() {
        let mut rig = Rig::new();
        let (rs, _) = rig.add(Kind::RsTarget, 0, 8);
        let (peer, ready) = rig.add(Kind::PeerWrite, 0, 8);
        assert!(ready);
        assert!(rig.add(Kind::AppWrite, 8, 8).1);
        let (app, ready) = rig.add(Kind::AppWrite, 0, 8);
        assert!(!ready);
        let ready = rig.ranges.data_arrived(&mut rig.ops, rs);
        assert!(!ready, "it waits for the peer's write");
        rig.ops.at_mut(rs).set(flag::WAIT_RANGE);
        rig.ranges.note_waiter();
        let (late, ready) = rig.add(Kind::PeerWrite, 0, 8);
        assert!(!ready);
        assert_eq!(
            rig.del(peer),
            [rs],
            "before what our application wrote later"
        );
        assert_eq!(rig.del(rs), [late], "the peer waits for nobody's turn");
        assert_eq!(rig.del(late), [app]);
    }

    #[test]
    fn agrees_with_a_naive_twin() {
        let mut seed = 7u64;
        let mut random = |n: u64| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let mut rig = Rig::new();
        let mut live: Vec<OpId> = Vec::new();
        for _ in 0..5000 {
            if live.len() < 60 && random(2) == 0 {
                let len = if random(8) == 0 {
                    5000
                } else {
                    1 + random(2048) as u32
                };
                let kind = [Kind::AppWrite, Kind::PeerWrite, Kind::RsRead][random(3) as usize];
                let (id, ready) = rig.add(kind, random(20_000), len);
                let mut op = *rig.ops.at(id);
                op.clear(flag::LAUNCHED);
                let naive = !live.iter().any(|other| {
                    let old = rig.ops.at(*other);
                    let passed = old.kind == Kind::AppWrite
                        && op.kind != Kind::AppWrite
                        && old.any(flag::WAIT_RANGE);
                    overlap(old, op.sector, op.end()) && excludes(old, &op) && !passed
                });
                assert_eq!(ready, naive);
                live.push(id);
            } else if !live.is_empty() {
                let runnable: Vec<OpId> = live
                    .iter()
                    .copied()
                    .filter(|id| !rig.ops.at(*id).any(flag::WAIT_RANGE))
                    .collect();
                assert!(!runnable.is_empty(), "somebody can always run");
                let id = runnable[random(runnable.len() as u64) as usize];
                live.retain(|other| *other != id);
                rig.del(id);
                for id in &live {
                    assert_eq!(
                        rig.ops.at(*id).any(flag::WAIT_RANGE),
                        rig.ranges.blocked(&rig.ops, *id)
                    );
                }
            }
        }
    }
}
