// SPDX-License-Identifier: GPL-2.0-or-later
//! A disk's medium and, before it, its volatile write cache.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::switch::Dice;

/// What the cache keeps apart: the smallest unit a disk writes as a whole.
const SECTOR: usize = 512;

/// A cache that holds more than this writes it to the medium, as any cache of
/// a disk would.
const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What becomes of the cache's content when the power goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// All of it is lost.
    #[default]
    All,
    /// Each sector is lost or written, by dice with this seed: the order in
    /// which a disk empties its cache is its own.
    Some {
        /// The seed.
        seed: u64,
    },
    /// Nothing is lost.
    None,
}

/// Medium and cache.
pub(crate) struct Store {
    medium: File,
    size: u64,
    dirty: BTreeMap<u64, [u8; SECTOR]>,
}

impl Store {
    /// The disk of `size` bytes (a multiple of 512) with `medium`'s content.
    pub(crate) fn new(medium: File, size: u64) -> Store {
        Store {
            medium,
            size,
            dirty: BTreeMap::new(),
        }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Sectors in the cache that are not on the medium.
    pub(crate) fn dirty_sectors(&self) -> usize {
        self.dirty.len()
    }

    /// Whether a request is of whole sectors inside the disk.
    pub(crate) fn has(&self, offset: u64, length: u64) -> bool {
        let unit = SECTOR as u64;
        offset % unit == 0
            && length % unit == 0
            && offset
                .checked_add(length)
                .is_some_and(|end| end <= self.size)
    }

    /// Reads what was last written.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.medium.read_exact_at(buffer, offset)?;
        let first = offset / SECTOR as u64;
        let end = first + (buffer.len() / SECTOR) as u64;
        for (sector, data) in self.dirty.range(first..end) {
            let at = (sector - first) as usize * SECTOR;
            if let Some(place) = buffer.get_mut(at..at + SECTOR) {
                place.copy_from_slice(data);
            }
        }
        Ok(())
    }

    /// Writes to the cache; with `through` to the medium.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8], through: bool) -> io::Result<()> {
        let first = offset / SECTOR as u64;
        for (sector, data) in (first..).zip(data.chunks_exact(SECTOR)) {
            if through {
                self.dirty.remove(&sector);
            } else if let Ok(data) = data.try_into() {
                self.dirty.insert(sector, data);
            }
        }
        if through {
            self.medium.write_all_at(data, offset)?;
        } else if self.dirty.len() * SECTOR > CACHE_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Empties the cache to the medium.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        for (sector, data) in std::mem::take(&mut self.dirty) {
            self.medium.write_all_at(&data, sector * SECTOR as u64)?;
        }
        Ok(())
    }

    /// Loses power.
    pub(crate) fn lose(&mut self, loss: Loss) -> io::Result<()> {
        match loss {
            Loss::All => self.dirty.clear(),
            Loss::None => {}
            Loss::Some { seed } => {
                let mut dice = Dice::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                self.dirty.retain(|_, _| dice.below(2) == 1);
            }
        }
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> Store {
        let path = std::env::temp_dir().join(format!("drbd-store-{}-{name}", std::process::id()));
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_len(64 * 1024).unwrap();
        Store::new(file, 64 * 1024)
    }

    fn content(store: &Store) -> Vec<u8> {
        let mut content = vec![0; 64 * 1024];
        store.read(0, &mut content).unwrap();
        content
    }

    #[test]
    fn what_was_not_flushed_is_read_and_then_lost() {
        let mut store = store("lost");
        store.write(512, &[1; 1024], false).unwrap();
        store.flush().unwrap();
        store.write(1024, &[2; 1024], false).unwrap();
        assert_eq!(
            content(&store)[1000..1030],
            [[1; 24].as_slice(), &[2; 6]].concat()
        );
        store.lose(Loss::All).unwrap();
        assert!(content(&store)[512..1536].iter().all(|byte| *byte == 1));
        assert_eq!(content(&store)[1536], 0);
    }

    #[test]
    fn a_write_through_stays_and_is_not_undone_by_older_data() {
        let mut store = store("through");
        store.write(0, &[1; 512], false).unwrap();
        store.write(0, &[2; 512], true).unwrap();
        store.write(512, &[3; 512], false).unwrap();
        store.lose(Loss::All).unwrap();
        assert_eq!((content(&store)[0], content(&store)[512]), (2, 0));
        store.flush().unwrap();
        assert_eq!(content(&store)[0], 2);
    }

    #[test]
    fn some_loss_is_some_and_repeatable() {
        let lose = |seed, name: &str| {
            let mut store = store(name);
            store.write(0, &[9; 64 * 1024], false).unwrap();
            store.lose(Loss::Some { seed }).unwrap();
            assert_eq!(store.dirty_sectors(), 0);
            content(&store)
        };
        let (a, again, b) = (lose(1, "a"), lose(1, "again"), lose(2, "b"));
        assert!(a == again && a != b);
        let kept = a.chunks(512).filter(|sector| sector[0] == 9).count();
        assert!((32..96).contains(&kept), "{kept} of 128");
    }

    #[test]
    fn requests_outside_are_known() {
        let store = store("outside");
        assert!(store.has(0, 64 * 1024) && store.has(64 * 1024, 0));
        assert!(!store.has(64 * 1024, 512) && !store.has(256, 512) && !store.has(0, 100));
        assert!(!store.has(u64::MAX - 511, 1024));
    }
}
