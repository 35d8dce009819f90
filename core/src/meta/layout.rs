// SPDX-License-Identifier: GPL-2.0-or-later
//! Where superblock, activity log and bitmap lie, and what is left for data (metadata.md 3).
//!
//! ```text
//! internal:  [ data ][ bitmap ][ AL ][ SB ](0..7 unused sectors)   external: [ SB ][ AL ][ bitmap ]
//! ```
//!
//! All results are checked: a device whose offsets would not fit the superblock's 32-bit fields
//! is refused.

use super::{
    MdError, AL_EXTENTS_MAX, BITMAP_SLOTS_MAX, BLOCK_SECTORS, MAX_SECTORS, SECTORS_PER_BIT,
};

/// Sectors of one slot of a shared metadata device (128 MiB).
const INDEXED_SLOT_SECTORS: u64 = 262_144;
/// Highest fixed index.
const INDEX_MAX: u16 = 255;
/// Bitmap bits one sector holds.
const BITS_PER_SECTOR: u64 = 4096;
/// Blocks of activity log the kernel accepts at most (16 GiB).
const AL_BLOCKS_MAX: u32 = 4_194_304;
/// Blocks of activity log needed at least (32 KiB).
const AL_BLOCKS_MIN: u32 = 8;
/// Slots whose extents one transaction repeats as context.
const CONTEXT_PER_TRANSACTION: u32 = 919;

/// Which of the three arrangements is used. `flex-internal` is the same as `internal`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placement {
    /// At the end of the data device.
    Internal,
    /// A device of its own.
    FlexExternal,
    /// One of up to 256 slots of 128 MiB on a shared device.
    Index(u16),
}

impl Placement {
    /// The index number of the configuration: -1 internal, -2 external, -3 flexible internal.
    ///
    /// # Errors
    ///
    /// [`MdError::IndexInvalid`] outside -3..=255.
    pub fn from_index(index: i64) -> Result<Placement, MdError> {
        match index {
            -1 | -3 => Ok(Placement::Internal),
            -2 => Ok(Placement::FlexExternal),
            _ => match u16::try_from(index) {
                Ok(slot) if slot <= INDEX_MAX => Ok(Placement::Index(slot)),
                _ => Err(MdError::IndexInvalid { index }),
            },
        }
    }

    /// Whether data and metadata share a device.
    pub const fn is_internal(self) -> bool {
        matches!(self, Placement::Internal)
    }
}

/// Size and striping of the activity log.
///
/// # Invariants
///
/// 8 <= `stripes * stripe_size_4k` <= 4194304, neither is zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AlGeometry {
    stripes: u32,
    stripe_size_4k: u32,
}

impl AlGeometry {
    /// One stripe of 32 KiB.
    pub const DEFAULT: AlGeometry = AlGeometry {
        stripes: 1,
        stripe_size_4k: 8,
    };

    /// Checks a striping; both zero, as DRBD 8.3 and older left it, is the default.
    ///
    /// # Errors
    ///
    /// [`MdError::AlStriping`] if one is zero or the product is outside 8..=4194304 blocks.
    pub fn new(stripes: u32, stripe_size_4k: u32) -> Result<AlGeometry, MdError> {
        if stripes == 0 && stripe_size_4k == 0 {
            return Ok(AlGeometry::DEFAULT);
        }
        match stripes.checked_mul(stripe_size_4k) {
            Some(blocks) if (AL_BLOCKS_MIN..=AL_BLOCKS_MAX).contains(&blocks) => Ok(AlGeometry {
                stripes,
                stripe_size_4k,
            }),
            _ => Err(MdError::AlStriping {
                stripes,
                stripe_size_4k,
            }),
        }
    }

    /// Number of stripes.
    pub const fn stripes(self) -> u32 {
        self.stripes
    }

    /// Blocks of 4 KiB in a stripe.
    pub const fn stripe_size_4k(self) -> u32 {
        self.stripe_size_4k
    }

    /// Blocks of the whole ring, 8..=4194304.
    pub const fn blocks(self) -> u32 {
        // The type invariant bounds the product.
        self.stripes.saturating_mul(self.stripe_size_4k)
    }

    /// Sectors of the whole ring.
    pub fn sectors(self) -> u64 {
        u64::from(self.blocks()).saturating_mul(BLOCK_SECTORS)
    }

    /// Most slots (al-extents) this ring can describe even if its newest block is torn.
    pub const fn slots_max(self) -> u32 {
        let slots = self
            .blocks()
            .saturating_sub(1)
            .saturating_mul(CONTEXT_PER_TRANSACTION);
        if slots < AL_EXTENTS_MAX {
            slots
        } else {
            AL_EXTENTS_MAX
        }
    }

    /// The block, counted from the start of the log, that holds transaction `number`.
    pub fn block_of(self, number: u32) -> u32 {
        let index = number.checked_rem(self.blocks()).unwrap_or(0);
        let stripe = index.checked_rem(self.stripes).unwrap_or(0);
        let row = index.checked_div(self.stripes).unwrap_or(0);
        stripe
            .saturating_mul(self.stripe_size_4k)
            .saturating_add(row)
    }
}

/// One arrangement on one device, in sectors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    /// Which arrangement.
    pub placement: Placement,
    /// Absolute sector of the superblock on the metadata device.
    pub superblock_sector: u64,
    /// Start of the activity log, relative to the superblock.
    pub al_offset: i32,
    /// Start of the bitmap, relative to the superblock.
    pub bm_offset: i32,
    /// The whole area: superblock, activity log and bitmap.
    pub md_size_sectors: u32,
    /// Sectors left for data, at most what the bitmap can describe.
    pub usable_sectors: u64,
    /// The activity log.
    pub al: AlGeometry,
    /// Interleaved bitmaps, 1..=31.
    pub max_peers: u32,
}

impl Layout {
    /// Computes the layout create-md uses.
    ///
    /// `device_sectors` is the size of the metadata device (its bytes divided by 512, rounded
    /// down), `data_sectors` that of the data device; with [`Placement::Internal`] it is ignored.
    ///
    /// # Errors
    ///
    /// The device is too small or too large, or the striping or `max_peers` impossible.
    pub fn new(
        placement: Placement,
        device_sectors: u64,
        data_sectors: u64,
        al: AlGeometry,
        max_peers: u32,
    ) -> Result<Layout, MdError> {
        if max_peers == 0 || max_peers > BITMAP_SLOTS_MAX {
            return Err(MdError::MaxPeers { found: max_peers });
        }
        let superblock_sector = Layout::superblock_sector_of(placement, device_sectors)?;
        let too_large = MdError::DeviceTooLarge {
            sectors: device_sectors,
        };
        let mut layout = Layout {
            placement,
            superblock_sector,
            al_offset: 0,
            bm_offset: 0,
            md_size_sectors: 0,
            usable_sectors: 0,
            al,
            max_peers,
        };
        match placement {
            Placement::Internal => {
                let md_size = internal_md_size(device_sectors, al, max_peers)?;
                layout.al_offset = negated(al.sectors()).ok_or(too_large)?;
                layout.bm_offset =
                    negated(md_size.saturating_sub(BLOCK_SECTORS)).ok_or(too_large)?;
                layout.md_size_sectors = u32::try_from(md_size).map_err(|_| too_large)?;
            }
            Placement::FlexExternal | Placement::Index(_) => {
                layout.al_offset = 8;
                layout.bm_offset = i32::try_from(al.sectors().saturating_add(BLOCK_SECTORS))
                    .map_err(|_| too_large)?;
                layout.md_size_sectors = match placement {
                    Placement::Index(_) if al != AlGeometry::DEFAULT => {
                        return Err(MdError::AlStriping {
                            stripes: al.stripes,
                            stripe_size_4k: al.stripe_size_4k,
                        })
                    }
                    Placement::Index(_) => {
                        u32::try_from(INDEXED_SLOT_SECTORS).map_err(|_| too_large)?
                    }
                    // A larger device has room that no bitmap can ever need.
                    Placement::FlexExternal | Placement::Internal => {
                        u32::try_from(device_sectors).unwrap_or(u32::MAX)
                    }
                };
            }
        }
        layout.fit(device_sectors, data_sectors)?;
        Ok(layout)
    }

    /// Checks that the area lies on the device and fills in `usable_sectors`.
    ///
    /// # Errors
    ///
    /// [`MdError::MdDeviceTooSmall`] or [`MdError::DeviceTooLarge`].
    pub(super) fn fit(&mut self, device_sectors: u64, data_sectors: u64) -> Result<(), MdError> {
        if device_sectors > MAX_SECTORS {
            return Err(MdError::DeviceTooLarge {
                sectors: device_sectors,
            });
        }
        let md_size = u64::from(self.md_size_sectors);
        let needed = match self.placement {
            Placement::Internal => md_size,
            Placement::FlexExternal | Placement::Index(_) => {
                self.superblock_sector.saturating_add(md_size)
            }
        };
        let too_small = MdError::MdDeviceTooSmall {
            needed,
            available: device_sectors,
        };
        if needed > device_sectors {
            return Err(too_small);
        }
        let bits = self.bitmap_bits_max();
        if bits == 0 {
            return Err(MdError::MdDeviceTooSmall {
                needed: needed.saturating_add(BLOCK_SECTORS),
                available: device_sectors,
            });
        }
        self.usable_sectors = match self.placement {
            Placement::Internal => self
                .superblock_sector
                .checked_add_signed(i64::from(self.bm_offset))
                .ok_or(too_small)?,
            Placement::FlexExternal | Placement::Index(_) => data_sectors
                .min(bits.saturating_mul(SECTORS_PER_BIT))
                .min(MAX_SECTORS),
        };
        if self.placement.is_internal() && self.usable_sectors == 0 {
            return Err(too_small);
        }
        Ok(())
    }

    /// Where the superblock of a device is looked for.
    ///
    /// # Errors
    ///
    /// The index is above 255 or its place is beyond the end of the device.
    pub fn superblock_sector_of(placement: Placement, device_sectors: u64) -> Result<u64, MdError> {
        let (sector, needed) = match placement {
            Placement::Internal => {
                let end = device_sectors & !(BLOCK_SECTORS.saturating_sub(1));
                (end.checked_sub(BLOCK_SECTORS), BLOCK_SECTORS)
            }
            Placement::FlexExternal => (Some(0), BLOCK_SECTORS),
            Placement::Index(slot) if slot <= INDEX_MAX => {
                let sector = u64::from(slot).saturating_mul(INDEXED_SLOT_SECTORS);
                (Some(sector), sector.saturating_add(BLOCK_SECTORS))
            }
            Placement::Index(slot) => {
                return Err(MdError::IndexInvalid {
                    index: i64::from(slot),
                })
            }
        };
        match sector {
            Some(sector) if needed <= device_sectors => Ok(sector),
            _ => Err(MdError::MdDeviceTooSmall {
                needed,
                available: device_sectors,
            }),
        }
    }

    /// Absolute sector of the first block of the activity log.
    pub fn al_start_sector(&self) -> u64 {
        self.superblock_sector
            .saturating_add_signed(i64::from(self.al_offset))
    }

    /// Absolute sector of the block that holds transaction `number`.
    pub fn al_sector(&self, number: u32) -> u64 {
        let block = u64::from(self.al.block_of(number));
        self.al_start_sector()
            .saturating_add(block.saturating_mul(BLOCK_SECTORS))
    }

    /// Absolute sector of the first bitmap page.
    pub fn bitmap_start_sector(&self) -> u64 {
        self.superblock_sector
            .saturating_add_signed(i64::from(self.bm_offset))
    }

    /// Absolute sector of bitmap page `page`.
    pub fn bitmap_page_sector(&self, page: u32) -> u64 {
        self.bitmap_start_sector()
            .saturating_add(u64::from(page).saturating_mul(BLOCK_SECTORS))
    }

    /// Sectors of bitmap page `page` that lie inside the area: 8, fewer on the last page of an
    /// area that is no multiple of 4 KiB, 0 beyond it.
    pub fn bitmap_page_sectors(&self, page: u32) -> u64 {
        let start = u64::from(page).saturating_mul(BLOCK_SECTORS);
        self.bitmap_sectors()
            .saturating_sub(start)
            .min(BLOCK_SECTORS)
    }

    /// Sectors of the bitmap area.
    pub fn bitmap_sectors(&self) -> u64 {
        let end = match self.placement {
            Placement::Internal => i64::from(self.al_offset),
            Placement::FlexExternal | Placement::Index(_) => i64::from(self.md_size_sectors),
        };
        u64::try_from(end.saturating_sub(i64::from(self.bm_offset))).unwrap_or(0)
    }

    /// Bits the area holds for each peer, a multiple of 64.
    pub fn bitmap_bits_max(&self) -> u64 {
        let words = self.bitmap_sectors().saturating_mul(BITS_PER_SECTOR) / 64;
        words
            .checked_div(u64::from(self.max_peers))
            .unwrap_or(0)
            .saturating_mul(64)
    }
}

/// The smallest device, in sectors, that offers `capacity_sectors` with internal metadata.
///
/// # Errors
///
/// [`MdError::DeviceTooLarge`] if there is none.
pub fn device_sectors_for(
    capacity_sectors: u64,
    al: AlGeometry,
    max_peers: u32,
) -> Result<u64, MdError> {
    let capacity = capacity_sectors
        .max(1)
        .checked_next_multiple_of(BLOCK_SECTORS);
    let too_large = MdError::DeviceTooLarge {
        sectors: capacity_sectors,
    };
    let capacity = capacity.ok_or(too_large)?;
    // The area grows with the device it is on, by less than the device grows: the first fixed
    // point from below is the smallest solution, and it is reached after a few rounds.
    let mut device = capacity;
    loop {
        let grown = capacity.saturating_add(internal_md_size(device, al, max_peers)?);
        if grown > MAX_SECTORS {
            return Err(too_large);
        }
        if grown == device {
            Layout::new(Placement::Internal, device, 0, al, max_peers)?;
            return Ok(device);
        }
        device = grown;
    }
}

/// Sectors of superblock, activity log and bitmap on a device of `device_sectors`. The bitmap
/// covers the whole device, the metadata included.
fn internal_md_size(device_sectors: u64, al: AlGeometry, max_peers: u32) -> Result<u64, MdError> {
    let bitmap = bitmap_area_sectors(device_sectors, max_peers).ok_or(MdError::DeviceTooLarge {
        sectors: device_sectors,
    })?;
    Ok(bitmap
        .saturating_add(al.sectors())
        .saturating_add(BLOCK_SECTORS))
}

/// Sectors of bitmap that describe `sectors` for `max_peers` peers, whole 4 KiB pages.
pub(super) fn bitmap_area_sectors(sectors: u64, max_peers: u32) -> Option<u64> {
    let bits = sectors
        .div_ceil(SECTORS_PER_BIT)
        .checked_next_multiple_of(64)?;
    let bytes = (bits / 8)
        .checked_mul(u64::from(max_peers))?
        .checked_next_multiple_of(4096)?;
    Some(bytes / 512)
}

/// A distance as the negative offset the superblock keeps.
fn negated(sectors: u64) -> Option<i32> {
    i64::try_from(sectors)
        .ok()?
        .checked_neg()
        .and_then(|offset| i32::try_from(offset).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_striped_log_fills_stripe_after_stripe() {
        let al = AlGeometry::new(7, 16).unwrap();
        assert_eq!(al.block_of(0), 0);
        assert_eq!(al.block_of(1), 16);
        assert_eq!(al.block_of(6), 96);
        assert_eq!(al.block_of(7), 1);
        assert_eq!(al.block_of(112), 0);
    }

    #[test]
    fn slots_are_limited_so_that_a_torn_block_loses_nothing() {
        assert_eq!(AlGeometry::DEFAULT.slots_max(), 6433);
        assert_eq!(AlGeometry::new(1, 73).unwrap().slots_max(), 65534);
    }

    #[test]
    fn impossible_striping_is_refused() {
        for (stripes, size) in [(0, 8), (8, 0), (1, 7), (u32::MAX, u32::MAX), (4_194_305, 1)] {
            assert!(
                AlGeometry::new(stripes, size).is_err(),
                "{stripes} x {size}"
            );
        }
        assert_eq!(AlGeometry::new(0, 0), Ok(AlGeometry::DEFAULT));
    }

    #[test]
    fn an_index_needs_its_whole_slot() {
        // The reference creates index 0 on a 1 MiB device and fails at attach.
        let small = Layout::new(Placement::Index(0), 2048, 2048, AlGeometry::DEFAULT, 1);
        assert_eq!(
            small,
            Err(MdError::MdDeviceTooSmall {
                needed: 262_144,
                available: 2048
            })
        );
        assert!(Layout::new(Placement::Index(1), 524_288, 2048, AlGeometry::DEFAULT, 1).is_ok());
        assert!(Layout::new(Placement::Index(1), 524_287, 2048, AlGeometry::DEFAULT, 1).is_err());
    }

    #[test]
    fn the_largest_device_fits_and_no_larger_one() {
        let al = AlGeometry::new(1, AL_BLOCKS_MAX).unwrap();
        let largest = Layout::new(Placement::Internal, MAX_SECTORS, 0, al, 31).unwrap();
        assert_eq!(
            u64::from(largest.bm_offset.unsigned_abs()),
            (31 << 26) + (1 << 25)
        );
        assert!(Layout::new(Placement::Internal, MAX_SECTORS, 0, AlGeometry::DEFAULT, 1).is_ok());
        assert!(Layout::new(
            Placement::Internal,
            MAX_SECTORS + 8,
            0,
            AlGeometry::DEFAULT,
            1
        )
        .is_err());
    }
}
