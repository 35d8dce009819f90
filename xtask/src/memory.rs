// SPDX-License-Identifier: GPL-2.0-or-later
//! Which scenarios have passed as they are, and how long they take: a file below `target/`.
//!
//! A pass counts for as long as the products, the machine, what all scenarios share and the source of that one scenario are
//! the same: mending one costs none of the hours that the others took.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::write_atomically;
use crate::scenario::Place;
use crate::workspace;

/// Where each scenario has its file, and a directory if it has more than one.
const SCENARIOS: &str = "tests/tests/scenarios";

/// Of what the program is made that plays the scenarios, those left out. What it has of the engine is in the products too.
const SHARED: [&str; 5] = [
    "Cargo.lock",
    "core/tests/golden",
    "netlink",
    "qemu",
    "tests",
];

/// What is written to the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Digest of everything that takes part in every scenario.
    build: String,
    /// Scenarios that have passed with it.
    passed: BTreeMap<String, Pass>,
    /// Seconds that each took the last time, whatever the build.
    seconds: BTreeMap<String, f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pass {
    /// Digest of the scenario's own source.
    source: String,
    seconds: f64,
}

/// The record of one build.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    record: Record,
    /// Digest of each scenario's own source, by the name of its module.
    sources: BTreeMap<String, String>,
}

impl Memory {
    /// What `path` says about the scenarios of this checkout with the products of `place`; another build has passed nothing.
    ///
    /// # Errors
    ///
    /// When sources or products cannot be read.
    pub fn load(path: &Path, place: &Place) -> Result<Self> {
        let (shared, own) = sort(&workspace::files()?);
        let mut files = place.files()?;
        files.extend(shared);
        let own = own.into_iter();
        let sources = own.map(|(module, files)| Ok((module, digest(&files)?)));
        let build = digest(&files)?;
        Ok(Self::of_build(
            path,
            &build,
            sources.collect::<Result<_>>()?,
        ))
    }

    /// The same for a build that has the digest `build`, and scenarios that have those of `sources`.
    pub fn of_build(path: &Path, build: &str, sources: BTreeMap<String, String>) -> Self {
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
            sources,
        }
    }

    fn source(&self, name: &str) -> Option<&String> {
        self.sources.get(module_of(name))
    }

    /// Seconds in which the scenario, as it is, has passed with this build.
    pub fn passed(&self, name: &str) -> Option<f64> {
        let pass = self.record.passed.get(name)?;
        (self.source(name) == Some(&pass.source)).then_some(pass.seconds)
    }

    /// Seconds that the scenario took the last time.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        self.record.seconds.get(name).copied()
    }

    /// Remembers how a scenario ended.
    pub fn note(&mut self, name: &str, passed: bool, seconds: f64) {
        self.record.passed.remove(name);
        if let (true, Some(source)) = (passed, self.source(name).cloned()) {
            let pass = Pass { source, seconds };
            self.record.passed.insert(name.to_owned(), pass);
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

/// The module of a scenario: its name without the path in it.
fn module_of(name: &str) -> &str {
    name.split("::").next().unwrap_or(name)
}

/// Which of `files`, relative to the top of the checkout, all scenarios share, and which each module has for itself.
fn sort(files: &[PathBuf]) -> (Vec<PathBuf>, BTreeMap<String, Vec<PathBuf>>) {
    let mut shared = Vec::new();
    let mut own: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let whole = workspace::root().join(file);
        let first = file.strip_prefix(SCENARIOS).ok();
        let first = first.and_then(|rest| rest.components().next());
        let module = first.and_then(|first| Path::new(first.as_os_str()).file_stem()?.to_str());
        match module {
            Some(module) if module != "main" => {
                own.entry(module.to_owned()).or_default().push(whole);
            }
            _ if SHARED.iter().any(|part| file.starts_with(part)) => shared.push(whole),
            _ => {}
        }
    }
    (shared, own)
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

    fn sources(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(module, digest): &(&str, &str)| ((*module).to_owned(), (*digest).to_owned());
        all.iter().map(owned).collect()
    }

    #[test]
    fn another_build_has_passed_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let known = || sources(&[("a", "1"), ("b", "1")]);
        let mut memory = Memory::of_build(&path, "one", known());
        memory.note("a::a", true, 10.5);
        memory.note("b::b", false, 3.0);
        memory.store().unwrap();

        let same = Memory::of_build(&path, "one", known());
        assert_eq!(
            (same.passed("a::a"), same.passed("b::b")),
            (Some(10.5), None)
        );
        let other = Memory::of_build(&path, "two", known());
        assert_eq!(
            (other.passed("a::a"), other.seconds("a::a")),
            (None, Some(10.5))
        );
    }

    #[test]
    fn a_scenario_that_was_changed_has_not_passed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let mut memory = Memory::of_build(&path, "one", sources(&[("a", "1"), ("b", "1")]));
        for name in ["a::x", "a::y", "b::b", "gone::c"] {
            memory.note(name, true, 1.0);
        }
        memory.store().unwrap();

        let memory = Memory::of_build(&path, "one", sources(&[("a", "2"), ("b", "1")]));
        let passed = ["a::x", "a::y", "b::b", "gone::c"].map(|name| memory.passed(name));
        assert_eq!(passed, [None, None, Some(1.0), None]);
    }

    #[test]
    fn a_failure_takes_back_an_earlier_pass() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory::of_build(&dir.path().join("m"), "one", sources(&[("a", "1")]));
        memory.note("a::a", true, 1.0);
        memory.note("a::a", false, 2.0);
        assert_eq!(
            (memory.passed("a::a"), memory.seconds("a::a")),
            (None, Some(2.0))
        );
    }

    #[test]
    fn what_two_scenarios_use_is_shared() {
        let files = [
            "Cargo.lock",
            "core/src/state/mod.rs",
            "qemu/src/node.rs",
            "tests/src/side.rs",
            "tests/tests/scenarios/a.rs",
            "tests/tests/scenarios/a/rows.rs",
            "tests/tests/scenarios/b.rs",
            "tests/tests/scenarios/main.rs",
        ];
        let (shared, own) = sort(&files.map(PathBuf::from));
        let at = |place: [usize; 4]| place.map(|at| workspace::root().join(files[at])).to_vec();
        assert_eq!(shared, at([0, 2, 3, 7]));
        let lens: Vec<_> = own
            .iter()
            .map(|(name, files)| (&name[..], files.len()))
            .collect();
        assert_eq!(lens, [("a", 2), ("b", 1)]);
    }

    #[test]
    fn the_scenarios_of_this_checkout_are_found() {
        let (shared, own) = sort(&workspace::files().unwrap());
        assert!(own.contains_key("stock_peer") && !own.contains_key("main"));
        let writer = workspace::root().join("tests/guest/writer.py");
        assert!(shared.contains(&writer), "{shared:?}");
        // What one scenario took from another would not count for it.
        for file in own.values().flatten() {
            let text = fs::read_to_string(file).unwrap();
            assert!(!text.contains("crate::"), "{}", file.display());
        }
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
