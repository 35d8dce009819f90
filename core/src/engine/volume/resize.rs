// SPDX-License-Identifier: GPL-2.0-or-later
//! A disk gets another size while it is in use: its bitmap grows, internal metadata moves.
//!
//! The metadata thread does it, between two records of the activity log and with no other metadata
//! written meanwhile, so what lies at the old place stays as true as it was: bits that are set in
//! the meantime belong to extents that the log on the disk names. The superblock at the new place
//! is what makes the new one count; bitmap and log are durable there before it. Where both places
//! overlap, a superblock that says "all blocks differ" goes first. The volume has its new size when
//! all that is durable, so no write that was acknowledged can be beyond the end after a crash.

use super::{disk::Disk, md::MdIo, Todo, Volume};
use crate::{
    bitmap::{bits_of_sectors, bits_outward, PageState},
    engine::{link::Link, mem::Mem},
    meta::{Layout, MdFlags, PeerFlags, SECTORS_PER_BIT},
    state::sizes::PeerSizes,
};
use core::ops::Range;

/// Bits that begin set in one step.
const FILL_STEP_BITS: u64 = 65_536;
/// Pages that are copied in one step.
const COPY_STEP_PAGES: u32 = 16;

/// Room for a disk whose devices grew, which the host hands in: storage comes from the host.
pub struct Offer<M: Mem> {
    /// Where everything lies on the devices as they are now.
    pub layout: Layout,
    /// Words of a bitmap for [`Layout::usable_sectors`], all zero.
    pub bitmap_words: M::Buf<u64>,
    /// One per page of it.
    pub bitmap_pages: M::Buf<PageState>,
}

/// What follows when the disk has its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// The peer is asked to do the same.
    Ask {
        /// Whether the new part is declared clean.
        clean: bool,
    },
    /// The peer's P_SIZES was the reason.
    Sizes {
        /// What it said.
        told: PeerSizes,
        /// The new part is to be resynchronised.
        resync: bool,
    },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Where everything is going to lie.
    pub(super) layout: Layout,
    /// Size of the volume.
    pub(super) sectors: u64,
    /// First bit that begins set.
    pub(super) fill_from: u64,
    /// The new part is declared clean.
    pub(super) clean: bool,
    /// Afterwards.
    pub(super) then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The bitmap is copied to larger storage, from this page on.
    Copy(u32),
    /// Bits of a slot begin set, from this one on.
    Fill(u32, u64),
    /// "All blocks differ" is written.
    Mark,
    /// The bitmap is written, from this page on.
    Pages(u32),
    /// The log is written.
    Ring,
    /// The superblock is written.
    Commit,
    /// It is.
    Committed,
}

/// A change of size under way.
pub(crate) struct Resizing {
    plan: Plan,
    stage: Stage,
    moves: bool,
    overlaps: bool,
    /// Data begins where metadata was, and what lies there differs from the peer's.
    old_area: Range<u64>,
    /// Flags that "all blocks differ" overrides.
    al_disabled: bool,
}

impl<M: Mem> Disk<M> {
    /// Takes what the host hands in, for the next change of size; gives back what was there.
    fn take_offer(&mut self, offer: Offer<M>) -> Option<Offer<M>> {
        self.offer.replace(offer)
    }

    /// Where everything would lie.
    pub(super) fn offered_layout(&self) -> Layout {
        self.offer
            .as_ref()
            .map_or(self.facts.layout, |offer| offer.layout)
    }

    /// Whether the devices changed so that something has to be done.
    pub(super) fn has_offer(&self) -> bool {
        self.offered_layout() != self.facts.layout
    }

    fn begin_resize(&mut self, plan: Plan) {
        let old = self.facts.layout;
        let moves = plan.layout.is_elsewhere(&old);
        let old_area = if moves && plan.layout.placement.is_internal() {
            old.area().start..old.area().end.min(plan.sectors)
        } else {
            0..0
        };
        self.resizing = Some(Resizing {
            stage: Stage::Copy(0),
            moves,
            overlaps: moves && plan.layout.overlaps(&old),
            old_area,
            al_disabled: self.flags().contains(MdFlags::AL_DISABLED),
            plan,
        });
    }

    /// The bitmap has room for `bits`, and that many; true when all of it is done.
    fn make_room(&mut self, cursor: &mut u32, bits: u64) -> bool {
        if let Some(mut offer) = self.offer.take() {
            let words = &mut offer.bitmap_words;
            if !self.bitmap.copy_pages(words, cursor, COPY_STEP_PAGES) {
                self.offer = Some(offer);
                return false;
            }
            let old = self
                .bitmap
                .take_storage(offer.bitmap_words, offer.bitmap_pages);
            self.spare = Some(old);
        }
        if bits > self.bitmap.n_bits() {
            let _ = self.bitmap.extend(bits, false);
        }
        true
    }

    /// Marks the next bits of the new part; where to go on, or nowhere.
    fn fill(&mut self, job: &Resizing, slot: u32, bit: u64) -> Option<(u32, u64)> {
        if job.plan.clean {
            let Range { start, end } = job.old_area.clone();
            let bits = bits_outward(start, end.saturating_sub(start));
            let _ = self.bitmap.set_range(self.bm_slot, bits);
            return None;
        }
        let end = self.bitmap.n_bits();
        let next = bit.saturating_add(FILL_STEP_BITS).min(end);
        let _ = self.bitmap.set_range(slot, bit..next);
        if next < end {
            return Some((slot, next));
        }
        let slot = slot.saturating_add(1);
        (slot < self.bitmap.max_peers() && job.plan.fill_from < end)
            .then_some((slot, job.plan.fill_from))
    }

    /// The superblock as it is from now on, to be written at the new place.
    fn write_moved(&mut self, job: &Resizing, last: bool, block: &mut [u8; 4096]) -> MdIo {
        let (layout, sectors) = (job.plan.layout, job.plan.sectors);
        let (overlaps, al_disabled) = (job.overlaps, job.al_disabled);
        self.edit(|sb| {
            sb.al_offset = layout.al_offset;
            sb.bm_offset = layout.bm_offset;
            sb.md_size_sectors = layout.md_size_sectors;
            if last {
                sb.effective_sectors = sectors;
            }
            if !overlaps {
                return;
            }
            sb.flags = if last && !al_disabled {
                sb.flags.without(MdFlags::AL_DISABLED)
            } else {
                sb.flags.with(MdFlags::AL_DISABLED)
            };
            for peer in sb.peers.iter_mut().filter(|peer| peer.bitmap_index >= 0) {
                peer.flags = if last {
                    peer.flags.without(PeerFlags::FULL_SYNC)
                } else {
                    peer.flags.with(PeerFlags::FULL_SYNC)
                };
            }
        });
        self.superblock_io(block)
    }
}

impl<M: Mem> Volume<M> {
    /// Takes storage and layout for devices that changed their size. What is given back is to be
    /// dropped without the lock, as is what [`Self::take_spare`] gives.
    pub fn offer(&mut self, offer: Offer<M>) -> Option<Offer<M>> {
        match self.disk.as_mut() {
            // The copy under way goes into the storage that was offered before.
            Some(disk) if disk.resizing.is_none() => disk.take_offer(offer),
            Some(_) | None => Some(offer),
        }
    }

    /// Storage that is not used any more.
    pub fn take_spare(&mut self) -> Option<(M::Buf<u64>, M::Buf<PageState>)> {
        self.disk.as_mut()?.spare.take()
    }

    /// Whether the disk is about to get another size. The receiver handles no further packet then.
    pub fn resizing(&self) -> bool {
        self.disk
            .as_ref()
            .is_some_and(|disk| disk.resizing.is_some() && !disk.failed)
    }

    /// Begins to carry out `plan`.
    pub(super) fn begin_resize(&mut self, plan: Plan) {
        if let Some(disk) = self.disk.as_mut() {
            disk.begin_resize(plan);
            self.todo(Todo::METADATA);
        }
    }

    /// Whether the metadata thread works on it, and on nothing else.
    pub(super) fn resize_runs(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            let started = disk
                .resizing
                .as_ref()
                .is_some_and(|job| job.stage != Stage::Copy(0));
            let may_start = disk.bulk.is_none() && !disk.evicting && disk.al.is_between_records();
            disk.resizing.is_some() && (started || may_start)
        })
    }

    /// The next block to write, or a step in memory.
    pub(super) fn poll_resize(
        &mut self,
        block: &mut [u8; 4096],
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Option<MdIo> {
        let disk = self.disk.as_mut()?;
        let mut job = disk.resizing.take()?;
        let io = match job.stage {
            Stage::Copy(mut cursor) => {
                let bits = bits_of_sectors(job.plan.sectors);
                job.stage = if disk.make_room(&mut cursor, bits) {
                    Stage::Fill(0, job.plan.fill_from)
                } else {
                    // Not 0, which says that nothing was done yet.
                    Stage::Copy(cursor.max(1))
                };
                MdIo::Again
            }
            Stage::Fill(slot, bit) => {
                job.stage = match disk.fill(&job, slot, bit) {
                    Some((slot, bit)) => Stage::Fill(slot, bit),
                    None if job.overlaps => Stage::Mark,
                    None => Stage::Pages(0),
                };
                if !matches!(job.stage, Stage::Fill(..)) {
                    // From here on nothing is written to the old place.
                    disk.facts.layout = job.plan.layout;
                    if job.moves {
                        disk.bitmap.rewrite_all();
                        disk.al.rewrite();
                    }
                }
                MdIo::Again
            }
            Stage::Mark => {
                job.stage = Stage::Pages(0);
                disk.write_moved(&job, false, block)
            }
            Stage::Pages(from) => match disk.bitmap.next_page_to_write(from, job.moves) {
                Some(page) => {
                    job.stage = Stage::Pages(page.saturating_add(1));
                    disk.resizing = Some(job);
                    return self.write_page(page, block);
                }
                None => {
                    job.stage = Stage::Ring;
                    MdIo::Again
                }
            },
            // A rewrite for another reason goes on afterwards.
            Stage::Ring => match job.moves.then(|| disk.al.poll_rewrite()) {
                Some(Some(number)) => disk.record_io(number, block),
                Some(None) | None => {
                    job.stage = Stage::Commit;
                    MdIo::Again
                }
            },
            Stage::Commit => {
                if let Some(page) = disk.page_before_superblock() {
                    disk.resizing = Some(job);
                    return self.write_page(page, block);
                }
                job.stage = Stage::Committed;
                disk.write_moved(&job, true, block)
            }
            Stage::Committed => {
                self.resized(&job.plan, link, now_ms);
                return Some(MdIo::Again);
            }
        };
        disk.resizing = Some(job);
        Some(io)
    }

    /// The disk has its size, durably.
    fn resized(&mut self, plan: &Plan, link: &mut dyn Link, now_ms: u64) {
        if self.capacity_sectors != plan.sectors {
            self.capacity_sectors = plan.sectors;
            self.fit_unflushed();
            self.todo(Todo::CAPACITY);
        }
        self.todo(
            Todo::NOTIFY
                .with(Todo::WAKE)
                .with(Todo::READY)
                .with(Todo::ADMIT)
                .with(Todo::METADATA),
        );
        self.after_resize(plan.then, link, now_ms);
    }
}

impl Plan {
    /// The first bit of the part that is new in a volume of `sectors`. A block that the old size
    /// cut in two belongs to it only with `outward`.
    pub(super) fn first_new_bit(sectors: u64, outward: bool) -> u64 {
        if outward {
            sectors / SECTORS_PER_BIT
        } else {
            bits_of_sectors(sectors)
        }
    }
}
