// SPDX-License-Identifier: GPL-2.0-or-later
//! Inputs to start from: the recorded bytes and texts that the tests of the crates use.

use std::path::{Path, PathBuf};

#[path = "../../core/tests/wire_support/capture.rs"]
mod capture;
#[path = "../../core/tests/golden/metadata/reader.rs"]
mod metadata;

pub(crate) use capture::Event;
pub(crate) use metadata::{superblocks_of, Golden};

/// The captures of the stock driver.
const CAPTURES: [&str; 5] = [
    "connect-auth-sync-discard-verify-detach",
    "fencing",
    "integrity-and-zeroes",
    "protocols-split-brain-mismatch",
    "two-primaries-conflicts",
];

fn checkout() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The files of a directory of the checkout whose names end so, in the order of their names.
pub(crate) fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let directory = checkout().join(directory);
    let entries = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has samples", directory.display());
    files
}

/// The content of those files.
pub(crate) fn contents(directory: &str, ending: &str) -> Vec<Vec<u8>> {
    let read = |path: &PathBuf| std::fs::read(path).unwrap_or_default();
    files(directory, ending).iter().map(read).collect()
}

/// The netlink messages of one recording: hexadecimal lines of `golden/drbd9/nl` or `golden/control-plane/netlink`.
pub(crate) fn messages(text: &str) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(words) = line.strip_prefix("hex: ") {
            all.push(hexadecimal(&words.replace(' ', "")));
        } else if let Some((offset, bytes)) = line.split_once("  ") {
            let row = offset.len() == 4 && offset.bytes().all(|byte| byte.is_ascii_hexdigit());
            if row && offset == "0000" {
                all.push(Vec::new());
            }
            if let (true, Some(message)) = (row, all.last_mut()) {
                message.extend(hexadecimal(&bytes.replace(' ', "")));
            }
        }
    }
    all
}

fn hexadecimal(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2)
        .map_while(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

/// What every connection of the captures carried, each direction by itself.
pub(crate) fn streams() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for name in CAPTURES {
        let mut open: Vec<((u16, u16), Vec<u8>)> = Vec::new();
        for event in capture::events(name) {
            match event {
                Event::Open(flow) => open.push((flow, Vec::new())),
                Event::Bytes(flow, bytes) => {
                    if let Some((_, stream)) = open.iter_mut().rev().find(|(of, _)| *of == flow) {
                        stream.extend(bytes);
                    }
                }
            }
        }
        streams.extend(open.into_iter().map(|(_, stream)| stream));
    }
    streams.retain(|stream| !stream.is_empty());
    streams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_something_of_every_kind() {
        let count = |directory: &str| -> usize {
            contents(directory, ".txt")
                .iter()
                .map(|text| messages(&String::from_utf8_lossy(text)).len())
                .sum()
        };
        assert!(count("core/tests/golden/drbd9/nl") > 200);
        assert!(count("core/tests/golden/control-plane/netlink") > 50);
        assert!(streams().len() > 30);
        assert!(contents("conf/tests/golden/bad", ".conf").len() > 40);
    }
}
