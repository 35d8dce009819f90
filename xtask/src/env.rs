// SPDX-License-Identifier: GPL-2.0-or-later
//! What `setup` has made and where it is: the manifest `current.json` in the cache.
//!
//! The virtual-machine harness and the tests read it; only `setup` writes it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cache::{write_atomically, Cache};
use crate::problem::Problem;

/// The manifest. Fields are filled in the order in which `setup` finishes its steps; all are there when it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Env {
    /// Root directory of the Debian 13 tree with compilers and kernel headers; enter it with [`crate::enter`].
    pub toolchain_root: PathBuf,
    /// `uname -r` of the kernel that modules are built for and virtual machines boot.
    pub kernel_release: String,
    /// The kernel image for `qemu -kernel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmlinuz: Option<PathBuf>,
    /// Uncompressed cpio archive with busybox and the modules for the first seconds; has no `/init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_initrd: Option<PathBuf>,
    /// Read-only image of the virtual machines' root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// Type of the file system in `rootfs`, as `mount -t` wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_fstype: Option<String>,
}

impl Env {
    /// The manifest's path in `cache`.
    pub fn path(cache: &Cache) -> PathBuf {
        cache.path("current.json")
    }

    /// Reads the manifest of the calling user's cache.
    ///
    /// # Errors
    ///
    /// When `setup` has not run yet or the file is not a manifest.
    pub fn current() -> Result<Self> {
        Self::load(&Self::path(&Cache::of_user()?))
    }

    /// Reads the manifest at `path`.
    ///
    /// # Errors
    ///
    /// As [`Env::current`].
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            Problem::new(
                "the tool chain is not set up",
                format!("{}: {error}", path.display()),
                "cargo xtask setup",
            )
        })?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not a manifest of ours", path.display()))
    }

    /// Writes the manifest into `cache`, unless it says the same already.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn store(&self, cache: &Cache) -> Result<()> {
        let path = Self::path(cache);
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        write_atomically(&path, &text)
    }

    /// The headers directory that `make -C` wants, as a path inside the tool-chain root.
    pub fn headers_inside(&self) -> String {
        format!("/usr/src/linux-headers-{}", self.kernel_release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let env = Env {
            toolchain_root: "/c/root".into(),
            kernel_release: "7.3.4".into(),
            vmlinuz: Some("/c/vmlinuz".into()),
            ..Env::default()
        };
        env.store(&cache).unwrap();
        assert_eq!(Env::load(&Env::path(&cache)).unwrap(), env);
    }

    #[test]
    fn a_missing_manifest_says_what_to_type() {
        let error = Env::load(Path::new("/nowhere/current.json")).unwrap_err();
        assert!(error.to_string().ends_with("cargo xtask setup"), "{error}");
    }

    #[test]
    fn refuses_what_is_no_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("current.json");
        fs::write(&path, "{\"kernel_release\": 7}").unwrap();
        assert!(Env::load(&path).is_err());
    }
}
