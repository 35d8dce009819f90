// SPDX-License-Identifier: GPL-2.0-or-later
//! Keeping a copy of source files beside which a build may write, without waking a build that has nothing to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names the files that we copied, so that one that left the sources leaves the copy and products stay.
const RECORD: &str = ".copied";

/// Makes `to` hold the `files` (relative paths) of `from`; a file whose content is the same keeps its time stamp.
///
/// Returns how many files were written or removed.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn update(from: &Path, to: &Path, files: &BTreeSet<PathBuf>) -> Result<usize> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let record = to.join(RECORD);
    let mut changes = 0;
    for old in fs::read_to_string(&record).unwrap_or_default().lines() {
        if !files.contains(Path::new(old)) && fs::remove_file(to.join(old)).is_ok() {
            changes += 1;
        }
    }
    for file in files {
        let source = from.join(file);
        let content =
            fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let copy = to.join(file);
        if fs::read(&copy).is_ok_and(|old| old == content) {
            continue;
        }
        if let Some(dir) = copy.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        fs::write(&copy, content).with_context(|| format!("cannot write {}", copy.display()))?;
        changes += 1;
    }
    let names: Vec<String> = files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    fs::write(&record, names.join("\n"))
        .with_context(|| format!("cannot write {}", record.display()))?;
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn copies_changes_only_and_leaves_products() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a/one.rs"), "1").unwrap();
        fs::write(from.join("two.rs"), "2").unwrap();
        assert_eq!(
            update(&from, &to, &set(&["a/one.rs", "two.rs"])).unwrap(),
            2
        );
        fs::write(to.join("two.o"), "product").unwrap();
        let stamp = fs::metadata(to.join("a/one.rs"))
            .unwrap()
            .modified()
            .unwrap();

        fs::write(from.join("a/one.rs"), "1").unwrap();
        fs::write(from.join("two.rs"), "2b").unwrap();
        assert_eq!(
            update(&from, &to, &set(&["a/one.rs", "two.rs"])).unwrap(),
            1
        );
        assert_eq!(
            fs::metadata(to.join("a/one.rs"))
                .unwrap()
                .modified()
                .unwrap(),
            stamp
        );
        assert_eq!(fs::read_to_string(to.join("two.rs")).unwrap(), "2b");

        assert_eq!(update(&from, &to, &set(&["two.rs"])).unwrap(), 1);
        assert!(!to.join("a/one.rs").exists());
        assert!(to.join("two.o").exists());
    }

    #[test]
    fn a_missing_source_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = update(dir.path(), &dir.path().join("to"), &set(&["gone.rs"])).unwrap_err();
        assert!(error.to_string().contains("gone.rs"));
    }
}
