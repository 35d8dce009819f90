// SPDX-License-Identifier: GPL-2.0-or-later
//! Looking at backing disks from outside the machines.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};

/// Compared at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A difference is told in blocks of DRBD's own grain.
const BLOCK_BYTES: u64 = 4096;

/// Compares the first `bytes` of two disks.
///
/// # Errors
///
/// With how many blocks differ and the first few of them; if a disk is shorter
/// or cannot be read.
pub fn compare(one: &Path, two: &Path, bytes: u64) -> Result<()> {
    let differing = differing_blocks(one, two, bytes)?;
    if differing.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = differing
        .iter()
        .take(8)
        .map(|block| format!("{:#x}", block * BLOCK_BYTES))
        .collect();
    bail!(
        "the backing disks differ in {} blocks of {BLOCK_BYTES} bytes, at {}{}\n  {}\n  {}",
        differing.len(),
        first.join(", "),
        if differing.len() > first.len() {
            ", ..."
        } else {
            ""
        },
        one.display(),
        two.display()
    );
}

/// Numbers of the 4 KiB blocks in which the first `bytes` of two disks differ.
///
/// # Errors
///
/// If a disk is shorter or cannot be read.
pub fn differing_blocks(one: &Path, two: &Path, bytes: u64) -> Result<Vec<u64>> {
    ensure!(bytes > 0, "nothing to compare");
    let open = |path: &Path| File::open(path).with_context(|| path.display().to_string());
    let (one_file, two_file) = (open(one)?, open(two)?);
    let mut buffers = (vec![0u8; CHUNK_BYTES], vec![0u8; CHUNK_BYTES]);
    let mut differing = Vec::new();
    let mut at = 0u64;
    while at < bytes {
        let length = CHUNK_BYTES.min(usize::try_from(bytes - at).unwrap_or(CHUNK_BYTES));
        let (left, right) = (
            buffers.0.get_mut(..length).context("chunk")?,
            buffers.1.get_mut(..length).context("chunk")?,
        );
        one_file
            .read_exact_at(left, at)
            .with_context(|| one.display().to_string())?;
        two_file
            .read_exact_at(right, at)
            .with_context(|| two.display().to_string())?;
        if left != right {
            let blocks = left
                .chunks(BLOCK_BYTES as usize)
                .zip(right.chunks(BLOCK_BYTES as usize));
            for (number, (a, b)) in (at / BLOCK_BYTES..).zip(blocks) {
                if a != b {
                    differing.push(number);
                }
            }
        }
        at += length as u64;
    }
    Ok(differing)
}

/// Flips all bits of one byte.
///
/// # Errors
///
/// If the disk cannot be written or is shorter.
pub fn flip_byte(disk: &Path, offset: u64) -> Result<()> {
    let file = File::options().read(true).write(true).open(disk)?;
    let mut byte = [0u8];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&byte.map(|value| !value), offset)?;
    Ok(())
}

/// FNV-1a of a disk's first `bytes`: tells whether anything was written.
///
/// # Errors
///
/// If the disk cannot be read or is shorter.
pub fn fingerprint(disk: &Path, bytes: u64) -> Result<u64> {
    let file = File::open(disk).with_context(|| disk.display().to_string())?;
    let mut buffer = vec![0u8; CHUNK_BYTES];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0u64;
    while at < bytes {
        let length = CHUNK_BYTES.min(usize::try_from(bytes - at).unwrap_or(CHUNK_BYTES));
        let chunk = buffer.get_mut(..length).context("chunk")?;
        file.read_exact_at(chunk, at)
            .with_context(|| disk.display().to_string())?;
        for word in chunk.chunks(8) {
            for byte in word {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        at += length as u64;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flipped_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for path in [&one, &two] {
            File::create(path).unwrap().set_len(3 << 20).unwrap();
        }
        compare(&one, &two, 3 << 20).unwrap();
        let before = fingerprint(&two, 3 << 20).unwrap();
        flip_byte(&two, (2 << 20) + 4097).unwrap();
        assert_ne!(before, fingerprint(&two, 3 << 20).unwrap());
        assert_eq!(differing_blocks(&one, &two, 3 << 20).unwrap(), [513]);
        let error = compare(&one, &two, 3 << 20).unwrap_err().to_string();
        assert!(
            error.contains("in 1 blocks") && error.contains("0x201000"),
            "{error}"
        );
        compare(&one, &two, 2 << 20).unwrap();
    }

    #[test]
    fn a_short_disk_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("short");
        File::create(&path).unwrap().set_len(4096).unwrap();
        assert!(compare(&path, &path, 8192).is_err());
        assert!(compare(&path, &path, 0).is_err());
    }
}
