// SPDX-License-Identifier: GPL-2.0-or-later
//! Which scenarios a build has passed, and how long they take: a file below `target/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::write_atomically;
use crate::scenario::Place;

/// What is written to the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Digest of everything that takes part in a scenario.
    build: String,
    /// Scenarios that this build has passed.
    passed: BTreeMap<String, f64>,
    /// Seconds that each took the last time, whatever the build.
    seconds: BTreeMap<String, f64>,
}

/// The record of one build.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    record: Record,
}

impl Memory {
    /// What `path` says about the scenarios of `program` with the products of `place`; another build has passed nothing.
    ///
    /// # Errors
    ///
    /// When program or products cannot be read.
    pub fn load(path: &Path, program: &Path, place: &Place) -> Result<Self> {
        let mut files = place.files()?;
        files.push(program.to_owned());
        Ok(Self::of_build(path, &digest(&files)?))
    }

    /// The same for a build that has the digest `build`.
    pub fn of_build(path: &Path, build: &str) -> Self {
        // A record that cannot be read costs the time to play the scenarios again, no more.
        let mut record: Record = fs::read_to_string(path)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        if record.build != build {
            record.build = build.to_owned();
            record.passed.clear();
        }
        Self {
            path: path.to_owned(),
            record,
        }
    }

    /// Seconds in which this build has passed the scenario.
    pub fn passed(&self, name: &str) -> Option<f64> {
        self.record.passed.get(name).copied()
    }

    /// Seconds that the scenario took the last time.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        self.record.seconds.get(name).copied()
    }

    /// Remembers how a scenario ended.
    pub fn note(&mut self, name: &str, passed: bool, seconds: f64) {
        if passed {
            self.record.passed.insert(name.to_owned(), seconds);
        } else {
            self.record.passed.remove(name);
        }
        self.record.seconds.insert(name.to_owned(), seconds);
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn store(&self) -> Result<()> {
        write_atomically(&self.path, &serde_json::to_string_pretty(&self.record)?)
    }
}

fn digest(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(content.len().to_le_bytes());
        hash.update(&content);
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_build_has_passed_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let mut memory = Memory::of_build(&path, "one");
        memory.note("a", true, 10.5);
        memory.note("b", false, 3.0);
        memory.store().unwrap();

        let same = Memory::of_build(&path, "one");
        assert_eq!((same.passed("a"), same.passed("b")), (Some(10.5), None));
        let other = Memory::of_build(&path, "two");
        assert_eq!((other.passed("a"), other.seconds("a")), (None, Some(10.5)));
    }

    #[test]
    fn a_failure_takes_back_an_earlier_pass() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory::of_build(&dir.path().join("m"), "one");
        memory.note("a", true, 1.0);
        memory.note("a", false, 2.0);
        assert_eq!((memory.passed("a"), memory.seconds("a")), (None, Some(2.0)));
    }

    #[test]
    fn every_byte_of_a_build_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("drbd.ko");
        fs::write(&file, "one").unwrap();
        let first = digest(std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "onf").unwrap();
        assert_ne!(first, digest(&[file]).unwrap());
        assert!(digest(&[dir.path().join("gone")]).is_err());
    }
}
