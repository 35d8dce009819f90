// SPDX-License-Identifier: GPL-2.0-or-later
//! One transaction block.

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{CONTEXT_MAX, NO_EXTENT, UPDATES_MAX};
use crate::meta::crc32c::crc32c;
use crate::meta::{Block, BLOCK_BYTES};

/// Magic of a transaction.
const MAGIC: u32 = 0x69cb_65a2;
/// Type of a transaction that changes slots.
const TYPE_UPDATE: u16 = 0;
/// Type of a block of a log that is new or was applied.
const TYPE_INITIALIZED: u16 = 0xffff;
/// Unused entry of the list of changed slots.
const NO_SLOT: u16 = 0xffff;
/// Where the checksum lies; it is computed as if it were zero.
const CRC_OFFSET: usize = 8;

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct OnDisk {
    magic: U32,
    number: U32,
    crc: U32,
    kind: U16,
    n_updates: U16,
    context_size: U16,
    context_start: U16,
    reserved: [U32; 4],
    update_slots: [U16; UPDATES_MAX],
    update_extents: [U32; UPDATES_MAX],
    context: [U32; CONTEXT_MAX],
}

const _: () = assert!(size_of::<OnDisk>() == BLOCK_BYTES);

/// Why a block of the log cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AlDamage {
    /// No magic: never written, or something else wrote there.
    NoMagic,
    /// The checksum does not fit: a torn or corrupted write.
    Checksum {
        /// Checksum in the block.
        found: u32,
        /// Checksum of its contents.
        expected: u32,
    },
    /// A transaction type nobody writes.
    UnknownType {
        /// The type found.
        found: u16,
    },
    /// More changes or slots than a block can describe.
    Counts {
        /// Changes claimed.
        updates: u16,
        /// Slots claimed.
        slots: u16,
    },
}

/// What a valid block is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A block of a log that is new or was applied; says nothing about extents.
    Initialized,
    /// A transaction.
    Update,
}

/// A valid block, read in place.
#[derive(Clone, Copy)]
pub struct Transaction<'block> {
    disk: &'block OnDisk,
    kind: Kind,
}

impl<'block> Transaction<'block> {
    /// Checks a block.
    ///
    /// # Errors
    ///
    /// What is wrong with it. A log that was in use at a crash has at most one such block.
    pub fn decode(block: &'block Block) -> Result<Transaction<'block>, AlDamage> {
        let disk = OnDisk::ref_from_bytes(block).map_err(|_| AlDamage::NoMagic)?;
        if disk.magic.get() != MAGIC {
            return Err(AlDamage::NoMagic);
        }
        let (found, expected) = (disk.crc.get(), checksum(block));
        if found != expected {
            return Err(AlDamage::Checksum { found, expected });
        }
        let kind = match disk.kind.get() {
            TYPE_UPDATE => Kind::Update,
            TYPE_INITIALIZED => Kind::Initialized,
            found => return Err(AlDamage::UnknownType { found }),
        };
        let updates = disk.n_updates.get();
        if usize::from(updates) > UPDATES_MAX {
            return Err(AlDamage::Counts {
                updates,
                slots: disk.context_size.get(),
            });
        }
        Ok(Transaction { disk, kind })
    }

    /// What the block is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Transaction number; wraps at 2^32.
    pub fn number(&self) -> u32 {
        self.disk.number.get()
    }

    /// The checksum in the block.
    pub fn crc(&self) -> u32 {
        self.disk.crc.get()
    }

    /// Slots of the log that wrote the block.
    pub fn slots(&self) -> u16 {
        self.disk.context_size.get()
    }

    /// First slot of the context.
    pub fn context_start(&self) -> u16 {
        self.disk.context_start.get()
    }

    /// The slots whose contents are repeated, as they were before this transaction: slot and
    /// extent, [`NO_EXTENT`] for an empty slot.
    pub fn context(&self) -> impl Iterator<Item = (u16, u32)> + 'block {
        let slots = self.slots();
        (self.context_start()..slots)
            .zip(self.disk.context.iter())
            .map(|(slot, extent)| (slot, extent.get()))
    }

    /// The slots this transaction changes: slot and new extent.
    pub fn updates(&self) -> impl Iterator<Item = (u16, u32)> + 'block {
        let count = usize::from(self.disk.n_updates.get());
        let slots = self
            .disk
            .update_slots
            .iter()
            .zip(self.disk.update_extents.iter());
        slots
            .take(count)
            .map(|(slot, extent)| (slot.get(), extent.get()))
    }
}

/// Fills a block with one transaction.
pub struct TransactionWriter<'block> {
    block: &'block mut Block,
    updates: usize,
}

impl<'block> TransactionWriter<'block> {
    /// Starts transaction `number` of a log with `slots` slots whose context begins at slot
    /// `context_start`.
    pub fn new(block: &'block mut Block, number: u32, slots: u16, context_start: u16) -> Self {
        block.fill(0);
        if let Ok(disk) = OnDisk::mut_from_bytes(block) {
            disk.magic.set(MAGIC);
            disk.number.set(number);
            disk.kind.set(TYPE_UPDATE);
            disk.context_size.set(slots);
            disk.context_start.set(context_start);
            disk.update_slots.fill(U16::new(NO_SLOT));
            disk.update_extents.fill(U32::new(NO_EXTENT));
            disk.context.fill(U32::new(NO_EXTENT));
        }
        TransactionWriter { block, updates: 0 }
    }

    /// Adds a change; false if the block is full.
    pub fn update(&mut self, slot: u16, extent: u32) -> bool {
        let index = self.updates;
        let Ok(disk) = OnDisk::mut_from_bytes(self.block) else {
            return false;
        };
        let (Some(slot_place), Some(extent_place)) = (
            disk.update_slots.get_mut(index),
            disk.update_extents.get_mut(index),
        ) else {
            return false;
        };
        slot_place.set(slot);
        extent_place.set(extent);
        self.updates = index.saturating_add(1);
        true
    }

    /// Sets the context; what does not fit is left out.
    pub fn context(&mut self, extents: impl Iterator<Item = u32>) {
        let Ok(disk) = OnDisk::mut_from_bytes(self.block) else {
            return;
        };
        for (place, extent) in disk.context.iter_mut().zip(extents) {
            place.set(extent);
        }
    }

    /// Completes the block: count of changes, checksum.
    pub fn finish(self) {
        if let Ok(disk) = OnDisk::mut_from_bytes(self.block) {
            disk.n_updates.set(u16::try_from(self.updates).unwrap_or(0));
        }
        seal(self.block);
    }
}

/// Fills a block of a log that is new or was applied to the bitmap. All blocks are the same.
pub fn encode_initialized(block: &mut Block) {
    block.fill(0);
    if let Ok(disk) = OnDisk::mut_from_bytes(block) {
        disk.magic.set(MAGIC);
        disk.kind.set(TYPE_INITIALIZED);
    }
    seal(block);
}

/// Puts the checksum into a block whose checksum field is zero.
fn seal(block: &mut Block) {
    let crc = checksum(block);
    if let Ok(disk) = OnDisk::mut_from_bytes(block) {
        disk.crc.set(crc);
    }
}

/// Checksum of a block, its own field counted as zero.
fn checksum(block: &Block) -> u32 {
    let (head, tail) = block.split_at(CRC_OFFSET);
    let tail = tail.get(4..).unwrap_or_default();
    crc32c(crc32c(crc32c(0, head), &[0; 4]), tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_known_checksums() {
        let mut block = [0xaa; BLOCK_BYTES];
        encode_initialized(&mut block);
        assert_eq!(Transaction::decode(&block).unwrap().crc(), 0x709c_c651);
        TransactionWriter::new(&mut block, 0, 67, 0).finish();
        assert_eq!(Transaction::decode(&block).unwrap().crc(), 0x3ef8_578b);
    }

    #[test]
    fn the_65th_change_does_not_fit() {
        let mut block = [0; BLOCK_BYTES];
        let mut writer = TransactionWriter::new(&mut block, 9, 200, 0);
        for slot in 0..64 {
            assert!(writer.update(slot, u32::from(slot) + 1000));
        }
        assert!(!writer.update(64, 1));
        writer.finish();
        let read = Transaction::decode(&block).unwrap();
        assert_eq!(read.updates().count(), 64);
        assert_eq!(read.updates().last(), Some((63, 1063)));
    }

    #[test]
    fn a_block_with_an_impossible_count_is_damage() {
        let mut block = [0; BLOCK_BYTES];
        TransactionWriter::new(&mut block, 9, 200, 0).finish();
        block[15] = 65;
        block[CRC_OFFSET..CRC_OFFSET + 4].fill(0);
        seal(&mut block);
        assert_eq!(
            Transaction::decode(&block).err(),
            Some(AlDamage::Counts {
                updates: 65,
                slots: 200
            })
        );
    }
}
