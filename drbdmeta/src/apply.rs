// SPDX-License-Identifier: GPL-2.0-or-later
//! apply-al: what was being written to when the node crashed is out of sync.

use drbd_core::meta::al::{AlError, RingScan, SlotTable, Transaction, Verdict};
use drbd_core::meta::{Layout, MdFlags, AL_EXTENTS_MAX};

use crate::bitmap_io;
use crate::failure::Failure;
use crate::old_log;
use crate::volume::{bits_in_use, Volume};

/// Exit code of a log without a valid block.
const EXIT_NO_DATA: u8 = 1;
/// Exit code of a log that makes no sense.
const EXIT_INVALID: u8 = 2;

/// Applies the activity log to the bitmap and marks the metadata clean.
///
/// Silent if that was done already. Order on disk: bitmap, empty log, superblock, so that a crash
/// in between only means to do it again.
pub(crate) fn apply(volume: &mut Volume) -> Result<(), Failure> {
    let found = volume.require()?;
    if !found.superblock.needs_apply_al() {
        return Ok(());
    }
    let layout = found.layout;
    volume.allow(&layout);
    if found.superblock.flags.contains(MdFlags::PRIMARY_IND) {
        let disabled = found.superblock.flags.contains(MdFlags::AL_DISABLED);
        let extents = match active_extents(
            volume,
            &layout,
            found.superblock.al_nr_extents,
            found.superblock.unclean_magic,
        ) {
            Ok(extents) => extents,
            // The log was not in use: attach sets all bits.
            Err(_) if disabled => Vec::new(),
            Err(failure) => return Err(failure),
        };
        mark(volume, &layout, &extents, bits_in_use(&found))?;
    }
    volume.file.flush()?;
    volume.write_empty_log(&layout)?;
    let mut superblock = found.superblock;
    superblock.unclean_magic = false;
    superblock.flags = superblock.flags.with(MdFlags::AL_CLEAN);
    volume.write_superblock(&superblock, &layout)
}

/// Sets the bits of the extents.
fn mark(volume: &Volume, layout: &Layout, extents: &[u32], n_bits: u64) -> Result<(), Failure> {
    let mut newly = 0;
    for extent in extents {
        // An extent counts if it begins inside the bitmap; one that only ends there is inside.
        if u64::from(*extent) * 1024 >= n_bits {
            eprintln!(
                "note: extent {extent} of the activity log lies beyond the end of the device"
            );
            continue;
        }
        newly += bitmap_io::set_extent(&volume.file, layout, *extent, n_bits)?;
    }
    if volume.options.verbose > 0 && !extents.is_empty() {
        eprintln!(
            "Marked additional {} KB as out-of-sync based on AL.",
            newly * 4
        );
    }
    Ok(())
}

/// The extents that were in use.
fn active_extents(
    volume: &Volume,
    layout: &Layout,
    al_nr_extents: u32,
    unclean_magic: bool,
) -> Result<Vec<u32>, Failure> {
    let blocks = layout.al.blocks();
    let mut scan = RingScan::new(layout.al);
    let mut magic_seen = false;
    for index in 0..blocks {
        let block = volume.file.read_block(layout.al_sector(index) * 512)?;
        magic_seen |= index < 2 && block.starts_with(&[0x69, 0xcb, 0x65, 0xa2]);
        scan.observe(index, &Transaction::decode(&block));
    }
    if !unclean_magic && blocks == 8 && layout.al.stripes() == 1 && !magic_seen {
        let area = volume.file.read(layout.al_start_sector() * 512, 32 << 10)?;
        return old_log::active_extents(area.bytes(), al_nr_extents)
            .map_err(|why| unusable(volume, EXIT_INVALID, &why));
    }
    match scan.finish() {
        Ok(Verdict::Unused) => Ok(Vec::new()),
        Ok(Verdict::InUse { damaged, .. }) => {
            if damaged > 1 {
                eprintln!("note: {damaged} of {blocks} blocks of the activity log are damaged; one is normal after a crash");
            }
            let mut slots = SlotTable::new(vec![0; AL_EXTENTS_MAX as usize]);
            for (index, number) in scan.order() {
                let block = volume.file.read_block(layout.al_sector(index) * 512)?;
                if let Ok(transaction) = Transaction::decode(&block) {
                    slots.apply_numbered(&transaction, number);
                }
            }
            let mut extents: Vec<u32> = slots.extents().collect();
            extents.sort_unstable();
            extents.dedup();
            Ok(extents)
        }
        Err(AlError::NoData) => Err(unusable(
            volume,
            EXIT_NO_DATA,
            "not one block of it is valid",
        )),
        Err(AlError::Invalid { valid, blocks }) => Err(unusable(
            volume,
            EXIT_INVALID,
            &format!("{valid} of {blocks} blocks are valid, and none names an extent"),
        )),
    }
}

fn unusable(volume: &Volume, exit: u8, why: &str) -> Failure {
    Failure::new(
        exit,
        format!(
            "the activity log of {} cannot be used",
            volume.file.path().display()
        ),
        format!("{why}; which blocks were being written when the node crashed is not known"),
        "take the data from the peer: drbdmeta ... invalidate, then create-md or a full sync",
    )
}
