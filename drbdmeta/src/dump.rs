// SPDX-License-Identifier: GPL-2.0-or-later
//! dump-md: the metadata as text that restore-md reads (metadata.md 10.1).

use std::io::{self, Write};

use drbd_core::meta::Format;
use jiff::Zoned;

use crate::bitmap_io::Words;
use crate::cli::format_name;
use crate::failure::{Failure, EXIT_FAILED, EXIT_IO};
use crate::volume::{Found, Volume};

/// A line that no restore accepts.
const UNCLEAN_TOKEN: &str = "unclean-dump # apply-al was not run: the bitmap is not complete";
/// Words a line has.
const WORDS_PER_LINE: u64 = 4;
/// Equal words from which on they are counted.
const RUN_MIN: u64 = 8;
/// Words between two comments that tell the position.
const WORDS_PER_COMMENT: u64 = 32;
/// Data one word describes, KiB.
const KIB_PER_WORD: u64 = 256;

/// Prints the metadata.
pub(crate) fn dump(volume: &Volume) -> Result<(), Failure> {
    let found = volume.require()?;
    let unclean = found.superblock.needs_apply_al();
    if unclean && !volume.options.force {
        return Err(Failure::new(
            EXIT_FAILED,
            format!(
                "the metadata of {} is unclean",
                volume.file.path().display()
            ),
            "its activity log was not applied, so the bitmap is not complete",
            "run apply-al first, or dump it as it is with --force (restore-md will refuse that)",
        ));
    }
    let mut text = Vec::new();
    print_head(volume, &found, unclean, &mut text).map_err(print_failed)?;
    // Into memory first where it is small: the output is whole or it is not there.
    let mut out = io::BufWriter::new(io::stdout().lock());
    out.write_all(&text).map_err(print_failed)?;
    print_bitmaps(volume, &found, &mut out)?;
    out.flush().map_err(print_failed)
}

fn print_head(volume: &Volume, found: &Found, unclean: bool, out: &mut Vec<u8>) -> io::Result<()> {
    let (superblock, layout) = (&found.superblock, &found.layout);
    let now = Zoned::now();
    writeln!(out, "# DRBD meta data dump")?;
    writeln!(
        out,
        "# {} [{}]",
        now.strftime("%Y-%m-%d %H:%M:%S %z"),
        now.timestamp().as_second()
    )?;
    writeln!(out, "# {}> {}\n#\n", host_name(), volume.invocation)?;
    writeln!(out, "version \"{}\";\n", format_name(superblock.format))?;
    if unclean {
        writeln!(out, "{UNCLEAN_TOKEN}\n")?;
    }
    if superblock.format == Format::V09 {
        writeln!(out, "max-peers {};", superblock.max_peers)?;
    }
    writeln!(out, "# md_size_sect {}", layout.md_size_sectors)?;
    writeln!(out, "# md_offset {}", layout.superblock_sector * 512)?;
    writeln!(out, "# al_offset {}", layout.al_start_sector() * 512)?;
    writeln!(out, "# bm_offset {}\n", layout.bitmap_start_sector() * 512)?;
    match superblock.format {
        Format::V08 => {
            let bitmap_uuid = superblock.peers.first().map_or(0, |peer| peer.bitmap_uuid);
            let [young, old, ..] = superblock.history_uuids;
            writeln!(out, "uuid {{")?;
            writeln!(
                out,
                "    0x{:016X}; 0x{bitmap_uuid:016X}; 0x{young:016X}; 0x{old:016X};",
                superblock.current_uuid
            )?;
            writeln!(out, "    flags 0x{:08x};\n}}", superblock.v08_flags())?;
        }
        Format::V09 => print_peers(found, out)?,
    }
    writeln!(out, "# al-extents {};", superblock.al_nr_extents)?;
    writeln!(out, "la-size-sect {};", superblock.effective_sectors)?;
    writeln!(out, "bm-byte-per-bit {};", superblock.bytes_per_bit)?;
    writeln!(out, "device-uuid 0x{:016X};", superblock.device_uuid)?;
    writeln!(
        out,
        "la-peer-max-bio-size {};",
        superblock.peer_max_bio_bytes
    )?;
    writeln!(out, "al-stripes {};", superblock.al.stripes())?;
    writeln!(out, "al-stripe-size-4k {};", superblock.al.stripe_size_4k())?;
    writeln!(out, "# bm-bytes {};", bitmap_bytes(found))
}

fn print_peers(found: &Found, out: &mut Vec<u8>) -> io::Result<()> {
    let superblock = &found.superblock;
    writeln!(out, "node-id {};", superblock.node_id)?;
    writeln!(out, "current-uuid 0x{:016X};", superblock.current_uuid)?;
    writeln!(out, "flags 0x{:08x};", superblock.flags.bits())?;
    if superblock.members != 0 {
        writeln!(out, "members 0x{:016X};", superblock.members)?;
    }
    for (node_id, peer) in superblock.peers.iter().enumerate() {
        writeln!(out, "peer[{node_id}] {{")?;
        writeln!(out, "    bitmap-index {};", peer.bitmap_index)?;
        writeln!(out, "    bitmap-uuid 0x{:016X};", peer.bitmap_uuid)?;
        writeln!(out, "    bitmap-dagtag 0x{:016X};", peer.bitmap_dagtag)?;
        writeln!(out, "    flags 0x{:08x};\n}}", peer.flags.bits())?;
    }
    writeln!(out, "history-uuids {{")?;
    for row in superblock.history_uuids.chunks(4) {
        let row: Vec<String> = row.iter().map(|uuid| format!("0x{uuid:016X};")).collect();
        writeln!(out, "        {}", row.join(" "))?;
    }
    writeln!(out, "}}")
}

fn print_bitmaps(volume: &Volume, found: &Found, out: &mut impl Write) -> Result<(), Failure> {
    let mut bits_set = 0;
    for slot in 0..found.layout.max_peers {
        match found.superblock.format {
            Format::V08 => writeln!(out, "bm {{"),
            Format::V09 => writeln!(out, "bitmap[{slot}] {{"),
        }
        .map_err(print_failed)?;
        bits_set += print_slot(volume, found, slot, out)?;
        writeln!(out, "}}").map_err(print_failed)?;
    }
    writeln!(out, "# bits-set {bits_set};").map_err(print_failed)
}

/// Prints the words of one slot; returns how many bits are set.
fn print_slot(
    volume: &Volume,
    found: &Found,
    slot: u32,
    out: &mut impl Write,
) -> Result<u64, Failure> {
    let count = slot_words(found);
    let mut words = Words::new(&volume.file, &found.layout, slot);
    let mut bits_set = 0;
    let mut at = 0;
    while at < count {
        if at % WORDS_PER_COMMENT == 0 {
            writeln!(out, "   # at {}kB", at * KIB_PER_WORD).map_err(print_failed)?;
        }
        let word = words.word(at)?;
        // A word is compared with itself too: by halves, as the reference does.
        let mut run = 0;
        if word >> 32 == word & 0xffff_ffff {
            run = 1;
            while at + run < count && words.word(at + run)? == word {
                run += 1;
            }
        }
        let run = run / WORDS_PER_LINE * WORDS_PER_LINE;
        if run >= RUN_MIN {
            writeln!(out, "    {run} times 0x{word:016X};").map_err(print_failed)?;
            bits_set += run * u64::from(word.count_ones());
            at += run;
            continue;
        }
        let mut line = String::from("   ");
        for index in at..(at + WORDS_PER_LINE).min(count) {
            let word = words.word(index)?;
            bits_set += u64::from(word.count_ones());
            line.push_str(&format!(" 0x{word:016X};"));
        }
        writeln!(out, "{line}").map_err(print_failed)?;
        at += WORDS_PER_LINE;
    }
    Ok(bits_set)
}

/// Bytes of the bitmap of the agreed size, all slots.
fn bitmap_bytes(found: &Found) -> u64 {
    let bits = found
        .superblock
        .effective_sectors
        .div_ceil(8)
        .next_multiple_of(64);
    (bits / 8 * u64::from(found.layout.max_peers)).next_multiple_of(4096)
}

/// Words of each slot a dump has.
pub(crate) fn slot_words(found: &Found) -> u64 {
    if found.layout.max_peers == 1 {
        bitmap_bytes(found) / 8
    } else {
        found.superblock.effective_sectors.div_ceil(8).div_ceil(64)
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_string()
}

fn print_failed(error: io::Error) -> Failure {
    Failure::new(
        EXIT_IO,
        "cannot print the dump",
        error,
        "check where the output goes",
    )
}
