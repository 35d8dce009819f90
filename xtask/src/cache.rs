// SPDX-License-Identifier: GPL-2.0-or-later
//! The cache directory: what is expensive to make, outside the checkout, named by what it is made of.
//!
//! A step builds into `<name>.tmp` and renames it when it is complete, so that what carries the final name is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Hexadecimal digits of a content key in file names.
const KEY_DIGITS: usize = 12;

/// `$XDG_CACHE_HOME/drbd-rs`, else `~/.cache/drbd-rs`.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of the calling user.
    ///
    /// # Errors
    ///
    /// When neither `XDG_CACHE_HOME` nor `HOME` is set.
    pub fn of_user() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => std::env::var_os("HOME")
                .map(|home| PathBuf::from(home).join(".cache"))
                .ok_or_else(|| {
                    Problem::new(
                        "cannot find the cache directory",
                        "neither XDG_CACHE_HOME nor HOME is set",
                        "export XDG_CACHE_HOME=/var/tmp/cache",
                    )
                })?,
        };
        Ok(Self {
            root: base.join("drbd-rs"),
        })
    }

    /// A cache at `root`, for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The path of `name` in the cache.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where the log of `step` goes.
    pub fn log(&self, step: &str) -> PathBuf {
        self.root.join("logs").join(format!("{step}.log"))
    }

    /// Starts an empty log for `step` and returns its path.
    pub fn fresh_log(&self, step: &str) -> PathBuf {
        let log = self.log(step);
        // A log that is not there is as good as an empty one.
        let _ = fs::remove_file(&log);
        log
    }

    /// Packages that were fetched once; the fallback when the mirror is gone.
    pub fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    /// Checks for `bytes` of free disk.
    ///
    /// # Errors
    ///
    /// When there is less.
    pub fn want_room(&self, bytes: u64) -> Result<()> {
        let disk = statvfs(&self.root)
            .with_context(|| format!("cannot ask for free space at {}", self.root.display()))?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free >= bytes {
            return Ok(());
        }
        Err(Problem::new(
            "not enough disk space",
            format!(
                "{} MiB are free for {}, {} MiB are needed",
                free >> 20,
                self.root.display(),
                bytes >> 20
            ),
            "free some, or use another disk:  export XDG_CACHE_HOME=<directory>",
        )
        .into())
    }

    /// Holds off every other setup on this cache until the value is dropped.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be made.
    pub fn lock(&self) -> Result<Flock<File>> {
        self.lock_file("lock")
    }

    /// Holds off whoever else makes the part of the cache that is called
    /// `part`, and nobody else: for what takes long.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be made.
    pub fn lock_part(&self, part: &str) -> Result<Flock<File>> {
        self.lock_file(&format!("{part}.lock"))
    }

    fn lock_file(&self, name: &str) -> Result<Flock<File>> {
        fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot create {}", self.root.display()))?;
        let path = self.root.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((file, _)) => {
                eprintln!(
                    "waiting for another cargo xtask that holds {}",
                    path.display()
                );
                Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| {
                    anyhow::Error::from(errno).context("cannot lock the cache")
                })
            }
        }
    }
}

/// A short key that changes when any of `parts` does.
pub fn content_key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ["ab", "c"] and ["a", "bc"] apart.
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut key: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    key.truncate(KEY_DIGITS);
    key
}

/// Writes `text` to `path` so that a reader sees the old or the new content, never half of it.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let next = with_suffix(path, ".tmp");
    fs::write(&next, text).with_context(|| format!("cannot write {}", next.display()))?;
    fs::rename(&next, path).with_context(|| format!("cannot replace {}", path.display()))
}

/// `path` with `suffix` behind its last component.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a directory tree that may hold files of other (mapped) users, never crossing into a mounted file system.
///
/// # Errors
///
/// When something of it stays.
pub fn remove_tree(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let mut command = crate::enter::namespace();
    command
        .args(["rm", "-rf", "--one-file-system", "--"])
        .arg(path);
    crate::process::captured(&mut command)
        .map(drop)
        .with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_parts_apart() {
        assert_ne!(content_key(&["ab", "c"]), content_key(&["a", "bc"]));
        assert_eq!(content_key(&["ab", "c"]), content_key(&["ab", "c"]));
        assert_eq!(content_key(&[]).len(), KEY_DIGITS);
    }

    #[test]
    fn replaces_a_file_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("current.json");
        write_atomically(&path, "one").unwrap();
        write_atomically(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no rest stays behind"
        );
    }

    #[test]
    fn too_little_room_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        cache.want_room(1).unwrap();
        let error = cache.want_room(u64::MAX).unwrap_err().to_string();
        assert!(error.starts_with("not enough disk space"), "{error}");
    }

    #[test]
    fn a_second_lock_waits() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let lock = cache.lock().unwrap();
        let file = File::open(cache.path("lock")).unwrap();
        assert!(Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err());
        cache.lock_part("debug-kernel").unwrap();
        drop(lock);
        let file = File::open(cache.path("lock")).unwrap();
        assert!(Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok());
    }
}
