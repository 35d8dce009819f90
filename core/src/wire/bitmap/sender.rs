// SPDX-License-Identifier: GPL-2.0-or-later
//! The sending side of a bitmap transfer.

use super::super::command::Command;
use super::super::dialect::Dialect;
use super::super::error::WireError;
use super::super::vli::{self, BitWriter};
use super::{BitSource, Position, ENCODING_RLE_VLI, FIRST_SET, PAD_SHIFT};

/// One packet of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// [`Command::Bitmap`] or [`Command::CompressedBitmap`].
    pub command: Command,
    /// Bytes of payload written.
    pub len: usize,
    /// Whether the transfer is complete with it.
    pub last: bool,
}

/// The position of a transfer that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapSender {
    position: Position,
    compress: bool,
    done: bool,
}

/// What became of an attempt to compress.
struct Attempt {
    bytes: usize,
    end: u64,
}

impl BitmapSender {
    /// Starts a transfer of a bitmap of `bits` bits. `use_rle` is the option; old versions get plain packets anyway.
    #[must_use]
    pub fn new(dialect: Dialect, bits: u64, use_rle: bool) -> Self {
        Self {
            position: Position::new(dialect, bits),
            compress: use_rle && dialect.has_compressed_bitmap(),
            done: false,
        }
    }

    /// Bits that were sent, for progress.
    #[must_use]
    pub fn bits_sent(&self) -> u64 {
        self.position.bit
    }

    /// Writes the payload of the next packet into `body`; none after the last one.
    ///
    /// # Errors
    ///
    /// [`WireError::BufferTooSmall`] if `body` has less than [`Dialect::bitmap_chunk_bytes`] bytes.
    pub fn next_chunk(
        &mut self,
        source: &impl BitSource,
        body: &mut [u8],
    ) -> Result<Option<Chunk>, WireError> {
        if self.done {
            return Ok(None);
        }
        let have = body.len();
        let needed = self.position.chunk_bytes;
        let body = body
            .get_mut(..needed)
            .ok_or(WireError::BufferTooSmall { needed, have })?;
        let compressed = if self.compress {
            self.compress(source, body)
        } else {
            None
        };
        let chunk = match compressed {
            Some(Attempt { bytes, end }) => {
                self.position.bit = end;
                Chunk {
                    command: Command::CompressedBitmap,
                    len: bytes,
                    last: end >= self.position.bits,
                }
            }
            None => {
                let len = self.plain(source, body);
                self.position.pass_plain();
                // Only an empty plain packet ends a transfer.
                Chunk {
                    command: Command::Bitmap,
                    len,
                    last: len == 0,
                }
            }
        };
        self.done = chunk.last;
        Ok(Some(chunk))
    }

    /// Codes runs until the packet is full or the bitmap ends; none if plain words would be shorter.
    fn compress(&self, source: &impl BitSource, body: &mut [u8]) -> Option<Attempt> {
        let Position {
            bits, bit: start, ..
        } = self.position;
        if start >= bits {
            return None;
        }
        let (head, codes) = body.split_first_mut()?;
        let mut writer = BitWriter::new(codes);
        let first_set = source.next_set(start) == Some(start);
        let mut set = first_set;
        let mut at = start;
        while at < bits {
            let next = if set {
                source.next_clear(at)
            } else {
                source.next_set(at)
            };
            let end = next.unwrap_or(bits).min(bits);
            // No run here means that a bit changed under us: the next packet looks at it again.
            let Some(code) = end.checked_sub(at).and_then(vli::encode) else {
                break;
            };
            if !writer.put(code) {
                break;
            }
            at = end;
            set = !set;
        }
        let coded_bits = u64::try_from(writer.bytes())
            .unwrap_or(u64::MAX)
            .saturating_mul(8);
        let covered = at.saturating_sub(start);
        if covered == 0 || covered < coded_bits {
            return None;
        }
        let pad = writer.pad_bits().checked_shl(PAD_SHIFT).unwrap_or(0);
        let bytes = writer.bytes().saturating_add(1);
        *head = ENCODING_RLE_VLI | pad | if first_set { FIRST_SET } else { 0 };
        Some(Attempt { bytes, end: at })
    }

    /// Copies the words of a plain packet; returns its bytes.
    fn plain(&self, source: &impl BitSource, body: &mut [u8]) -> usize {
        let first = self.position.word();
        let end = first.saturating_add(self.position.plain_words());
        for (index, bytes) in (first..end).zip(body.chunks_exact_mut(8)) {
            let word = source.word(index) & self.position.word_mask(index);
            if let Some(bytes) = bytes.first_chunk_mut() {
                *bytes = word.to_le_bytes();
            }
        }
        self.position.plain_bytes()
    }
}
