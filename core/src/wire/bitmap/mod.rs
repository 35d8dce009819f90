// SPDX-License-Identifier: GPL-2.0-or-later
//! Exchange of out-of-sync bitmaps (wire-protocol section 7).
//!
//! A transfer is a row of packets with an implicit position: both sides start at bit 0 and count. Sender and receiver
//! here are that position and nothing more; the bits belong to whoever implements [`BitSource`] and [`BitSink`].
//! One call does one packet, at most 4088 bytes.

mod receiver;
mod sender;
#[cfg(test)]
mod tests;

pub use receiver::{BitmapReceiver, Progress};
pub use sender::{BitmapSender, Chunk};

/// Bits of a word of a plain packet.
const WORD_BITS: u64 = 64;
/// Encoding of compressed packets: run lengths as codes of [`super::vli`].
const ENCODING_RLE_VLI: u8 = 2;
/// First byte of a compressed packet: encoding.
const ENCODING_MASK: u8 = 0x0f;
/// First byte of a compressed packet: unused bits of the last byte.
const PAD_SHIFT: u32 = 4;
const PAD_MASK: u8 = 0x07;
/// First byte of a compressed packet: the first run is of set bits.
const FIRST_SET: u8 = 0x80;

/// A bitmap that is sent. It may change meanwhile: a bit that changes may be seen in either state.
pub trait BitSource {
    /// First set bit at or after `from`; none if there is none.
    fn next_set(&self, from: u64) -> Option<u64>;

    /// First clear bit at or after `from`; none, or one beyond the end, if there is none.
    fn next_clear(&self, from: u64) -> Option<u64>;

    /// 64 bits from bit 64 × `index` on, the lowest bit first; bits beyond the end do not matter.
    fn word(&self, index: u64) -> u64;
}

/// A bitmap that is received into. Bits are only ever set.
pub trait BitSink {
    /// Sets `len` bits from `start` on; all of them exist, `len` is at least 1, and may be the whole bitmap.
    fn set_range(&mut self, start: u64, len: u64);

    /// Sets the bits of `word`, whose lowest is bit 64 × `index`; no bit beyond the end is set in it.
    fn or_word(&mut self, index: u64, word: u64) {
        let base = index.saturating_mul(WORD_BITS);
        let mut from = 0_u32;
        while let Some(rest) = word.checked_shr(from).filter(|rest| *rest != 0) {
            let start = from.saturating_add(rest.trailing_zeros());
            let run = word.checked_shr(start).unwrap_or(0).trailing_ones();
            self.set_range(base.saturating_add(u64::from(start)), u64::from(run));
            from = start.saturating_add(run);
        }
    }
}

/// The position both sides count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// Bits of the bitmap.
    bits: u64,
    /// Next bit.
    bit: u64,
    /// Words of a full plain packet.
    chunk_words: u64,
    /// Bytes a packet may have.
    chunk_bytes: usize,
}

impl Position {
    fn new(dialect: super::Dialect, bits: u64) -> Self {
        Self {
            bits,
            bit: 0,
            chunk_words: u64::try_from(dialect.bitmap_chunk_words()).unwrap_or(u64::MAX),
            chunk_bytes: dialect.bitmap_chunk_bytes(),
        }
    }

    /// The word a plain packet starts with: the one with the next bit, or the end.
    fn word(&self) -> u64 {
        if self.bit >= self.bits {
            self.bits.div_ceil(WORD_BITS)
        } else {
            self.bit / WORD_BITS
        }
    }

    /// Words of the next plain packet; 0 at the end.
    fn plain_words(&self) -> u64 {
        self.bits
            .div_ceil(WORD_BITS)
            .saturating_sub(self.word())
            .min(self.chunk_words)
    }

    /// Bytes of the next plain packet.
    fn plain_bytes(&self) -> usize {
        usize::try_from(self.plain_words().saturating_mul(8)).unwrap_or(usize::MAX)
    }

    /// Moves past a plain packet.
    fn pass_plain(&mut self) {
        let word = self.word().saturating_add(self.plain_words());
        self.bit = word.saturating_mul(WORD_BITS).min(self.bits);
    }

    /// The bits of word `index` that exist.
    fn word_mask(&self, index: u64) -> u64 {
        match self.bits.saturating_sub(index.saturating_mul(WORD_BITS)) {
            0 => 0,
            left if left >= WORD_BITS => u64::MAX,
            left => u64::MAX
                .checked_shr(u32::try_from(WORD_BITS.saturating_sub(left)).unwrap_or(0))
                .unwrap_or(0),
        }
    }
}
