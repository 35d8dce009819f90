// SPDX-License-Identifier: GPL-2.0-or-later
//! The image all nodes boot from, as `cargo xtask setup` left it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};

/// Kernel, first file system and root file system of the guests.
///
/// All files are shared by all nodes and never written.
#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    /// `uname -r` of the kernel.
    pub kernel_release: String,
    /// The kernel, as the distribution ships it.
    pub vmlinuz: PathBuf,
    /// cpio archive with busybox and the modules that the root file system
    /// needs; the harness appends its `/init`.
    pub base_initrd: PathBuf,
    /// Read-only root file system.
    pub rootfs: PathBuf,
    /// Type of `rootfs` for mount(8): `erofs` or `ext4`.
    pub rootfs_fstype: String,
    /// Arguments that the kernel needs beside the harness's own.
    #[serde(default)]
    pub kernel_args: String,
    /// How much more memory its guests need than those of the distribution's kernel.
    #[serde(default = "one")]
    pub memory_factor: u32,
    /// How much longer they may take for everything.
    #[serde(default = "one")]
    pub patience: u32,
    /// Whether the kernel watches the order of locks (lockdep), until it gives up.
    #[serde(default)]
    pub lockdep: bool,
}

fn one() -> u32 {
    1
}

/// Limits are written for an idle host. They only end what would never end, so a host that is busy, or whose disk is,
/// may take this much longer.
const HOST_SLOWNESS: u32 = 3;

/// [`Image::patience`] of the image in use, times [`HOST_SLOWNESS`].
static PATIENCE: AtomicU32 = AtomicU32::new(1);

/// `limit`, or as much longer as the guests of the image in use may take. Every wait
/// for a guest goes through it once.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    limit.saturating_mul(PATIENCE.load(Ordering::Relaxed))
}

impl Image {
    /// Reads the description of the image in use: the file `DRBD_MANIFEST`
    /// names, else `current.json` of the cache.
    ///
    /// # Errors
    ///
    /// [`Error::Image`] if there is none, or it names files that do not exist.
    pub fn current() -> Result<Image> {
        match std::env::var_os("DRBD_MANIFEST") {
            Some(manifest) => Image::from_manifest(Path::new(&manifest)),
            None => Image::from_manifest(&cache_dir()?.join("current.json")),
        }
    }

    /// Reads the description in `manifest`.
    ///
    /// # Errors
    ///
    /// As [`Image::current`].
    pub fn from_manifest(manifest: &Path) -> Result<Image> {
        let text = std::fs::read_to_string(manifest)
            .map_err(|error| Error::Image(format!("{}: {error}", manifest.display())))?;
        let image: Image = serde_json::from_str(&text)
            .map_err(|error| Error::Image(format!("{}: {error}", manifest.display())))?;
        for file in [&image.vmlinuz, &image.base_initrd, &image.rootfs] {
            if !file.is_file() {
                return Err(Error::Image(format!(
                    "{} names {}, which is not there",
                    manifest.display(),
                    file.display()
                )));
            }
        }
        PATIENCE.store(
            image.patience.saturating_mul(HOST_SLOWNESS),
            Ordering::Relaxed,
        );
        Ok(image)
    }
}

/// `${XDG_CACHE_HOME:-~/.cache}/drbd-rs`.
///
/// # Errors
///
/// [`Error::Host`] when neither variable is set.
pub fn cache_dir() -> Result<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("drbd-rs"))
        .ok_or_else(|| Error::Host("neither XDG_CACHE_HOME nor HOME is set".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_incomplete_image_says_what_to_type() {
        let dir = std::env::temp_dir().join(format!("drbd-image-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let manifest = dir.join("current.json");
        let message = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&manifest, text).unwrap();
            }
            Image::from_manifest(&manifest).unwrap_err().to_string()
        };
        assert!(message(None).contains("cargo xtask setup"));
        assert!(message(Some("{}")).contains("kernel_release"));
        let gone = r#"{"kernel_release":"7","vmlinuz":"/gone","base_initrd":"/gone",
            "rootfs":"/gone","rootfs_fstype":"erofs"}"#;
        assert!(message(Some(gone)).contains("/gone, which is not there"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
