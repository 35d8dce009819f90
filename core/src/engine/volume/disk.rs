// SPDX-License-Identifier: GPL-2.0-or-later
//! The local disk of a volume: superblock, activity log and bitmap, and their attachment.

use super::{Todo, Volume};
use crate::{
    activity_log::{ActivityLog, Slot},
    bitmap::{Bitmap, PageState},
    config::{OnIoError, ReadBalancing},
    engine::{mem::Mem, op::flag},
    meta::{Layout, MdFlags, PeerFlags, Superblock},
    state::Disk as DiskState,
    uuid::GenUuids,
};

/// Options of the disk that the engine uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskOptions {
    /// on-io-error.
    pub on_io_error: OnIoError,
    /// al-updates.
    pub al_updates: bool,
    /// md-flushes.
    pub md_flushes: bool,
    /// disk-flushes.
    pub disk_flushes: bool,
    /// disk-drain.
    pub disk_drain: bool,
    /// size, sectors; 0 is as large as possible.
    pub size_sectors: u64,
    /// read-balancing.
    pub read_balancing: ReadBalancing,
    /// rs-discard-granularity as the disk can do it, sectors; 0 is never.
    pub rs_discard_sectors: u32,
    /// disk-timeout, milliseconds; 0 is never.
    pub disk_timeout_ms: u32,
}

impl Default for DiskOptions {
    fn default() -> Self {
        DiskOptions {
            on_io_error: OnIoError::Detach,
            al_updates: true,
            md_flushes: true,
            disk_flushes: true,
            disk_drain: true,
            size_sectors: 0,
            read_balancing: ReadBalancing::PreferLocal,
            rs_discard_sectors: 0,
            disk_timeout_ms: 0,
        }
    }
}

/// Buffers that a disk needs, sized with the help of [`Attach`].
pub struct AttachBuffers<M: Mem> {
    /// One superblock, as read.
    pub superblock: M::Buf<Superblock>,
    /// Words of the bitmap, see `Bitmap::words_needed`.
    pub bitmap_words: M::Buf<u64>,
    /// One per page of the bitmap.
    pub bitmap_pages: M::Buf<PageState>,
    /// al-extents of them.
    pub al_slots: M::Buf<Slot>,
    /// Hash heads: a power of two, at least as many as slots.
    pub al_index: M::Buf<u32>,
}

/// A disk to be attached, checked already.
pub struct Attach {
    /// Where everything lies.
    pub layout: Layout,
    /// Options.
    pub options: DiskOptions,
    /// Node id of the peer whose slot of the metadata is used.
    pub peer_node_id: u32,
    /// Logical block size, bytes.
    pub logical_block_bytes: u32,
    /// Physical block size, bytes.
    pub physical_block_bytes: u32,
    /// Preferred I/O sizes, bytes.
    pub io_min_bytes: u32,
    /// Optimal I/O size, bytes.
    pub io_opt_bytes: u32,
    /// Whether it can discard.
    pub can_discard: bool,
    /// Largest bio it takes, bytes.
    pub max_bio_bytes: u32,
}

/// The attached disk.
pub struct Disk<M: Mem> {
    superblock: M::Buf<Superblock>,
    pub(crate) bitmap: Bitmap<M::Buf<u64>, M::Buf<PageState>>,
    pub(crate) al: ActivityLog<M::Buf<Slot>, M::Buf<u32>>,
    pub(crate) facts: Attach,
    /// Raw in-core md flags of 8.4, from which the superblock's are made.
    pub(crate) crashed_primary: bool,
    /// Version of the superblock in core, and the newest that is durable.
    pub(crate) version: u64,
    pub(crate) durable_version: u64,
    /// Whether the durable superblock says that the activity log counts.
    pub(crate) durable_primary: bool,
    /// Whether the durable superblock says that there is no activity log.
    pub(crate) durable_al_disabled: bool,
    /// Whether every block that differs from the peer's is known: not from the beginning of a
    /// bitmap exchange as the target to its end.
    pub(crate) bits_complete: bool,
    /// The last superblock of a disk that goes was asked for.
    pub(crate) sealed: bool,
    /// Set when metadata cannot be written any more.
    pub(crate) failed: bool,
    /// It did not take a write that the peer's disk may have, and the state does not say so yet.
    pub(crate) lacks_write: bool,
    /// A resync from here may have ended at the peer, or not begun there, so that it has the current generation whatever the
    /// bitmap UUID says.
    pub(crate) peer_may_have_current: bool,
    /// A request to write all dirty bitmap pages, with the page to go on with.
    pub(crate) writeout: Option<u32>,
    pub(crate) writeout_failed: bool,
    pub(crate) bulk: Option<super::md::Bulk>,
    pub(crate) al_phase: super::md::AlPhase,
    /// Bitmap pages of extents that leave the activity log are being written.
    pub(crate) evicting: bool,
    /// Slot of the bitmap that counts for the peer.
    pub(crate) bm_slot: u32,
    /// Size that the durable superblock says, sectors.
    pub(crate) durable_sectors: u64,
    /// Room for larger devices, until it is used.
    pub(super) offer: Option<super::resize::Offer<M>>,
    /// A change of size under way.
    pub(super) resizing: Option<super::resize::Resizing>,
    /// Storage that is not used any more.
    pub(super) spare: Option<(M::Buf<u64>, M::Buf<PageState>)>,
}

impl<M: Mem> Disk<M> {
    /// Puts the buffers together. The bitmap is empty: the host loads it page by page.
    pub fn new(buffers: AttachBuffers<M>, facts: Attach) -> Result<Self, &'static str> {
        let AttachBuffers {
            superblock,
            bitmap_words,
            bitmap_pages,
            al_slots,
            al_index,
        } = buffers;
        let sb = superblock
            .as_ref()
            .first()
            .copied()
            .ok_or("no superblock buffer")?;
        let bits = crate::bitmap::bits_outward(0, sb.effective_sectors).end;
        let bitmap = Bitmap::new(bitmap_words, bitmap_pages, bits, sb.max_peers)
            .map_err(|_| "bitmap buffers too small")?;
        // Until the superblock says that there is none, there is one.
        let al_disabled = sb.flags.contains(MdFlags::AL_DISABLED);
        let al_updates = facts.options.al_updates || !al_disabled;
        let al = ActivityLog::new(al_slots, al_index, sb.al, 0, al_updates)
            .map_err(|_| "activity log buffers do not fit")?;
        Disk {
            superblock,
            bitmap,
            al,
            facts,
            crashed_primary: false,
            version: 0,
            durable_version: 0,
            // A log that was applied counts no more, whoever was Primary.
            durable_primary: sb.flags.contains(MdFlags::PRIMARY_IND) && sb.needs_apply_al(),
            durable_al_disabled: al_disabled,
            bits_complete: false,
            sealed: false,
            failed: false,
            lacks_write: false,
            peer_may_have_current: false,
            writeout: None,
            writeout_failed: false,
            bulk: None,
            al_phase: super::md::AlPhase::Idle,
            evicting: false,
            bm_slot: 0,
            durable_sectors: sb.effective_sectors,
            offer: None,
            resizing: None,
            spare: None,
        }
        .with_slot()
        .map(Self::with_log_in_use)
    }

    /// Whatever superblock is written from here on does not say that the activity log was applied: its
    /// records count from the first one on, and what reads them later must not find it "clean" although
    /// a change of size has rewritten it.
    fn with_log_in_use(mut self) -> Self {
        if let Some(sb) = self.superblock.as_mut().first_mut() {
            sb.flags = sb.flags.without(MdFlags::AL_CLEAN);
        }
        self
    }

    /// Claims the peer's slot of the bitmap.
    fn with_slot(mut self) -> Result<Self, &'static str> {
        let peer = self.facts.peer_node_id;
        let sb = self
            .superblock
            .as_mut()
            .first_mut()
            .ok_or("no superblock buffer")?;
        self.bm_slot = sb
            .claim_bitmap_slot(peer)
            .map_err(|_| "no free bitmap slot in the metadata")?;
        Ok(self)
    }

    /// Marks the superblock to be written although nothing in it changed.
    pub(crate) fn touch(&mut self) {
        self.version = self.version.wrapping_add(1);
    }

    /// Takes a new size: bits beyond it are dropped, bits up to it begin set.
    ///
    /// A large step is better done by the host before the disk is part of a volume. False when
    /// the bitmap has no room.
    pub fn resize(&mut self, sectors: u64) -> bool {
        let bits = crate::bitmap::bits_of_sectors(sectors);
        if bits < self.bitmap.n_bits() {
            self.bitmap.shrink(bits);
        } else if self.bitmap.extend(bits, true).is_err() {
            return false;
        }
        if self.superblock().effective_sectors != sectors {
            self.edit(|sb| sb.effective_sectors = sectors);
            self.writeout = Some(0);
        }
        true
    }

    /// The superblock in core.
    pub fn superblock(&self) -> &Superblock {
        self.superblock
            .as_ref()
            .first()
            .unwrap_or(&Superblock::EMPTY)
    }

    /// Changes the superblock and marks it to be written.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Superblock)) {
        self.version = self.version.wrapping_add(1);
        if let Some(superblock) = self.superblock.as_mut().first_mut() {
            change(superblock);
        }
    }

    /// Loads page `page` of the bitmap as read from the disk.
    pub fn load_bitmap_page(&mut self, page: u32, bytes: &[u8; 4096]) {
        self.bitmap.load_page(page, bytes);
    }

    /// Pages of the bitmap.
    pub fn bitmap_pages(&self) -> u32 {
        self.bitmap.n_pages()
    }

    /// Where things lie.
    pub fn layout(&self) -> &Layout {
        &self.facts.layout
    }

    pub(crate) fn slot(&self) -> usize {
        self.superblock().peer_index(self.facts.peer_node_id)
    }

    /// The four UUIDs that protocol 101 knows (design section 8.11).
    pub(crate) fn uuids(&self) -> GenUuids {
        let sb = self.superblock();
        let [h0, h1, ..] = sb.history_uuids;
        GenUuids {
            current: sb.current_uuid,
            bitmap: sb.peers.get(self.slot()).map_or(0, |peer| peer.bitmap_uuid),
            history: [h0, h1],
        }
    }

    /// Whether what is written here without the peer needs a generation of its own.
    pub(crate) fn needs_generation(&self) -> bool {
        self.uuids().bitmap == 0 || self.peer_may_have_current
    }

    pub(crate) fn set_uuids(&mut self, uuids: GenUuids) {
        if uuids == self.uuids() {
            return;
        }
        let slot = self.slot();
        self.edit(|sb| {
            sb.current_uuid = uuids.current;
            if let Some(peer) = sb.peers.get_mut(slot) {
                peer.bitmap_uuid = uuids.bitmap;
            }
            let [h0, h1, ..] = &mut sb.history_uuids;
            [*h0, *h1] = uuids.history;
        });
    }

    pub(crate) fn flags(&self) -> MdFlags {
        self.superblock().flags
    }

    pub(crate) fn peer_flags(&self) -> PeerFlags {
        let none = PeerFlags::NONE;
        self.superblock()
            .peers
            .get(self.slot())
            .map_or(none, |peer| peer.flags)
    }

    pub(crate) fn set_flags(&mut self, flags: MdFlags, peer_flags: PeerFlags) {
        if self.flags() == flags && self.peer_flags() == peer_flags {
            return;
        }
        let slot = self.slot();
        self.edit(|sb| {
            sb.flags = flags;
            if let Some(peer) = sb.peers.get_mut(slot) {
                peer.flags = peer_flags;
            }
        });
    }

    pub(crate) fn out_of_sync_bits(&self) -> u64 {
        self.bitmap.weight(self.bm_slot)
    }
}

impl<M: Mem> Volume<M> {
    /// The attached disk.
    pub fn disk(&self) -> Option<&Disk<M>> {
        self.disk.as_ref()
    }

    /// Blocks out of sync, by the own bitmap.
    pub(crate) fn dirty_bits(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.out_of_sync_bits())
    }

    /// Whether a disk in a usable state is attached.
    pub(crate) fn has_disk(&self) -> bool {
        self.disk.is_some() && self.state.disk >= DiskState::Inconsistent
    }

    /// Whether the metadata thread writes a block. Until that ends the disk cannot be given back: what
    /// comes late may be written over the metadata of who has it next.
    pub(super) fn md_write_runs(&self) -> bool {
        let phase = self.disk.as_ref().map(|disk| disk.al_phase);
        phase.is_some_and(|phase| phase != super::md::AlPhase::Idle)
    }

    /// Takes the disk away after [`Todo::DISK_GONE`], to be closed by the host; `None` while something
    /// still uses it, and [`Todo::DISK_GONE`] comes again.
    pub fn take_disk(&mut self) -> Option<Disk<M>> {
        if self.state.disk != DiskState::Diskless || !self.drained() || self.md_write_runs() {
            return None;
        }
        // Whoever held extents of its activity log has nothing to give back any more, and its
        // superblock will not be written: the versions of another disk's mean something else.
        for op in 0..self.ops.capacity() {
            let at = self.ops.at_mut(op);
            at.clear(flag::IN_ACT_LOG);
            if at.any(flag::REFUSED) {
                at.ticket = 0;
            }
        }
        if let Some(version) = &mut self.uuid_hold {
            *version = 0;
            self.todo(Todo::READY);
        }
        self.recheck_refused();
        self.disk.take()
    }

    /// Sends P_SIZES with what the disk offers.
    pub(crate) fn usable_sectors(&self) -> u64 {
        self.disk
            .as_ref()
            .map_or(0, |disk| disk.facts.layout.usable_sectors)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig;
    use crate::meta::MdFlags;

    #[test]
    fn an_attached_log_is_never_called_clean() {
        // A ring that is rewritten while the disk is still Negotiating: if that superblock said that the log
        // was applied, the records of the next attach would begin at 0 below those that are there, and
        // count for nothing.
        let disk = rig::disk(8 * 1024);
        assert!(!disk.flags().contains(MdFlags::AL_CLEAN));
    }
}
