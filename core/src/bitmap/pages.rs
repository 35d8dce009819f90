// SPDX-License-Identifier: GPL-2.0-or-later
//! Bitmap pages on their way to and from the disk.

use core::ops::Range;

use super::{index, pages_needed, Bitmap, WORDS_PER_PAGE};
use crate::meta::{Block, BLOCK_BYTES};

/// 32-bit words of a page.
const LANES_PER_PAGE: u64 = (BLOCK_BYTES / 4) as u64;
/// 32-bit words an activity-log extent has in each slot.
const LANES_PER_AL_EXTENT: u64 = 32;

/// What a page in memory knows that the page on disk does not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PageState {
    set: bool,
    cleared: bool,
    writing: bool,
    /// The larger storage has it as it is, see `growth`.
    copied: bool,
}

impl PageState {
    /// The same as on disk.
    pub const CLEAN: PageState = PageState {
        set: false,
        cleared: false,
        writing: false,
        copied: false,
    };

    /// Whether bits were set since the last write: losing them would lose blocks.
    pub fn is_dirty(self) -> bool {
        self.set
    }

    /// Whether bits were only cleared: losing that costs a needless resync, no data.
    pub fn is_lazy(self) -> bool {
        self.cleared && !self.set
    }

    /// Whether bits were cleared since the last write: what they stood for has to be durable
    /// before the page is.
    pub fn has_lost_bits(self) -> bool {
        self.cleared
    }

    /// Whether a write is under way.
    pub fn is_writing(self) -> bool {
        self.writing
    }

    /// Whether every set bit is on disk (in the disk's cache: a flush is up to the caller).
    pub fn is_written(self) -> bool {
        !self.set && !self.writing
    }

    pub(super) fn mark_set(&mut self) {
        self.set = true;
        self.copied = false;
    }

    pub(super) fn mark_cleared(&mut self) {
        self.cleared = true;
        self.copied = false;
    }

    pub(super) fn is_copied(self) -> bool {
        self.copied
    }

    pub(super) fn mark_copied(&mut self) {
        self.copied = true;
    }

    pub(super) fn forget_copy(&mut self) {
        self.copied = false;
    }

    /// Its contents are nowhere on the disk.
    pub(super) fn mark_unwritten(&mut self) {
        self.set = true;
    }
}

impl<W, S> Bitmap<W, S>
where
    W: AsRef<[u64]> + AsMut<[u64]>,
    S: AsRef<[PageState]> + AsMut<[PageState]>,
{
    /// Pages in use.
    pub fn n_pages(&self) -> u32 {
        let pages = pages_needed(self.n_bits, self.max_peers).unwrap_or(0);
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// State of a page; clean beyond the end.
    pub fn page_state(&self, page: u32) -> PageState {
        index(page)
            .and_then(|page| self.pages.as_ref().get(page))
            .copied()
            .unwrap_or(PageState::CLEAN)
    }

    /// The pages that hold an activity-log extent, in all slots.
    ///
    /// They must be written, and flushed, before the extent leaves the activity log.
    pub fn pages_of_al_extent(&self, extent: u32) -> Range<u32> {
        let row = LANES_PER_AL_EXTENT.saturating_mul(u64::from(self.max_peers));
        let start = u64::from(extent).saturating_mul(row);
        let end = start.saturating_add(row);
        let page = |lane: u64| u32::try_from(lane).unwrap_or(u32::MAX).min(self.n_pages());
        page(start / LANES_PER_PAGE)..page(end.div_ceil(LANES_PER_PAGE))
    }

    /// The first page from `from` on that should be written: dirty ones, with `lazy` also those
    /// that only lost bits. Pages under way are skipped.
    pub fn next_page_to_write(&self, from: u32, lazy: bool) -> Option<u32> {
        let states = self.pages.as_ref().get(..index(self.n_pages())?)?;
        let wanted = |state: &PageState| !state.writing && (state.set || (lazy && state.cleared));
        let place = states
            .iter()
            .enumerate()
            .skip(index(from)?)
            .find(|(_, state)| wanted(state))?
            .0;
        u32::try_from(place).ok()
    }

    /// Starts writing a page: copies it to `block` and takes its marks away.
    ///
    /// Returns false, and does nothing, if the page is being written or does not exist. Bits that
    /// change from here on mark the page again. Every start needs a [`Bitmap::write_done`].
    pub fn begin_write(&mut self, page: u32, block: &mut Block) -> bool {
        if page >= self.n_pages() || self.page_state(page).writing {
            return false;
        }
        let Some(words) = page_words(self.words.as_ref(), page) else {
            return false;
        };
        for (bytes, word) in block.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        if let Some(state) = index(page).and_then(|page| self.pages.as_mut().get_mut(page)) {
            *state = PageState {
                set: false,
                cleared: false,
                writing: true,
                ..*state
            };
        }
        true
    }

    /// Ends a write. A page that could not be written is dirty again.
    pub fn write_done(&mut self, page: u32, ok: bool) {
        if let Some(state) = index(page).and_then(|page| self.pages.as_mut().get_mut(page)) {
            state.writing = false;
            state.set |= !ok;
        }
    }

    /// Takes a page as it was read from disk, replacing what was in memory.
    ///
    /// Bits beyond the end are ignored: every one of the last word, and none of it if the bitmap
    /// ends with that word. (The stock driver drops that whole last word, metadata.md 11.)
    pub fn load_page(&mut self, page: u32, block: &Block) {
        if page >= self.n_pages() {
            return;
        }
        self.count_page(page, false);
        let start = index(page).and_then(|page| page.checked_mul(WORDS_PER_PAGE));
        if let Some(tail) = start.and_then(|start| self.words.as_mut().get_mut(start..)) {
            for (word, bytes) in tail.iter_mut().zip(block.chunks_exact(8)) {
                if let Some(bytes) = bytes.first_chunk::<8>() {
                    *word = u64::from_ne_bytes(*bytes);
                }
            }
        }
        self.mask_page(page);
        self.count_page(page, true);
        if let Some(state) = index(page).and_then(|page| self.pages.as_mut().get_mut(page)) {
            *state = PageState::CLEAN;
        }
    }

    /// Clears the bits of a page that lie beyond the end.
    fn mask_page(&mut self, page: u32) {
        let first_lane = u64::from(page).saturating_mul(LANES_PER_PAGE);
        let n_bits = self.n_bits;
        let max_peers = u64::from(self.max_peers);
        let first_bit = |lane: u64| lane.checked_div(max_peers).unwrap_or(0).saturating_mul(32);
        if first_bit(first_lane.saturating_add(LANES_PER_PAGE)) <= n_bits {
            return;
        }
        let Some(words) = page_words_mut(self.words.as_mut(), page) else {
            return;
        };
        for (word, lane) in words.iter_mut().zip((first_lane..).step_by(2)) {
            let kept = |lane: u64| match n_bits.saturating_sub(first_bit(lane)) {
                0 => 0,
                bits @ 1..=31 => !(u64::MAX << bits),
                _ => 0xffff_ffff,
            };
            let mask = kept(lane) | (kept(lane.saturating_add(1)) << 32);
            *word = (u64::from_le(*word) & mask).to_le();
        }
    }

    /// Adds the bits of a page to the weights, or takes them away.
    fn count_page(&mut self, page: u32, add: bool) {
        let first_lane = u64::from(page).saturating_mul(LANES_PER_PAGE);
        let max_peers = u64::from(self.max_peers);
        let Some(words) = page_words(self.words.as_ref(), page) else {
            return;
        };
        let mut account = |lane: u64, bits: u32| {
            let slot = usize::try_from(lane.checked_rem(max_peers).unwrap_or(0)).unwrap_or(0);
            if let Some(weight) = self.weights.get_mut(slot) {
                let bits = u64::from(bits);
                *weight = if add {
                    weight.saturating_add(bits)
                } else {
                    weight.saturating_sub(bits)
                };
            }
        };
        for (word, lane) in words.iter().zip((first_lane..).step_by(2)) {
            let word = u64::from_le(*word);
            account(lane, (word & 0xffff_ffff).count_ones());
            account(lane.saturating_add(1), (word >> 32).count_ones());
        }
    }
}

/// The words of a page.
fn page_words(words: &[u64], page: u32) -> Option<&[u64]> {
    let start = index(page)?.checked_mul(WORDS_PER_PAGE)?;
    words.get(start..start.checked_add(WORDS_PER_PAGE)?)
}

/// The words of a page.
fn page_words_mut(words: &mut [u64], page: u32) -> Option<&mut [u64]> {
    let start = index(page)?.checked_mul(WORDS_PER_PAGE)?;
    words.get_mut(start..start.checked_add(WORDS_PER_PAGE)?)
}
