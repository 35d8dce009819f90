// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads the golden files: `hexdump -C` sections and the text around them.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses a part of it"
)]

use std::collections::HashMap;
use std::path::Path;

/// One `--- title (.. bytes at ..)` section with a hexdump.
pub struct Dump {
    pub title: String,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// One file.
pub struct Golden {
    pub text: String,
    pub dumps: Vec<Dump>,
}

impl Golden {
    /// Reads `golden/metadata/NAME.txt`.
    pub fn read(name: &str) -> Golden {
        // This file lies beside them; other crates of the workspace include it too.
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let path = crates
            .join("core/tests/golden/metadata")
            .join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut dumps: Vec<Dump> = Vec::new();
        let mut repeat = false;
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("--- ") {
                let offset = title
                    .rsplit_once(" at ")
                    .map(|(_, at)| at.trim_end_matches(')'));
                let offset = offset.and_then(|at| at.parse().ok()).unwrap_or(0);
                dumps.push(Dump {
                    title: title.to_string(),
                    offset,
                    bytes: Vec::new(),
                });
                repeat = false;
                continue;
            }
            let Some(dump) = dumps.last_mut() else {
                continue;
            };
            if line == "*" {
                repeat = true;
                continue;
            }
            if line.len() > 8 && line.get(8..10) != Some("  ") {
                continue;
            }
            let Some(at) = line
                .get(..8)
                .and_then(|at| usize::from_str_radix(at, 16).ok())
            else {
                continue;
            };
            if repeat {
                let last = dump.bytes[dump.bytes.len() - 16..].to_vec();
                while dump.bytes.len() < at {
                    dump.bytes.extend_from_slice(&last);
                }
                repeat = false;
            }
            assert_eq!(dump.bytes.len(), at, "{name}: {line}");
            let hex = line.get(8..58).unwrap_or("");
            dump.bytes.extend(
                hex.split_whitespace()
                    .map(|byte| u8::from_str_radix(byte, 16).unwrap()),
            );
        }
        dumps.retain(|dump| !dump.bytes.is_empty());
        Golden { text, dumps }
    }

    /// The first dump whose title contains `part`.
    pub fn dump(&self, part: &str) -> &Dump {
        self.dumps
            .iter()
            .find(|dump| dump.title.contains(part))
            .unwrap_or_else(|| panic!("no dump {part}"))
    }

    /// Device size of the header.
    pub fn device_sectors(&self) -> u64 {
        let line = self
            .text
            .lines()
            .find(|line| line.contains("device-size-bytes"))
            .unwrap();
        line.rsplit_once("sectors: ")
            .unwrap()
            .1
            .trim()
            .parse()
            .unwrap()
    }

    /// Value of a `# name value` comment of the text dump.
    pub fn comment(&self, name: &str) -> u64 {
        let prefix = format!("# {name} ");
        let line = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix(prefix.as_str()))
            .unwrap();
        line.trim_end_matches(';').parse().unwrap()
    }

    /// The line that describes activity-log block `index`.
    pub fn decoded_block(&self, index: u32) -> &str {
        let prefix = format!("{index} ok tr ");
        self.text
            .lines()
            .find(|line| line.starts_with(&prefix))
            .unwrap()
    }

    /// The extents of the `active set` line.
    pub fn active_set(&self) -> Vec<u32> {
        let line = self
            .text
            .lines()
            .find(|line| line.starts_with("active set"))
            .unwrap();
        let list = line.split_once('[').unwrap().1.trim_end_matches(']');
        list.split(", ")
            .map(|extent| extent.parse().unwrap())
            .collect()
    }
}

/// Steps of the life-cycle file: name, head of the superblock, decoded fields.
pub fn superblocks_of(golden: &Golden) -> Vec<(String, Vec<u8>, HashMap<String, String>)> {
    let lines: Vec<&str> = golden
        .text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    lines
        .chunks(3)
        .map(|chunk| {
            let hex = chunk[1].trim();
            let head = (0..hex.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
                .collect();
            let fields = chunk[2]
                .split_whitespace()
                .filter_map(|field| field.split_once('='));
            let fields = fields
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            (chunk[0].to_string(), head, fields)
        })
        .collect()
}
