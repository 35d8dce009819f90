// SPDX-License-Identifier: GPL-2.0-or-later
//! create-md and wipe-md.

use drbd_core::meta::{to_v08, to_v09, AlGeometry, Format, Layout, MdError, Superblock};

use crate::cli::{format_name, InitializeBitmap};
use crate::failure::{Failure, EXIT_FAILED, EXIT_REFUSED};
use crate::lkbd;
use crate::question::confirm;
use crate::resize;
use crate::signatures;
use crate::volume::{Found, Place, Volume};

/// Largest log create-md makes (32 MiB).
const AL_KIB_MAX: u64 = 32 << 10;
/// Largest request size of a peer.
const MAX_BIO_BYTES: u64 = 1 << 20;

/// Creates metadata, or converts valid metadata of the other format.
///
/// Asks before anything that looks used is overwritten; nothing is written unless every question
/// is answered with yes.
pub(crate) fn create(volume: &mut Volume, max_peers: Option<u32>) -> Result<(), Failure> {
    let layout = wanted_layout(volume, max_peers)?;
    let peer_max_bio = peer_max_bio_bytes(volume)?;
    let path = volume.file.path().display().to_string();
    match volume.look()? {
        Place::Nothing(_) => {
            if let Some(old_sectors) = lkbd::last_sectors(volume) {
                if let Place::Valid(old) = volume.look_on(old_sectors)? {
                    // Never with --force: that asks for new metadata.
                    if old.superblock.format == volume.format && !volume.options.force {
                        let text = format!(
                            "{path} had {} bytes and valid {} metadata at its end when it was last seen.\nMove that to the new end of the device?",
                            old_sectors * 512,
                            format_name(volume.format)
                        );
                        if confirm(&volume.options, &text).is_ok() {
                            return resize::move_from(volume, old_sectors, &old);
                        }
                    }
                }
            }
        }
        Place::Valid(old) if old.superblock.format == volume.format => {
            let text = format!(
                "There is valid {} metadata on {path}.\nOverwriting it forgets which blocks differ from the peers.\nOverwrite it?",
                format_name(volume.format)
            );
            confirm(&volume.options, &text)?;
        }
        Place::Valid(old) => {
            if let Some(converted) = convert(volume, &old, &layout)? {
                volume.allow(&layout);
                volume.write_superblock(&converted, &layout)?;
                lkbd::save(volume, &converted);
                println!(
                    "{} metadata converted to {}.",
                    format_name(old.superblock.format),
                    format_name(volume.format)
                );
                return Ok(());
            }
        }
    }
    signatures::check(volume, &layout)?;

    let mut superblock = Superblock::create(volume.format, &layout);
    superblock.peer_max_bio_bytes = peer_max_bio;
    volume.allow(&layout);
    println!("initializing activity log");
    volume.write_empty_log(&layout)?;
    if volume.options.initialize_bitmap != InitializeBitmap::Skip {
        println!(
            "initializing bitmap ({} KB) to all zero",
            layout.bitmap_sectors() / 2
        );
    }
    volume.clear_bitmap(&layout, volume.options.initialize_bitmap)?;
    println!("Writing meta data...");
    volume.write_superblock(&superblock, &layout)?;
    lkbd::save(volume, &superblock);
    println!("New drbd meta data block successfully created.");
    Ok(())
}

/// Removes the superblock; everything else stays.
pub(crate) fn wipe(volume: &mut Volume) -> Result<(), Failure> {
    let path = volume.file.path().display().to_string();
    let Place::Valid(found) = volume.look()? else {
        eprintln!("There appears to be no drbd meta data to wipe out on {path}.");
        return Ok(());
    };
    let text = format!(
        "Wiping out the {} metadata of {path} forgets which blocks differ from the peers.\nWipe it?",
        format_name(found.superblock.format)
    );
    confirm(&volume.options, &text)?;
    let start = found.layout.superblock_sector * 512;
    volume.file.allow(start..start + 4096);
    println!("Wiping meta data...");
    volume.file.write(start, &[0; 4096])?;
    volume.file.flush()?;
    lkbd::remove(volume);
    println!("DRBD meta data block successfully wiped out.");
    Ok(())
}

/// Striping of the options.
pub(crate) fn geometry(volume: &Volume) -> Result<AlGeometry, Failure> {
    let (stripes, kib) = (volume.options.al_stripes, volume.options.al_stripe_size_kb);
    let refused = |why: String| {
        Failure::new(
            EXIT_REFUSED,
            "cannot make such an activity log",
            why,
            "choose --al-stripes and --al-stripe-size-kB so that their product is 32..32768 KiB",
        )
    };
    match stripes.checked_mul(kib) {
        Some(total) if kib % 4 == 0 && total <= AL_KIB_MAX => {
            let (stripes, blocks) = (u32::try_from(stripes), u32::try_from(kib / 4));
            let (Ok(stripes), Ok(blocks @ 1..)) = (stripes, blocks) else {
                return Err(refused(format!("{stripes:?} stripes of {kib} KiB")));
            };
            AlGeometry::new(stripes.max(1), blocks).map_err(|error| refused(error.to_string()))
        }
        _ => Err(refused(format!("{stripes} stripes of {kib} KiB"))),
    }
}

fn wanted_layout(volume: &Volume, max_peers: Option<u32>) -> Result<Layout, Failure> {
    let usage = |why: &str, next: &str| {
        Err(Failure::new(
            EXIT_REFUSED,
            "create-md is not complete",
            why,
            next,
        ))
    };
    let max_peers = match (volume.format, max_peers) {
        (Format::V08, None | Some(1)) => 1,
        (Format::V08, Some(_)) => {
            return usage(
                "v08 metadata has room for one peer",
                "leave the number out, or use v09",
            )
        }
        (Format::V09, Some(max_peers)) => max_peers,
        (Format::V09, None) => {
            return usage(
                "v09 metadata needs the number of peers to have room for",
                "create-md MAX_PEERS (1..31)",
            );
        }
    };
    let sectors = volume.file.sectors();
    Layout::new(
        volume.placement,
        sectors,
        u64::MAX,
        geometry(volume)?,
        max_peers,
    )
    .map_err(|error| {
        let exit = if matches!(error, MdError::AlStriping { .. }) {
            EXIT_REFUSED
        } else {
            EXIT_FAILED
        };
        Failure::new(
            exit,
            format!("no metadata fits on {}", volume.file.path().display()),
            error,
            "use a larger device, or fewer peers or a smaller activity log",
        )
    })
}

fn peer_max_bio_bytes(volume: &Volume) -> Result<u32, Failure> {
    let wanted = volume.options.peer_max_bio_size;
    match u32::try_from(wanted) {
        Ok(bytes) if wanted <= MAX_BIO_BYTES => Ok(bytes),
        _ => Err(Failure::new(
            EXIT_REFUSED,
            format!("--peer-max-bio-size {wanted} is not possible"),
            "a request has 1 MiB at most",
            "use a value of 0..1M",
        )),
    }
}

/// Converts metadata of the other format, if it can be; else asks whether to replace it.
fn convert(volume: &Volume, old: &Found, layout: &Layout) -> Result<Option<Superblock>, Failure> {
    let (from, to) = (
        format_name(old.superblock.format),
        format_name(volume.format),
    );
    // The log and the bitmap are not touched: they must be where the new layout has them.
    let same_places = old.layout.al == layout.al && old.layout.bm_offset == layout.bm_offset;
    let converted = match volume.format {
        Format::V08 => to_v08(&old.superblock, layout),
        Format::V09 => to_v09(&old.superblock, layout),
    };
    match converted {
        Ok(converted) if same_places => {
            confirm(
                &volume.options,
                &format!("Valid {from} metadata found.\nConvert it to {to}?"),
            )?;
            Ok(Some(converted))
        }
        _ => {
            let text = format!(
                "Valid {from} metadata found; it cannot be converted to {to} with this layout.\nReplacing it forgets which blocks differ from the peers.\nReplace it?"
            );
            confirm(&volume.options, &text)?;
            Ok(None)
        }
    }
}
