// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds out which extents were in use when a log was last written.
//!
//! Two passes over the ring: [`RingScan`] looks at every block once and knows the newest
//! transaction; its [`RingScan::order`] then names the blocks to apply to a [`SlotTable`], oldest
//! first. The reader keeps only the slots in memory, so a ring of any size can be replayed.

use super::{AlDamage, Kind, Transaction, NO_EXTENT};
use crate::meta::{AlGeometry, AL_EXTENTS_MAX};

/// A log that cannot be trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AlError {
    /// Not one valid block (ENODATA).
    NoData,
    /// No transaction, and not a freshly initialised log either (EINVAL).
    Invalid {
        /// Blocks that are valid.
        valid: u32,
        /// Blocks of the ring.
        blocks: u32,
    },
}

/// What a readable log is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing was written since the log was initialised: no extent was in use.
    Unused,
    /// There are transactions to replay.
    InUse {
        /// Number of the newest transaction.
        newest: u32,
        /// Blocks that could not be read. One is what a crash leaves behind; more mean that
        /// extents may be missing.
        damaged: u32,
    },
}

/// The first pass.
#[derive(Clone, Debug)]
pub struct RingScan {
    geometry: AlGeometry,
    initialized: u32,
    updates: u32,
    damaged: u32,
    only_first_damaged: bool,
    newest: Option<u32>,
}

impl RingScan {
    /// Starts the first pass over a ring.
    pub fn new(geometry: AlGeometry) -> RingScan {
        RingScan {
            geometry,
            initialized: 0,
            updates: 0,
            damaged: 0,
            only_first_damaged: true,
            newest: None,
        }
    }

    /// Takes the block with ring index `index`, 0..blocks. That block lies at
    /// [`Layout::al_sector`](crate::meta::Layout::al_sector) of the same number.
    pub fn observe(&mut self, index: u32, block: &Result<Transaction<'_>, AlDamage>) {
        match block {
            Err(_) => {
                self.damaged = self.damaged.saturating_add(1);
                self.only_first_damaged &= index == 0;
            }
            Ok(transaction) => match transaction.kind() {
                Kind::Initialized => self.initialized = self.initialized.saturating_add(1),
                Kind::Update => {
                    self.updates = self.updates.saturating_add(1);
                    let number = transaction.number();
                    // Numbers wrap: the sign of the difference tells which one is newer.
                    let newer = self
                        .newest
                        .is_none_or(|newest| number.wrapping_sub(newest) < 1 << 31);
                    if newer {
                        self.newest = Some(number);
                    }
                }
            },
        }
    }

    /// Ends the first pass.
    ///
    /// # Errors
    ///
    /// The log says nothing that can be used.
    pub fn finish(&self) -> Result<Verdict, AlError> {
        if let Some(newest) = self.newest {
            return Ok(Verdict::InUse {
                newest,
                damaged: self.damaged,
            });
        }
        let blocks = self.geometry.blocks();
        if self.initialized == 0 {
            return Err(AlError::NoData);
        }
        // The very first transaction of a new log may have been torn: block 0 alone.
        if self.initialized == blocks
            || (self.only_first_damaged && self.initialized.saturating_add(self.damaged) == blocks)
        {
            return Ok(Verdict::Unused);
        }
        Err(AlError::Invalid {
            valid: self.initialized,
            blocks,
        })
    }

    /// The second pass: ring index and transaction number of every block that may have a part in
    /// the final state, oldest first. A block with another number than the one given is a
    /// leftover and must be skipped ([`SlotTable::apply_numbered`] does).
    pub fn order(&self) -> impl Iterator<Item = (u32, u32)> {
        let blocks = self.geometry.blocks();
        let newest = self.newest;
        (0..blocks).rev().filter_map(move |age| {
            let number = newest?.wrapping_sub(age);
            Some((number.checked_rem(blocks)?, number))
        })
    }
}

/// The slots of a log while it is replayed. `S` holds one `u32` for each slot; with
/// [`AL_EXTENTS_MAX`] of them no log is too large.
pub struct SlotTable<S> {
    slots: S,
}

impl<S: AsRef<[u32]> + AsMut<[u32]>> SlotTable<S> {
    /// An empty table.
    pub fn new(mut slots: S) -> SlotTable<S> {
        slots.as_mut().fill(NO_EXTENT);
        SlotTable { slots }
    }

    /// Applies a transaction if it is an update with this number.
    ///
    /// Returns whether it was.
    pub fn apply_numbered(&mut self, transaction: &Transaction<'_>, number: u32) -> bool {
        let fits = transaction.kind() == Kind::Update && transaction.number() == number;
        if fits {
            self.apply(transaction);
        }
        fits
    }

    /// Applies a transaction: first what it repeats, then what it changes. Slot numbers no log
    /// can have are ignored.
    pub fn apply(&mut self, transaction: &Transaction<'_>) {
        for (slot, extent) in transaction.context().chain(transaction.updates()) {
            if u32::from(slot) >= AL_EXTENTS_MAX {
                continue;
            }
            if let Some(place) = self.slots.as_mut().get_mut(usize::from(slot)) {
                *place = extent;
            }
        }
    }

    /// The extents in use, in the order of their slots.
    pub fn extents(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots
            .as_ref()
            .iter()
            .copied()
            .filter(|extent| *extent != NO_EXTENT)
    }
}
