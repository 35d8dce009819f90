// SPDX-License-Identifier: GPL-2.0-or-later
//! What else may lie on a device: file systems, swap, volume managers.
//!
//! create-md and restore-md look here before they write. Data that would be cut off or
//! overwritten is a refusal that --force does not lift (metadata.md 10).

use std::process::Command;

use drbd_core::meta::{Layout, Placement};

use crate::failure::{Failure, EXIT_DATA, EXIT_FAILED};
use crate::question::confirm;
use crate::volume::Volume;

/// Bytes looked at.
const HEAD_BYTES: usize = 68 << 10;

/// What was recognised.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Data {
    name: &'static str,
    /// Where it ends, in sectors, if it tells.
    end: Option<u64>,
    /// Whether data of unknown size is known to reach the end of its device.
    fills: bool,
}

/// Looks at the device and refuses, asks, or lets pass.
pub(crate) fn check(volume: &Volume, layout: &Layout) -> Result<(), Failure> {
    let head = volume.file.read(0, HEAD_BYTES)?;
    let found = recognise(head.bytes(), volume.file.sectors());
    let found = found.map(|data| {
        if data.name == "LVM2 physical volume" {
            ask_lvm(volume, data)
        } else {
            data
        }
    });
    let path = volume.file.path().display();
    let by_blkid = if found.is_none() { blkid(volume) } else { None };
    let name = match (&found, &by_blkid) {
        (Some(data), _) => data.name.to_string(),
        (None, Some(kind)) => kind.clone(),
        (None, None) if head.bytes().iter().all(|byte| *byte == 0) => return Ok(()),
        (None, None) => "some data".to_string(),
    };
    let usable = layout.usable_sectors;
    let refuse = |why: String, next: &str| {
        Err(Failure::new(
            EXIT_DATA,
            format!("found {name} on {path}, nothing was written"),
            why,
            next.to_string(),
        ))
    };
    let external = !matches!(volume.placement, Placement::Internal);
    let ignore = volume.options.ignore_sanity_checks;
    if let Some(data) = &found {
        if external && !ignore {
            return refuse(
                "a device for metadata should hold nothing else".to_string(),
                "wipe it (wipefs -a), name another device, or use --ignore-sanity-checks",
            );
        }
        if !external {
            match data.end {
                Some(end) if end > usable => {
                    return refuse(
                        format!("it reaches to sector {end}; with internal metadata {usable} sectors are left for data"),
                        "shrink it first, enlarge the device, use external metadata, or wipe it (wipefs -a)",
                    );
                }
                None if data.fills && !ignore => {
                    return refuse(
                        "it may reach to the end of the device, where the metadata goes".to_string(),
                        "wipe it (wipefs -a), use external metadata, or --ignore-sanity-checks if you know better",
                    );
                }
                Some(_) | None => {}
            }
        }
    }
    let effect = if external {
        "It will be destroyed.".to_string()
    } else {
        format!(
            "The metadata goes to its end: bitmap at byte {}, activity log at {}, superblock at {}.\nData beyond sector {usable} will be destroyed.",
            layout.bitmap_start_sector() * 512,
            layout.al_start_sector() * 512,
            layout.superblock_sector * 512
        )
    };
    confirm(
        &volume.options,
        &format!("Found {name} on {path}.\n{effect}\nContinue?"),
    )
    .map_err(|cancelled| Failure {
        exit: EXIT_FAILED,
        ..cancelled
    })
}

/// Recognises data by its signature. `sectors` is the size of the device.
fn recognise(head: &[u8], sectors: u64) -> Option<Data> {
    let has = |offset: usize, magic: &[u8]| {
        head.get(offset..)
            .is_some_and(|tail| tail.starts_with(magic))
    };
    let known = |name, end: Option<u64>| {
        Some(Data {
            name,
            end,
            fills: true,
        })
    };
    for page in [4096, 8192, 65536] {
        if has(page - 10, b"SWAP-SPACE") || has(page - 10, b"SWAPSPACE2") {
            return known("swap space", None);
        }
    }
    if has(0x218, b"LVM2 001") {
        return known("LVM2 physical volume", None);
    }
    if has(0x438, &[0x53, 0xef]) {
        let blocks = le32(head, 0x404)?;
        let end = le32(head, 0x418)
            .filter(|log| *log < 7)
            .and_then(|log| blocks.checked_mul(2 << log));
        let journal = le32(head, 0x45c)? & 4 != 0;
        return known(
            if journal {
                "ext3/ext4 file system"
            } else {
                "ext2 file system"
            },
            end,
        );
    }
    if has(0, b"XFSB") {
        let (size, blocks) = (be32(head, 4)?, be64(head, 8)?);
        return known("xfs file system", blocks.checked_mul(size / 512));
    }
    if has(0x8000, b"JFS1") {
        let (blocks, size) = (le64(head, 0x8008)?, le32(head, 0x8018)?);
        return known(
            "jfs file system",
            blocks.checked_mul(size).map(|bytes| bytes / 512),
        );
    }
    if has(0x10034, b"ReIsErFs") || has(0x10034, b"ReIsEr2Fs") || has(0x10034, b"ReIsEr3Fs") {
        let (blocks, size) = (le32(head, 0x10000)?, le32(head, 0x1002c)? & 0xffff);
        return known("reiserfs file system", Some(blocks * size / 512));
    }
    if has(0x10040, b"_BHRfS_M") {
        return known(
            "btrfs file system",
            le64(head, 0x10070).map(|bytes| bytes / 512),
        );
    }
    if has(0, b"LUKS\xba\xbe") {
        return known("LUKS encrypted data", None);
    }
    let raid = [0xfc, 0x4e, 0x2b, 0xa9];
    if has(0, &raid) || has(4096, &raid) {
        return known("md RAID member", None);
    }
    if has(512, b"EFI PART") {
        // The second copy of the table is in the last sector.
        return known("GPT partition table", Some(sectors));
    }
    None
}

/// Asks LVM how far a physical volume reaches.
fn ask_lvm(volume: &Volume, data: Data) -> Data {
    let output = Command::new("pvs")
        .args([
            "--noheadings",
            "--nosuffix",
            "--units",
            "s",
            "-o",
            "pe_start,pv_size",
        ])
        .arg(volume.file.path())
        .output();
    let end = output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let numbers: Vec<u64> = text
                .split_whitespace()
                .map_while(|number| number.parse().ok())
                .collect();
            match numbers.as_slice() {
                [start, size] => start.checked_add(*size),
                _ => None,
            }
        });
    Data { end, ..data }
}

/// Asks blkid, if it is there, about what the table does not know.
fn blkid(volume: &Volume) -> Option<String> {
    let output = Command::new("blkid")
        .args(["-p", "-o", "value", "-s", "TYPE"])
        .arg(volume.file.path())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    let kind = String::from_utf8_lossy(&output.stdout).trim().to_string();
    (!kind.is_empty() && kind != "drbd").then(|| format!("{kind} data"))
}

fn le32(head: &[u8], offset: usize) -> Option<u64> {
    head.get(offset..)?
        .first_chunk::<4>()
        .map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
}

fn le64(head: &[u8], offset: usize) -> Option<u64> {
    head.get(offset..)?
        .first_chunk::<8>()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

fn be32(head: &[u8], offset: usize) -> Option<u64> {
    head.get(offset..)?
        .first_chunk::<4>()
        .map(|bytes| u64::from(u32::from_be_bytes(*bytes)))
}

fn be64(head: &[u8], offset: usize) -> Option<u64> {
    head.get(offset..)?
        .first_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(parts: &[(usize, &[u8])]) -> Option<(&'static str, Option<u64>)> {
        let mut head = vec![0; HEAD_BYTES];
        for (offset, bytes) in parts {
            head[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        recognise(&head, 1000).map(|data| (data.name, data.end))
    }

    #[test]
    fn each_signature_is_known() {
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[(4086, b"SWAPSPACE2")]), Some(("swap space", None)));
        assert_eq!(with(&[(8182, b"SWAP-SPACE")]), Some(("swap space", None)));
        assert_eq!(
            with(&[(0x218, b"LVM2 001")]),
            Some(("LVM2 physical volume", None))
        );
        let ext: [(usize, &[u8]); 3] = [
            (0x438, &[0x53, 0xef]),
            (0x404, &[16, 0, 0, 0]),
            (0x418, &[2, 0, 0, 0]),
        ];
        assert_eq!(with(&ext), Some(("ext2 file system", Some(128))));
        let xfs: [(usize, &[u8]); 3] = [
            (0, b"XFSB"),
            (4, &[0, 0, 16, 0]),
            (8, &[0, 0, 0, 0, 0, 0, 0, 9]),
        ];
        assert_eq!(with(&xfs), Some(("xfs file system", Some(72))));
        let jfs: [(usize, &[u8]); 3] = [(0x8000, b"JFS1"), (0x8008, &[8]), (0x8018, &[0, 2])];
        assert_eq!(with(&jfs), Some(("jfs file system", Some(8))));
        let reiser: [(usize, &[u8]); 3] = [
            (0x10034, b"ReIsEr2Fs"),
            (0x10000, &[4]),
            (0x1002c, &[0, 16]),
        ];
        assert_eq!(with(&reiser), Some(("reiserfs file system", Some(32))));
        assert_eq!(
            with(&[(0x10040, b"_BHRfS_M"), (0x10070, &[0, 4])]),
            Some(("btrfs file system", Some(2)))
        );
        assert_eq!(
            with(&[(0, b"LUKS\xba\xbe")]),
            Some(("LUKS encrypted data", None))
        );
        assert_eq!(
            with(&[(4096, &[0xfc, 0x4e, 0x2b, 0xa9])]),
            Some(("md RAID member", None))
        );
        assert_eq!(
            with(&[(512, b"EFI PART")]),
            Some(("GPT partition table", Some(1000)))
        );
    }

    #[test]
    fn nonsense_sizes_do_not_overflow() {
        let ext: [(usize, &[u8]); 3] = [
            (0x438, &[0x53, 0xef]),
            (0x404, &[0xff; 4]),
            (0x418, &[0xff; 4]),
        ];
        assert_eq!(with(&ext), Some(("ext2 file system", None)));
        let xfs: [(usize, &[u8]); 2] = [(0, b"XFSB"), (4, &[0xff; 12])];
        assert_eq!(with(&xfs), Some(("xfs file system", None)));
    }
}
