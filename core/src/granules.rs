// SPDX-License-Identifier: GPL-2.0-or-later
//! The granules that a device discards (wire-protocol section 6.4).

/// Size and place of a device's granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granules {
    /// Size of each; 0 is as good as a sector.
    pub bytes: u32,
    /// Where the first one begins that is whole.
    pub alignment_bytes: u32,
}

impl Granules {
    /// Whether a range is made of whole ones: a device may ignore the discard of a part of one, and keep what was there.
    #[must_use]
    pub fn are_whole(self, sector: u64, len_sectors: u32) -> bool {
        let granule = u64::from(self.bytes / 512).max(1);
        let first = u64::from(self.alignment_bytes / 512);
        // Neither may be 0 where it divides.
        let rest = |sectors: u64| sectors.checked_rem(granule).unwrap_or(0);
        rest(sector) == rest(first) && rest(u64::from(len_sectors)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Granules;

    #[test]
    fn a_part_of_a_granule_is_not_whole() {
        let granules = Granules {
            bytes: 64 << 10,
            alignment_bytes: 0,
        };
        assert!(granules.are_whole(0, 128) && granules.are_whole(256, 1280));
        assert!(!granules.are_whole(0, 127) && !granules.are_whole(1, 128));
        assert!(!granules.are_whole(64, 128));
    }

    #[test]
    fn the_first_may_begin_later() {
        let granules = Granules {
            bytes: 64 << 10,
            alignment_bytes: 7 * 512,
        };
        assert!(granules.are_whole(7, 128) && granules.are_whole(135, 256));
        assert!(!granules.are_whole(0, 128) && !granules.are_whole(7, 100));
    }

    #[test]
    fn without_a_size_every_sector_is_one() {
        let granules = Granules {
            bytes: 0,
            alignment_bytes: 0,
        };
        assert!(granules.are_whole(3, 1));
    }
}
