// SPDX-License-Identifier: GPL-2.0-or-later
//! The layout on devices that changed their size while they were in use (metadata.md 8.2).

use core::ops::Range;

use super::{Layout, MdError, Placement, BLOCK_SECTORS};

impl Layout {
    /// The layout on devices of these sizes. Internal metadata moves to the end of its device, the
    /// others stay where they are.
    ///
    /// # Errors
    ///
    /// The devices are too small or too large.
    pub fn on_devices(
        &self,
        md_device_sectors: u64,
        data_device_sectors: u64,
    ) -> Result<Layout, MdError> {
        match self.placement {
            Placement::Internal => {
                let end = Layout::superblock_sector_of(self.placement, md_device_sectors)?;
                if end == self.superblock_sector {
                    return Ok(*self);
                }
                Layout::new(
                    Placement::Internal,
                    md_device_sectors,
                    data_device_sectors,
                    self.al,
                    self.max_peers,
                )
            }
            Placement::FlexExternal => {
                let mut layout = *self;
                layout.md_size_sectors = u32::try_from(md_device_sectors).unwrap_or(u32::MAX);
                layout.fit(md_device_sectors, data_device_sectors)?;
                Ok(layout)
            }
            Placement::Index(_) => {
                let mut layout = *self;
                layout.fit(md_device_sectors, data_device_sectors)?;
                Ok(layout)
            }
        }
    }

    /// Whether anything lies elsewhere than in `old`.
    pub fn is_elsewhere(&self, old: &Layout) -> bool {
        (self.superblock_sector, self.al_offset, self.bm_offset)
            != (old.superblock_sector, old.al_offset, old.bm_offset)
    }

    /// The sectors of superblock, activity log and bitmap on the metadata device.
    pub fn area(&self) -> Range<u64> {
        let start = self
            .superblock_sector
            .min(self.bitmap_start_sector())
            .min(self.al_start_sector());
        let end = match self.placement {
            Placement::Internal => self.superblock_sector.saturating_add(BLOCK_SECTORS),
            Placement::FlexExternal | Placement::Index(_) => {
                start.saturating_add(u64::from(self.md_size_sectors))
            }
        };
        start..end
    }

    /// Whether writing the metadata here would destroy what lies at `old`.
    pub fn overlaps(&self, old: &Layout) -> bool {
        let (new, old) = (self.area(), old.area());
        new.start < old.end && old.start < new.end
    }
}

#[cfg(test)]
mod tests {
    use super::super::AlGeometry;
    use super::*;

    fn internal(sectors: u64) -> Layout {
        Layout::new(Placement::Internal, sectors, 0, AlGeometry::DEFAULT, 1).unwrap()
    }

    #[test]
    fn internal_metadata_follows_the_end_of_its_device() {
        let old = internal(65_536);
        let new = old.on_devices(131_072, 131_072).unwrap();
        assert_eq!(new, internal(131_072));
        assert!(new.is_elsewhere(&old) && !new.overlaps(&old));
        // Grown by less than its own size it would be written over itself.
        let near = old.on_devices(65_536 + 16, 65_536 + 16).unwrap();
        assert!(near.is_elsewhere(&old) && near.overlaps(&old));
        assert!(near.usable_sectors >= old.usable_sectors);
    }

    #[test]
    fn external_metadata_stays_where_it_is() {
        let layout = |md, data| {
            Layout::new(Placement::FlexExternal, md, data, AlGeometry::DEFAULT, 1).unwrap()
        };
        let old = layout(4096, 65_536);
        let new = old.on_devices(4096, 200_000).unwrap();
        assert_eq!(new, layout(4096, 200_000));
        assert!(!new.is_elsewhere(&old));
        assert_eq!(new.usable_sectors, 200_000);
        // A metadata device that is too small for so much data bounds it.
        let bounded = old.on_devices(4096, 1 << 40).unwrap();
        assert_eq!(bounded.usable_sectors, bounded.bitmap_bits_max() * 8);
    }

    #[test]
    fn a_device_that_shrank_too_far_is_refused() {
        assert!(internal(65_536).on_devices(64, 64).is_err());
    }
}
