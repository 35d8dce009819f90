// SPDX-License-Identifier: GPL-2.0-or-later
//! check-resize: internal metadata follows the end of a device that grew offline.

use drbd_core::meta::Layout;

use crate::cli::InitializeBitmap;
use crate::failure::{Failure, EXIT_FAILED};
use crate::lkbd;
use crate::md_file::CHUNK;
use crate::volume::{area, Found, Place, Volume};

/// Remembers the size if the metadata is in place; moves it if it is at the last known place.
pub(crate) fn check_resize(volume: &mut Volume) -> Result<(), Failure> {
    let why_not = match volume.look()? {
        Place::Valid(found) if found.superblock.format == volume.format => {
            lkbd::save(volume, &found.superblock);
            return Ok(());
        }
        Place::Valid(_) => "the metadata is of another format".to_string(),
        Place::Nothing(error) => error.to_string(),
    };
    let failed = |why: String| {
        Failure::new(
            EXIT_FAILED,
            "no metadata found, neither at the end of the device nor at the last known place",
            why,
            "create it with create-md; the next connect will be a full sync",
        )
    };
    let known = lkbd::load(volume).ok_or_else(|| failed(why_not.clone()))?;
    let sectors = lkbd::last_sectors(volume).ok_or_else(|| failed(why_not))?;
    let Place::Valid(old) = volume.look_on(sectors)? else {
        return Err(failed(format!(
            "there is none at the end of {} bytes either",
            known.bytes
        )));
    };
    if !lkbd::matches(&known, &old.superblock, volume.format) && !volume.options.force {
        return Err(failed(
            "what is at the last known place has another device UUID or format".to_string(),
        ));
    }
    move_from(volume, sectors, &old)
}

/// Moves metadata from the end of a device of `old_sectors` to its present end.
///
/// The first bit stays the first bit: the bitmap grows at its end. What is read last is
/// overwritten last, and the new superblock makes the move count.
pub(crate) fn move_from(volume: &mut Volume, old_sectors: u64, old: &Found) -> Result<(), Failure> {
    let sectors = volume.file.sectors();
    let new = Layout::new(
        volume.placement,
        sectors,
        0,
        old.superblock.al,
        old.superblock.max_peers,
    );
    let new = new.map_err(|error| {
        Failure::new(
            EXIT_FAILED,
            "the metadata does not fit",
            error,
            "use a larger device",
        )
    })?;
    let (old_area, new_area) = (area(&old.layout), area(&new));
    eprintln!("Moving the internal meta data to its proper location ({old_sectors} sectors became {sectors}).");
    volume.file.allow(old_area.start..new_area.end);

    // The log lies behind the bitmap in both layouts and never overlaps the old bitmap.
    let log = volume.file.read(
        old.layout.al_start_sector() * 512,
        (new.al.sectors() * 512) as usize,
    )?;
    let bitmap_bytes = old.layout.bitmap_sectors() * 512;
    volume
        .file
        .write(new.al_start_sector() * 512, log.bytes())?;
    let (from, to) = (
        old.layout.bitmap_start_sector() * 512,
        new.bitmap_start_sector() * 512,
    );
    let mut left = bitmap_bytes;
    while left > 0 {
        let bytes = left.min(CHUNK as u64);
        left -= bytes;
        let chunk = volume.file.read(from + left, bytes as usize)?;
        volume.file.write(to + left, chunk.bytes())?;
    }
    let new_bytes = new.bitmap_sectors() * 512;
    volume.file.zero(
        to + bitmap_bytes..to + new_bytes,
        InitializeBitmap::Automatic,
    )?;
    volume.file.flush()?;

    let mut superblock = old.superblock;
    superblock.bm_offset = new.bm_offset;
    superblock.md_size_sectors = new.md_size_sectors;
    volume.write_superblock(&superblock, &new)?;
    // The old place is data now: nothing of the old metadata may be taken for such later.
    let stale = old_area.start..old_area.end.min(new_area.start);
    volume.file.zero(stale, InitializeBitmap::Automatic)?;
    volume.file.flush()?;
    lkbd::save(volume, &superblock);
    Ok(())
}
