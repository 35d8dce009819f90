// SPDX-License-Identifier: GPL-2.0-or-later
//! Setting, clearing, counting and finding bits.

use core::ops::Range;

use super::{index, Bitmap, PageState, WORDS_PER_PAGE};
use crate::meta::{BITS_PER_AL_EXTENT, BITS_PER_RESYNC_EXTENT};

/// Outcome of one step of filling a whole slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FillStep {
    /// Bits that changed.
    pub changed: u64,
    /// Where the next step goes on; none when the whole slot is done.
    pub next: Option<u64>,
}

impl<W, S> Bitmap<W, S>
where
    W: AsRef<[u64]> + AsMut<[u64]>,
    S: AsRef<[PageState]> + AsMut<[PageState]>,
{
    /// Whether a bit is set; false beyond the end.
    pub fn test(&self, slot: u32, bit: u64) -> bool {
        bit < self.n_bits && self.word(slot, bit / 64) & (1 << (bit % 64)) != 0
    }

    /// Sets bits; what lies beyond the end is left out. Returns how many were clear.
    pub fn set_range(&mut self, slot: u32, bits: Range<u64>) -> u64 {
        self.assign(slot, bits, true)
    }

    /// Clears bits; what lies beyond the end is left out. Returns how many were set.
    pub fn clear_range(&mut self, slot: u32, bits: Range<u64>) -> u64 {
        self.assign(slot, bits, false)
    }

    /// Sets or clears the next `bits_max` bits of a whole slot.
    ///
    /// Start with `cursor` 0; call again with [`FillStep::next`] until there is none.
    pub fn fill_step(&mut self, slot: u32, value: bool, cursor: u64, bits_max: u64) -> FillStep {
        let end = cursor.saturating_add(bits_max.max(1)).min(self.n_bits);
        let changed = self.assign(slot, cursor..end, value);
        FillStep {
            changed,
            next: Some(end).filter(|end| *end < self.n_bits),
        }
    }

    /// Bits set in a range.
    pub fn count_range(&self, slot: u32, bits: Range<u64>) -> u64 {
        let end = bits.end.min(self.n_bits);
        let masks = word_masks(bits.start..end);
        masks.fold(0, |count, (word, mask)| {
            count.saturating_add(u64::from((self.word(slot, word) & mask).count_ones()))
        })
    }

    /// Bits set in an activity-log extent (4 MiB), 0..=1024.
    pub fn al_extent_weight(&self, slot: u32, extent: u32) -> u64 {
        self.count_range(slot, extent_bits(extent, BITS_PER_AL_EXTENT))
    }

    /// Bits set in a resync extent (16 MiB), 0..=4096.
    pub fn resync_extent_weight(&self, slot: u32, extent: u32) -> u64 {
        self.count_range(slot, extent_bits(extent, BITS_PER_RESYNC_EXTENT))
    }

    /// The first bit of a range that is set.
    pub fn find_next_set(&self, slot: u32, bits: Range<u64>) -> Option<u64> {
        self.find(slot, bits, 0)
    }

    /// The first bit of a range that is clear; the end of the bitmap is no bit.
    pub fn find_next_clear(&self, slot: u32, bits: Range<u64>) -> Option<u64> {
        self.find(slot, bits, u64::MAX)
    }

    /// One 64-bit word of a slot as a number (bit n of it is bit 64*word + n); 0 beyond the end.
    pub fn word(&self, slot: u32, word: u64) -> u64 {
        let words = self.words.as_ref();
        if self.max_peers == 1 {
            if slot != 0 {
                return 0;
            }
            let raw = usize::try_from(word).ok().and_then(|word| words.get(word));
            return u64::from_le(raw.copied().unwrap_or(0));
        }
        let [low, high] = self.lanes(slot, word);
        u64::from(lane_of(words, low)) | (u64::from(lane_of(words, high)) << 32)
    }

    /// Sets or clears the bits of `mask` in one word. The caller keeps to `n_bits`. Returns how
    /// many changed; marks the pages that did.
    pub(super) fn assign_word(&mut self, slot: u32, word: u64, mask: u64, value: bool) -> u64 {
        if slot >= self.max_peers {
            return 0;
        }
        let changed = if self.max_peers == 1 {
            let place = usize::try_from(word).unwrap_or(usize::MAX);
            self.assign_raw(place, mask, value)
        } else {
            let [low, high] = self.lanes(slot, word);
            let low_changed = self.assign_raw(low / 2, in_lane(mask & 0xffff_ffff, low), value);
            low_changed.saturating_add(self.assign_raw(high / 2, in_lane(mask >> 32, high), value))
        };
        if let Some(weight) = index(slot).and_then(|slot| self.weights.get_mut(slot)) {
            *weight = if value {
                weight.saturating_add(changed)
            } else {
                weight.saturating_sub(changed)
            };
        }
        changed
    }

    /// Changes the bits of `mask` in a word of the storage.
    fn assign_raw(&mut self, place: usize, mask: u64, value: bool) -> u64 {
        let Some(raw) = self.words.as_mut().get_mut(place) else {
            return 0;
        };
        let old = u64::from_le(*raw);
        let new = if value { old | mask } else { old & !mask };
        if new == old {
            return 0;
        }
        *raw = new.to_le();
        if let Some(state) = self.pages.as_mut().get_mut(place / WORDS_PER_PAGE) {
            if value {
                state.mark_set();
            } else {
                state.mark_cleared();
            }
        }
        u64::from((old ^ new).count_ones())
    }

    fn assign(&mut self, slot: u32, bits: Range<u64>, value: bool) -> u64 {
        let end = bits.end.min(self.n_bits);
        let masks = word_masks(bits.start..end);
        masks.fold(0, |changed, (word, mask)| {
            changed.saturating_add(self.assign_word(slot, word, mask, value))
        })
    }

    /// The first bit of a range that differs from those of `skip`.
    fn find(&self, slot: u32, bits: Range<u64>, skip: u64) -> Option<u64> {
        if slot >= self.max_peers {
            return None;
        }
        let end = bits.end.min(self.n_bits);
        let (word, hits) = word_masks(bits.start..end)
            .map(|(word, mask)| (word, (self.word(slot, word) ^ skip) & mask))
            .find(|(_, hits)| *hits != 0)?;
        word.checked_mul(64)?
            .checked_add(u64::from(hits.trailing_zeros()))
    }

    /// The two 32-bit words on disk that are one 64-bit word of a slot.
    fn lanes(&self, slot: u32, word: u64) -> [usize; 2] {
        let lane = |half: u64| {
            let row = word.checked_mul(2).and_then(|row| row.checked_add(half));
            let start = row.and_then(|row| row.checked_mul(u64::from(self.max_peers)));
            let lane = start.and_then(|start| start.checked_add(u64::from(slot)));
            lane.and_then(|lane| usize::try_from(lane).ok())
                .unwrap_or(usize::MAX)
        };
        [lane(0), lane(1)]
    }
}

/// The bits of one extent of `size` bits.
fn extent_bits(extent: u32, size: u64) -> Range<u64> {
    let start = u64::from(extent).saturating_mul(size);
    start..start.saturating_add(size)
}

/// The words a range touches, each with the bits of it that belong to the range.
fn word_masks(bits: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let (first, last) = (bits.start / 64, bits.end.saturating_sub(1) / 64);
    let head = u64::MAX << (bits.start % 64);
    // The last bit of the range is bits.end - 1; the shift is 0..=63.
    let tail = u64::MAX >> (63 ^ (bits.end.saturating_sub(1) % 64));
    let words = if bits.start < bits.end {
        first..last.saturating_add(1)
    } else {
        0..0
    };
    words.map(move |word| {
        let head = if word == first { head } else { u64::MAX };
        let tail = if word == last { tail } else { u64::MAX };
        (word, head & tail)
    })
}

/// A 32-bit word of the storage.
fn lane_of(words: &[u64], lane: usize) -> u32 {
    let raw = u64::from_le(words.get(lane / 2).copied().unwrap_or(0));
    let [a, b, c, d, e, f, g, h] = raw.to_le_bytes();
    if lane % 2 == 0 {
        u32::from_le_bytes([a, b, c, d])
    } else {
        u32::from_le_bytes([e, f, g, h])
    }
}

/// 32 bits at their place in the 64-bit word of the storage.
fn in_lane(bits: u64, lane: usize) -> u64 {
    if lane % 2 == 0 {
        bits
    } else {
        bits << 32
    }
}
