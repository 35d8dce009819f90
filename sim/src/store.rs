// SPDX-License-Identifier: GPL-2.0-or-later
//! The data of a disk: a tag per sector, and what was written since the last flush.

use super::sectors::{bits, chosen, page_of, Sectors};
use core::ops::Range;
use smallvec::{smallvec, SmallVec};

/// What a sector was given since the last flush, the latest last.
type Versions = SmallVec<[u64; 2]>;

/// The data.
#[derive(Default)]
pub(crate) struct Store {
    durable: Sectors<u64>,
    cached: Sectors<Versions>,
    /// The pages of the cache that hold something, each once unless parts of it were made durable.
    dirty: Vec<u64>,
}

impl Store {
    /// What a read gives; 0 where nobody wrote.
    pub(crate) fn tag(&self, at: u64) -> u64 {
        let cached = self.cached.get(at).and_then(|versions| versions.last());
        let tag = cached.or_else(|| self.durable.get(at));
        tag.copied().unwrap_or(0)
    }

    /// The sectors that somebody wrote, perhaps zeroes.
    pub(crate) fn known(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        chosen(range, |page| {
            self.durable.mask(page) | self.cached.mask(page)
        })
    }

    /// Writes to the cache.
    pub(crate) fn put(&mut self, at: u64, tag: u64) {
        if self.cached.mask(page_of(at)) == 0 {
            self.dirty.push(page_of(at));
        }
        let versions = self.cached.or_insert_with(at, Versions::new);
        versions.push(tag);
    }

    /// The sector holds `tag` for good, whatever the cache had.
    pub(crate) fn settle(&mut self, at: u64, tag: u64) {
        self.cached.remove(at);
        self.durable.insert(at, tag);
    }

    /// Writes past the cache.
    pub(crate) fn put_durably(&mut self, at: u64, tag: u64) {
        self.durable.insert(at, tag);
    }

    /// Makes a sector durable.
    pub(crate) fn persist(&mut self, at: u64) {
        let versions = self.cached.remove(at);
        if let Some(last) = versions.and_then(|mut versions| versions.pop()) {
            self.durable.insert(at, last);
        }
    }

    /// Makes everything durable.
    pub(crate) fn flush(&mut self) {
        for page in core::mem::take(&mut self.dirty) {
            for at in bits(page, self.cached.mask(page)) {
                self.persist(at);
            }
        }
    }

    /// The cached sectors, in order.
    pub(crate) fn volatile(&self) -> impl Iterator<Item = u64> + '_ {
        self.cached.iter().map(|(at, _)| at)
    }

    /// What a power cut may leave: the durable version first.
    pub(crate) fn survivors(&self, at: u64) -> Versions {
        let mut all: Versions = smallvec![self.durable.get(at).copied().unwrap_or(0)];
        all.extend(self.cached.get(at).into_iter().flatten().copied());
        all
    }
}
