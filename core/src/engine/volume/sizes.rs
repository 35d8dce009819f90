// SPDX-License-Identifier: GPL-2.0-or-later
//! What the two nodes agree on about the size of a volume (replication-semantics section 10).
//!
//! A volume grows when its nodes meet, and while they are Connected and nothing else is asked for:
//! who is asked to resize tells what its disk offers and asks the peer; the peer grows and answers;
//! then this node does. So both know of the new part before anything is written to it, and both
//! have marked it when its resync begins. At any other time a P_SIZES is remembered: in an exchange
//! of bitmaps or in a resync the two would not agree on what is out of sync.

use super::{
    disk::Disk,
    incoming::End,
    resize::{Plan, Then},
    Refusal, Todo, Volume,
};
use crate::{
    engine::{link::Link, mem::Mem},
    meta::Layout,
    state::{
        action::Side,
        sizes::{agreed_size, on_peer_sizes, Accepted, Bounds, OwnSizes, PeerSizes},
        Conn, Disk as DiskState, Role, State,
    },
    wire::{
        packet::Packet,
        sizes::{DdsFlags, QueueLimits, Sizes},
    },
};

/// What the administrator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resize {
    /// Size wanted, sectors; 0 is as large as possible.
    pub size_sectors: u64,
    /// An absent peer has as much room as this disk.
    pub assume_peer_has_space: bool,
    /// The new part is the same on both disks.
    pub assume_clean: bool,
}

/// Why a volume does not get another size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResizeRefusal {
    /// Something else is under way: try again after [`Todo::WAKE`].
    Busy,
    /// There is no disk (error 138).
    NoDisk,
    /// A resync or online verify runs (error 130).
    Resync,
    /// Neither node is Primary (error 131).
    NoPrimary,
    /// The disk is smaller than what is asked for (error 111).
    TooLarge,
    /// The volume would become smaller (error 170).
    WouldShrink,
}

/// What is under way about sizes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizing {
    /// The last P_SIZES of this connection.
    told: Option<PeerSizes>,
    /// It came before the disks were negotiated: what the peer has it had already, and begins nothing because of it.
    told_before_negotiation: bool,
    /// What was said to the peer last: of the disk, wanted, current.
    said: Option<(u64, u64, u64)>,
    /// P_SIZES came at a time when this node could not follow.
    due: bool,
    /// The peer owes an answer.
    asked: bool,
    /// The resync of the new part begins when a ping is answered.
    pub(super) source_due: bool,
    /// The change of size under way is older than this connection: the peer is told the old size.
    outlived: bool,
    /// A disk grew that is not negotiated yet.
    pub(super) grew_before_negotiation: bool,
    /// It grew to the size that the peer had, who knows of nothing to resynchronise.
    followed: bool,
    /// The peer waits for a resync, maybe that which is being asked for, or for that of what is new.
    peer_waits: bool,
}

impl<M: Mem> Volume<M> {
    /// Whether nothing else may begin: sizes are being agreed on.
    pub fn sizes_pending(&self) -> bool {
        self.resizing() || self.sizing.asked || self.sizing.source_due
    }

    /// A size that the peer told is still to be followed.
    pub(super) fn sizes_due(&self) -> bool {
        self.sizing.due
    }

    /// The end of a connection whose peer goes by another size than this node, or took itself for the source of what is
    /// new as well (their roles changed meanwhile), or, if it does not, breaks the protocol: `why`. When they meet again
    /// they come to the same.
    pub(super) fn out_of_step(&self, why: &'static str) -> End {
        let source = self.conn().is_sync_source();
        if self.sizing.due || source && self.resync.of_growth {
            return End::network("the nodes have not come to one size");
        }
        End::protocol(why)
    }

    /// The end of a connection whose peer writes to, or asks for, what this node does not have: it may have grown while this
    /// node could not. Any context.
    pub fn beyond_end(&self) -> End {
        self.out_of_step("a block beyond the end of the device")
    }

    /// The connection begins, or is gone.
    pub(super) fn forget_sizes(&mut self) {
        self.sizing = Sizing {
            outlived: self.resizing(),
            ..Sizing::default()
        };
    }

    /// resize. Done when [`Self::sizes_pending`] is false.
    pub fn resize(&mut self, wanted: Resize) -> Result<(), ResizeRefusal> {
        let Some(disk) = self.disk.as_ref() else {
            return Err(ResizeRefusal::NoDisk);
        };
        if self.state.disk == DiskState::Failed || self.detaching || disk.failed {
            return Err(ResizeRefusal::NoDisk);
        }
        let conn = self.conn();
        if conn > Conn::Connected {
            return Err(ResizeRefusal::Resync);
        }
        let meeting = conn > Conn::WfConnection && conn < Conn::Connected || self.ends_connection();
        let settled = self.state.disk >= DiskState::Inconsistent;
        if meeting || !settled || self.is_occupied() || self.sizes_pending() {
            return Err(ResizeRefusal::Busy);
        }
        if self.state.role != Role::Primary && self.state.peer == Role::Secondary {
            return Err(ResizeRefusal::NoPrimary);
        }
        let layout = disk.offered_layout();
        if wanted.size_sectors > layout.usable_sectors {
            return Err(ResizeRefusal::TooLarge);
        }
        let alone = conn < Conn::Connected;
        let bounds = Bounds {
            peer_max: self.peer.size_sectors,
            own_max: layout.usable_sectors,
            last_agreed: disk.superblock().effective_sectors,
            user: wanted.size_sectors,
        };
        let size = agreed_size(bounds, conn, wanted.assume_peer_has_space);
        let current = self.capacity_sectors;
        if size < current || layout.usable_sectors < current {
            return Err(ResizeRefusal::WouldShrink);
        }
        // The peer has to follow before this node may.
        let sectors = if alone { size } else { current };
        let clean = wanted.assume_clean;
        let then = if alone {
            Then::Nothing
        } else {
            Then::Ask { clean }
        };
        self.set_user_size(wanted.size_sectors);
        self.begin_resize(Plan {
            layout,
            sectors,
            fill_from: Plan::first_new_bit(current, true),
            clean,
            then,
        });
        Ok(())
    }

    /// Whether something is under way that a change of size has to wait for.
    fn is_occupied(&self) -> bool {
        self.admin.is_asking() || self.bulk_running() || self.peer.start_source_ping.is_some()
    }

    /// Whether the connection is being ended.
    fn ends_connection(&self) -> bool {
        self.conn() >= Conn::WfReportParams && !self.peer.linked
    }

    fn set_user_size(&mut self, sectors: u64) {
        if let Some(disk) = self.disk.as_mut() {
            if disk.facts.options.size_sectors != sectors {
                disk.facts.options.size_sectors = sectors;
                self.todo(Todo::CAPACITY);
            }
        }
    }

    /// The size that the administrator wants here or at the peer, sectors; 0 for none.
    pub fn user_size_sectors(&self) -> u64 {
        self.disk
            .as_ref()
            .map_or(0, |disk| disk.facts.options.size_sectors)
    }

    /// Sends P_SIZES; with [`Then::Ask`] the peer is to answer.
    pub(super) fn send_sizes(&mut self, ask: bool, dds_flags: DdsFlags, link: &mut dyn Link) {
        let dialect = self.peer.dialect;
        let attached = self.state.disk >= DiskState::Negotiating;
        let disk = self.disk.as_ref().filter(|_| attached);
        let facts = disk.map(|disk| &disk.facts);
        let max_bio = facts.map_or(super::lifecycle::MAX_BIO_BYTES, |facts| {
            facts.max_bio_bytes.min(super::lifecycle::MAX_BIO_BYTES)
        });
        let limits = QueueLimits {
            physical_block_size: facts.map_or(512, |facts| facts.physical_block_bytes),
            logical_block_size: facts.map_or(512, |facts| facts.logical_block_bytes),
            alignment_offset: 0,
            io_min: facts.map_or(512, |facts| facts.io_min_bytes),
            io_opt: facts.map_or(0, |facts| facts.io_opt_bytes),
            discard_enabled: u8::from(facts.is_some_and(|facts| facts.can_discard)),
            discard_zeroes_data: 0,
            write_same_capable: 0,
        };
        let sizes = Sizes {
            d_size: facts.map_or(0, |facts| facts.layout.usable_sectors),
            u_size: facts.map_or(0, |facts| facts.options.size_sectors),
            c_size: if ask { 0 } else { self.capacity_sectors },
            max_bio_size: max_bio.min(dialect.max_bio_bytes()),
            queue_order_type: 0,
            dds_flags,
            queue_limits: dialect.has_queue_limits().then_some(limits),
        };
        self.sizing.said = Some((sizes.d_size, sizes.u_size, self.capacity_sectors));
        let _ = link.control(self.number, Packet::Sizes(sizes));
    }

    /// P_SIZES. The host made an [`Self::offer`] before if the devices changed their size.
    pub fn sizes_received(
        &mut self,
        sizes: &Sizes,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        self.peer.size_sectors = sizes.d_size;
        self.peer.max_bio_bytes = sizes.max_bio_size.max(4096);
        let told = PeerSizes {
            d_size: sizes.d_size,
            u_size: sizes.u_size,
            c_size: sizes.c_size,
            no_resync: sizes.dds_flags.contains(DdsFlags::NO_RESYNC),
        };
        self.sizing.told = Some(told);
        self.sizing.told_before_negotiation = !self.is_negotiated();
        if told.d_size != 0 && self.state.pdsk < DiskState::Negotiating {
            // It attaches a disk: what was said before was said to one without.
            self.sizing.said = None;
        }
        if told.c_size != 0 || told.d_size == 0 {
            self.sizing.asked = false;
        }
        self.todo(Todo::CAPACITY.with(Todo::NOTIFY).with(Todo::WAKE));
        if told.c_size > self.capacity_sectors {
            // It grew since the resync to it ended, and the P_SYNC_UUID for what is new may be next.
            self.target_went_on(link, now_ms);
        }
        self.follow_sizes(told, link, now_ms)
    }

    fn own_sizes(&self) -> OwnSizes {
        // When they meet both go by what they told each other.
        let meeting = self.conn() <= Conn::WfReportParams;
        let disk = self.disk.as_ref();
        let layout = disk.map(|disk| self.layout_for(disk, meeting));
        OwnSizes {
            own_max: layout.map_or(0, |layout| layout.usable_sectors),
            last_agreed: disk.map_or(0, |disk| disk.superblock().effective_sectors),
            user: self.user_size_sectors(),
            current: self.capacity_sectors,
            backing_changed: !meeting && disk.is_some_and(Disk::has_offer),
            resize_pending: false,
        }
    }

    fn layout_for(&self, disk: &Disk<M>, meeting: bool) -> Layout {
        if meeting {
            disk.facts.layout
        } else {
            disk.offered_layout()
        }
    }

    /// Does what follows from the sizes that the peer told.
    fn follow_sizes(
        &mut self,
        told: PeerSizes,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let own = self.own_sizes();
        let accepted = on_peer_sizes(self.state, own, told).map_err(|refusal| {
            use crate::state::sizes::Refusal as R;
            match refusal {
                R::PeerDiskTooSmall { new } | R::PeerDeviceTooSmall { new } => {
                    Refusal::PeerTooSmall { sectors: new }
                }
            }
        })?;
        let meeting = self.conn() <= Conn::WfReportParams;
        let with_disk = self.disk.is_some() && self.state.disk >= DiskState::Negotiating;
        let moves = own.backing_changed && accepted.size >= own.current;
        if with_disk && (accepted.size > own.current || moves) {
            // While a disk is negotiated the peer may be about to send its bitmap: what it has, it had
            // before; what it asks for comes later.
            let negotiates = self.state.disk == DiskState::Negotiating && told.c_size == 0;
            let follows = match self.conn() {
                Conn::Connected => !self.is_occupied() && !negotiates,
                // The peer, about to bring this node up to date, has marked what is new.
                Conn::WfSyncUuid => told.c_size != 0,
                // The peer grew before it heard that it is Behind; the resync that follows includes what is new.
                Conn::Ahead => told.c_size != 0 && !self.is_occupied(),
                _ => false,
            };
            if meeting || follows {
                self.set_user_size(accepted.user);
                self.grow_with(told, accepted, link);
            } else {
                self.sizing.due = true;
                // The bitmaps would not match, or it would ask for more than is here.
                let exchanges = matches!(self.conn(), Conn::WfBitMapS | Conn::WfBitMapT);
                let source = self.conn().is_sync_source() || self.sizing.source_due;
                if told.c_size > own.current && (exchanges || source) {
                    self.end_connection(Conn::NetworkFailure);
                } else if told.c_size == 0 {
                    self.send_sizes(false, DdsFlags::NONE, link);
                }
            }
            return Ok(());
        }
        self.sizing.due = false;
        if with_disk {
            self.set_user_size(accepted.user);
        }
        self.set_capacity(accepted.size);
        if !meeting {
            self.answer_sizes(told, link);
        }
        let _ = now_ms;
        Ok(())
    }

    /// Tells the peer what it does not know yet, or asked for.
    fn answer_sizes(&mut self, told: PeerSizes, link: &mut dyn Link) {
        let offers = self.usable_sectors();
        let now = (offers, self.user_size_sectors(), self.capacity_sectors);
        let offered = self.sizing.said.map(|(offers, ..)| offers);
        let differs = told.c_size != self.capacity_sectors || offered != Some(offers);
        // Said once, it is not said again: the peer may have reasons not to follow.
        if told.c_size == 0 || differs && self.sizing.said != Some(now) {
            let flags = flags_of(told.no_resync);
            self.send_sizes(false, flags, link);
        }
    }

    fn grow_with(&mut self, told: PeerSizes, accepted: Accepted, link: &mut dyn Link) {
        let connected = self.conn() == Conn::Connected;
        let current = self.capacity_sectors;
        // Not further than the peer did, unless it asks for that. If it may be about to grow by what it
        // was told, since both asked or both put it off, not further than that.
        let limit = match self.sizing.said {
            _ if self.conn() >= Conn::Connected && told.c_size != 0 => told.c_size,
            Some((offered, ..)) if self.sizing.asked || self.sizing.due => offered,
            _ => accepted.size,
        };
        let sectors = accepted.size.min(limit).max(current);
        let Some(disk) = self.disk.as_ref() else {
            return;
        };
        let layout = self.layout_for(disk, self.conn() <= Conn::WfReportParams);
        self.sizing.due = false;
        if sectors == current && layout == disk.facts.layout {
            self.answer_sizes(told, link);
            return;
        }
        let grows = connected && sectors > current;
        let resync = grows && !told.no_resync;
        let negotiated = self.is_negotiated();
        self.sizing.grew_before_negotiation |= resync && !negotiated;
        // The last one said it, whatever it is that is followed now.
        let last = self
            .sizing
            .told
            .filter(|_| self.sizing.told_before_negotiation);
        self.sizing.followed = resync && last.is_some_and(|last| last.c_size >= sectors);
        // A block that the old end cut in two: who asks for blocks may ask for one more.
        let outward = !(connected && self.is_growth_source());
        self.begin_resize(Plan {
            layout,
            sectors,
            fill_from: Plan::first_new_bit(current, outward),
            clean: told.no_resync && self.conn() >= Conn::Connected,
            then: Then::Sizes {
                told,
                resync: resync && negotiated,
            },
        });
    }

    /// Whether the resync of what is new goes from here to the peer.
    fn is_growth_source(&self) -> bool {
        if self.state.role == self.state.peer {
            self.peer.resolve_conflicts
        } else {
            self.state.role == Role::Primary
        }
    }

    /// The disk has its size.
    pub(super) fn after_resize(&mut self, then: Then, link: &mut dyn Link, now_ms: u64) {
        if core::mem::take(&mut self.sizing.outlived) && self.peer.linked {
            // They meet again with the size that it has now: the bitmaps would not match.
            return self.end_connection(Conn::NetworkFailure);
        }
        if self.conn() < Conn::Connected || !self.peer.linked {
            return;
        }
        match then {
            Then::Nothing => {}
            Then::Ask { clean } => {
                self.send_uuids(false, link);
                self.send_sizes(true, flags_of(clean), link);
                self.sizing.asked = true;
            }
            Then::Sizes { told, resync } => {
                if resync {
                    self.send_uuids(false, link);
                }
                self.answer_sizes(told, link);
                if resync {
                    self.resync_growth(link, now_ms);
                }
            }
        }
    }

    fn is_negotiated(&self) -> bool {
        self.state.disk >= DiskState::Inconsistent && self.state.pdsk >= DiskState::Inconsistent
    }

    /// Without one of the disks nothing that is new can be resynchronised, and nobody waits for that.
    fn both_have_disks(&self) -> bool {
        self.has_disk() && self.state.pdsk >= DiskState::Inconsistent
    }

    /// Begins the resync of what is new: marked on both nodes.
    pub(super) fn resync_growth(&mut self, link: &mut dyn Link, now_ms: u64) {
        self.sizing.grew_before_negotiation = false;
        let followed = core::mem::take(&mut self.sizing.followed);
        // The disk may have failed while its bitmap grew.
        if !self.both_have_disks() {
            return;
        }
        if self.is_growth_source() && !followed {
            self.begin_growth_source(link, now_ms);
        } else {
            self.hard(link, now_ms, |state| state.conn = Conn::WfSyncUuid);
            // The peer may have had that size before, and know of nothing to begin.
            self.send_state(link);
        }
    }

    fn begin_growth_source(&mut self, link: &mut dyn Link, now_ms: u64) {
        self.sizing.source_due = true;
        self.start_resync(Side::Source, link, now_ms);
    }

    /// The peer waits for a resync that begins here, or as this node does for one that begins
    /// there. `told` is its state.
    pub(super) fn note_peer_waits(&mut self, told: State, link: &mut dyn Link, now_ms: u64) {
        self.sizing.peer_waits = told.conn == Conn::WfSyncUuid;
        if !self.sizing.peer_waits {
            return;
        }
        self.target_went_on(link, now_ms);
        if self.conn() == Conn::WfSyncUuid {
            // Their roles changed while they agreed on a size: neither would begin.
            self.end_connection(Conn::NetworkFailure);
        }
        self.tend_waiting_peer(link, now_ms);
    }

    /// If the peer grew, and this node had that size already, it begins. Not while it asks for something itself: that may be
    /// what the peer has begun with, and the answer says so.
    fn tend_waiting_peer(&mut self, link: &mut dyn Link, now_ms: u64) {
        self.sizing.peer_waits &= self.conn() == Conn::Connected && self.both_have_disks();
        let busy = self.sizes_pending() || self.sizing.due || self.is_occupied();
        if self.sizing.peer_waits && !busy {
            self.sizing.peer_waits = false;
            self.begin_growth_source(link, now_ms);
        }
    }

    /// The state changed, or a request ended: what was put off may be possible now.
    pub(super) fn sizing_look_again(&mut self) {
        if self.conn() != Conn::Connected || !self.both_have_disks() {
            self.sizing.source_due = false;
        }
        if self.conn() > Conn::Connected {
            // The resync that follows includes what is new.
            self.sizing.grew_before_negotiation = false;
        }
        if self.conn() < Conn::Connected {
            self.sizing.asked = false;
        }
        let due = (self.sizing.due || self.sizing.peer_waits) && self.conn() == Conn::Connected;
        if due || self.peer.early_sync_uuid.is_some() {
            self.todo(Todo::READY);
        }
    }

    /// Does what was put off. Task context.
    pub(super) fn tend_sizes(&mut self, link: &mut dyn Link, now_ms: u64) {
        self.tend_waiting_peer(link, now_ms);
        let negotiated = self.state.disk >= DiskState::Inconsistent;
        let possible = self.conn() == Conn::Connected && !self.is_occupied() && negotiated;
        if !self.sizing.due || !possible || self.sizes_pending() || self.held_packets.finish {
            return;
        }
        let Some(told) = self.sizing.told else {
            return;
        };
        // As if it were told now, with a wish to hear of the result.
        let asks = PeerSizes { c_size: 0, ..told };
        if self.follow_sizes(asks, link, now_ms).is_err() {
            self.end_connection(Conn::Disconnecting);
        }
    }
}

fn flags_of(clean: bool) -> DdsFlags {
    if clean {
        DdsFlags::NO_RESYNC
    } else {
        DdsFlags::NONE
    }
}

#[cfg(test)]
#[path = "sizes_tests.rs"]
mod tests;
