// SPDX-License-Identifier: GPL-2.0-or-later
//! The receiving side of a bitmap transfer.

use super::super::command::Command;
use super::super::dialect::Dialect;
use super::super::error::WireError;
use super::super::vli::{self, BitReader};
use super::{BitSink, Position, ENCODING_MASK, ENCODING_RLE_VLI, FIRST_SET, PAD_MASK, PAD_SHIFT};

/// Whether more packets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The transfer goes on.
    More,
    /// The whole bitmap was received.
    Done,
}

/// The position of a transfer that is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapReceiver {
    position: Position,
    done: bool,
}

impl BitmapReceiver {
    /// Expects a transfer of a bitmap of `bits` bits.
    #[must_use]
    pub fn new(dialect: Dialect, bits: u64) -> Self {
        Self {
            position: Position::new(dialect, bits),
            done: false,
        }
    }

    /// Bits that were received, for progress.
    #[must_use]
    pub fn bits_received(&self) -> u64 {
        self.position.bit
    }

    /// Judges a packet of `len` bytes of payload before they are read.
    ///
    /// # Errors
    ///
    /// [`WireError::Unexpected`] for another packet, [`WireError::BitmapAfterEnd`], [`WireError::BitmapLength`]: a
    /// plain packet has exactly one length at each position, and after the last word it is empty.
    pub fn check(&self, command: Command, len: usize) -> Result<(), WireError> {
        if self.done {
            return Err(WireError::BitmapAfterEnd);
        }
        match command {
            Command::Bitmap => {
                let wanted = self.position.plain_bytes();
                if len == wanted {
                    Ok(())
                } else {
                    Err(WireError::BitmapLength {
                        length: len,
                        wanted,
                    })
                }
            }
            Command::CompressedBitmap => {
                let wanted = self.position.chunk_bytes;
                if len < 2 || len > wanted {
                    Err(WireError::BitmapLength {
                        length: len,
                        wanted,
                    })
                } else {
                    Ok(())
                }
            }
            command => Err(WireError::Unexpected { command }),
        }
    }

    /// Takes the whole payload of one packet.
    ///
    /// # Errors
    ///
    /// As [`Self::check`]; [`WireError::BitmapEncoding`], [`WireError::BitmapOverflow`],
    /// [`WireError::BitmapTruncated`]. Bits set before the error stay set, which is safe: the connection ends, and a
    /// bit too many only costs a resync of its block.
    pub fn receive(
        &mut self,
        command: Command,
        body: &[u8],
        sink: &mut impl BitSink,
    ) -> Result<Progress, WireError> {
        self.check(command, body.len())?;
        self.done = match body.split_first() {
            Some((head, codes)) if command == Command::CompressedBitmap => {
                self.compressed(*head, codes, sink)?;
                self.position.bit >= self.position.bits
            }
            Some(_) => {
                self.plain(body, sink);
                false
            }
            None => true,
        };
        Ok(if self.done {
            Progress::Done
        } else {
            Progress::More
        })
    }

    fn plain(&mut self, body: &[u8], sink: &mut impl BitSink) {
        for (index, bytes) in (self.position.word()..).zip(body.chunks_exact(8)) {
            let word = bytes
                .first_chunk()
                .map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let word = word & self.position.word_mask(index);
            if word != 0 {
                sink.or_word(index, word);
            }
        }
        self.position.pass_plain();
    }

    fn compressed(
        &mut self,
        head: u8,
        codes: &[u8],
        sink: &mut impl BitSink,
    ) -> Result<(), WireError> {
        let encoding = head & ENCODING_MASK;
        if encoding != ENCODING_RLE_VLI {
            return Err(WireError::BitmapEncoding { encoding });
        }
        let pad_bits = head.checked_shr(PAD_SHIFT).unwrap_or(0) & PAD_MASK;
        let mut set = head & FIRST_SET != 0;
        let mut reader = BitReader::new(codes, pad_bits);
        while reader.left() > 0 {
            let start = self.position.bit;
            let (run, code_bits) = vli::decode(reader.peek()).ok_or(WireError::BitmapTruncated)?;
            if !reader.skip(code_bits) {
                return Err(WireError::BitmapTruncated);
            }
            let end = start.saturating_add(run);
            if end > self.position.bits {
                return Err(WireError::BitmapOverflow { start, run });
            }
            if set {
                sink.set_range(start, run);
            }
            self.position.bit = end;
            set = !set;
        }
        Ok(())
    }
}
