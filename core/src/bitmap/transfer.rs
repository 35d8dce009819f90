// SPDX-License-Identifier: GPL-2.0-or-later
//! Bitmap words as they travel to a peer: one slot, little-endian, without interleaving.

use super::{Bitmap, BitmapError, PageState};

impl<W, S> Bitmap<W, S>
where
    W: AsRef<[u64]> + AsMut<[u64]>,
    S: AsRef<[PageState]> + AsMut<[PageState]>,
{
    /// Copies words of a slot, from `first_word` on, as many whole ones as `bytes` has room for
    /// and the bitmap has left. Returns how many.
    pub fn export_words(&self, slot: u32, first_word: u64, bytes: &mut [u8]) -> u64 {
        let left = first_word..self.n_words();
        let mut copied = 0u64;
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(left) {
            chunk.copy_from_slice(&self.word(slot, word).to_le_bytes());
            copied = copied.saturating_add(1);
        }
        copied
    }

    /// Sets every bit of a slot that is set in `bytes`. Bits beyond the end are left out.
    ///
    /// Returns how many were clear.
    ///
    /// # Errors
    ///
    /// [`BitmapError::BeyondEnd`], before anything is changed, if `bytes` is not whole words or
    /// has more of them than the bitmap.
    pub fn merge_words(
        &mut self,
        slot: u32,
        first_word: u64,
        bytes: &[u8],
    ) -> Result<u64, BitmapError> {
        let words = u64::try_from(bytes.len() / 8).map_err(|_| BitmapError::BeyondEnd)?;
        let end = first_word
            .checked_add(words)
            .ok_or(BitmapError::BeyondEnd)?;
        if bytes.len() % 8 != 0 || end > self.n_words() || slot >= self.max_peers {
            return Err(BitmapError::BeyondEnd);
        }
        let last_word = self.n_words().saturating_sub(1);
        let last_bits = self.n_bits % 64;
        let last_mask = if last_bits == 0 {
            u64::MAX
        } else {
            !(u64::MAX << last_bits)
        };
        let mut changed = 0u64;
        for (chunk, word) in bytes.chunks_exact(8).zip(first_word..) {
            let received = chunk
                .first_chunk::<8>()
                .map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let received = if word == last_word {
                received & last_mask
            } else {
                received
            };
            changed = changed.saturating_add(self.assign_word(slot, word, received, true));
        }
        Ok(changed)
    }
}
