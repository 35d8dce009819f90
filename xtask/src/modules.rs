// SPDX-License-Identifier: GPL-2.0-or-later
//! Choosing kernel modules with everything they depend on, and laying them out uncompressed.
//!
//! Loading a compressed module costs an emulated machine more time than reading the larger file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::enter::Root;
use crate::process::logged;

/// Copies the modules listed in `/lay/list` from kernel tree `$1` (release `$2`) to `/lay/tree`, uncompressed.
const LAY_OUT: &str = r#"
from="$1/lib/modules/$2"; to="/lay/tree/lib/modules/$2"
mkdir -p "$to"
cp "$from"/modules.builtin "$from"/modules.builtin.modinfo "$from"/modules.order "$to/"
while read -r file; do
    plain="$to/${file%.xz}"
    mkdir -p "${plain%/*}"
    case "$file" in *.xz) xz -dc "$from/$file" > "$plain";; *) cp "$from/$file" "$plain";; esac
done < /lay/list
depmod -b /lay/tree "$2"
"#;

/// `modules.dep` of a kernel: each module's file and the files it needs.
#[derive(Debug)]
pub struct Dependencies(BTreeMap<String, Vec<String>>);

impl Dependencies {
    /// Reads `modules.dep` of the kernel in `tree`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn load(tree: &Path, release: &str) -> Result<Self> {
        let path = tree
            .join("usr/lib/modules")
            .join(release)
            .join("modules.dep");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(file, needs)| {
                    (
                        file.to_owned(),
                        needs.split_whitespace().map(str::to_owned).collect(),
                    )
                })
                .collect(),
        )
    }

    /// Files of the modules that match one of `wanted`, and of all they need.
    ///
    /// A wanted word is a module's name (`ext4`) or, with a slash at its end, a directory below `kernel/`.
    ///
    /// # Errors
    ///
    /// When a word matches nothing; a kernel that lacks a module has it built in or lost it, and both want a look.
    pub fn select(&self, wanted: &[&str], may_lack: &[&str]) -> Result<BTreeSet<String>> {
        let mut files = BTreeSet::new();
        for word in wanted {
            let found: Vec<&String> = self.0.keys().filter(|file| matches(file, word)).collect();
            if found.is_empty() && !may_lack.contains(word) {
                anyhow::bail!("this kernel has no module {word}");
            }
            for file in found {
                files.extend(self.0.get(file).into_iter().flatten().cloned());
                files.insert(file.clone());
            }
        }
        Ok(files)
    }
}

fn matches(file: &str, word: &str) -> bool {
    if word.ends_with('/') {
        return file
            .strip_prefix("kernel/")
            .is_some_and(|rest| rest.starts_with(word));
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.')
        .next()
        .is_some_and(|name| name.replace('-', "_") == word.replace('-', "_"))
}

/// Lays out `files` of the kernel in `kernel_inside` (a path inside `root`) below `tree` on the host.
///
/// # Errors
///
/// When a file cannot be unpacked.
pub fn lay_out(
    root: &Root,
    kernel_inside: &str,
    release: &str,
    files: &BTreeSet<String>,
    work: &Path,
    log: &Path,
) -> Result<()> {
    fs::create_dir_all(work.join("tree"))
        .with_context(|| format!("cannot create {}", work.display()))?;
    let mut list: String = files.iter().cloned().collect::<Vec<_>>().join("\n");
    list.push('\n');
    fs::write(work.join("list"), list)?;
    let root = root.clone().bind(work, "/lay");
    logged(
        &mut root.script(LAY_OUT, &[kernel_inside, release]),
        log,
        "cannot lay out kernel modules",
        "cargo xtask setup --refresh",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz\n\
        kernel/fs/jbd2/jbd2.ko.xz:\nkernel/lib/crc16.ko.xz:\nkernel/drivers/md/dm-flakey.ko.xz: kernel/drivers/md/dm-mod.ko.xz\n\
        kernel/drivers/md/dm-mod.ko.xz:\n";

    #[test]
    fn takes_what_a_module_needs() {
        let files = Dependencies::parse(DEP).select(&["ext4"], &[]).unwrap();
        assert_eq!(
            files.into_iter().collect::<Vec<_>>(),
            [
                "kernel/fs/ext4/ext4.ko.xz",
                "kernel/fs/jbd2/jbd2.ko.xz",
                "kernel/lib/crc16.ko.xz"
            ]
        );
    }

    #[test]
    fn dashes_and_directories() {
        let dep = Dependencies::parse(DEP);
        assert_eq!(dep.select(&["dm_flakey"], &[]).unwrap().len(), 2);
        assert_eq!(dep.select(&["fs/"], &[]).unwrap().len(), 3);
    }

    #[test]
    fn a_missing_module_is_refused_unless_allowed() {
        let dep = Dependencies::parse(DEP);
        assert!(dep.select(&["zfs"], &[]).is_err());
        assert!(dep.select(&["zfs"], &["zfs"]).unwrap().is_empty());
    }
}
