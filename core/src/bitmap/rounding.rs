// SPDX-License-Identifier: GPL-2.0-or-later
//! From sectors to bits. Both roundings err towards "out of sync".

use core::ops::Range;

use crate::meta::SECTORS_PER_BIT;

/// Bits of a device: one for each 4 KiB, the last one possibly for less.
pub fn bits_of_sectors(capacity_sectors: u64) -> u64 {
    capacity_sectors.div_ceil(SECTORS_PER_BIT)
}

/// The bits to set for a range of sectors that may differ: every block it touches.
pub fn bits_outward(sector: u64, sectors: u64) -> Range<u64> {
    if sectors == 0 {
        return 0..0;
    }
    sector / SECTORS_PER_BIT..sector.saturating_add(sectors).div_ceil(SECTORS_PER_BIT)
}

/// The bits to clear for a range of sectors that is the same: every block it covers whole. The
/// last block of the device counts as whole if the range reaches the device's end.
pub fn bits_inward(sector: u64, sectors: u64, capacity_sectors: u64) -> Range<u64> {
    let end_sector = sector.saturating_add(sectors);
    let start = sector.div_ceil(SECTORS_PER_BIT);
    let end = if end_sector >= capacity_sectors {
        bits_of_sectors(capacity_sectors)
    } else {
        end_sector / SECTORS_PER_BIT
    };
    if sectors == 0 || start >= end {
        return 0..0;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_touches_and_clear_covers() {
        assert_eq!(bits_outward(7, 2), 0..2);
        assert_eq!(bits_outward(8, 8), 1..2);
        assert_eq!(bits_outward(8, 0), 0..0);
        assert_eq!(bits_inward(7, 2, 1000), 0..0);
        assert_eq!(bits_inward(1, 15, 1000), 1..2);
        assert_eq!(bits_inward(0, 16, 1000), 0..2);
    }

    #[test]
    fn the_partial_block_at_the_end_counts_as_whole() {
        // 1003 sectors: the last block has three of them.
        assert_eq!(bits_of_sectors(1003), 126);
        assert_eq!(bits_inward(1000, 3, 1003), 125..126);
        assert_eq!(bits_inward(1000, 2, 1003), 0..0);
        assert_eq!(bits_inward(1001, 2, 1003), 0..0);
        assert_eq!(bits_inward(1002, u64::MAX, 1003), 0..0);
    }
}
