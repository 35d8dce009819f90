// SPDX-License-Identifier: GPL-2.0-or-later
//! Taking extents and giving them back.

use core::ops::RangeInclusive;

use super::commit::Stage;
use super::slots::{List, Place, Slot, Slots, NONE};
use crate::meta::al::{NO_EXTENT, UPDATES_MAX};
use crate::meta::AlGeometry;

/// Answer to [`ActivityLog::begin`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begin {
    /// The extents are held and logged: submit.
    Ready,
    /// The extents are held; submit when a commit reports this ticket or a later one.
    Wait {
        /// Ticket to wait for.
        ticket: u64,
    },
    /// Nothing is held: too few slots are unused. Try again after an [`ActivityLog::end`] or a
    /// commit. Who gets this waits in order, and later requests behind it: else those for fewer
    /// extents would always be faster.
    Full,
    /// Nothing is held and nothing needs to be: the log is suspended. Submit, without a later
    /// [`ActivityLog::end`].
    Suspended,
    /// Nothing is held: the metadata device failed.
    Failed,
    /// Nothing is held: the request touches more extents than a request may.
    TooLong,
}

/// Storage or geometry that cannot work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConfigError {
    /// No slots, or more than the ring on disk can describe.
    Slots {
        /// Slots handed in.
        slots: u32,
        /// Most the ring can have.
        max: u32,
    },
    /// No hash heads.
    Index,
}

/// The activity log of one volume.
///
/// `S` holds al-extents [`Slot`]s; `H` holds the hash heads that find them, about as many.
///
/// # Invariants
///
/// A slot's holders are counted from a successful `begin` to its `end`; a slot with holders never
/// changes its extent.
#[derive(Debug)]
pub struct ActivityLog<S, H> {
    pub(super) slots: Slots<S, H>,
    pub(super) free: List,
    pub(super) unused: List,
    pub(super) pending: List,
    pub(super) geometry: AlGeometry,
    pub(super) number: u32,
    pub(super) context_start: u32,
    pub(super) stage: Stage,
    pub(super) rewrites_left: u32,
    /// The record that slots becoming pending will be in, and how many it has.
    pub(super) open_ticket: u64,
    pub(super) open_updates: usize,
    /// The newest record that is durable.
    pub(super) committed: u64,
    pub(super) updates: bool,
    pub(super) suspended: bool,
    pub(super) failed: bool,
}

impl<S, H> ActivityLog<S, H>
where
    S: AsRef<[Slot]> + AsMut<[Slot]>,
    H: AsRef<[u32]> + AsMut<[u32]>,
{
    /// An empty log for a ring that holds nothing (all blocks INITIALIZED), or whose contents
    /// [`ActivityLog::rewrite`] is to replace.
    ///
    /// `number` is that of the first record: 0 after apply-al, so that a torn first record is
    /// recognised by its place. `updates` is the al-updates option.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: clamp al-extents to [`AlGeometry::slots_max`] before.
    pub fn new(
        slots: S,
        heads: H,
        geometry: AlGeometry,
        number: u32,
        updates: bool,
    ) -> Result<Self, ConfigError> {
        let (count, max) = (
            u32::try_from(slots.as_ref().len()).unwrap_or(NONE),
            geometry.slots_max(),
        );
        if count == 0 || count > max {
            return Err(ConfigError::Slots { slots: count, max });
        }
        if heads.as_ref().is_empty() {
            return Err(ConfigError::Index);
        }
        let mut log = ActivityLog {
            slots: Slots::new(slots, heads),
            free: List::EMPTY,
            unused: List::EMPTY,
            pending: List::EMPTY,
            geometry,
            number,
            context_start: 0,
            stage: Stage::Idle,
            rewrites_left: 0,
            open_ticket: 1,
            open_updates: 0,
            committed: 0,
            updates,
            suspended: false,
            failed: false,
        };
        // Slots are handed out from the highest down, as the stock driver does.
        for slot in (0..count).rev() {
            log.slots.push(&mut log.free, slot);
        }
        Ok(log)
    }

    /// Takes the extents of a request, all or none.
    pub fn begin(&mut self, extents: RangeInclusive<u32>) -> Begin {
        if self.failed {
            return Begin::Failed;
        }
        if self.suspended {
            return Begin::Suspended;
        }
        // Mostly it is one, which is there already.
        if extents.start() == extents.end() {
            let slot = self.slots.find(*extents.start());
            if slot != NONE {
                let held = self.hold(slot);
                return held.map_or(Begin::Ready, |ticket| Begin::Wait { ticket });
            }
        }
        self.begin_some(extents)
    }

    /// The rest of [`Self::begin`].
    #[inline(never)]
    fn begin_some(&mut self, extents: RangeInclusive<u32>) -> Begin {
        let count = u64::from(*extents.end())
            .saturating_sub(u64::from(*extents.start()))
            .saturating_add(1);
        let longest = u64::from(super::EXTENTS_PER_REQUEST_MAX).min(u64::from(self.slots.len()));
        if extents.is_empty() || count > longest || *extents.end() == NO_EXTENT {
            return Begin::TooLong;
        }
        let (mut missing, mut hit_unused) = (0u32, 0u32);
        for extent in extents.clone() {
            match self.slots.find(extent) {
                NONE => missing = missing.saturating_add(1),
                slot if self.slots.get(slot).place == Place::Unused => {
                    hit_unused = hit_unused.saturating_add(1);
                }
                _ => {}
            }
        }
        let available = self
            .free
            .len()
            .saturating_add(self.unused.len())
            .saturating_sub(hit_unused);
        if missing > available {
            return Begin::Full;
        }
        // Hold what is there first: no missing extent may push it out.
        let mut ticket = None;
        for extent in extents.clone() {
            let slot = self.slots.find(extent);
            if slot != NONE {
                ticket = ticket.max(self.hold(slot));
            }
        }
        if missing > 0 {
            for extent in extents {
                if self.slots.find(extent) == NONE {
                    ticket = ticket.max(self.admit(extent));
                }
            }
        }
        ticket.map_or(Begin::Ready, |ticket| Begin::Wait { ticket })
    }

    /// Gives back the extents of a request: after the barrier ack, or when the request failed.
    ///
    /// Returns whether a slot has become unused, so that a waiting request may succeed.
    pub fn end(&mut self, extents: RangeInclusive<u32>) -> bool {
        let mut became_unused = false;
        for extent in extents {
            let slot = self.slots.find(extent);
            let before = self.slots.get(slot);
            if before.holders == 0 {
                debug_assert!(false, "extent {extent} is not held");
                continue;
            }
            self.slots
                .change(slot, |slot| slot.holders = slot.holders.saturating_sub(1));
            if before.holders == 1 && before.place == Place::Used {
                self.slots.change(slot, |slot| slot.place = Place::Unused);
                self.slots.push(&mut self.unused, slot);
                became_unused = true;
            }
        }
        became_unused
    }

    /// Whether a request holds this extent: resync must keep away from it.
    pub fn is_held(&self, extent: u32) -> bool {
        self.slots.get(self.slots.find(extent)).holders > 0
    }

    /// Whether any of these extents is held.
    pub fn is_any_held(&self, mut extents: RangeInclusive<u32>) -> bool {
        extents.any(|extent| self.is_held(extent))
    }

    /// Whether no request holds anything and no record is wanted or under way.
    pub fn is_idle(&self) -> bool {
        let quiet = self.free.len().saturating_add(self.unused.len()) == self.slots.len();
        quiet && self.rewrites_left == 0 && matches!(self.stage, Stage::Idle)
    }

    /// Slots (al-extents).
    pub fn slots(&self) -> u32 {
        self.slots.len()
    }

    /// Slots that name an extent or are about to.
    pub fn slots_in_use(&self) -> u32 {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// Slots whose extent a request holds.
    pub fn extents_held(&self) -> u32 {
        let at_rest = self.free.len().saturating_add(self.unused.len());
        self.slots.len().saturating_sub(at_rest)
    }

    /// Number of the next record. It must be kept while the minor exists if the ring is not
    /// initialised before the log is used again.
    pub fn next_number(&self) -> u32 {
        self.number
    }

    /// Stops logging, because every bit is set anyway. Extents that are held stay held.
    ///
    /// Before [`ActivityLog::resume`] the host waits for the writes it submitted meanwhile.
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Starts logging again.
    pub fn resume(&mut self) {
        self.suspended = false;
    }

    /// Whether the log is suspended.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Whether a metadata write failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Sets the al-updates option.
    ///
    /// To turn it off, first write a superblock with AL_DISABLED. Turning it on rewrites the whole
    /// ring ([`ActivityLog::rewrite`]); AL_DISABLED may go when [`ActivityLog::is_rewriting`] is
    /// false again.
    pub fn set_updates(&mut self, on: bool) {
        if on && !self.updates {
            self.rewrite();
        }
        self.updates = on;
    }

    /// The storage, for another volume or a log of another size.
    pub fn into_storage(self) -> (S, H) {
        self.slots.into_parts()
    }

    /// Adds a holder. Returns the ticket to wait for, if the slot is pending.
    fn hold(&mut self, slot: u32) -> Option<u64> {
        let before = self.slots.get(slot);
        if before.place == Place::Unused {
            self.slots.unlink(&mut self.unused, slot);
        }
        self.slots.change(slot, |slot| {
            slot.holders = slot.holders.saturating_add(1);
            if slot.place == Place::Unused {
                slot.place = Place::Used;
            }
        });
        Some(before.ticket).filter(|_| before.place == Place::Pending)
    }

    /// Gives a slot to an extent that has none. The caller knows there is one. Returns the ticket
    /// to wait for.
    fn admit(&mut self, extent: u32) -> Option<u64> {
        let slot = match self.slots.pop_oldest(&mut self.free) {
            NONE => self.slots.pop_oldest(&mut self.unused),
            slot => slot,
        };
        self.slots.rename(slot, extent);
        if !self.updates {
            // Nobody will read the log: the superblock says so.
            self.slots.change(slot, |slot| {
                slot.logged = extent;
                slot.holders = 1;
                slot.place = Place::Used;
            });
            return None;
        }
        if self.open_updates >= UPDATES_MAX {
            self.close_record();
        }
        self.open_updates = self.open_updates.saturating_add(1);
        let ticket = self.open_ticket;
        self.slots.change(slot, |slot| {
            slot.holders = 1;
            slot.place = Place::Pending;
            slot.ticket = ticket;
        });
        self.slots.push(&mut self.pending, slot);
        Some(ticket)
    }

    /// What becomes pending from here on goes into the next record.
    pub(super) fn close_record(&mut self) {
        self.open_ticket = self.open_ticket.saturating_add(1);
        self.open_updates = 0;
    }
}
