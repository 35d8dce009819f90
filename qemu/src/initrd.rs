// SPDX-License-Identifier: GPL-2.0-or-later
//! The first file system of a guest: the image's part, and ours behind it.
//!
//! The kernel unpacks any number of cpio archives one after another, so each
//! node's initrd is the shared archive followed by a small one with `/init`,
//! the agent and the files this node wants. What lies under `/payload` is
//! copied over the root file system before anything runs there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cpio::newc::{self, ModeFileType};

use crate::error::{Error, Result};

/// Where the agent lies in the guest.
const AGENT: &str = "usr/lib/drbd-lab/agent";

const INIT: &str = include_str!("../guest/init.sh");

/// A file the guest finds in its root file system.
#[derive(Clone, Debug)]
pub struct GuestFile {
    /// Absolute path in the guest.
    pub path: String,
    /// Its content.
    pub content: Content,
    /// Permission bits; `None` takes the host file's.
    pub mode: Option<u32>,
}

/// Where the content of a [`GuestFile`] comes from.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file of the host, read when the node boots.
    Host(PathBuf),
    /// Bytes given.
    Bytes(Vec<u8>),
}

impl GuestFile {
    /// The host's file `host`, as `path` in the guest.
    pub fn host(host: impl Into<PathBuf>, path: impl Into<String>) -> GuestFile {
        GuestFile {
            path: path.into(),
            content: Content::Host(host.into()),
            mode: None,
        }
    }

    /// A file with the given text, mode 0644.
    pub fn text(text: impl Into<String>, path: impl Into<String>) -> GuestFile {
        let content = Content::Bytes(text.into().into_bytes());
        GuestFile {
            path: path.into(),
            content,
            mode: Some(0o644),
        }
    }
}

/// Writes the initrd `target`: `base`, then ours with `agent` and `files`.
///
/// # Errors
///
/// [`Error::File`] for what cannot be read or written.
pub(crate) fn build(target: &Path, base: &Path, agent: &Path, files: &[GuestFile]) -> Result<()> {
    let mut out = BufWriter::new(File::create(target).map_err(Error::file(target))?);
    let mut input = File::open(base).map_err(Error::file(base))?;
    let base_bytes = io::copy(&mut input, &mut out).map_err(Error::file(target))?;
    // Archives start at multiples of four bytes.
    let padding = (4 - base_bytes % 4) % 4;
    out.write_all(&[0u8; 4][..padding as usize])
        .map_err(Error::file(target))?;

    let mut archive = Archive {
        out,
        known: BTreeSet::new(),
        inode: 0,
    };
    archive
        .file("init", INIT.as_bytes(), 0o755)
        .map_err(Error::file(target))?;
    let agent_bytes = std::fs::read(agent).map_err(Error::file(agent))?;
    archive
        .file(&format!("payload/{AGENT}"), &agent_bytes, 0o755)
        .map_err(Error::file(target))?;
    for file in files {
        let (bytes, mode) = load(file)?;
        let name = format!("payload/{}", file.path.trim_start_matches('/'));
        archive
            .file(&name, &bytes, file.mode.unwrap_or(mode))
            .map_err(Error::file(target))?;
    }
    archive.finish().map_err(Error::file(target))
}

fn load(file: &GuestFile) -> Result<(Vec<u8>, u32)> {
    match &file.content {
        Content::Bytes(bytes) => Ok((bytes.clone(), 0o644)),
        Content::Host(path) => {
            let bytes = std::fs::read(path).map_err(Error::file(path))?;
            let metadata = std::fs::metadata(path).map_err(Error::file(path))?;
            Ok((bytes, metadata.permissions().mode() & 0o7777))
        }
    }
}

struct Archive<W: Write> {
    out: W,
    known: BTreeSet<String>,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// Adds a file, after the directories it lies in.
    fn file(&mut self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let slashes = name.match_indices('/').map(|(at, _)| at);
        for dir in slashes.filter_map(|at| name.get(..at)) {
            if self.known.insert(dir.to_owned()) {
                self.entry(dir, ModeFileType::Directory, 0o755, &[])?;
            }
        }
        self.entry(name, ModeFileType::Regular, mode, content)
    }

    fn entry(&mut self, name: &str, kind: ModeFileType, mode: u32, data: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let length = u32::try_from(data.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "file of 4 GiB or more"))?;
        let builder = newc::Builder::new(name).ino(self.inode).nlink(1).mode(mode);
        let mut writer = builder
            .set_mode_file_type(kind)
            .write(&mut self.out, length);
        writer.write_all(data)?;
        writer.finish()?;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        newc::trailer(&mut self.out)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_archive_follows_the_base_at_a_multiple_of_four() {
        let dir = std::env::temp_dir().join(format!("drbd-initrd-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (base, agent, out) = (dir.join("base"), dir.join("agent"), dir.join("out"));
        std::fs::write(&base, b"12345").unwrap();
        std::fs::write(&agent, b"I am the agent").unwrap();
        let file = GuestFile::text("hello", "/etc/deep/er/greeting");
        build(&out, &base, &agent, &[file]).unwrap();

        let bytes = std::fs::read(&out).unwrap();
        assert_eq!(&bytes[..8], b"12345\0\0\0");
        let mut rest = &bytes[8..];
        let mut seen = Vec::new();
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            seen.push((name, mode, content));
            rest = reader.finish().unwrap();
        }
        let find = |name: &str| seen.iter().find(|entry| entry.0 == name).unwrap();
        assert_eq!(find("init").1, 0o100_755);
        assert_eq!(find("payload/etc/deep/er").1, 0o040_755);
        assert_eq!(find("payload/etc/deep/er/greeting").2, b"hello");
        assert_eq!(find("payload/usr/lib/drbd-lab/agent").2, b"I am the agent");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = std::env::temp_dir();
        let error = build(
            &dir.join("drbd-never"),
            Path::new("/dev/null"),
            Path::new("/no/agent"),
            &[],
        );
        assert!(error.unwrap_err().to_string().contains("/no/agent"));
    }
}
