// SPDX-License-Identifier: GPL-2.0-or-later
//! Laying a package out as a directory that dpkg-deb takes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::content::{filled_in, Package};

/// Makes the tree of `package` at `tree`.
///
/// # Errors
///
/// When a file of it is missing, or the tree cannot be written.
pub(super) fn stage(package: &Package, tree: &Path) -> Result<()> {
    for file in &package.files {
        let to = tree.join(&file.to);
        let bytes =
            fs::read(&file.from).with_context(|| format!("cannot read {}", file.from.display()))?;
        // Only texts of ours have places to fill in.
        let bytes = match String::from_utf8(bytes) {
            Ok(text) if file.from.ends_with("dkms.conf") => filled_in(&text).into_bytes(),
            Ok(text) => text.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        write(&to, &bytes, file.mode)?;
    }
    let debian = tree.join("DEBIAN");
    write(&debian.join("control"), control(package).as_bytes(), 0o644)?;
    let configuration: Vec<String> = package.configuration().collect();
    if !configuration.is_empty() {
        let text = format!("{}\n", configuration.join("\n"));
        write(&debian.join("conffiles"), text.as_bytes(), 0o644)?;
    }
    for (name, text) in &package.scripts {
        write(&debian.join(name), text.as_bytes(), 0o755)?;
    }
    directories(tree)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    permit(path, mode)
}

fn permit(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// Whatever the umask is, directories are for all to look into.
fn directories(tree: &Path) -> Result<()> {
    permit(tree, 0o755)?;
    let entries = fs::read_dir(tree).with_context(|| format!("cannot list {}", tree.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            directories(&path)?;
        }
    }
    Ok(())
}

/// The control file; the size is filled in when the documents are compressed.
pub(super) fn control(package: &Package) -> String {
    let mut text = format!(
        "Package: {}\nVersion: {}\nArchitecture: {}\nInstalled-Size: 0\n",
        package.name, package.version, package.architecture
    );
    for (name, value) in &package.fields {
        text.push_str(&format!("{name}: {value}\n"));
    }
    let (first, rest) = package.about;
    text.push_str(&format!("Description: {first}\n"));
    for line in rest.lines() {
        text.push_str(&format!(" {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::content::File;
    use super::*;

    fn package(from: &Path) -> Package {
        Package {
            name: "p".to_owned(),
            version: "1-1".to_owned(),
            architecture: "all",
            fields: vec![("Section", "admin".to_owned())],
            about: ("first", "second\nthird"),
            files: vec![File {
                from: from.to_owned(),
                to: "etc/deep/p.conf".to_owned(),
                mode: 0o640,
            }],
            scripts: vec![("postinst", "#!/bin/sh\n".to_owned())],
            date: 0,
        }
    }

    #[test]
    fn lays_out_files_control_and_scripts() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        fs::write(&from, "text").unwrap();
        let tree = directory.path().join("tree");
        stage(&package(&from), &tree).unwrap();
        let mode = |path: &str| {
            let metadata = fs::metadata(tree.join(path)).unwrap();
            metadata.permissions().mode() & 0o7777
        };
        assert_eq!(mode("etc/deep/p.conf"), 0o640);
        assert_eq!((mode("etc/deep"), mode("DEBIAN/postinst")), (0o755, 0o755));
        let read = |path: &str| fs::read_to_string(tree.join(path)).unwrap();
        assert_eq!(read("DEBIAN/conffiles"), "/etc/deep/p.conf\n");
        assert_eq!(
            read("DEBIAN/control"),
            "Package: p\nVersion: 1-1\nArchitecture: all\nInstalled-Size: 0\nSection: admin\n\
             Description: first\n second\n third\n"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = stage(&package(Path::new("/nowhere/f")), directory.path()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/f"), "{error}");
    }
}
