// SPDX-License-Identifier: GPL-2.0-or-later
//! A disk with a volatile cache.
//!
//! Data is a tag per sector (0 where nothing was written), metadata real blocks of 4 KiB. What is
//! not flushed may be lost at a power cut, each sector on its own: any of the values that were
//! written since the last flush can turn up, or the old one.

use super::{heap::Rng, store::Store};
use drbd_core::meta::Block;
use std::collections::BTreeMap;

/// Contents of a range: only the sectors that are not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) sector: u64,
    pub(crate) len: u64,
    pub(crate) tags: Vec<(u64, u64)>,
}

impl Payload {
    /// Every sector of the range has `tag`.
    pub(crate) fn all(sector: u64, len: u64, tag: u64) -> Payload {
        Payload {
            sector,
            len,
            tags: (sector..sector + len).map(|at| (at, tag)).collect(),
        }
    }

    /// Its digest, as long as that of crc32c.
    pub(crate) fn digest(&self) -> Vec<u8> {
        let mut sum = self.len;
        for (at, tag) in &self.tags {
            for word in [at - self.sector, *tag] {
                sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                sum ^= sum >> 29;
            }
        }
        sum.to_be_bytes()[..4].to_vec()
    }

    /// Zeroes.
    pub(crate) fn zeroes(sector: u64, len: u64) -> Payload {
        Payload {
            sector,
            len,
            tags: Vec::new(),
        }
    }
}

/// Blocks of metadata, and what was written since the last flush.
#[derive(Default)]
struct Metadata {
    durable: BTreeMap<u64, Box<Block>>,
    cached: BTreeMap<u64, Vec<Box<Block>>>,
}

impl Metadata {
    fn get(&self, at: u64) -> Option<&Block> {
        let cached = self.cached.get(&at).and_then(|versions| versions.last());
        cached.or_else(|| self.durable.get(&at)).map(Box::as_ref)
    }

    fn put(&mut self, at: u64, block: Block) {
        self.cached.entry(at).or_default().push(Box::new(block));
    }

    fn flush(&mut self) {
        for (at, mut versions) in core::mem::take(&mut self.cached) {
            if let Some(last) = versions.pop() {
                self.durable.insert(at, last);
            }
        }
    }
}

/// One disk.
pub(crate) struct FakeDisk {
    /// Sectors of the device.
    pub(crate) sectors: u64,
    /// What it had before, the oldest first.
    pub(crate) had_sectors: Vec<u64>,
    data: Store,
    md: Metadata,
    /// Sectors of data whose contents a power cut made uncertain, with what was possible.
    pub(crate) shaken: Vec<(u64, Vec<u64>)>,
    /// Ranges whose data changed since somebody looked.
    pub(crate) touched: Vec<(u64, u64)>,
    /// Operations on the data fail.
    pub(crate) failing: bool,
    /// Metadata writes fail.
    pub(crate) md_failing: bool,
    /// It does not answer, but may do so late.
    pub(crate) hanging: bool,
    /// It cannot discard.
    pub(crate) no_discard: bool,
}

impl FakeDisk {
    pub(crate) fn new(sectors: u64) -> Self {
        FakeDisk {
            sectors,
            had_sectors: Vec::new(),
            data: Store::default(),
            md: Metadata::default(),
            shaken: Vec::new(),
            touched: Vec::new(),
            failing: false,
            md_failing: false,
            hanging: false,
            no_discard: false,
        }
    }

    /// The device becomes larger. What is new holds anything: here and there `tag`.
    pub(crate) fn grow(&mut self, sectors: u64, tag: u64, rng: &mut Rng) {
        let old = core::mem::replace(&mut self.sectors, sectors);
        self.had_sectors.push(old);
        // From somewhat before the end, where metadata was.
        let start = (old - 80) & !7;
        for _ in 0..24 {
            let at = start + rng.below(sectors - start);
            if self.tag(at) == 0 {
                self.data.put_durably(at, tag);
                self.touched.push((at, 1));
            }
        }
    }

    /// What a read of the sector gives; 0 where nobody wrote.
    pub(crate) fn tag(&self, at: u64) -> u64 {
        self.data.tag(at)
    }

    /// What a read of the range gives.
    pub(crate) fn read(&self, sector: u64, len: u64) -> Payload {
        let known = self.data.known(sector..sector + len);
        let tags = known.map(|at| (at, self.tag(at)));
        Payload {
            sector,
            len,
            tags: tags.filter(|(_, tag)| *tag != 0).collect(),
        }
    }

    /// Writes to the cache.
    pub(crate) fn write(&mut self, payload: &Payload) {
        self.touched.push((payload.sector, payload.len));
        let mut next = payload.tags.iter().copied().peekable();
        let end = payload.sector + payload.len;
        let known: Vec<u64> = self.data.known(payload.sector..end).collect();
        for at in known {
            while let Some((new_at, tag)) = next.next_if(|(new_at, _)| *new_at < at) {
                self.data.put(new_at, tag);
            }
            let tag = next
                .next_if(|(new_at, _)| *new_at == at)
                .map_or(0, |(_, tag)| tag);
            if self.tag(at) != tag {
                self.data.put(at, tag);
            }
        }
        for (at, tag) in next {
            self.data.put(at, tag);
        }
    }

    /// A write that was under way when the power went: any of its sectors may be written.
    pub(crate) fn write_torn(&mut self, payload: &Payload, rng: &mut Rng) {
        self.touched.push((payload.sector, payload.len));
        let mut all: BTreeMap<u64, u64> = self
            .data
            .known(payload.sector..payload.sector + payload.len)
            .map(|at| (at, 0))
            .collect();
        all.extend(payload.tags.iter().copied());
        for (at, tag) in all {
            if rng.one_in(2) {
                self.data.put(at, tag);
            }
        }
    }

    /// Makes everything of a range durable (FUA).
    pub(crate) fn persist(&mut self, sector: u64, len: u64) {
        for at in sector..sector + len {
            self.data.persist(at);
        }
    }

    /// Makes everything durable.
    pub(crate) fn flush(&mut self) {
        self.data.flush();
        self.md.flush();
    }

    /// The metadata block at `sector`.
    pub(crate) fn md_read(&self, sector: u64) -> Block {
        self.md.get(sector).copied().unwrap_or([0; 4096])
    }

    pub(crate) fn md_write(&mut self, sector: u64, block: &Block, durable: bool) {
        if durable {
            self.flush();
            self.md.durable.insert(sector, Box::new(*block));
        } else {
            self.md.put(sector, *block);
        }
    }

    /// A metadata write that was under way when the power went. A superblock is written whole or
    /// not at all.
    pub(crate) fn md_write_torn(&mut self, sector: u64, block: &Block, whole: bool, rng: &mut Rng) {
        let mut torn = self.md_read(sector);
        if whole {
            if rng.one_in(2) {
                torn = *block;
            }
        } else {
            for (to, from) in torn.chunks_mut(512).zip(block.chunks(512)) {
                if rng.one_in(2) {
                    to.copy_from_slice(from);
                }
            }
        }
        self.md.put(sector, torn);
    }

    /// The power goes: of every sector any version since the last flush may be there.
    pub(crate) fn power_cut(&mut self, superblocks: &[u64], rng: &mut Rng) {
        self.shaken.clear();
        let cached: Vec<u64> = self.data.volatile().collect();
        for at in cached {
            let all = self.data.survivors(at).into_vec();
            let now = rng.pick(&all);
            self.data.settle(at, now);
            self.touched.push((at, 1));
            self.shaken.push((at, all));
        }
        for (at, versions) in core::mem::take(&mut self.md.cached) {
            let old = self.md.durable.get(&at).map_or([0; 4096], |block| **block);
            let mut now = old;
            if superblocks.contains(&at) {
                let pick = rng.below(versions.len() as u64 + 1) as usize;
                if let Some(block) = versions.get(pick) {
                    now = **block;
                }
            } else {
                for (index, to) in now.chunks_mut(512).enumerate() {
                    let pick = rng.below(versions.len() as u64 + 1) as usize;
                    if let Some(block) = versions.get(pick) {
                        to.copy_from_slice(&block[index * 512..][..512]);
                    }
                }
            }
            self.md.durable.insert(at, Box::new(now));
        }
    }

    /// What a power cut may leave at `at`.
    pub(crate) fn survivors(&self, at: u64) -> impl Iterator<Item = u64> {
        self.data.survivors(at).into_iter()
    }

    /// Sectors of data that a power cut may change.
    #[cfg(test)]
    pub(crate) fn volatile_sectors(&self) -> usize {
        self.data.volatile().count()
    }

    /// Everything that is not zero, below `end`.
    pub(crate) fn contents(&self, end: u64) -> Vec<(u64, u64)> {
        self.read(0, end).tags
    }
}
