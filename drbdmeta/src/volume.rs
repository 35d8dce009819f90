// SPDX-License-Identifier: GPL-2.0-or-later
//! The metadata as it is found on the device, and how it is written back.

use drbd_core::meta::al::encode_initialized;
use drbd_core::meta::{layout_of, Format, Layout, MdError, Placement, Superblock};

use crate::cli::{format_name, placement_name, Cli, InitializeBitmap, Options};
use crate::failure::{Failure, EXIT_FAILED};
use crate::md_file::{MdFile, CHUNK};

/// Metadata that was found and is valid.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) superblock: Superblock,
    pub(crate) layout: Layout,
}

/// What lies where the superblock belongs.
#[derive(Debug)]
pub(crate) enum Place {
    /// Valid metadata, of either format.
    Valid(Box<Found>),
    /// Nothing valid, and why.
    Nothing(MdError),
}

/// One run of the tool: the device and what is asked of it.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) file: MdFile,
    pub(crate) placement: Placement,
    pub(crate) format: Format,
    pub(crate) minor: Option<u32>,
    pub(crate) options: Options,
    /// The command line as the dump repeats it.
    pub(crate) invocation: String,
}

impl Volume {
    pub(crate) fn new(file: MdFile, minor: Option<u32>, cli: &Cli) -> Volume {
        let invocation = format!(
            "drbdmeta {} {} {} {} {}",
            cli.device,
            format_name(cli.format),
            cli.md_device.display(),
            placement_name(cli.index),
            cli.command.name()
        );
        Volume {
            file,
            placement: cli.index,
            format: cli.format,
            minor,
            options: cli.options.clone(),
            invocation,
        }
    }

    /// Looks for metadata at its place on the device.
    pub(crate) fn look(&self) -> Result<Place, Failure> {
        self.look_on(self.file.sectors())
    }

    /// Looks for metadata at its place on a device of another size.
    pub(crate) fn look_on(&self, device_sectors: u64) -> Result<Place, Failure> {
        let sector = match Layout::superblock_sector_of(self.placement, device_sectors) {
            Ok(sector) => sector,
            Err(error) => return Ok(Place::Nothing(error)),
        };
        let block = self.file.read_block(sector * 512)?;
        Ok(
            match Superblock::decode(&block).and_then(|found| self.fit(found, device_sectors)) {
                Ok(found) => Place::Valid(Box::new(found)),
                Err(error) => Place::Nothing(error),
            },
        )
    }

    /// The metadata the command works on, in the format asked for.
    pub(crate) fn require(&self) -> Result<Found, Failure> {
        let path = self.file.path().display();
        let next = format!(
            "check the format and index; create it with: drbdmeta {} {} {path} {} create-md",
            self.minor
                .map_or_else(|| "-".to_string(), |minor| minor.to_string()),
            format_name(self.format),
            placement_name(self.placement)
        );
        let what = format!(
            "no valid {} metadata found on {path}",
            format_name(self.format)
        );
        match self.look()? {
            Place::Valid(found) if found.superblock.format == self.format => Ok(*found),
            Place::Valid(found) => {
                let why = format!("there is {} metadata", format_name(found.superblock.format));
                Err(Failure::new(EXIT_FAILED, what, why, next))
            }
            Place::Nothing(error) => Err(Failure::new(EXIT_FAILED, what, error, next)),
        }
    }

    /// Writes a superblock at its place, and makes it durable.
    pub(crate) fn write_superblock(
        &self,
        superblock: &Superblock,
        layout: &Layout,
    ) -> Result<(), Failure> {
        let mut block = [0; 4096];
        superblock.encode(&mut block);
        self.file.write(layout.superblock_sector * 512, &block)?;
        self.file.flush()
    }

    /// Writes a log that holds nothing, and makes it durable.
    pub(crate) fn write_empty_log(&self, layout: &Layout) -> Result<(), Failure> {
        let mut block = [0; 4096];
        encode_initialized(&mut block);
        let mut left = layout.al.blocks() as usize;
        let mut at = layout.al_start_sector() * 512;
        let chunk = block.repeat(left.min(CHUNK / 4096));
        while left > 0 {
            let blocks = left.min(chunk.len() / 4096);
            self.file.write(at, &chunk[..blocks * 4096])?;
            at += (blocks * 4096) as u64;
            left -= blocks;
        }
        self.file.flush()
    }

    /// Clears the whole bitmap, and makes that durable.
    pub(crate) fn clear_bitmap(
        &self,
        layout: &Layout,
        how: InitializeBitmap,
    ) -> Result<(), Failure> {
        let start = layout.bitmap_start_sector() * 512;
        self.file
            .zero(start..start + layout.bitmap_sectors() * 512, how)?;
        self.file.flush()
    }

    /// Lets the area of a layout, and nothing else, be written.
    pub(crate) fn allow(&mut self, layout: &Layout) {
        let range = area(layout);
        self.file.allow(range);
    }

    /// Checks a decoded superblock against the device it was found on.
    fn fit(&self, superblock: Superblock, device_sectors: u64) -> Result<Found, MdError> {
        let layout = layout_of(&superblock, self.placement, device_sectors, u64::MAX)?;
        if self.placement.is_internal() {
            // Where the device ends now: a superblock of another size is a leftover.
            let computed = Layout::new(
                self.placement,
                device_sectors,
                0,
                superblock.al,
                superblock.max_peers,
            )?;
            if layout.bm_offset != computed.bm_offset {
                return Err(MdError::BitmapOffset {
                    found: i64::from(layout.bm_offset),
                    expected: i64::from(computed.bm_offset),
                });
            }
        }
        Ok(Found { superblock, layout })
    }
}

/// The bytes of the metadata area.
pub(crate) fn area(layout: &Layout) -> std::ops::Range<u64> {
    let superblock = layout.superblock_sector * 512;
    let size = u64::from(layout.md_size_sectors) * 512;
    if layout.placement.is_internal() {
        let end = superblock + 4096;
        end - size..end
    } else {
        superblock..superblock + size
    }
}

/// Bits that describe the agreed size, or before the first attach all the layout has room for.
pub(crate) fn bits_in_use(found: &Found) -> u64 {
    let sectors = match found.superblock.effective_sectors {
        0 => found.layout.usable_sectors,
        agreed => agreed,
    };
    sectors.div_ceil(8).min(found.layout.bitmap_bits_max())
}
