// SPDX-License-Identifier: GPL-2.0-or-later
//! Writing records: what the host has to do, step by step.

use super::engine::ActivityLog;
use super::slots::{Place, Slot, NONE};
use crate::meta::al::{TransactionWriter, CONTEXT_MAX, NO_EXTENT};
use crate::meta::Block;

/// What the host has to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Write the dirty bitmap pages of the extents of [`ActivityLog::evicting`] and wait for
    /// them, then call [`ActivityLog::bitmap_written`]. No flush: the record has one.
    WriteBitmap,
    /// Fill a block with [`ActivityLog::encode`], write it at
    /// [`Layout::al_sector`](crate::meta::Layout::al_sector) of this number with a preflush and
    /// FUA, then call [`ActivityLog::record_written`].
    WriteRecord {
        /// Number of the record.
        number: u32,
    },
}

/// The metadata device failed; no request that waits may be submitted to the local disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommitFailed;

/// How far the record under way is. It carries the slots whose ticket is `ticket`; none if that
/// is [`NO_TICKET`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// No record is under way.
    Idle,
    /// The host writes bitmap pages.
    Bitmap {
        /// Its slots.
        ticket: u64,
    },
    /// The pages are on disk; the record is next.
    Ready {
        /// Its slots.
        ticket: u64,
    },
    /// The host writes the record.
    Record {
        /// Its slots.
        ticket: u64,
    },
}

/// Ticket of a record that changes no slot.
const NO_TICKET: u64 = 0;

impl<S, H> ActivityLog<S, H>
where
    S: AsRef<[Slot]> + AsMut<[Slot]>,
    H: AsRef<[u32]> + AsMut<[u32]>,
{
    /// The next thing to do, if any; each is told once. Ask after every `begin` that answered
    /// [`Begin::Wait`](super::Begin::Wait), and after every report of a write.
    pub fn poll(&mut self) -> Option<Action> {
        if self.failed {
            return None;
        }
        let ticket = match self.stage {
            Stage::Bitmap { .. } | Stage::Record { .. } => return None,
            Stage::Ready { ticket } => ticket,
            Stage::Idle => {
                let ticket = match self.pending.oldest() {
                    NONE if self.rewrites_left == 0 => return None,
                    NONE => NO_TICKET,
                    slot => self.slots.get(slot).ticket,
                };
                if ticket == self.open_ticket {
                    self.close_record();
                }
                self.stage = Stage::Bitmap { ticket };
                if self.evicting().next().is_some() {
                    return Some(Action::WriteBitmap);
                }
                ticket
            }
        };
        self.stage = Stage::Record { ticket };
        Some(Action::WriteRecord {
            number: self.number,
        })
    }

    /// The extents the record under way drops: their bitmap pages go first.
    pub fn evicting(&self) -> impl Iterator<Item = u32> + '_ {
        self.record_slots()
            .map(|(_, slot)| slot.logged)
            .filter(|extent| *extent != NO_EXTENT)
    }

    /// The bitmap pages asked for are written (or not).
    ///
    /// # Errors
    ///
    /// [`CommitFailed`] if they are not; the log is of no use from here on.
    pub fn bitmap_written(&mut self, ok: bool) -> Result<(), CommitFailed> {
        if !ok {
            self.failed = true;
            return Err(CommitFailed);
        }
        if let Stage::Bitmap { ticket } = self.stage {
            self.stage = Stage::Ready { ticket };
        }
        Ok(())
    }

    /// Fills a block with the record under way.
    pub fn encode(&self, block: &mut Block) {
        let slots = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        let start = u16::try_from(self.context_start).unwrap_or(0);
        let mut writer = TransactionWriter::new(block, self.number, slots, start);
        for (number, slot) in self.record_slots() {
            // A slot number fits: there are at most 65534.
            writer.update(u16::try_from(number).unwrap_or(u16::MAX), slot.extent);
        }
        writer.context(
            self.slots
                .iter()
                .skip(usize::from(start))
                .map(|slot| slot.logged),
        );
        writer.finish();
    }

    /// The record is written (or not). Returns the ticket up to which waiting requests may be
    /// submitted; also try again who got [`Begin::Full`](super::Begin::Full).
    ///
    /// # Errors
    ///
    /// [`CommitFailed`] if it is not. Extents stay held until their requests end.
    pub fn record_written(&mut self, ok: bool) -> Result<u64, CommitFailed> {
        let Stage::Record { ticket } = self.stage else {
            return Ok(self.committed);
        };
        if !ok {
            self.failed = true;
            return Err(CommitFailed);
        }
        self.stage = Stage::Idle;
        self.number = self.number.wrapping_add(1);
        let window = u32::try_from(CONTEXT_MAX).unwrap_or(u32::MAX);
        self.context_start = self.context_start.saturating_add(window);
        if self.context_start >= self.slots.len() {
            self.context_start = 0;
        }
        self.rewrites_left = self.rewrites_left.saturating_sub(1);
        if ticket == NO_TICKET {
            return Ok(self.committed);
        }
        loop {
            let number = self.pending.oldest();
            if number == NONE || self.slots.get(number).ticket != ticket {
                break;
            }
            self.slots.unlink(&mut self.pending, number);
            let held = self.slots.get(number).holders > 0;
            self.slots.change(number, |slot| {
                slot.logged = slot.extent;
                slot.place = if held { Place::Used } else { Place::Unused };
            });
            if !held {
                self.slots.push(&mut self.unused, number);
            }
        }
        self.committed = ticket;
        Ok(ticket)
    }

    /// Writes every block of the ring once, so that nothing older is left in it and every slot is
    /// named: after a change of its place or size, and when al-updates is turned on.
    pub fn rewrite(&mut self) {
        self.rewrites_left = self.geometry.blocks();
    }

    /// Whether no record is under way.
    pub fn is_between_records(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// The number of the next record of a rewrite, which names no new extent: nobody who waits is
    /// let go by it. Goes on as one that [`ActivityLog::poll`] told.
    pub fn poll_rewrite(&mut self) -> Option<u32> {
        let due = self.rewrites_left > 0 && self.is_between_records() && !self.failed;
        due.then(|| {
            self.stage = Stage::Record { ticket: NO_TICKET };
            self.number
        })
    }

    /// Whether a rewrite is not finished.
    pub fn is_rewriting(&self) -> bool {
        self.rewrites_left > 0
    }

    /// Number and contents of each slot the record under way changes.
    fn record_slots(&self) -> impl Iterator<Item = (u32, Slot)> + '_ {
        let ticket = match self.stage {
            Stage::Idle => NO_TICKET,
            Stage::Bitmap { ticket } | Stage::Ready { ticket } | Stage::Record { ticket } => ticket,
        };
        let numbers = core::iter::successors(Some(self.pending.oldest()), |slot| {
            Some(self.slots.next_newer(*slot))
        });
        numbers
            .take_while(|slot| *slot != NONE)
            .map(|slot| (slot, self.slots.get(slot)))
            .take_while(move |(_, slot)| slot.ticket == ticket)
    }
}
