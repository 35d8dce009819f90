// SPDX-License-Identifier: GPL-2.0-or-later
//! The bitmap on disk, a chunk at a time: words of one slot, and bits of an extent in all slots.

use std::ops::Range;

use drbd_core::meta::{Layout, BITS_PER_AL_EXTENT};

use crate::aligned::Aligned;
use crate::failure::Failure;
use crate::md_file::{MdFile, CHUNK};

/// Reads words of one slot.
pub(crate) struct Words<'a> {
    file: &'a MdFile,
    start: u64,
    area_bytes: u64,
    max_peers: u64,
    slot: u64,
    chunk: Option<(u64, Aligned)>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(file: &'a MdFile, layout: &Layout, slot: u32) -> Words<'a> {
        Words {
            file,
            start: layout.bitmap_start_sector() * 512,
            area_bytes: layout.bitmap_sectors() * 512,
            max_peers: u64::from(layout.max_peers),
            slot: u64::from(slot),
            chunk: None,
        }
    }

    /// The 64-bit word with number `index` of the slot.
    pub(crate) fn word(&mut self, index: u64) -> Result<u64, Failure> {
        let low = self.lane(index * 2)?;
        let high = self.lane(index * 2 + 1)?;
        Ok(u64::from(low) | u64::from(high) << 32)
    }

    fn lane(&mut self, row: u64) -> Result<u32, Failure> {
        let at = (row * self.max_peers + self.slot) * 4;
        let number = at / CHUNK as u64;
        if self
            .chunk
            .as_ref()
            .is_none_or(|(loaded, _)| *loaded != number)
        {
            let begin = number * CHUNK as u64;
            let bytes = self.area_bytes.saturating_sub(begin).min(CHUNK as u64);
            self.chunk = Some((number, self.file.read(self.start + begin, bytes as usize)?));
        }
        let offset = (at % CHUNK as u64) as usize;
        let loaded = self
            .chunk
            .as_ref()
            .map_or(&[][..], |(_, chunk)| chunk.bytes());
        let bytes = loaded
            .get(offset..)
            .and_then(|tail| tail.first_chunk::<4>());
        Ok(bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    }
}

/// Sets all bits of an activity-log extent, in all slots, up to `n_bits`. Returns how many were
/// clear in the first slot.
pub(crate) fn set_extent(
    file: &MdFile,
    layout: &Layout,
    extent: u32,
    n_bits: u64,
) -> Result<u64, Failure> {
    let first_bit = u64::from(extent) * BITS_PER_AL_EXTENT;
    let bits = first_bit..(first_bit + BITS_PER_AL_EXTENT).min(n_bits);
    let max_peers = u64::from(layout.max_peers);
    // Where the bits lie, widened to whole sectors.
    let row_bytes = max_peers * 4;
    let rows = bits.start / 32..bits.end.div_ceil(32);
    let bytes = rows.start * row_bytes / 512 * 512..(rows.end * row_bytes).next_multiple_of(512);
    let at = layout.bitmap_start_sector() * 512 + bytes.start;
    let mut buffer = file.read(at, (bytes.end - bytes.start) as usize)?;
    let mut newly = 0;
    for row in rows {
        let mask = row_mask(row, &bits);
        for slot in 0..max_peers {
            let offset = (row * row_bytes + slot * 4 - bytes.start) as usize;
            let place = buffer
                .bytes_mut()
                .get_mut(offset..)
                .and_then(|tail| tail.first_chunk_mut::<4>());
            let Some(place) = place else { continue };
            let old = u32::from_le_bytes(*place);
            if slot == 0 {
                newly += u64::from((mask & !old).count_ones());
            }
            *place = (old | mask).to_le_bytes();
        }
    }
    file.write(at, buffer.bytes())?;
    Ok(newly)
}

/// The bits of a range that lie in 32-bit row `row`.
fn row_mask(row: u64, bits: &Range<u64>) -> u32 {
    let in_row = |bit: u64| bit.saturating_sub(row * 32).min(32);
    let (from, to) = (in_row(bits.start), in_row(bits.end));
    (((1u64 << to) - 1) & !((1u64 << from) - 1)) as u32
}

/// Writes bitmaps word by word, all slots side by side.
pub(crate) struct Writer<'a> {
    file: &'a MdFile,
    at: u64,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(file: &'a MdFile, layout: &Layout) -> Writer<'a> {
        Writer {
            file,
            at: layout.bitmap_start_sector() * 512,
            buffer: Vec::with_capacity(CHUNK),
        }
    }

    /// Adds the next word of every slot.
    pub(crate) fn push(&mut self, words: &[u64]) -> Result<(), Failure> {
        for shift in [0, 32] {
            for word in words {
                self.buffer
                    .extend_from_slice(&((word >> shift) as u32).to_le_bytes());
            }
        }
        if self.buffer.len() >= CHUNK {
            let rest = self.buffer.split_off(CHUNK);
            self.file.write(self.at, &self.buffer)?;
            self.at += CHUNK as u64;
            self.buffer = rest;
        }
        Ok(())
    }

    /// Writes what is left, the last page filled with zeros.
    pub(crate) fn finish(mut self, layout: &Layout) -> Result<(), Failure> {
        let end = (layout.bitmap_start_sector() + layout.bitmap_sectors()) * 512;
        let room = (end - self.at) as usize;
        let wanted = self.buffer.len().next_multiple_of(4096).min(room);
        self.buffer.resize(wanted, 0);
        if !self.buffer.is_empty() {
            self.file.write(self.at, &self.buffer)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_their_part_of_a_range() {
        assert_eq!(row_mask(0, &(0..1024)), u32::MAX);
        assert_eq!(row_mask(1, &(33..35)), 0b110);
        assert_eq!(row_mask(1, &(0..33)), 1);
        assert_eq!(row_mask(1, &(0..32)), 0);
        assert_eq!(row_mask(0, &(31..40)), 1 << 31);
    }
}
