// SPDX-License-Identifier: GPL-2.0-or-later
//! dump-superblock: one block of 4 KiB, as it is or explained.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::ValueEnum;
use drbd_core::meta::{Format, Layout, PeerFlags, PeerSlot, Superblock};
use serde_json::{json, Value};

use crate::cli::format_name;
use crate::failure::{Failure, EXIT_IO};
use crate::lkbd;
use crate::volume::{Place, Volume};

/// Exit code of a valid superblock that is where the device used to end.
const EXIT_LAST_KNOWN: u8 = 2;
/// Exit code when there is no valid superblock.
const EXIT_INVALID: u8 = 3;

/// Ways to print a superblock.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Its fields
    Json,
    /// Its bytes, as `hexdump -C` prints them
    Hex,
    /// Its bytes
    Raw,
}

/// Prints the superblock; returns the exit code: 0 valid, 2 valid at the last
/// known place, 3 not valid.
pub(crate) fn dump(volume: &Volume, output: OutputFormat) -> Result<u8, Failure> {
    let here = volume.file.sectors();
    let (sectors, code) = match (volume.look()?, lkbd::last_sectors(volume)) {
        (Place::Valid(_), _) => (here, 0),
        (Place::Nothing(_), Some(last)) if matches!(volume.look_on(last)?, Place::Valid(_)) => {
            (last, EXIT_LAST_KNOWN)
        }
        (Place::Nothing(_), _) => (here, EXIT_INVALID),
    };
    let sector = Layout::superblock_sector_of(volume.placement, sectors).map_err(|error| {
        Failure::new(
            EXIT_INVALID,
            format!("no superblock fits on {}", volume.file.path().display()),
            error,
            "check the device and the index",
        )
    })?;
    let block = volume.file.read_block(sector * 512)?;
    let bytes = match output {
        OutputFormat::Raw => block.to_vec(),
        OutputFormat::Hex => hex(&block).into_bytes(),
        OutputFormat::Json => {
            let why = match volume.look_on(sectors)? {
                Place::Valid(_) => None,
                Place::Nothing(error) => Some(error.to_string()),
            };
            let mut value = json!({
                "device": volume.file.path().display().to_string(),
                "sector": sector,
                "valid": why.is_none(),
                "problem": why,
            });
            if let Ok(superblock) = Superblock::decode(&block) {
                value["superblock"] = fields(&superblock);
            }
            format!("{value:#}\n").into_bytes()
        }
    };
    io::stdout().write_all(&bytes).map_err(|error| {
        Failure::new(
            EXIT_IO,
            "cannot print",
            error,
            "check where the output goes",
        )
    })?;
    Ok(code)
}

/// Identifiers are hexadecimal texts: numbers of 64 bits do not survive every
/// reader of JSON.
fn fields(superblock: &Superblock) -> Value {
    let hex = |value: u64| format!("{value:016X}");
    let peers: Vec<Value> = superblock
        .peers
        .iter()
        .enumerate()
        .filter(|(_, slot)| **slot != PeerSlot::UNUSED)
        .map(|(node_id, slot)| {
            json!({
                "node-id": node_id,
                "bitmap-index": slot.bitmap_index,
                "bitmap-uuid": hex(slot.bitmap_uuid),
                "bitmap-dagtag": hex(slot.bitmap_dagtag),
                "flags": format!("{:08x}", slot.flags.bits()),
                "seen": slot.flags.contains(PeerFlags::DEVICE_SEEN),
            })
        })
        .collect();
    let mut value = json!({
        "version": format_name(superblock.format),
        "la-size-sect": superblock.effective_sectors,
        "current-uuid": hex(superblock.current_uuid),
        "history-uuids": superblock.history_uuids.iter().map(|uuid| hex(*uuid)).collect::<Vec<_>>(),
        "device-uuid": hex(superblock.device_uuid),
        "md-size-sect": superblock.md_size_sectors,
        "al-offset": superblock.al_offset,
        "al-extents": superblock.al_nr_extents,
        "al-stripes": superblock.al.stripes(),
        "al-stripe-size-4k": superblock.al.stripe_size_4k(),
        "bm-offset": superblock.bm_offset,
        "bm-byte-per-bit": superblock.bytes_per_bit,
        "la-peer-max-bio-size": superblock.peer_max_bio_bytes,
        "needs-apply-al": superblock.needs_apply_al(),
        "peers": peers,
    });
    match superblock.format {
        Format::V08 => value["flags"] = format!("{:08x}", superblock.v08_flags()).into(),
        Format::V09 => {
            value["flags"] = format!("{:08x}", superblock.flags.bits()).into();
            value["max-peers"] = superblock.max_peers.into();
            value["node-id"] = superblock.node_id.into();
            value["members"] = hex(superblock.members).into();
        }
    }
    value
}

/// Lines of 16 bytes; one that repeats the line before is left out, with a `*`
/// for all of them.
fn hex(block: &[u8]) -> String {
    let mut out = String::new();
    let mut before: &[u8] = &[];
    let mut starred = false;
    for (index, line) in block.chunks(16).enumerate() {
        if line == before {
            if !starred {
                out.push_str("*\n");
            }
            starred = true;
            continue;
        }
        starred = false;
        before = line;
        let _ = write!(out, "{:08x} ", index * 16);
        for (at, byte) in line.iter().enumerate() {
            let gap = if at == 8 { "  " } else { " " };
            let _ = write!(out, "{gap}{byte:02x}");
        }
        let text: String = line
            .iter()
            .map(|byte| match byte {
                0x20..=0x7e => char::from(*byte),
                _ => '.',
            })
            .collect();
        let _ = writeln!(out, "  |{text}|");
    }
    let _ = writeln!(out, "{:08x}", block.len());
    out
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn repeated_lines_are_left_out() {
        let mut block = [0; 64];
        block[0] = 0x41;
        assert_eq!(
            hex(&block),
            "00000000  41 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |A...............|\n\
             00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n\
             *\n00000040\n"
        );
    }
}
