// SPDX-License-Identifier: GPL-2.0-or-later
//! What outlives the daemon: its incarnation and the core's memory in /var/lib/drbd-ha, and what holds until the next boot
//! in /run. Each file is replaced as a whole, durably, or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::core::memory::{BootMemory, Memory};

/// Where they are.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Outlives a boot.
    pub lasting: PathBuf,
    /// Does not.
    pub boot: PathBuf,
}

impl Default for Directories {
    fn default() -> Self {
        Directories {
            lasting: "/var/lib/drbd-ha".into(),
            boot: "/run/drbd-ha".into(),
        }
    }
}

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {error}\n  without it this node may not own anything: is the file system full or read-only?")]
pub struct StateError {
    what: &'static str,
    path: String,
    error: std::io::Error,
}

/// Replaces a file: after a crash it is the old one or the new one.
///
/// # Errors
///
/// Those of the file system; the old file is still there.
pub fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.new"));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut to = options.open(&temporary)?;
    to.write_all(content)?;
    to.sync_all()?;
    std::fs::rename(&temporary, file)?;
    // The name has to be durable as well.
    std::fs::File::open(directory)?.sync_all()
}

/// What was found at the start.
#[derive(Debug)]
pub struct Found {
    /// Of this life.
    pub incarnation: u64,
    /// Of the core; `None` when it was lost.
    pub memory: Option<Memory>,
    /// Since this boot.
    pub boot: BootMemory,
}

/// The files.
#[derive(Debug, Clone)]
pub struct State {
    directories: Directories,
}

impl State {
    /// Makes the directories that are not there.
    ///
    /// # Errors
    ///
    /// When one can't be made.
    pub fn open(directories: Directories) -> Result<Self, StateError> {
        for path in [&directories.lasting, &directories.boot] {
            std::fs::create_dir_all(path).map_err(|error| StateError {
                what: "make",
                path: path.display().to_string(),
                error,
            })?;
        }
        Ok(State { directories })
    }

    /// A file of the lasting directory.
    #[must_use]
    pub fn lasting(&self, name: &str) -> PathBuf {
        self.directories.lasting.join(name)
    }

    fn incarnation_file(&self) -> PathBuf {
        self.lasting("incarnation")
    }

    /// Begins a life: its incarnation is durable when this returns.
    ///
    /// # Errors
    ///
    /// When that can't be written: a life that could begin again under the same number must not begin.
    pub fn begin(&self) -> Result<Found, StateError> {
        let file = self.incarnation_file();
        let counted = std::fs::read_to_string(&file).ok();
        let counted = counted.and_then(|text| text.trim().parse::<u64>().ok());
        // A lost counter goes on from the time of day, which is above any counter.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let time_ms = since.map_or(1, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        let incarnation = counted.map_or(time_ms, |counted| counted.saturating_add(1));
        replace(&file, format!("{incarnation}\n").as_bytes()).map_err(|error| StateError {
            what: "write",
            path: file.display().to_string(),
            error,
        })?;
        Ok(Found {
            incarnation,
            memory: read(&self.lasting("memory.json")),
            boot: read(&self.directories.boot.join("boot.json")).unwrap_or_default(),
        })
    }

    /// Keeps the core's memory.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn persist(&self, memory: &Memory) -> Result<(), StateError> {
        self.write(&self.lasting("memory.json"), memory)
    }

    /// Keeps what holds until the next boot.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn persist_boot(&self, memory: &BootMemory) -> Result<(), StateError> {
        self.write(&self.directories.boot.join("boot.json"), memory)
    }

    fn write(&self, file: &Path, content: &impl Serialize) -> Result<(), StateError> {
        let done = serde_json::to_vec(content)
            .map_err(std::io::Error::from)
            .and_then(|text| replace(file, &text));
        done.map_err(|error| StateError {
            what: "write",
            path: file.display().to_string(),
            error,
        })
    }
}

/// What can't be read is lost.
fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::error!("cannot read {}: {error}: counts as lost", file.display());
            return None;
        }
    };
    match serde_json::from_slice(&text) {
        Ok(content) => Some(content),
        Err(error) => {
            tracing::error!("{} is damaged: {error}: counts as lost", file.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(directory: &Path) -> Directories {
        Directories {
            lasting: directory.join("lib"),
            boot: directory.join("run"),
        }
    }

    #[test]
    fn each_life_has_a_higher_number_and_the_memory_of_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directories(directory.path())).unwrap();
        let first = state.begin().unwrap();
        assert!(
            first.incarnation > 1_600_000_000_000,
            "{}",
            first.incarnation
        );
        assert!(first.memory.is_none() && !first.boot.seen_all);
        let memory = Memory {
            amnesia: true,
            ..Memory::default()
        };
        state.persist(&memory).unwrap();
        state.persist_boot(&BootMemory { seen_all: true }).unwrap();
        let second = state.begin().unwrap();
        assert_eq!(second.incarnation, first.incarnation + 1);
        assert_eq!(second.memory, Some(memory));
        assert!(second.boot.seen_all);
    }

    #[test]
    fn a_damaged_memory_is_a_lost_one() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directories(directory.path())).unwrap();
        state.persist(&Memory::default()).unwrap();
        std::fs::write(state.lasting("memory.json"), "{\"accepted\":").unwrap();
        assert!(state.begin().unwrap().memory.is_none());
    }

    #[test]
    fn what_can_not_be_written_is_an_error_and_the_old_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        replace(&file, b"old").unwrap();
        // A directory in the way of the new one.
        std::fs::create_dir(directory.path().join(".f.new")).unwrap();
        assert!(replace(&file, b"new").is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
    }
}
