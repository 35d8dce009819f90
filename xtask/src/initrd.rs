// SPDX-License-Identifier: GPL-2.0-or-later
//! The base of the virtual machines' initial file system: busybox and the modules for the first seconds.
//!
//! It has no `/init`: who boots a machine appends an archive of their own with it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use cpio::newc::{trailer, Builder};
use walkdir::WalkDir;

use crate::process::captured;

/// Modules that must be there before the root file system is.
pub const MODULES: [&str; 13] = [
    "virtio_blk",
    "virtio_net",
    "virtio_rng",
    "erofs",
    "overlay",
    "ext4",
    "brd",
    "loop",
    "dm_mod",
    "9p",
    "9pnet_virtio",
    "crc32c_cryptoapi",
    "i6300esb",
];

/// Those of [`MODULES`] that a kernel may have built in.
pub const MAY_LACK: [&str; 3] = ["virtio_rng", "crc32c_cryptoapi", "dm_mod"];

const DIRECTORIES: [&str; 12] = [
    "bin",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "mnt",
    "newroot",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
];

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFCHR: u32 = 0o020_000;

/// Character devices that the kernel or a shell opens before `/dev` is mounted: name, permissions, major, minor.
const DEVICES: [(&str, u32, u32, u32); 3] = [
    ("dev/console", 0o600, 5, 1),
    ("dev/kmsg", 0o600, 1, 11),
    ("dev/null", 0o666, 1, 3),
];

/// Writes a newc archive entry by entry.
struct Archive<W: Write> {
    out: W,
    inode: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.write(Builder::new(name).mode(mode), content)
    }

    fn write(&mut self, builder: Builder, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).context("a file is too large for the archive")?;
        let mut writer = builder.ino(self.inode).nlink(1).write(&mut self.out, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        if self.directories.insert(name.to_owned()) {
            self.entry(name, S_IFDIR | 0o755, &[])?;
        }
        Ok(())
    }
}

/// Writes the archive `target` from a static `busybox` and a tree that holds `lib/modules`.
///
/// # Errors
///
/// When a source cannot be read or the target cannot be written.
pub fn write(target: &Path, busybox: &Path, tree: &Path) -> Result<()> {
    let file =
        File::create(target).with_context(|| format!("cannot create {}", target.display()))?;
    let mut archive = Archive {
        out: BufWriter::new(file),
        inode: 0,
        directories: BTreeSet::new(),
    };
    for name in DIRECTORIES {
        archive.directory(name)?;
    }
    for (name, mode, major, minor) in DEVICES {
        let builder = Builder::new(name)
            .mode(S_IFCHR | mode)
            .rdev_major(major)
            .rdev_minor(minor);
        archive.write(builder, &[])?;
    }
    let program =
        fs::read(busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    archive.entry("bin/busybox", S_IFREG | 0o755, &program)?;
    let applets = captured(Command::new(busybox).arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        archive.entry(&format!("bin/{applet}"), S_IFLNK | 0o777, b"busybox")?;
    }
    archive.entry("sbin", S_IFLNK | 0o777, b"bin")?;
    add_tree(&mut archive, &tree.join("lib/modules"), "lib/modules")?;
    let mut out = trailer(archive.out)?;
    out.flush()?;
    Ok(())
}

fn add_tree<W: Write>(archive: &mut Archive<W>, from: &Path, to: &str) -> Result<()> {
    for found in WalkDir::new(from).min_depth(1).sort_by_file_name() {
        let found = found?;
        let relative = found
            .path()
            .strip_prefix(from)?
            .to_string_lossy()
            .into_owned();
        let name = format!("{to}/{relative}");
        if found.file_type().is_dir() {
            archive.directory(&name)?;
        } else if found.file_type().is_file() {
            let mut content = Vec::new();
            File::open(found.path())?.read_to_end(&mut content)?;
            let mode = found.metadata()?.permissions().mode() & 0o777;
            archive.entry(&name, S_IFREG | mode, &content)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("tree/lib/modules/7/kernel/a.ko");
        fs::create_dir_all(module.parent().unwrap()).unwrap();
        fs::write(&module, b"module").unwrap();
        let busybox = dir.path().join("busybox");
        fs::write(&busybox, "#!/bin/sh\necho ash\necho busybox\n").unwrap();
        fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
        let target = dir.path().join("base.cpio");
        write(&target, &busybox, &dir.path().join("tree")).unwrap();

        let mut rest = File::open(&target).unwrap();
        let mut names = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let name = reader.entry().name().to_owned();
            if name.ends_with("a.ko") {
                let mut content = String::new();
                reader.read_to_string(&mut content).unwrap();
                assert_eq!(content, "module");
            }
            names.push(name);
            rest = reader.finish().unwrap();
        }
        for wanted in [
            "dev/console",
            "bin/busybox",
            "bin/ash",
            "lib/modules/7/kernel/a.ko",
        ] {
            assert!(
                names.iter().any(|name| name == wanted),
                "{wanted} is missing"
            );
        }
        assert_eq!(
            names.iter().filter(|name| *name == "bin/busybox").count(),
            1
        );
        assert!(!names.iter().any(|name| name == "init"));
    }

    #[test]
    fn a_missing_busybox_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(
            &dir.path().join("x"),
            &dir.path().join("nobusybox"),
            dir.path(),
        );
        assert!(error.unwrap_err().to_string().contains("nobusybox"));
    }
}
