// SPDX-License-Identifier: GPL-2.0-or-later
//! restore-md and verify-dump.

use std::io::Read as _;
use std::path::Path;

use drbd_core::meta::{Format, Layout, Superblock, AL_EXTENTS_CREATED};

use crate::bitmap_io::Writer;
use crate::cli::{format_name, InitializeBitmap};
use crate::failure::{Failure, EXIT_FAILED, EXIT_IO, EXIT_REFUSED};
use crate::lkbd;
use crate::parse::{parse, Dump, Flags, Run};
use crate::question::confirm;
use crate::signatures;
use crate::volume::{Place, Volume};

/// Checks a dump.
pub(crate) fn verify(volume: &Volume, file: Option<&Path>) -> Result<(), Failure> {
    let dump = read(volume, file)?;
    layout(volume, &dump)?;
    println!("input file parsed ok");
    Ok(())
}

/// Writes the metadata of a dump: bitmap first, then an empty log, then the superblock.
pub(crate) fn restore(volume: &mut Volume, file: Option<&Path>) -> Result<(), Failure> {
    let dump = read(volume, file)?;
    let layout = layout(volume, &dump)?;
    let path = volume.file.path().display().to_string();
    if let Place::Valid(found) = volume.look()? {
        let text = format!(
            "There is valid {} metadata on {path}.\nOverwrite it with the dump?",
            format_name(found.superblock.format)
        );
        confirm(&volume.options, &text)?;
    }
    signatures::check(volume, &layout)?;
    let superblock = superblock(&dump, &layout);
    volume.allow(&layout);
    volume.clear_bitmap(&layout, InitializeBitmap::Automatic)?;
    write_bitmaps(volume, &dump, &layout)?;
    volume.file.flush()?;
    // A dump is of applied metadata. What the log says belongs to something else.
    volume.write_empty_log(&layout)?;
    volume.write_superblock(&superblock, &layout)?;
    lkbd::save(volume, &superblock);
    println!("Successfully restored meta data");
    Ok(())
}

fn read(volume: &Volume, file: Option<&Path>) -> Result<Dump, Failure> {
    let name = file.map_or_else(
        || "standard input".to_string(),
        |path| path.display().to_string(),
    );
    let mut bytes = Vec::new();
    match file {
        Some(path) => {
            bytes = std::fs::read(path).map_err(|error| {
                Failure::new(
                    EXIT_REFUSED,
                    format!("cannot read {name}"),
                    error,
                    "name the file dump-md wrote",
                )
            })?
        }
        None => {
            std::io::stdin().read_to_end(&mut bytes).map_err(|error| {
                Failure::new(EXIT_IO, "cannot read standard input", error, "name a file")
            })?;
        }
    }
    let dump = parse(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        Failure::new(
            EXIT_IO,
            format!("{name}:{}:{}: {}", error.line, error.column, error.text),
            "this is not what dump-md writes; nothing was changed",
            "repair the file, or make a new dump after apply-al",
        )
    })?;
    if dump.format != volume.format {
        return Err(Failure::new(
            EXIT_IO,
            format!("{name} is a dump of {} metadata", format_name(dump.format)),
            format!("{} was asked for", format_name(volume.format)),
            "name the format of the dump",
        ));
    }
    Ok(dump)
}

/// Where the metadata of a dump goes, if it fits.
fn layout(volume: &Volume, dump: &Dump) -> Result<Layout, Failure> {
    let refused = |why: String| {
        Failure::new(
            EXIT_FAILED,
            format!("the dump does not fit on {}", volume.file.path().display()),
            why,
            "use a device that is large enough",
        )
    };
    let layout = Layout::new(
        volume.placement,
        volume.file.sectors(),
        u64::MAX,
        dump.al,
        dump.max_peers,
    )
    .map_err(|error| refused(error.to_string()))?;
    if dump.la_size_sect > layout.usable_sectors {
        return Err(refused(format!(
            "the agreed size is {} sectors, {} are usable",
            dump.la_size_sect, layout.usable_sectors
        )));
    }
    for runs in &dump.bitmaps {
        let words = runs
            .iter()
            .try_fold(0u64, |sum, (count, _)| sum.checked_add(*count));
        let room = (layout.bitmap_bits_max() / 64).next_multiple_of(512);
        if words.is_none_or(|words| words > room) {
            return Err(refused(format!(
                "a bitmap has more than the {room} words there is room for"
            )));
        }
    }
    Ok(layout)
}

fn superblock(dump: &Dump, layout: &Layout) -> Superblock {
    let mut superblock = Superblock::create(dump.format, layout);
    superblock.current_uuid = dump.current_uuid;
    superblock.history_uuids = dump.history_uuids;
    superblock.members = dump.members;
    superblock.node_id = dump.node_id;
    superblock.peers = dump.peers;
    superblock.effective_sectors = dump.la_size_sect;
    superblock.device_uuid = dump.device_uuid;
    superblock.peer_max_bio_bytes = dump.peer_max_bio_bytes;
    superblock.al_nr_extents = AL_EXTENTS_CREATED;
    match dump.flags {
        Flags::V08(word) => superblock.set_v08_flags(word),
        Flags::V09(flags) => superblock.flags = flags,
    }
    debug_assert_eq!(
        superblock.format == Format::V08,
        matches!(dump.flags, Flags::V08(_))
    );
    superblock
}

fn write_bitmaps(volume: &Volume, dump: &Dump, layout: &Layout) -> Result<(), Failure> {
    let mut slots: Vec<Unrolled<'_>> = dump
        .bitmaps
        .iter()
        .map(|runs| Unrolled { runs, used: 0 })
        .collect();
    let count = |runs: &Vec<Run>| runs.iter().map(|(count, _)| count).sum::<u64>();
    let longest = dump.bitmaps.iter().map(count).max().unwrap_or(0);
    // What lies beyond the words there is room for are zeros that fill the last page.
    let longest = longest.min(layout.bitmap_bits_max() / 64);
    let mut writer = Writer::new(&volume.file, layout);
    let mut row = vec![0; slots.len()];
    for _ in 0..longest {
        for (word, slot) in row.iter_mut().zip(&mut slots) {
            *word = slot.next().unwrap_or(0);
        }
        writer.push(&row)?;
    }
    writer.finish(layout)
}

/// Runs as single words.
struct Unrolled<'a> {
    runs: &'a [Run],
    used: u64,
}

impl Iterator for Unrolled<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let ((count, word), rest) = self.runs.split_first()?;
        self.used += 1;
        if self.used >= *count {
            self.runs = rest;
            self.used = 0;
        }
        Some(*word)
    }
}
