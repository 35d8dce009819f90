// SPDX-License-Identifier: GPL-2.0-or-later
//! The last known size of a device with internal metadata.
//!
//! After an offline resize the metadata is no longer at the end of the device; the file
//! `drbd-minor-N.lkbd` tells where it was.

use std::fs;
use std::path::PathBuf;

use drbd_core::meta::{Format, Superblock};

use crate::volume::Volume;

/// What the file says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Known {
    pub(crate) bytes: u64,
    pub(crate) device: String,
    pub(crate) uuid: Option<u64>,
}

/// Remembers the size; external metadata needs no memory. Failing to is told, no more.
pub(crate) fn save(volume: &Volume, superblock: &Superblock) {
    let Some(path) = path(volume) else { return };
    if volume.options.dry_run {
        return;
    }
    if !volume.placement.is_internal() {
        remove(volume);
        return;
    }
    let known = Known {
        bytes: volume.file.bytes(),
        device: volume.file.path().display().to_string(),
        uuid: Some(superblock.device_uuid).filter(|uuid| *uuid != 0),
    };
    let written = fs::create_dir_all(&volume.options.var_lib_drbd).and_then(|()| {
        let temporary = path.with_extension("lkbd.new");
        fs::write(&temporary, print(&known)).and_then(|()| fs::rename(&temporary, &path))
    });
    if let Err(error) = written {
        eprintln!(
            "note: cannot remember the size of the device in {}: {error}",
            path.display()
        );
    }
}

/// Forgets the size.
pub(crate) fn remove(volume: &Volume) {
    if volume.options.dry_run {
        return;
    }
    if let Some(path) = path(volume) {
        // Usually there is none.
        let _ = fs::remove_file(path);
    }
}

/// What is known about the device of this volume.
pub(crate) fn load(volume: &Volume) -> Option<Known> {
    parse(&fs::read_to_string(path(volume)?).ok()?)
}

/// The last known size in sectors, if it differs from the present one and metadata could be there.
pub(crate) fn last_sectors(volume: &Volume) -> Option<u64> {
    let known = load(volume).filter(|_| volume.placement.is_internal())?;
    let sectors = known.bytes / 512;
    // A device that shrank has lost its end.
    (sectors < volume.file.sectors()).then_some(sectors)
}

fn path(volume: &Volume) -> Option<PathBuf> {
    let minor = volume.minor?;
    Some(
        volume
            .options
            .var_lib_drbd
            .join(format!("drbd-minor-{minor}.lkbd")),
    )
}

fn print(known: &Known) -> String {
    let mut text = format!("{}\t{}\n", known.bytes, known.device);
    if let Some(uuid) = known.uuid {
        text.push_str(&format!("uuid:\t{uuid:016X}\n"));
    }
    text
}

fn parse(text: &str) -> Option<Known> {
    let mut lines = text.lines();
    let (bytes, device) = lines.next()?.split_once('\t')?;
    let uuid = lines.find_map(|line| line.strip_prefix("uuid:"));
    Some(Known {
        bytes: bytes.parse().ok()?,
        device: device.to_string(),
        uuid: uuid.and_then(|uuid| u64::from_str_radix(uuid.trim(), 16).ok()),
    })
}

/// Whether a superblock found at the last known place is the one that was remembered.
pub(crate) fn matches(known: &Known, superblock: &Superblock, format: Format) -> bool {
    superblock.format == format && known.uuid.is_none_or(|uuid| uuid == superblock.device_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for uuid in [None, Some(0xabc)] {
            let known = Known {
                bytes: 1 << 30,
                device: "/dev/vg/lv".to_string(),
                uuid,
            };
            assert_eq!(parse(&print(&known)), Some(known));
        }
        assert_eq!(
            print(&Known {
                bytes: 4096,
                device: "/dev/x".to_string(),
                uuid: Some(0xabc)
            }),
            "4096\t/dev/x\nuuid:\t0000000000000ABC\n"
        );
        assert_eq!(parse(""), None);
        assert_eq!(parse("x\t/dev/x"), None);
    }
}
