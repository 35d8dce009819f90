// SPDX-License-Identifier: GPL-2.0-or-later
//! Packages kept from earlier runs, made into a repository of their own for the day the mirror is not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::debroot::SUITE;
use crate::process::captured;

/// Makes an apt repository of the `.deb` files in `packages` and returns its directory, or `None` when there are none.
///
/// # Errors
///
/// When a package cannot be read or the directory cannot be written.
pub fn offline_repository(packages: &Path) -> Result<Option<PathBuf>> {
    let files = debs(packages);
    if files.is_empty() {
        return Ok(None);
    }
    let repository = packages.join("offline");
    fs::create_dir_all(&repository)
        .with_context(|| format!("cannot create {}", repository.display()))?;
    let mut index = String::new();
    for file in &files {
        let control = captured(Command::new("dpkg-deb").arg("--field").arg(file))?;
        let name = plain_name(file);
        let link = repository.join(&name);
        if !link.exists() {
            fs::hard_link(file, &link)
                .or_else(|_| fs::copy(file, &link).map(drop))
                .with_context(|| format!("cannot make {}", link.display()))?;
        }
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        index.push_str(&stanza(&control, &name, &content));
    }
    let release = release(&index);
    for (name, text) in [("Packages", index), ("Release", release)] {
        fs::write(repository.join(name), text)
            .with_context(|| format!("cannot write to {}", repository.display()))?;
    }
    Ok(Some(repository))
}

/// The line for apt's list of sources, with `repository` as apt will see it.
pub fn source_line(repository: &str) -> String {
    // Every file was verified against the archive's signature when it was fetched.
    format!("deb [trusted=yes] copy:{repository} ./")
}

fn debs(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .collect();
    files.sort();
    files
}

/// apt escapes the colon of an epoch in file names; a URI would need that escaped again.
fn plain_name(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace("%3a", "+")
}

/// mmdebstrap takes essential packages of the suite it was asked for, so the repository says that it is that suite.
fn release(index: &str) -> String {
    format!(
        "Origin: Debian\nSuite: {SUITE}\nCodename: {SUITE}\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {} {} Packages\n",
        hex_digest(index.as_bytes()),
        index.len()
    )
}

fn hex_digest(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn stanza(control: &str, name: &str, content: &[u8]) -> String {
    let digest = hex_digest(content);
    format!(
        "{}\nFilename: ./{name}\nSize: {}\nSHA256: {digest}\n\n",
        control.trim_end(),
        content.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packages_no_repository() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "x").unwrap();
        assert_eq!(offline_repository(dir.path()).unwrap(), None);
        assert_eq!(
            offline_repository(&dir.path().join("absent")).unwrap(),
            None
        );
    }

    #[test]
    fn a_stanza_names_file_size_and_digest() {
        assert_eq!(plain_name(Path::new("/x/a_1%3a2_all.deb")), "a_1+2_all.deb");
        let text = stanza("Package: a\nVersion: 1\n", "a.deb", b"abc");
        assert_eq!(
            text,
            "Package: a\nVersion: 1\nFilename: ./a.deb\nSize: 3\nSHA256: \
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\n"
        );
    }
}
