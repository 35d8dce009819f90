// SPDX-License-Identifier: GPL-2.0-or-later
//! The bitmap against a naive twin: one `Vec<bool>` for each slot.

use std::ops::Range;

use drbd_core::bitmap::{pages_needed, Bitmap, BitmapError, PageState, WORDS_PER_PAGE};
use drbd_core::meta::Block;
use proptest::collection::vec;
use proptest::prelude::*;

type Boxed = Bitmap<Vec<u64>, Vec<PageState>>;

fn storage(n_bits: u64, max_peers: u32) -> (Vec<u64>, Vec<PageState>) {
    let pages = pages_needed(n_bits, max_peers).unwrap();
    (
        vec![u64::MAX; pages * WORDS_PER_PAGE],
        vec![PageState::CLEAN; pages],
    )
}

fn bitmap(n_bits: u64, max_peers: u32) -> Boxed {
    let (words, pages) = storage(n_bits, max_peers);
    Bitmap::new(words, pages, n_bits, max_peers).unwrap()
}

/// What the disk would hold: every page, written.
fn on_disk(bitmap: &mut Boxed) -> Vec<u8> {
    let mut disk = Vec::new();
    for page in 0..bitmap.n_pages() {
        let mut block: Block = [0; 4096];
        assert!(bitmap.begin_write(page, &mut block));
        bitmap.write_done(page, true);
        disk.extend_from_slice(&block);
    }
    disk
}

/// The place of a bit on disk, straight from the specification.
fn bit_on_disk(disk: &[u8], max_peers: usize, slot: usize, bit: usize) -> bool {
    let word32 = (bit / 32) * max_peers + slot;
    disk[word32 * 4 + (bit % 32) / 8] & (1 << (bit % 8)) != 0
}

#[derive(Clone, Debug)]
enum Op {
    Set(u32, Range<u64>),
    Clear(u32, Range<u64>),
    Merge(u32, u64, Vec<u64>),
    Fill(u32, bool, u64),
    Reload,
    Grow(u64),
    Shrink(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let range = (0u64..70_000, 0u64..3000).prop_map(|(start, len)| start..start + len);
    let slot = 0u32..4;
    prop_oneof![
        4 => (slot.clone(), range.clone()).prop_map(|(slot, range)| Op::Set(slot, range)),
        3 => (slot.clone(), range).prop_map(|(slot, range)| Op::Clear(slot, range)),
        2 => (slot.clone(), 0u64..600, vec(any::<u64>(), 0..8)).prop_map(|(s, w, words)| Op::Merge(s, w, words)),
        1 => (slot, any::<bool>(), 1u64..5000).prop_map(|(slot, value, step)| Op::Fill(slot, value, step)),
        1 => Just(Op::Reload),
        1 => (0u64..5000).prop_map(Op::Grow),
        1 => (0u64..2000).prop_map(Op::Shrink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn agrees_with_its_twin(n_bits in 1u64..40_000, max_peers in 1u32..4, ops in vec(op(), 1..25)) {
        let mut bits = bitmap(n_bits, max_peers);
        let mut twin = vec![vec![false; n_bits as usize]; max_peers as usize];
        for op in ops {
            let n = bits.n_bits();
            match op {
                Op::Set(slot, range) | Op::Clear(slot, range) if slot >= max_peers => {
                    prop_assert_eq!(bits.set_range(slot, range.clone()), 0);
                    prop_assert_eq!(bits.clear_range(slot, range), 0);
                }
                Op::Set(slot, range) => {
                    let mut newly = 0;
                    for bit in range.start.min(n)..range.end.min(n) {
                        newly += u64::from(!twin[slot as usize][bit as usize]);
                        twin[slot as usize][bit as usize] = true;
                    }
                    prop_assert_eq!(bits.set_range(slot, range), newly);
                }
                Op::Clear(slot, range) => {
                    let mut newly = 0;
                    for bit in range.start.min(n)..range.end.min(n) {
                        newly += u64::from(twin[slot as usize][bit as usize]);
                        twin[slot as usize][bit as usize] = false;
                    }
                    prop_assert_eq!(bits.clear_range(slot, range), newly);
                }
                Op::Merge(slot, first, words) => {
                    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                    let merged = bits.merge_words(slot, first, &bytes);
                    if slot >= max_peers || first + words.len() as u64 > n.div_ceil(64) {
                        prop_assert_eq!(merged, Err(BitmapError::BeyondEnd));
                        continue;
                    }
                    let mut newly = 0;
                    for (place, word) in words.iter().enumerate() {
                        for bit in 0..64 {
                            let at = first as usize * 64 + place * 64 + bit;
                            if word & (1 << bit) != 0 && (at as u64) < n {
                                newly += u64::from(!twin[slot as usize][at]);
                                twin[slot as usize][at] = true;
                            }
                        }
                    }
                    prop_assert_eq!(merged, Ok(newly));
                }
                Op::Fill(slot, value, step) => {
                    let (mut next, mut changed) = (Some(0), 0);
                    while let Some(cursor) = next {
                        let outcome = bits.fill_step(slot, value, cursor, step);
                        changed += outcome.changed;
                        prop_assert!(outcome.next.is_none_or(|next| next > cursor));
                        next = outcome.next;
                    }
                    let Some(row) = twin.get_mut(slot as usize) else { continue };
                    prop_assert_eq!(changed, row.iter().filter(|bit| **bit != value).count() as u64);
                    row.fill(value);
                }
                Op::Reload => {
                    let disk = on_disk(&mut bits);
                    let mut fresh = bitmap(n, max_peers);
                    for (page, block) in (0..).zip(disk.chunks(4096)) {
                        fresh.load_page(page, block.try_into().unwrap());
                    }
                    bits = fresh;
                }
                Op::Grow(by) => {
                    let (words, pages) = storage(n + by, max_peers);
                    bits.grow(words, pages, n + by).unwrap();
                    twin.iter_mut().for_each(|row| row.resize((n + by) as usize, false));
                }
                Op::Shrink(by) => {
                    bits.shrink(n.saturating_sub(by));
                    twin.iter_mut().for_each(|row| row.truncate(n.saturating_sub(by) as usize));
                }
            }
        }
        let n = bits.n_bits();
        for slot in 0..max_peers {
            let row = &twin[slot as usize];
            prop_assert_eq!(row.len() as u64, n);
            prop_assert_eq!(bits.weight(slot), row.iter().filter(|bit| **bit).count() as u64);
            for extent in 0..(n.div_ceil(1024) as u32) {
                let range = extent as usize * 1024..((extent as usize + 1) * 1024).min(row.len());
                prop_assert_eq!(bits.al_extent_weight(slot, extent), row[range].iter().filter(|bit| **bit).count() as u64);
            }
            for from in (0..n).step_by(37) {
                let tail = &row[from as usize..];
                prop_assert_eq!(bits.test(slot, from), row[from as usize]);
                let set = tail.iter().position(|bit| *bit).map(|at| at as u64 + from);
                prop_assert_eq!(bits.find_next_set(slot, from..u64::MAX), set);
                let clear = tail.iter().position(|bit| !*bit).map(|at| at as u64 + from);
                prop_assert_eq!(bits.find_next_clear(slot, from..u64::MAX), clear);
                let end = (from + 100).min(n);
                let count = row[from as usize..end as usize].iter().filter(|bit| **bit).count();
                prop_assert_eq!(bits.count_range(slot, from..from + 100), count as u64);
            }
            let mut bytes = vec![0; (n.div_ceil(64) * 8) as usize];
            prop_assert_eq!(bits.export_words(slot, 0, &mut bytes), n.div_ceil(64));
            for bit in 0..bytes.len() * 8 {
                let expected = row.get(bit).copied().unwrap_or(false);
                prop_assert_eq!(bytes[bit / 8] & (1 << (bit % 8)) != 0, expected);
            }
        }
        let disk = on_disk(&mut bits);
        let rows = disk.len() * 8 / 32 / max_peers as usize * 32;
        for (slot, row) in twin.iter().enumerate() {
            for bit in 0..rows {
                let expected = row.get(bit).copied().unwrap_or(false);
                prop_assert_eq!(bit_on_disk(&disk, max_peers as usize, slot, bit), expected);
            }
        }
    }

    /// Whatever happens, a page whose set bits are not on disk says so.
    #[test]
    fn no_set_bit_is_forgotten(max_peers in prop_oneof![Just(1u32), Just(3), Just(31)], ops in vec((0u8..4, 0u64..3000, 1u64..300), 1..40)) {
        let n_bits = 3000;
        let mut bits = bitmap(n_bits, max_peers);
        let mut disk = vec![0u8; bits.n_pages() as usize * 4096];
        let mut under_way: Vec<(u32, Block)> = Vec::new();
        for (kind, at, len) in ops {
            let slot = (len % u64::from(max_peers)) as u32;
            match kind {
                0 => drop(bits.set_range(slot, at..at + len)),
                1 => drop(bits.clear_range(slot, at..at + len)),
                2 => {
                    if let Some(page) = bits.next_page_to_write(0, len % 2 == 0) {
                        let mut block = [0; 4096];
                        prop_assert!(bits.begin_write(page, &mut block));
                        prop_assert!(!bits.begin_write(page, &mut block), "two writes of a page at a time");
                        under_way.push((page, block));
                    }
                }
                _ => {
                    if let Some((page, block)) = under_way.pop() {
                        let ok = len % 3 != 0;
                        if ok {
                            disk[page as usize * 4096..][..4096].copy_from_slice(&block);
                        }
                        bits.write_done(page, ok);
                    }
                }
            }
            for extent in 0..3u32 {
                let pages = bits.pages_of_al_extent(extent);
                if pages.clone().all(|page| bits.page_state(page).is_written()) {
                    for slot in 0..max_peers {
                        let mut from = u64::from(extent) * 1024;
                        while let Some(bit) = bits.find_next_set(slot, from..u64::from(extent + 1) * 1024) {
                            from = bit + 1;
                            let there = bit_on_disk(&disk, max_peers as usize, slot as usize, bit as usize);
                            prop_assert!(there, "bit {bit} of slot {slot} is not on disk");
                        }
                    }
                }
            }
        }
    }
}

/// Stock driver 8.4.11: a 128 MiB device whose last word is all ones counts 64 bits too few.
#[test]
fn the_last_word_survives_when_the_bits_are_a_multiple_of_64() {
    let mut bits = bitmap(32_768, 1);
    let mut block: Block = [0; 4096];
    block[510 * 8..].fill(0xff);
    bits.load_page(0, &block);
    assert_eq!(bits.weight(0), 128);
    assert!(bits.test(0, 32_767));
    for n_bits in [64, 128, 6400, 32_704, 32_768] {
        let mut bits = bitmap(n_bits, 1);
        bits.load_page(0, &[0xff; 4096]);
        assert_eq!(bits.weight(0), n_bits);
    }
    bits.shrink(32_704);
    assert_eq!(bits.weight(0), 64);
    assert!(bits.test(0, 32_703));
}

#[test]
fn bits_beyond_the_end_are_not_taken_from_disk() {
    let mut bits = bitmap(32_700, 1);
    bits.load_page(0, &[0xff; 4096]);
    assert_eq!(bits.weight(0), 32_700);
    let (words, pages) = storage(32_768, 1);
    bits.grow(words, pages, 32_768).unwrap();
    assert_eq!(bits.weight(0), 32_700);
    assert_eq!(bits.find_next_clear(0, 0..32_768), Some(32_700));
}

#[test]
fn what_was_on_disk_behind_the_old_end_is_overwritten_after_growing() {
    let mut bits = bitmap(32_700, 1);
    bits.load_page(0, &[0xff; 4096]);
    let (words, pages) = storage(100_000, 1);
    bits.grow(words, pages, 100_000).unwrap();
    let waiting: Vec<u32> = (0..4)
        .filter(|page| bits.page_state(*page).is_dirty())
        .collect();
    assert_eq!(waiting, [0, 1, 2, 3]);
}

#[test]
fn impossible_sizes_and_small_storage_are_refused() {
    let (words, pages) = storage(32_768, 1);
    let refused = Bitmap::new(words, pages, 32_769, 1).err();
    assert_eq!(refused, Some(BitmapError::Storage { pages: 2 }));
    assert_eq!(pages_needed(1, 0), Err(BitmapError::TooLarge));
    assert_eq!(pages_needed(1, 32), Err(BitmapError::TooLarge));
    assert_eq!(pages_needed((1 << 38) + 1, 1), Err(BitmapError::TooLarge));
    assert_eq!(pages_needed(1 << 38, 1), Ok(1 << 23));
}

#[test]
fn a_shrink_disguised_as_a_grow_is_refused() {
    let mut bits = bitmap(2000, 1);
    bits.set_range(0, 1999..2000);
    let (words, pages) = storage(1000, 1);
    assert_eq!(
        bits.grow(words, pages, 1000).err(),
        Some(BitmapError::BeyondEnd)
    );
    assert_eq!((bits.n_bits(), bits.weight(0)), (2000, 1));
}

#[test]
fn extending_in_place_gives_clean_or_dirty_bits_as_asked() {
    for set in [false, true] {
        let (words, pages) = storage(100_000, 2);
        let mut bits = Bitmap::new(words, pages, 1000, 2).unwrap();
        bits.load_page(0, &[0xff; 4096]);
        assert_eq!(
            bits.extend(200_000, set),
            Err(BitmapError::Storage { pages: 13 })
        );
        assert_eq!(bits.extend(999, set), Err(BitmapError::BeyondEnd));
        assert_eq!(bits.n_bits(), 1000);
        bits.extend(100_000, set).unwrap();
        let expected = if set { 100_000 } else { 1000 };
        assert_eq!((bits.weight(0), bits.weight(1)), (expected, expected));
        assert!((0..bits.n_pages()).all(|page| bits.page_state(page).is_dirty()));
    }
}
