// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots of the log: found by extent in O(1), linked by index into lists.

use crate::meta::al::NO_EXTENT;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// What a slot is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Empty, in the free list.
    Free,
    /// Logged and not held, in the list of unused ones.
    Unused,
    /// Logged and held by a request.
    Used,
    /// Waits for a record that names its new extent, in the list of pending ones.
    Pending,
}

/// One slot. The host provides storage of al-extents of these; what is inside is private.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The extent on disk.
    pub(super) logged: u32,
    /// The extent it stands for in memory; differs from `logged` while pending.
    pub(super) extent: u32,
    pub(super) holders: u32,
    pub(super) place: Place,
    /// The record that will name `extent`, while pending.
    pub(super) ticket: u64,
    newer: u32,
    older: u32,
    chain: u32,
}

impl Slot {
    /// An empty slot.
    pub const EMPTY: Slot = Slot {
        logged: NO_EXTENT,
        extent: NO_EXTENT,
        holders: 0,
        place: Place::Free,
        ticket: 0,
        newer: NONE,
        older: NONE,
        chain: NONE,
    };
}

impl Default for Slot {
    fn default() -> Self {
        Slot::EMPTY
    }
}

/// A doubly linked list through the slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
    len: u32,
}

impl List {
    pub(super) const EMPTY: List = List {
        newest: NONE,
        oldest: NONE,
        len: 0,
    };

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn oldest(&self) -> u32 {
        self.oldest
    }
}

/// All slots and the index that finds them.
///
/// # Invariants
///
/// Every slot that is not free is in the chain of its extent's bucket, and no two slots have the
/// same extent.
#[derive(Debug)]
pub(super) struct Slots<S, H> {
    slots: S,
    heads: H,
}

impl<S, H> Slots<S, H>
where
    S: AsRef<[Slot]> + AsMut<[Slot]>,
    H: AsRef<[u32]> + AsMut<[u32]>,
{
    pub(super) fn new(mut slots: S, mut heads: H) -> Self {
        slots.as_mut().fill(Slot::EMPTY);
        heads.as_mut().fill(NONE);
        Slots { slots, heads }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.slots.as_ref().len()).unwrap_or(NONE)
    }

    pub(super) fn into_parts(self) -> (S, H) {
        (self.slots, self.heads)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.as_ref().iter()
    }

    /// A copy of a slot; an empty one for [`NONE`].
    pub(super) fn get(&self, slot: u32) -> Slot {
        place(slot)
            .and_then(|slot| self.slots.as_ref().get(slot))
            .copied()
            .unwrap_or(Slot::EMPTY)
    }

    /// Changes a slot; nothing happens for [`NONE`].
    pub(super) fn change(&mut self, slot: u32, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = place(slot).and_then(|slot| self.slots.as_mut().get_mut(slot)) {
            change(slot);
        }
    }

    /// The slot that stands for an extent, or [`NONE`].
    pub(super) fn find(&self, extent: u32) -> u32 {
        let mut slot = self.head(extent);
        while slot != NONE {
            let found = self.get(slot);
            if found.extent == extent {
                return slot;
            }
            slot = found.chain;
        }
        NONE
    }

    /// Makes a slot stand for another extent.
    pub(super) fn rename(&mut self, slot: u32, extent: u32) {
        let old = self.get(slot).extent;
        if old != NO_EXTENT {
            self.unchain(slot, old);
        }
        let head = if extent == NO_EXTENT {
            NONE
        } else {
            self.head(extent)
        };
        self.change(slot, |slot| {
            slot.extent = extent;
            slot.chain = head;
        });
        if extent != NO_EXTENT {
            self.set_head(extent, slot);
        }
    }

    /// Adds a slot to a list as its newest.
    pub(super) fn push(&mut self, list: &mut List, slot: u32) {
        let older = list.newest;
        self.change(slot, |slot| {
            slot.newer = NONE;
            slot.older = older;
        });
        self.change(older, |slot_before| slot_before.newer = slot);
        list.newest = slot;
        if list.oldest == NONE {
            list.oldest = slot;
        }
        list.len = list.len.saturating_add(1);
    }

    /// Takes a slot out of the list it is in.
    pub(super) fn unlink(&mut self, list: &mut List, slot: u32) {
        let Slot { newer, older, .. } = self.get(slot);
        self.change(newer, |slot| slot.older = older);
        self.change(older, |slot| slot.newer = newer);
        if list.newest == slot {
            list.newest = older;
        }
        if list.oldest == slot {
            list.oldest = newer;
        }
        list.len = list.len.saturating_sub(1);
    }

    /// Takes the oldest slot out of a list; [`NONE`] if it is empty.
    pub(super) fn pop_oldest(&mut self, list: &mut List) -> u32 {
        let slot = list.oldest;
        if slot != NONE {
            self.unlink(list, slot);
        }
        slot
    }

    /// The slot after this one on the way from oldest to newest.
    pub(super) fn next_newer(&self, slot: u32) -> u32 {
        self.get(slot).newer
    }

    fn bucket(&self, extent: u32) -> usize {
        // Fibonacci hashing: neighbouring extents, the usual case, go to different buckets.
        let hash = extent.wrapping_mul(0x9e37_79b9) >> 7;
        let buckets = self.heads.as_ref().len();
        place(hash)
            .and_then(|hash| hash.checked_rem(buckets))
            .unwrap_or(0)
    }

    fn head(&self, extent: u32) -> u32 {
        self.heads
            .as_ref()
            .get(self.bucket(extent))
            .copied()
            .unwrap_or(NONE)
    }

    fn set_head(&mut self, extent: u32, slot: u32) {
        let bucket = self.bucket(extent);
        if let Some(head) = self.heads.as_mut().get_mut(bucket) {
            *head = slot;
        }
    }

    fn unchain(&mut self, slot: u32, extent: u32) {
        let after = self.get(slot).chain;
        let mut before = self.head(extent);
        if before == slot {
            self.set_head(extent, after);
            return;
        }
        while before != NONE {
            let next = self.get(before).chain;
            if next == slot {
                self.change(before, |slot| slot.chain = after);
                return;
            }
            before = next;
        }
    }
}

/// A slot number as an index.
fn place(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}
