// SPDX-License-Identifier: GPL-2.0-or-later
//! Which 4 KiB blocks differ between this disk and each peer's.
//!
//! One bitmap for each bitmap slot of the metadata, bit n for sectors 8n..8n+7, set while out of
//! sync. The words lie in memory exactly as on disk (little-endian; with more than one slot,
//! interleaved in 32-bit words), so a page is written by copying it. Setting a bit costs no I/O:
//! the activity log covers it until the page is written (metadata.md 6).
//!
//! Nothing here takes longer than the range it is given: whoever fills a whole bitmap does so in
//! steps ([`Bitmap::fill_step`]).

mod growth;
mod pages;
mod ranges;
mod rounding;
mod transfer;

pub use pages::PageState;
pub use ranges::FillStep;
pub use rounding::{bits_inward, bits_of_sectors, bits_outward};

use crate::meta::{BITMAP_SLOTS_MAX, BLOCK_BYTES, PEERS_MAX};

/// 64-bit words of a page.
pub const WORDS_PER_PAGE: usize = BLOCK_BYTES / 8;
/// Bits a bitmap can have: those of the largest device.
pub const BITS_MAX: u64 = crate::meta::MAX_SECTORS / crate::meta::SECTORS_PER_BIT;

/// Why a bitmap cannot be made or changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BitmapError {
    /// More than [`BITS_MAX`] bits, or slots outside 1..=31.
    TooLarge,
    /// The storage handed in is too small.
    Storage {
        /// Pages needed.
        pages: usize,
    },
    /// Words beyond the end of the bitmap.
    BeyondEnd,
}

/// The bitmaps of one volume.
///
/// `W` holds [`WORDS_PER_PAGE`] words for each page, `S` one [`PageState`] for each page; both
/// come from the host.
///
/// # Invariants
///
/// No bit at or above `n_bits` is set. `weights[s]` is the number of bits set in slot `s`.
#[derive(Debug)]
pub struct Bitmap<W, S> {
    words: W,
    pages: S,
    n_bits: u64,
    max_peers: u32,
    weights: [u64; PEERS_MAX],
}

/// Pages that `n_bits` bits for each of `max_peers` slots need.
///
/// # Errors
///
/// [`BitmapError::TooLarge`].
pub fn pages_needed(n_bits: u64, max_peers: u32) -> Result<usize, BitmapError> {
    if n_bits > BITS_MAX || max_peers == 0 || max_peers > BITMAP_SLOTS_MAX {
        return Err(BitmapError::TooLarge);
    }
    let words = n_bits.div_ceil(64).saturating_mul(u64::from(max_peers));
    usize::try_from(words)
        .map(|words| words.div_ceil(WORDS_PER_PAGE))
        .map_err(|_| BitmapError::TooLarge)
}

impl<W, S> Bitmap<W, S>
where
    W: AsRef<[u64]> + AsMut<[u64]>,
    S: AsRef<[PageState]> + AsMut<[PageState]>,
{
    /// A bitmap with no bit set and no page waiting to be written.
    ///
    /// # Errors
    ///
    /// [`BitmapError::TooLarge`], or [`BitmapError::Storage`] if `words` or `pages` is smaller
    /// than [`pages_needed`] says. Larger is fine.
    pub fn new(
        mut words: W,
        mut pages: S,
        n_bits: u64,
        max_peers: u32,
    ) -> Result<Self, BitmapError> {
        check_storage(&words, &pages, n_bits, max_peers)?;
        words.as_mut().fill(0);
        pages.as_mut().fill(PageState::CLEAN);
        Ok(Bitmap {
            words,
            pages,
            n_bits,
            max_peers,
            weights: [0; PEERS_MAX],
        })
    }

    /// Bits of each slot.
    pub fn n_bits(&self) -> u64 {
        self.n_bits
    }

    /// Slots.
    pub fn max_peers(&self) -> u32 {
        self.max_peers
    }

    /// Bits set in a slot; 0 for a slot that does not exist.
    pub fn weight(&self, slot: u32) -> u64 {
        index(slot)
            .and_then(|slot| self.weights.get(slot))
            .copied()
            .unwrap_or(0)
    }

    /// 64-bit words of each slot.
    pub fn n_words(&self) -> u64 {
        self.n_bits.div_ceil(64)
    }

    /// Gives the bitmap more bits within the storage it has. They begin clear, or set.
    ///
    /// Every page from the last old one on waits to be written: what lies on disk there is
    /// unknown.
    ///
    /// # Errors
    ///
    /// [`BitmapError`] if the storage is too small or the bitmap would shrink; then nothing is
    /// changed.
    pub fn extend(&mut self, n_bits: u64, set: bool) -> Result<(), BitmapError> {
        let needed = check_storage(&self.words, &self.pages, n_bits, self.max_peers)?;
        if n_bits < self.n_bits {
            return Err(BitmapError::BeyondEnd);
        }
        let old_bits = self.n_bits;
        let used = pages_needed(old_bits, self.max_peers)?;
        self.n_bits = n_bits;
        for state in self
            .pages
            .as_mut()
            .iter_mut()
            .take(needed)
            .skip(used.saturating_sub(1))
        {
            state.mark_set();
        }
        if set {
            for slot in 0..self.max_peers {
                self.set_range(slot, old_bits..n_bits);
            }
        }
        Ok(())
    }

    /// Gives the bitmap more bits, all clear, and larger storage; returns the old storage.
    ///
    /// Every page from the last old one on waits to be written: what lies on disk there is
    /// unknown.
    ///
    /// # Errors
    ///
    /// [`BitmapError`] if the new storage is too small or the bitmap would shrink; then the new
    /// storage is dropped and nothing is changed.
    pub fn grow(&mut self, mut words: W, mut pages: S, n_bits: u64) -> Result<(W, S), BitmapError> {
        let needed = check_storage(&words, &pages, n_bits, self.max_peers)?;
        if n_bits < self.n_bits {
            return Err(BitmapError::BeyondEnd);
        }
        let used = pages_needed(self.n_bits, self.max_peers)?;
        words.as_mut().fill(0);
        pages.as_mut().fill(PageState::CLEAN);
        for (new, old) in words.as_mut().iter_mut().zip(self.words.as_ref()) {
            *new = *old;
        }
        let old_states = self.pages.as_ref().iter().take(used).copied();
        for (new, old) in pages.as_mut().iter_mut().zip(old_states) {
            *new = old;
        }
        for state in pages
            .as_mut()
            .iter_mut()
            .take(needed)
            .skip(used.saturating_sub(1))
        {
            state.mark_set();
        }
        self.n_bits = n_bits;
        let old_words = core::mem::replace(&mut self.words, words);
        let old_pages = core::mem::replace(&mut self.pages, pages);
        Ok((old_words, old_pages))
    }

    /// Takes bits away from the end, keeping the storage. Does nothing if `n_bits` is larger.
    ///
    /// The work grows with the bits that go.
    pub fn shrink(&mut self, n_bits: u64) {
        if n_bits >= self.n_bits {
            return;
        }
        for slot in 0..self.max_peers {
            self.clear_range(slot, n_bits..self.n_bits);
        }
        self.n_bits = n_bits;
    }
}

/// Pages needed, if the storage has them.
fn check_storage<W, S>(
    words: &W,
    pages: &S,
    n_bits: u64,
    max_peers: u32,
) -> Result<usize, BitmapError>
where
    W: AsRef<[u64]>,
    S: AsRef<[PageState]>,
{
    let needed = pages_needed(n_bits, max_peers)?;
    if words.as_ref().len() / WORDS_PER_PAGE < needed || pages.as_ref().len() < needed {
        return Err(BitmapError::Storage { pages: needed });
    }
    Ok(needed)
}

/// A slot or page number as an index.
fn index(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}
