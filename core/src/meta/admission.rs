// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a superblock fits the devices it is to be attached to (metadata.md 8.1).

use super::layout::bitmap_area_sectors;
use super::{
    AlGeometry, Layout, MdError, MdFlags, Placement, Superblock, BLOCK_SECTORS, BYTES_PER_BIT,
    MAX_SECTORS,
};

/// Smallest metadata device of its own the kernel takes (1 MiB).
const MD_DEVICE_SECTORS_MIN: u64 = 2048;

/// What the administrator wants to attach.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Configured arrangement.
    pub placement: Placement,
    /// Whether data and metadata are the same device.
    pub same_device: bool,
    /// Size of the metadata device, sectors.
    pub md_device_sectors: u64,
    /// Size of the data device, sectors.
    pub data_device_sectors: u64,
    /// The size option, sectors.
    pub requested_sectors: Option<u64>,
}

/// Checks a superblock against its devices and tells where everything lies.
///
/// # Errors
///
/// The first reason, in the order of the reference, not to attach. Nothing was changed.
pub fn attach_check(superblock: &Superblock, candidate: &Candidate) -> Result<Layout, MdError> {
    let placement = candidate.placement;
    if candidate.same_device != placement.is_internal() {
        let index = match placement {
            Placement::Internal => -1,
            Placement::FlexExternal => -2,
            Placement::Index(slot) => i64::from(slot),
        };
        return Err(MdError::IndexInvalid { index });
    }
    if superblock.needs_apply_al() {
        return Err(MdError::Unclean);
    }
    if superblock.bytes_per_bit != BYTES_PER_BIT {
        return Err(MdError::BytesPerBit {
            found: superblock.bytes_per_bit,
        });
    }
    let (md_device, data_device) = (candidate.md_device_sectors, candidate.data_device_sectors);
    let layout = layout_of(superblock, placement, md_device, data_device)?;
    let needed_bitmap = bitmap_area_bits(superblock, &layout)?;
    if needed_bitmap > layout.bitmap_bits_max() {
        let needed =
            bitmap_area_sectors(superblock.effective_sectors, layout.max_peers).unwrap_or(u64::MAX);
        return Err(MdError::BitmapTooSmall {
            needed,
            available: layout.bitmap_sectors(),
        });
    }

    if let Some(requested) = candidate.requested_sectors {
        if requested > layout.usable_sectors {
            return Err(MdError::DiskTooSmall {
                needed: requested,
                available: layout.usable_sectors,
            });
        }
    }
    if !matches!(placement, Placement::Index(_))
        && candidate.md_device_sectors < MD_DEVICE_SECTORS_MIN
    {
        return Err(MdError::MdDeviceTooSmall {
            needed: MD_DEVICE_SECTORS_MIN,
            available: candidate.md_device_sectors,
        });
    }
    let shrinks = MdError::Shrinks {
        agreed: superblock.effective_sectors,
        available: layout.usable_sectors,
    };
    if superblock.flags.contains(MdFlags::CONSISTENT)
        && candidate.requested_sectors.is_none()
        && layout.usable_sectors < superblock.effective_sectors
    {
        return Err(shrinks);
    }
    Ok(layout)
}

/// The layout as the superblock states it, checked against the arrangement it was found in.
///
/// # Errors
///
/// An offset or size that cannot be, or a device that is too small for it.
pub fn layout_of(
    superblock: &Superblock,
    placement: Placement,
    md_device_sectors: u64,
    data_device_sectors: u64,
) -> Result<Layout, MdError> {
    let al_sectors = i64::try_from(superblock.al.sectors()).unwrap_or(i64::MAX);
    let al_offset = i64::from(superblock.al_offset);
    let bm_offset = i64::from(superblock.bm_offset);
    let md_size = u64::from(superblock.md_size_sectors);

    let al_expected = if placement.is_internal() {
        al_sectors.saturating_neg()
    } else {
        8
    };
    if al_offset != al_expected {
        return Err(MdError::AlOffset {
            found: al_offset,
            expected: al_expected,
        });
    }
    let bitmap_error = |expected: i64| {
        Err(MdError::BitmapOffset {
            found: bm_offset,
            expected,
        })
    };
    if bm_offset % 8 != 0 {
        return bitmap_error(bm_offset & !7);
    }
    match placement {
        Placement::Internal => {
            if bm_offset > al_offset {
                return bitmap_error(al_offset);
            }
            let expected = bm_offset.saturating_neg().saturating_add(8);
            let expected = u64::try_from(expected).unwrap_or(0);
            if md_size != expected {
                return Err(MdError::MdSize {
                    found: md_size,
                    expected,
                });
            }
        }
        Placement::FlexExternal | Placement::Index(_) => {
            let expected = al_sectors.saturating_add(8);
            if bm_offset < expected {
                return bitmap_error(expected);
            }
        }
    }
    if let Placement::Index(_) = placement {
        let fixed = Layout::new(
            placement,
            md_device_sectors,
            data_device_sectors,
            AlGeometry::DEFAULT,
            superblock.max_peers,
        )?;
        if superblock.al != fixed.al {
            return Err(MdError::AlStriping {
                stripes: superblock.al.stripes(),
                stripe_size_4k: superblock.al.stripe_size_4k(),
            });
        }
        if bm_offset != i64::from(fixed.bm_offset) {
            return bitmap_error(i64::from(fixed.bm_offset));
        }
        if superblock.md_size_sectors != fixed.md_size_sectors {
            return Err(MdError::MdSize {
                found: md_size,
                expected: u64::from(fixed.md_size_sectors),
            });
        }
    }

    let mut layout = Layout {
        placement,
        superblock_sector: Layout::superblock_sector_of(placement, md_device_sectors)?,
        al_offset: superblock.al_offset,
        bm_offset: superblock.bm_offset,
        md_size_sectors: superblock.md_size_sectors,
        usable_sectors: 0,
        al: superblock.al,
        max_peers: superblock.max_peers,
    };
    layout.fit(md_device_sectors, data_device_sectors)?;
    Ok(layout)
}

/// Bits the agreed size needs for each peer.
fn bitmap_area_bits(superblock: &Superblock, layout: &Layout) -> Result<u64, MdError> {
    let agreed = superblock.effective_sectors;
    if agreed > MAX_SECTORS {
        return Err(MdError::BitmapTooSmall {
            needed: u64::MAX,
            available: layout.bitmap_sectors(),
        });
    }
    Ok(agreed.div_ceil(BLOCK_SECTORS))
}
