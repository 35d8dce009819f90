// SPDX-License-Identifier: GPL-2.0-or-later
//! Metadata I/O of a volume: activity log, superblock and bitmap, one block at a time.
//!
//! One thread of the host does it all, synchronously: it asks [`Volume::md_poll`] for the next
//! block, writes it and reports to [`Volume::md_done`]. The order is the order of what others wait
//! for: an activity-log transaction (with the bitmap pages of the extents it evicts before it),
//! the superblock, bulk changes of the bitmap, dirty bitmap pages. Durability rules:
//! design section 8.1.

use super::{disk::Disk, Todo, Volume};
use crate::{
    activity_log::Action as AlAction,
    engine::{link::Link, mem::Mem},
    meta::{MdFlags, PeerFlags},
    planted::{self, Bug},
    state::{action::Side, Conn},
};

/// Bits that are set or cleared in one step of a bulk change.
const BULK_STEP_BITS: u64 = 65_536;

/// What the metadata thread has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MdIo {
    /// Write the block that was filled in.
    Write {
        /// Sector of the metadata device.
        sector: u64,
        /// With preflush and FUA. If the data lies on another device that one is flushed before,
        /// too: what is written here may say that data need not be looked at after a crash.
        durable: bool,
    },
    /// Nothing to write, but call again: work was done in memory.
    Again,
}

/// How a write ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MdResult {
    /// It is there.
    Written,
    /// It failed.
    Failed,
}

/// The write under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum AlPhase {
    /// None.
    #[default]
    Idle,
    /// An activity-log transaction.
    Transaction,
    /// The superblock.
    Superblock {
        /// Its version.
        version: u64,
        /// Whether it says that the activity log counts.
        primary: bool,
        /// Whether it says that there is no activity log.
        al_disabled: bool,
        /// Size of the volume, sectors.
        sectors: u64,
    },
    /// A bitmap page.
    Page(u32),
}

/// What follows a bulk change of the bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// Nothing.
    Nothing,
    /// The handshake goes on into this state.
    Handshake(Conn),
    /// A full resync begins.
    Resync(Side),
    /// Both disks are declared equal: the peer is told.
    SkipInitialSync,
}

/// Setting or clearing all bits, safe against a crash at any point
/// (metadata.md section 8, "FULL_SYNC protocol").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bulk {
    pub(crate) value: bool,
    pub(crate) stage: BulkStage,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BulkStage {
    /// FULL_SYNC is set; it waits to be durable.
    Mark(u64),
    /// Bits change from here on.
    Fill(u64),
    /// Pages are written.
    Write,
    /// FULL_SYNC is cleared; it waits to be durable.
    Unmark(u64),
}

impl<M: Mem> Disk<M> {
    /// A bitmap page that has to be written before the superblock as it is now.
    pub(super) fn page_before_superblock(&self) -> Option<u32> {
        // From this superblock on the activity log covers nothing: what it covered goes first. Or it counts again, and
        // what was marked without it goes first. And a larger size counts with the bits of what is new.
        let primary = self.flags().contains(MdFlags::PRIMARY_IND);
        let logs_again = self.durable_al_disabled && !self.flags().contains(MdFlags::AL_DISABLED);
        let grows = self.superblock().effective_sectors > self.durable_sectors;
        let first = self.durable_primary && !primary || logs_again || grows;
        if first {
            self.bitmap.next_page_to_write(0, false)
        } else {
            None
        }
    }

    /// The superblock goes to the disk.
    pub(super) fn superblock_io(&mut self, block: &mut [u8; 4096]) -> MdIo {
        let primary = self.flags().contains(MdFlags::PRIMARY_IND);
        let al_disabled = self.flags().contains(MdFlags::AL_DISABLED);
        // It may be on the disk at any moment from here on.
        self.durable_primary &= primary;
        self.durable_al_disabled &= al_disabled;
        self.superblock().encode(block);
        self.al_phase = AlPhase::Superblock {
            version: self.version,
            primary,
            al_disabled,
            sectors: self.superblock().effective_sectors,
        };
        MdIo::Write {
            sector: self.facts.layout.superblock_sector,
            durable: self.facts.options.md_flushes,
        }
    }

    /// The record under way goes to the disk.
    pub(super) fn record_io(&mut self, number: u32, block: &mut [u8; 4096]) -> MdIo {
        self.al.encode(block);
        self.al_phase = AlPhase::Transaction;
        MdIo::Write {
            sector: self.facts.layout.al_sector(number),
            durable: self.facts.options.md_flushes,
        }
    }
}

impl<M: Mem> Volume<M> {
    /// The next piece of metadata work; fills `block` for a write. Metadata thread.
    pub fn md_poll(
        &mut self,
        block: &mut [u8; 4096],
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Option<MdIo> {
        let disk = self.disk.as_ref()?;
        debug_assert!(
            disk.al_phase == AlPhase::Idle,
            "one metadata write at a time"
        );
        if disk.failed {
            self.metadata_lost(link);
            return None;
        }
        if self.resize_runs() {
            return self.poll_resize(block, link, now_ms);
        }
        if let Some(disk) = self.disk.as_mut() {
            disk.follow_al_updates();
        }
        self.poll_activity_log(block)
            .or_else(|| self.poll_superblock(block))
            .or_else(|| self.poll_bulk(link, now_ms))
            .or_else(|| self.poll_pages(block))
    }

    fn poll_activity_log(&mut self, block: &mut [u8; 4096]) -> Option<MdIo> {
        loop {
            let disk = self.disk.as_mut()?;
            if disk.evicting {
                let dirty = disk
                    .al
                    .evicting()
                    .flat_map(|extent| disk.bitmap.pages_of_al_extent(extent))
                    .find(|page| !disk.bitmap.page_state(*page).is_written());
                if let Some(page) = dirty {
                    // The transaction's preflush makes it durable.
                    return self.write_page(page, block);
                }
                disk.evicting = false;
                let _ = disk.al.bitmap_written(true);
            }
            match disk.al.poll()? {
                AlAction::WriteBitmap => disk.evicting = true,
                AlAction::WriteRecord { .. } if planted::is(Bug::SkipActivityLog) => {
                    if let Ok(ticket) = disk.al.record_written(true) {
                        self.al_committed(ticket);
                    }
                }
                AlAction::WriteRecord { number } => {
                    self.counters.al_writes = self.counters.al_writes.saturating_add(1);
                    return Some(disk.record_io(number, block));
                }
            }
        }
    }

    fn poll_superblock(&mut self, block: &mut [u8; 4096]) -> Option<MdIo> {
        let disk = self.disk.as_mut()?;
        if disk.version == disk.durable_version {
            return None;
        }
        if let Some(page) = disk.page_before_superblock() {
            return self.write_page(page, block);
        }
        Some(disk.superblock_io(block))
    }

    fn poll_bulk(&mut self, link: &mut dyn Link, now_ms: u64) -> Option<MdIo> {
        let disk = self.disk.as_mut()?;
        let bulk = disk.bulk?;
        let slot = disk.bm_slot;
        let next = match bulk.stage {
            BulkStage::Mark(version) if disk.durable_version >= version => BulkStage::Fill(0),
            BulkStage::Fill(cursor) => {
                match disk
                    .bitmap
                    .fill_step(slot, bulk.value, cursor, BULK_STEP_BITS)
                    .next
                {
                    Some(cursor) => BulkStage::Fill(cursor),
                    None => {
                        disk.writeout = Some(0);
                        BulkStage::Write
                    }
                }
            }
            BulkStage::Write if disk.writeout.is_none() => {
                let flags = disk.peer_flags().without(PeerFlags::FULL_SYNC);
                disk.set_flags(disk.flags(), flags);
                // The superblock's preflush makes the pages durable before the mark is gone.
                disk.touch();
                BulkStage::Unmark(disk.version)
            }
            BulkStage::Unmark(version) if disk.durable_version >= version => {
                disk.bulk = None;
                self.bulk_done(bulk.then, link, now_ms);
                self.sizing_look_again();
                self.todo(Todo::WAKE.with(Todo::NOTIFY));
                return Some(MdIo::Again);
            }
            BulkStage::Mark(_) | BulkStage::Write | BulkStage::Unmark(_) => return None,
        };
        disk.bulk = Some(Bulk {
            stage: next,
            ..bulk
        });
        Some(MdIo::Again)
    }

    fn poll_pages(&mut self, block: &mut [u8; 4096]) -> Option<MdIo> {
        let disk = self.disk.as_mut()?;
        let from = disk.writeout?;
        let Some(page) = disk.bitmap.next_page_to_write(from, true) else {
            disk.writeout = None;
            self.al_moved();
            // A bulk change or a detach may wait for it.
            self.todo(Todo::WAKE.with(Todo::READY).with(Todo::RESYNC));
            return Some(MdIo::Again);
        };
        disk.writeout = Some(page.saturating_add(1));
        self.write_page(page, block)
    }

    pub(super) fn write_page(&mut self, page: u32, block: &mut [u8; 4096]) -> Option<MdIo> {
        let disk = self.disk.as_mut()?;
        // Where bits were cleared, the data that made them superfluous goes first.
        let durable = disk.facts.options.md_flushes && disk.bitmap.page_state(page).has_lost_bits();
        if !disk.bitmap.begin_write(page, block) {
            return Some(MdIo::Again);
        }
        disk.al_phase = AlPhase::Page(page);
        self.counters.bm_writes = self.counters.bm_writes.saturating_add(1);
        Some(MdIo::Write {
            sector: disk.facts.layout.bitmap_page_sector(page),
            durable,
        })
    }

    /// The block of the last [`MdIo::Write`] is written, or not. Metadata thread.
    pub fn md_done(&mut self, result: MdResult, link: &mut dyn Link, now_ms: u64) {
        let ok = result == MdResult::Written;
        let Some(disk) = self.disk.as_mut() else {
            return;
        };
        match core::mem::take(&mut disk.al_phase) {
            AlPhase::Idle => {}
            AlPhase::Transaction => {
                // A failed record frees nobody here: the disk goes, and that does.
                if let Ok(ticket) = disk.al.record_written(ok) {
                    self.al_committed(ticket);
                }
            }
            AlPhase::Superblock {
                version,
                primary,
                al_disabled,
                sectors,
            } => {
                if ok {
                    disk.durable_version = version;
                    disk.durable_primary = primary;
                    disk.durable_al_disabled = al_disabled;
                    disk.durable_sectors = sectors;
                }
                self.todo(Todo::RESYNC);
                self.al_moved();
                self.unpark();
            }
            AlPhase::Page(page) => {
                disk.bitmap.write_done(page, ok);
                disk.writeout_failed |= !ok;
                if !ok && core::mem::take(&mut disk.evicting) {
                    let _ = disk.al.bitmap_written(false);
                }
            }
        }
        if self.disk_closes() {
            // It was waited for.
            self.todo(Todo::DISK_GONE.with(Todo::WAKE));
        }
        if !ok {
            if let Some(disk) = self.disk.as_mut() {
                disk.failed = true;
            }
            self.metadata_lost(link);
        }
        self.release_uuid_hold(link);
        self.release_refused(link);
        let _ = now_ms;
        // Commands wait for what they did to be durable.
        self.todo(Todo::WAKE);
        if self.detaching {
            self.todo(Todo::READY);
        }
    }

    /// Whether something waits for the metadata thread.
    pub fn md_busy(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            disk.version != disk.durable_version
                || disk.writeout.is_some()
                || disk.bulk.is_some()
                || disk.resizing.is_some()
        })
    }

    /// Whether a bulk change of the bitmap runs. The receiver handles no further packet then.
    pub fn bulk_running(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.bulk.is_some())
    }

    /// Version of the superblock in core, and whether `version` is durable.
    pub fn md_version(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.version)
    }

    /// Whether `version` of the superblock is on stable storage (or will never be).
    pub fn md_is_durable(&self, version: u64) -> bool {
        self.disk
            .as_ref()
            .is_none_or(|disk| disk.failed || disk.durable_version >= version)
    }

    /// Whether the data generation that this node works with is on stable storage. Before that no
    /// barrier of the peer is acknowledged: after a crash the data would pass for older than it is.
    pub fn generation_is_durable(&self) -> bool {
        self.uuid_hold.is_none()
    }

    /// Whether the disk went without a last flush, so that a barrier of the peer cannot be
    /// acknowledged in this connection: it ends, and the peer marks what it wrote.
    pub fn flush_is_lost(&self) -> bool {
        self.flush_lost
    }

    /// Begins to set (or clear) all bits.
    pub(super) fn start_bulk(&mut self, value: bool, then: Then) {
        let Some(disk) = self.disk.as_mut() else {
            return;
        };
        if value {
            let flags = disk.peer_flags().with(PeerFlags::FULL_SYNC);
            disk.set_flags(disk.flags(), flags);
            self.distrust_answers();
        }
        let Some(disk) = self.disk.as_mut() else {
            return;
        };
        disk.bulk = Some(Bulk {
            value,
            stage: BulkStage::Mark(disk.version),
            then,
        });
        self.todo(Todo::METADATA);
    }

    /// Writes all dirty pages of the bitmap.
    pub(super) fn write_bitmap(&mut self) {
        if let Some(disk) = self.disk.as_mut() {
            disk.writeout = Some(0);
            self.todo(Todo::METADATA);
        }
    }

    /// Metadata cannot be written: there is nothing left that could be promised about this disk.
    pub(super) fn metadata_lost(&mut self, link: &mut dyn Link) {
        if let Some(disk) = self.disk.as_mut() {
            disk.bulk = None;
            disk.writeout = None;
        }
        self.io_error_pending = true;
        self.force_detach = true;
        self.flush_lost = true;
        if self.pending_state.take().is_some() {
            // The handshake waited for all bits to be set.
            self.end_connection(Conn::NetworkFailure);
        }
        let _ = link;
        self.todo(Todo::READY.with(Todo::WAKE));
    }

    /// Lets go what waited for the superblock.
    pub(super) fn release_uuid_hold(&mut self, link: &mut dyn Link) {
        let Some(version) = self.uuid_hold else {
            return;
        };
        if !self.md_is_durable(version) {
            return;
        }
        self.uuid_hold = None;
        if let Some(uuid) = self.pending_sync_uuid.take() {
            let packet = crate::wire::packet::Packet::SyncUuid(uuid);
            let _ = link.control(self.number, packet);
        }
        let held = core::mem::take(&mut self.held_packets);
        if let Some(skip_initial_sync) = held.uuids {
            self.send_uuids(skip_initial_sync, link);
        }
        if held.state {
            self.send_state(link);
        }
        if core::mem::take(&mut self.clean_log) {
            self.clean_log_now(link);
        }
        self.unpark();
        self.todo(Todo::WAKE.with(Todo::READY));
    }
}

#[cfg(test)]
#[path = "md_tests.rs"]
mod tests;
