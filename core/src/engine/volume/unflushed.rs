// SPDX-License-Identifier: GPL-2.0-or-later
//! What the peer wrote and was told of, and this disk has not flushed yet.
//!
//! A disk that is lost before the flush may have lost that too, and the peer has to mark it. It does so by itself when the
//! connection ends with the epoch unacknowledged. But a connection of two Primaries must not end for that: each would go on
//! alone, and the one without a disk could not come back to data that is not what it last read. It tells the peer what is
//! doubtful instead, by P_NEG_ACKs that come late (wire-protocol section 4), and acknowledges the epoch.
//!
//! The places are kept coarsely, in a word: the data path has no more time for them, and a disk that is lost mostly comes back
//! as another one, to which everything is copied.

use super::Volume;
use crate::{
    engine::{link::Link, mem::Mem, reply_queue::ReplyItem},
    state::Role,
};

/// Parts of the device; each has a bit.
const REGIONS: u32 = u64::BITS;

/// The last of them.
const LAST: u64 = 63;

/// Regions of a device with writes that are not flushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unflushed {
    regions: u64,
    /// A region has two to the power of this sectors.
    shift: u32,
}

impl Unflushed {
    /// The device has another size.
    fn fit(&mut self, capacity_sectors: u64) {
        let bits = u64::BITS.saturating_sub(capacity_sectors.saturating_sub(1).leading_zeros());
        let shift = bits.saturating_sub(REGIONS.trailing_zeros());
        if shift != self.shift {
            // Where anything was in the new ones nobody knows.
            self.regions = if self.regions == 0 { 0 } else { u64::MAX };
            self.shift = shift;
        }
    }

    #[inline]
    fn add(&mut self, sector: u64, len_sectors: u32) {
        if len_sectors == 0 {
            return;
        }
        let last = sector
            .saturating_add(u64::from(len_sectors))
            .saturating_sub(1);
        // What lies beyond the last one is of it.
        let region = |sector: u64| (sector >> (self.shift & 63)).min(LAST) as u32;
        self.regions |= (u64::MAX << region(sector)) & !(u64::MAX << 1 << region(last));
    }

    /// The regions, those that lie together as one: first sector and length.
    fn ranges(self) -> impl Iterator<Item = (u64, u64)> {
        let mut left = self.regions;
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let first = left.trailing_zeros();
            let count = (left >> first).trailing_ones();
            // From the first bit that is set on, all that follow it until one is not: adding there carries through them.
            left &= left.wrapping_add(1 << first);
            let sectors = |regions: u32| u64::from(regions) << (self.shift & 63);
            Some((sectors(first), sectors(count)))
        })
    }
}

impl<M: Mem> Volume<M> {
    /// The device has its size.
    pub(super) fn fit_unflushed(&mut self) {
        self.unflushed.fit(self.capacity_sectors);
    }

    /// The peer wrote there.
    #[inline]
    pub(super) fn note_unflushed(&mut self, sector: u64, len_sectors: u32) {
        self.unflushed.add(sector, len_sectors);
    }

    /// The receiver, at a barrier, is about to flush the disk: all writes of the peer are done. Give what this returns to
    /// [`Self::barrier_flush_failed`] if it must be. Receiver.
    pub fn barrier_flush_begins(&mut self) -> Unflushed {
        let none = Unflushed {
            regions: 0,
            ..self.unflushed
        };
        core::mem::replace(&mut self.unflushed, none)
    }

    /// That failed, or there is no disk any more whose last flush did not. True: the peer is told what it concerns, and the
    /// barrier can be acknowledged. False: the connection has to end, and the peer marks exactly what it wrote. Receiver.
    pub fn barrier_flush_failed(&mut self, unflushed: Unflushed, link: &mut dyn Link) -> bool {
        if self.state.role != Role::Primary {
            return false;
        }
        self.report_unflushed(unflushed, link);
        true
    }

    /// Another disk comes, or the same again, while the connection lasts. The next barrier would find a disk that can be
    /// flushed.
    pub(super) fn unflushed_is_past(&mut self, link: &mut dyn Link) {
        let unflushed = self.barrier_flush_begins();
        if core::mem::take(&mut self.flush_lost) {
            self.report_unflushed(unflushed, link);
        }
    }

    fn report_unflushed(&mut self, unflushed: Unflushed, link: &mut dyn Link) {
        if !self.peer.linked {
            return;
        }
        let end = self.capacity_sectors;
        for (sector, len_sectors) in unflushed.ranges().filter(|(sector, _)| *sector < end) {
            let seq_num = self.next_sequence();
            link.reply(ReplyItem::Unflushed {
                volume: self.number,
                sector,
                len_sectors: len_sectors.min(end.saturating_sub(sector)),
                seq_num,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Unflushed, Volume};
    use crate::{
        engine::{mem::tests::Heap, volume::rig},
        state::{Conn, Role},
    };
    use std::vec::Vec;

    /// Of 8192 sectors, 128 of which are a region.
    fn linked() -> Volume<Heap> {
        let mut volume = rig::volume(Conn::Connected, 8192);
        volume.peer.linked = true;
        volume.fit_unflushed();
        volume
    }

    #[test]
    fn a_primary_stays_connected_when_its_disk_is_lost() {
        let mut volume = linked();
        let mut peer = rig::Peer::default();
        volume.note_unflushed(64, 8);
        volume.flush_lost = true;
        let unflushed = volume.barrier_flush_begins();
        volume.state.role = Role::Secondary;
        assert!(!volume.barrier_flush_failed(unflushed, &mut peer));
        assert!(
            peer.unflushed.is_empty(),
            "the end of the connection says it"
        );
        volume.state.role = Role::Primary;
        assert!(volume.barrier_flush_failed(unflushed, &mut peer));
        assert_eq!(peer.unflushed, [(0, 128)]);
    }

    #[test]
    fn a_disk_that_comes_back_makes_nothing_durable_that_was_lost() {
        let mut volume = linked();
        let mut peer = rig::Peer::default();
        volume.note_unflushed(8191, 1);
        volume.flush_lost = true;
        volume.unflushed_is_past(&mut peer);
        assert_eq!(peer.unflushed, [(8064, 128)]);
        assert!(!volume.flush_is_lost());
        // Of a disk that was flushed before it went nothing is said.
        volume.note_unflushed(64, 8);
        volume.unflushed_is_past(&mut peer);
        assert_eq!(peer.unflushed.len(), 1);
    }

    fn ranges(unflushed: Unflushed) -> Vec<(u64, u64)> {
        unflushed.ranges().collect()
    }

    #[test]
    fn what_was_written_is_in_the_ranges() {
        for capacity in [1, 64, 65, 100_000, 1 << 31, 1 << 41] {
            let mut unflushed = Unflushed::default();
            unflushed.fit(capacity);
            assert_eq!(ranges(unflushed), []);
            for (sector, len) in [(0, 1), (capacity / 2, 8), (capacity - 1, 1)] {
                let len = u64::min(len, capacity - sector);
                unflushed.add(sector, len as u32);
                let found = ranges(unflushed);
                let holds =
                    |range: &(u64, u64)| range.0 <= sector && sector + len <= range.0 + range.1;
                assert!(found.iter().any(holds), "{capacity} {sector}: {found:?}");
                assert!(found.len() <= 3);
            }
        }
    }

    #[test]
    fn neighbours_are_one_range() {
        let mut unflushed = Unflushed::default();
        unflushed.fit(6400);
        unflushed.add(0, 0);
        assert_eq!(ranges(unflushed), []);
        unflushed.add(128, 129);
        unflushed.add(1280, 1);
        assert_eq!(ranges(unflushed), [(128, 256), (1280, 128)]);
        unflushed.add(0, u32::MAX);
        assert_eq!(ranges(unflushed), [(0, 64 * 128)]);
    }

    #[test]
    fn of_another_size_all_is_doubtful() {
        let mut unflushed = Unflushed::default();
        unflushed.fit(6400);
        unflushed.add(0, 1);
        unflushed.fit(6500);
        assert_eq!(ranges(unflushed), [(0, 128)], "the regions are the same");
        unflushed.fit(64_000);
        assert_eq!(ranges(unflushed), [(0, 64 * 1024)]);
    }
}
