// SPDX-License-Identifier: GPL-2.0-or-later
//! The activity log under random load, with a crash at every step.
//!
//! Whatever the disk kept of the record under way, the replayed log must name every extent that a
//! submitted write may have changed and whose bitmap page is not on disk. Both readers are tried:
//! ours, and the stock tools' way of walking the ring.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use drbd_core::activity_log::{
    extents_of, Action, ActivityLog, Begin, CommitFailed, ConfigError, Slot,
};
use drbd_core::meta::al::{encode_initialized, Kind, RingScan, SlotTable, Transaction, Verdict};
use drbd_core::meta::{AlGeometry, Block};
use proptest::prelude::*;

/// More slots than any log here has.
const SLOTS_MAX: usize = 8192;

type Log = ActivityLog<Vec<Slot>, Vec<u32>>;

fn log(slots: usize, geometry: AlGeometry, number: u32) -> Log {
    ActivityLog::new(
        vec![Slot::EMPTY; slots],
        vec![0; slots.next_power_of_two()],
        geometry,
        number,
        true,
    )
    .unwrap()
}

/// Disk, host and requests around the engine.
struct Host {
    log: Log,
    geometry: AlGeometry,
    /// Blocks by ring index.
    ring: Vec<Block>,
    under_way: Option<(u32, Block)>,
    bitmap_pages: Option<Vec<u32>>,
    pages_in_cache: Vec<(u32, u64)>,
    /// Out-of-sync bits of an extent: how often they changed in memory, and what of it is on disk.
    bits: BTreeMap<u32, u64>,
    bits_durable: BTreeMap<u32, u64>,
    submitted: Vec<RangeInclusive<u32>>,
    waiting: Vec<(u64, RangeInclusive<u32>)>,
    refused: VecDeque<RangeInclusive<u32>>,
    records: usize,
}

impl Host {
    fn new(slots: usize, geometry: AlGeometry, number: u32) -> Host {
        let mut block = [0; 4096];
        encode_initialized(&mut block);
        Host {
            log: log(slots, geometry, number),
            geometry,
            ring: vec![block; geometry.blocks() as usize],
            under_way: None,
            bitmap_pages: None,
            pages_in_cache: Vec::new(),
            bits: BTreeMap::new(),
            bits_durable: BTreeMap::new(),
            submitted: Vec::new(),
            waiting: Vec::new(),
            refused: VecDeque::new(),
            records: 0,
        }
    }

    fn request(&mut self, extents: RangeInclusive<u32>) {
        if !self.refused.is_empty() {
            self.refused.push_back(extents);
            return;
        }
        self.try_begin(extents);
    }

    fn try_begin(&mut self, extents: RangeInclusive<u32>) -> bool {
        match self.log.begin(extents.clone()) {
            Begin::Ready => self.submitted.push(extents),
            Begin::Wait { ticket } => self.waiting.push((ticket, extents)),
            Begin::Full => {
                self.refused.push_front(extents);
                return false;
            }
            other @ (Begin::Suspended | Begin::Failed | Begin::TooLong) => panic!("{other:?}"),
        }
        true
    }

    fn retry(&mut self) {
        while let Some(extents) = self.refused.pop_front() {
            if !self.try_begin(extents) {
                break;
            }
        }
    }

    fn finish(&mut self, which: usize, out_of_sync: bool) {
        if self.submitted.is_empty() {
            return;
        }
        let extents = self.submitted.swap_remove(which % self.submitted.len());
        if out_of_sync {
            for extent in extents.clone() {
                *self.bits.entry(extent).or_default() += 1;
            }
        }
        if self.log.end(extents) {
            self.retry();
        }
    }

    /// Starts or completes one piece of I/O.
    fn io(&mut self) {
        if let Some((index, block)) = self.under_way.take() {
            // Preflush: pages written before are durable now.
            for (extent, version) in self.pages_in_cache.drain(..) {
                self.bits_durable.insert(extent, version);
            }
            self.ring[index as usize] = block;
            let ticket = self.log.record_written(true).unwrap();
            let (ready, waiting) = self
                .waiting
                .drain(..)
                .partition(|(wanted, _)| *wanted <= ticket);
            self.waiting = waiting;
            self.submitted
                .extend(Vec::into_iter(ready).map(|(_, extents)| extents));
            self.retry();
        } else if let Some(pages) = self.bitmap_pages.take() {
            for extent in pages {
                let version = self.bits.get(&extent).copied().unwrap_or(0);
                self.pages_in_cache.push((extent, version));
            }
            self.log.bitmap_written(true).unwrap();
        }
        match self.log.poll() {
            Some(Action::WriteBitmap) => self.bitmap_pages = Some(self.log.evicting().collect()),
            Some(Action::WriteRecord { number }) => {
                let mut block = [0; 4096];
                self.log.encode(&mut block);
                assert_eq!(Transaction::decode(&block).unwrap().number(), number);
                self.under_way = Some((number % self.geometry.blocks(), block));
                self.records += 1;
            }
            None => {}
        }
    }

    /// Crashes now, in each of the ways the record under way can be left, and replays.
    fn check(&self) {
        let mut needed: BTreeSet<u32> = self.submitted.iter().cloned().flatten().collect();
        let unsynced = self
            .bits
            .iter()
            .filter(|(e, version)| self.bits_durable.get(e).unwrap_or(&0) < version);
        needed.extend(unsynced.map(|(extent, _)| *extent));
        let mut rings = vec![self.ring.clone()];
        if let Some((index, block)) = &self.under_way {
            let mut torn = self.ring.clone();
            torn[*index as usize][512..].copy_from_slice(&block[512..]);
            torn[*index as usize][4] ^= 0x80;
            rings.push(torn);
        }
        for ring in rings {
            for found in [replay(&ring, self.geometry), stock_replay(&ring)] {
                assert!(
                    needed.is_subset(&found),
                    "missing {:?}",
                    needed.difference(&found)
                );
            }
        }
        if let Some((index, block)) = &self.under_way {
            // The record made it, the answer did not: the preflush made the pages durable.
            let mut whole = self.ring.clone();
            whole[*index as usize] = *block;
            let durable = |extent: &u32| {
                let cached = self
                    .pages_in_cache
                    .iter()
                    .rev()
                    .find(|(page, _)| page == extent);
                cached
                    .map(|(_, version)| *version)
                    .or(self.bits_durable.get(extent).copied())
                    .unwrap_or(0)
            };
            let mut needed: BTreeSet<u32> = self.submitted.iter().cloned().flatten().collect();
            needed.extend(
                self.bits
                    .iter()
                    .filter(|(e, version)| durable(e) < **version)
                    .map(|(extent, _)| *extent),
            );
            for found in [replay(&whole, self.geometry), stock_replay(&whole)] {
                assert!(
                    needed.is_subset(&found),
                    "missing {:?}",
                    needed.difference(&found)
                );
            }
        }
    }
}

fn replay(ring: &[Block], geometry: AlGeometry) -> BTreeSet<u32> {
    let mut scan = RingScan::new(geometry);
    for (index, block) in (0..).zip(ring) {
        scan.observe(index, &Transaction::decode(block));
    }
    match scan.finish().unwrap() {
        Verdict::Unused => BTreeSet::new(),
        Verdict::InUse { damaged, .. } => {
            assert!(damaged <= 1);
            let mut table = SlotTable::new(vec![0; SLOTS_MAX]);
            for (index, number) in scan.order() {
                if let Ok(transaction) = Transaction::decode(&ring[index as usize]) {
                    table.apply_numbered(&transaction, number);
                }
            }
            table.extents().collect()
        }
    }
}

/// The walk of the stock tools: by position, from the oldest to the newest number.
fn stock_replay(ring: &[Block]) -> BTreeSet<u32> {
    let updates: Vec<(usize, u32)> = ring
        .iter()
        .enumerate()
        .filter_map(|(index, block)| Some((index, Transaction::decode(block).ok()?)))
        .filter(|(_, transaction)| transaction.kind() == Kind::Update)
        .map(|(index, transaction)| (index, transaction.number()))
        .collect();
    let older = |a: &(usize, u32), b: &(usize, u32)| (a.1.wrapping_sub(b.1) as i32).cmp(&0);
    let (Some(oldest), Some(newest)) = (
        updates.iter().min_by(|a, b| older(a, b)),
        updates.iter().max_by(|a, b| older(a, b)),
    ) else {
        return BTreeSet::new();
    };
    let end = if newest.0 < oldest.0 {
        newest.0 + ring.len()
    } else {
        newest.0
    };
    let mut table = SlotTable::new(vec![0; SLOTS_MAX]);
    for index in oldest.0..=end {
        if let Ok(transaction) = Transaction::decode(&ring[index % ring.len()]) {
            if transaction.kind() == Kind::Update {
                table.apply(&transaction);
            }
        }
    }
    table.extents().collect()
}

#[derive(Clone, Debug)]
enum Op {
    Request(u32, u32),
    Finish(usize, bool),
    Io,
}

fn ops(extents: u32, length: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..extents, 0u32..3).prop_map(|(first, more)| Op::Request(first, more)),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, oos)| Op::Finish(which, oos)),
        3 => Just(Op::Io),
    ];
    proptest::collection::vec(op, 1..length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_crash_loses_no_extent(slots in 3usize..12, start in prop_oneof![Just(0u32), Just(u32::MAX - 7)], ops in ops(24, 150)) {
        let mut host = Host::new(slots, AlGeometry::DEFAULT, start);
        for op in ops {
            match op {
                Op::Request(first, more) => host.request(first..=first + more.min(slots as u32 - 1)),
                Op::Finish(which, out_of_sync) => host.finish(which, out_of_sync),
                Op::Io => host.io(),
            }
            host.check();
        }
        // Liveness: with I/O going on and requests ending, everything gets its turn.
        for _ in 0..1000 {
            host.io();
            host.finish(0, false);
        }
        prop_assert!(host.waiting.is_empty() && host.refused.is_empty() && host.submitted.is_empty());
        prop_assert!(host.log.is_idle());
    }
}

/// More slots than one record repeats: the context cycles, and the ring still names them all.
#[test]
fn the_context_cycles_through_all_slots() {
    let geometry = AlGeometry::new(2, 4).unwrap();
    let mut host = Host::new(geometry.slots_max() as usize, geometry, 0);
    let mut random = 1u32;
    for step in 0..9000u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let extent = (random >> 8) % 20_000;
        host.request(extent..=extent + (random >> 30));
        if step % 3 == 0 {
            host.io();
        }
        if host.submitted.len() > 300 {
            host.finish(random as usize, step % 2 == 0);
        }
        if step % 500 == 0 {
            host.check();
        }
    }
    assert!(host.log.slots_in_use() == geometry.slots_max());
    assert!(host.records > 100, "{} records", host.records);
}

#[test]
fn what_arrives_while_a_record_is_under_way_shares_the_next_one() {
    let mut log = log(200, AlGeometry::DEFAULT, 0);
    assert_eq!(log.begin(0..=0), Begin::Wait { ticket: 1 });
    assert_eq!(log.poll(), Some(Action::WriteRecord { number: 0 }));
    for extent in 1..=64 {
        assert_eq!(log.begin(extent..=extent), Begin::Wait { ticket: 2 });
    }
    assert_eq!(log.begin(65..=65), Begin::Wait { ticket: 3 });
    assert_eq!(
        log.begin(1..=1),
        Begin::Wait { ticket: 2 },
        "a second writer waits for the same record"
    );
    assert_eq!(log.poll(), None, "one record at a time");
    assert_eq!(log.record_written(true), Ok(1));
    assert_eq!(log.begin(0..=0), Begin::Ready);
    assert_eq!(log.poll(), Some(Action::WriteRecord { number: 1 }));
    let mut block = [0; 4096];
    log.encode(&mut block);
    let record = Transaction::decode(&block).unwrap();
    assert_eq!(record.updates().count(), 64);
    assert_eq!(record.updates().next(), Some((198, 1)));
    assert_eq!(
        record
            .context()
            .filter(|(_, extent)| *extent != u32::MAX)
            .collect::<Vec<_>>(),
        [(199, 0)]
    );
    assert_eq!(log.record_written(true), Ok(2));
    assert_eq!(log.begin(64..=64), Begin::Ready);
}

#[test]
fn the_first_records_are_those_of_the_stock_driver() {
    // v08-al-crashed-internal: 67 slots; after eight empty records, extents 0, 3, 5 and 14.
    let mut log = log(67, AlGeometry::DEFAULT, 0);
    log.rewrite();
    let mut crcs = Vec::new();
    let mut write = |log: &mut Log| {
        assert!(matches!(log.poll(), Some(Action::WriteRecord { .. })));
        let mut block = [0; 4096];
        log.encode(&mut block);
        crcs.push(Transaction::decode(&block).unwrap().crc());
        log.record_written(true).unwrap();
    };
    for _ in 0..8 {
        write(&mut log);
    }
    assert!(!log.is_rewriting());
    for extent in [0, 3, 5, 14] {
        assert!(matches!(log.begin(extent..=extent), Begin::Wait { .. }));
        write(&mut log);
        log.end(extent..=extent);
    }
    let golden = [
        0xa263_9b81,
        0x07b3_53fb,
        0xec2e_7d84,
        0x49fe_b5fe,
        0xa44a_5532,
        0xa8d2_86aa,
        0x18ec_3ea8,
        0x1632_1277,
    ];
    assert_eq!(crcs[0], 0x3ef8_578b);
    assert_eq!(crcs[4..], golden);
}

#[test]
fn an_extent_is_dropped_only_after_its_bitmap_page() {
    let mut log = log(1, AlGeometry::DEFAULT, 0);
    assert_eq!(log.begin(7..=7), Begin::Wait { ticket: 1 });
    assert_eq!(
        log.poll(),
        Some(Action::WriteRecord { number: 0 }),
        "nothing is dropped"
    );
    assert_eq!(log.record_written(true), Ok(1));
    assert_eq!(log.begin(8..=8), Begin::Full);
    assert!(log.is_held(7) && !log.is_held(8));
    assert!(log.end(7..=7));
    assert_eq!(log.begin(8..=8), Begin::Wait { ticket: 2 });
    assert_eq!(log.poll(), Some(Action::WriteBitmap));
    assert_eq!(log.evicting().collect::<Vec<_>>(), [7]);
    assert_eq!(log.poll(), None, "the record waits for the page");
    assert_eq!(log.bitmap_written(true), Ok(()));
    assert_eq!(log.poll(), Some(Action::WriteRecord { number: 1 }));
}

#[test]
fn a_failed_write_lets_nobody_through() {
    for bitmap_fails in [true, false] {
        let mut log = log(1, AlGeometry::DEFAULT, 0);
        log.begin(7..=7);
        log.poll();
        log.record_written(true).unwrap();
        log.end(7..=7);
        assert_eq!(log.begin(8..=8), Begin::Wait { ticket: 2 });
        assert_eq!(log.poll(), Some(Action::WriteBitmap));
        if bitmap_fails {
            assert_eq!(log.bitmap_written(false), Err(CommitFailed));
        } else {
            log.bitmap_written(true).unwrap();
            log.poll();
            assert_eq!(log.record_written(false), Err(CommitFailed));
        }
        assert!(log.has_failed());
        assert_eq!(log.poll(), None);
        assert_eq!(log.begin(7..=7), Begin::Failed);
        log.end(8..=8);
        assert!(!log.is_held(8));
    }
}

#[test]
fn a_request_that_gives_up_leaves_its_slot_usable() {
    let mut log = log(1, AlGeometry::DEFAULT, 0);
    log.begin(7..=7);
    assert!(!log.end(7..=7), "still pending");
    assert_eq!(log.begin(8..=8), Begin::Full);
    log.poll();
    assert_eq!(log.record_written(true), Ok(1));
    assert!(log.is_idle());
    assert!(matches!(log.begin(8..=8), Begin::Wait { .. }));
}

#[test]
fn without_updates_nothing_is_written_until_they_are_turned_on() {
    let mut log = ActivityLog::new(
        vec![Slot::EMPTY; 2],
        vec![0; 2],
        AlGeometry::DEFAULT,
        0,
        false,
    )
    .unwrap();
    assert_eq!(log.begin(1..=2), Begin::Ready);
    assert_eq!(
        log.begin(3..=3),
        Begin::Full,
        "resync still needs to know who writes"
    );
    assert_eq!(log.poll(), None);
    log.set_updates(true);
    let mut named = BTreeSet::new();
    while let Some(action) = log.poll() {
        assert!(matches!(action, Action::WriteRecord { .. }));
        let mut block = [0; 4096];
        log.encode(&mut block);
        named.extend(
            Transaction::decode(&block)
                .unwrap()
                .context()
                .map(|(_, extent)| extent),
        );
        log.record_written(true).unwrap();
    }
    assert_eq!(log.next_number(), 8);
    assert_eq!(named, BTreeSet::from([1, 2]));
    assert!(!log.is_rewriting());
}

#[test]
fn a_suspended_log_holds_nothing() {
    let mut log = log(4, AlGeometry::DEFAULT, 0);
    log.suspend();
    assert_eq!(log.begin(1..=2), Begin::Suspended);
    assert!(!log.is_held(1));
    log.resume();
    assert_eq!(log.begin(1..=2), Begin::Wait { ticket: 1 });
}

#[test]
fn requests_and_storage_out_of_range_are_refused() {
    let mut log = log(100, AlGeometry::DEFAULT, 0);
    assert_eq!(log.begin(0..=32), Begin::TooLong);
    #[expect(clippy::reversed_empty_ranges, reason = "the refusal under test")]
    let empty = 5..=4;
    assert_eq!(log.begin(empty), Begin::TooLong);
    assert_eq!(log.begin(u32::MAX..=u32::MAX), Begin::TooLong);
    assert_eq!(log.begin(0..=31), Begin::Wait { ticket: 1 });
    let made = |slots: usize, heads: usize| {
        ActivityLog::new(
            vec![Slot::EMPTY; slots],
            vec![0; heads],
            AlGeometry::DEFAULT,
            0,
            true,
        )
        .err()
    };
    assert_eq!(
        made(0, 1),
        Some(ConfigError::Slots {
            slots: 0,
            max: 6433
        })
    );
    assert_eq!(
        made(6434, 1),
        Some(ConfigError::Slots {
            slots: 6434,
            max: 6433
        })
    );
    assert_eq!(made(1, 0), Some(ConfigError::Index));
    assert_eq!(made(6433, 1), None);
}

#[test]
fn sectors_become_extents() {
    assert_eq!(extents_of(0, 1), Some(0..=0));
    assert_eq!(extents_of(8191, 2), Some(0..=1));
    assert_eq!(extents_of(8192, 8192 * 32), Some(1..=32));
    assert_eq!(extents_of(5, 0), None);
    assert_eq!(extents_of(u64::MAX, 2), None);
    assert_eq!(extents_of(1 << 45, 1), None);
}
