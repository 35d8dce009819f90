// SPDX-License-Identifier: GPL-2.0-or-later
//! Application I/O: admission, the choice of local and remote, and completion.
//!
//! replication-semantics sections 6.1 to 6.3 and 6.6. An operation is admitted, gets its
//! activity-log extents, then its place among overlapping operations, then is launched; each step
//! may make it wait. The upper layer hears of it when neither the disk nor the peer owes an
//! answer; the operation lives on until its epoch is acknowledged.

use super::{IoResult, Todo, Volume};
use crate::{
    activity_log::Begin,
    bitmap::bits_outward,
    engine::{
        link::{Durable, Link},
        mem::Mem,
        op::{flag, Action, BioFlags, Kind, OpId},
        send_queue::SendItem,
    },
    meta::SECTORS_PER_AL_EXTENT,
    state::{Disk as DiskState, Role},
    wire::handshake::ReplicationProtocol,
};
use core::ops::RangeInclusive;

/// One bio of the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppIo {
    /// Whether it writes, discards or flushes.
    pub write: bool,
    /// What a write does; [`Action::Data`] for reads.
    pub action: Action,
    /// First sector.
    pub sector: u64,
    /// Sectors; 0 for an empty flush.
    pub len_sectors: u32,
    /// Flags of the bio.
    pub bio: BioFlags,
}

/// Whether a bio was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It was: the operation that stands for it.
    Accepted(OpId),
    /// Not now: offer it again after [`Todo::ADMIT`].
    Later,
    /// It fails.
    Refused(IoResult),
}

/// Where a read can be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadFrom {
    /// From the own disk.
    Local,
    /// From the peer.
    Peer,
    /// Nowhere.
    Nobody,
}

/// Extents of the activity log that a range touches.
#[inline]
pub(super) fn al_extents(sector: u64, len_sectors: u32) -> RangeInclusive<u32> {
    let last = sector
        .saturating_add(u64::from(len_sectors.max(1)))
        .saturating_sub(1);
    let extent = |sector: u64| u32::try_from(sector / SECTORS_PER_AL_EXTENT).unwrap_or(u32::MAX);
    extent(sector)..=extent(last)
}

impl<M: Mem> Volume<M> {
    /// Whether application I/O may start (replication-semantics section 6.1).
    pub fn accepts_app_io(&self) -> bool {
        let stable = self.state.is_stable(self.context.apv);
        stable
            && !self.state.suspended()
            && !self.bitmap_hold
            && !self.frozen
            && self.uuid_hold.is_none()
            && !self.loses_disk()
            && !self.awaits_generation()
            && !(self.state.role == Role::Primary && self.log_is_ignored())
    }

    /// After a crash the activity log would not be looked at: the superblock that says it counts
    /// is not durable yet.
    pub(super) fn log_is_ignored(&self) -> bool {
        self.may_write_locally() && self.disk.as_ref().is_some_and(|disk| !disk.durable_primary)
    }

    /// The metadata is lost and the peer does not know: what is written now it would not mark.
    pub(super) fn loses_disk(&self) -> bool {
        self.state.disk >= DiskState::Inconsistent
            && self.disk.as_ref().is_some_and(|disk| disk.failed)
    }

    /// A bio of the application. Task context.
    pub fn submit(&mut self, io: AppIo, link: &mut dyn Link, now_ms: u64) -> Admission {
        // max-buffers as well: each request may need a buffer at the peer.
        let limit = self.app_limit.min(self.peer.options.max_buffers_pages);
        if !self.accepts_app_io() || self.app_used >= limit {
            return Admission::Later;
        }
        let end = io.sector.saturating_add(u64::from(io.len_sectors));
        if end > self.capacity_sectors {
            return Admission::Refused(IoResult::Error);
        }
        let zeroes = matches!(io.action, Action::ZeroesKeep | Action::ZeroesUnmap);
        if io.write && zeroes && !self.peer_may_write_zeroes() {
            // The block layer writes zeros as data then.
            return Admission::Refused(IoResult::Unsupported);
        }
        let with_log = io.write && io.len_sectors > 0 && self.may_write_locally();
        let begun = match (&mut self.disk, with_log) {
            (Some(disk), true) => disk.al.begin(al_extents(io.sector, io.len_sectors)),
            (Some(_) | None, _) => Begin::Suspended,
        };
        match begun {
            Begin::Full => {
                self.todo(Todo::METADATA);
                return Admission::Later;
            }
            // The host splits at `max_discard_sectors`.
            Begin::TooLong => return Admission::Refused(IoResult::Error),
            Begin::Ready | Begin::Wait { .. } | Begin::Suspended | Begin::Failed => {}
        }
        let kind = if io.write {
            Kind::AppWrite
        } else {
            Kind::AppRead
        };
        let Some(op) = self.ops.alloc(kind) else {
            if matches!(begun, Begin::Ready | Begin::Wait { .. }) {
                self.end_al(io.sector, io.len_sectors);
            }
            return Admission::Later;
        };
        self.app_used = self.app_used.saturating_add(1);
        self.counters.app_sectors = self
            .counters
            .app_sectors
            .saturating_add(u64::from(io.len_sectors));
        self.upper_pending = self.upper_pending.saturating_add(1);
        let at = self.ops.at_mut(op);
        at.action = io.action;
        at.sector = io.sector;
        at.len_sectors = io.len_sectors;
        at.bio = io.bio;
        at.start_ms = now_ms;
        match begun {
            Begin::Ready => {
                at.set(flag::IN_ACT_LOG);
                self.enter_ranges(op, link, now_ms);
            }
            Begin::Wait { ticket } => {
                at.set(flag::IN_ACT_LOG | flag::WAIT_AL);
                at.ticket = ticket;
                self.ops.push_back(&mut self.al_wait, op);
                self.todo(Todo::METADATA);
            }
            // A failed log means that the disk is about to go: launching finds that out.
            Begin::Suspended | Begin::Failed | Begin::Full | Begin::TooLong => {
                if io.write {
                    self.enter_ranges(op, link, now_ms);
                } else {
                    self.launch_app(op, link, now_ms);
                }
            }
        }
        Admission::Accepted(op)
    }

    /// Everything up to `ticket` is in the activity log: whoever waited for it goes on.
    pub(super) fn al_committed(&mut self, ticket: u64) {
        while self.al_wait.head != crate::engine::op::NIL {
            let op = self.al_wait.head;
            if self.ops.at(op).ticket > ticket {
                break;
            }
            let _ = self.ops.pop_front(&mut self.al_wait);
            // Entering the range index comes after the log, in `launch_app`.
            self.make_ready(op);
        }
        self.al_moved();
    }

    /// The activity log may have room for those that it was too full for.
    pub(super) fn al_moved(&mut self) {
        self.todo(Todo::ADMIT);
        if !self.al_full.is_empty() {
            self.al_retry = true;
            self.todo(Todo::READY);
        }
    }

    pub(super) fn end_al(&mut self, sector: u64, len_sectors: u32) {
        if let Some(disk) = &mut self.disk {
            let _ = disk.al.end(al_extents(sector, len_sectors));
            self.al_moved();
        }
    }

    /// Whether a write may go to the own disk. A disk whose metadata cannot be written takes no
    /// more writes: nothing could be promised about them.
    pub(super) fn may_write_locally(&self) -> bool {
        self.state.disk >= DiskState::Inconsistent
            && self.disk.as_ref().is_some_and(|disk| !disk.failed)
    }

    /// Longest discard or write-zeroes that the activity log takes at once, sectors.
    pub fn max_discard_sectors(&self) -> u64 {
        let slots = self
            .disk
            .as_ref()
            .map_or(u32::MAX, |disk| disk.al.slots())
            .min(crate::activity_log::EXTENTS_PER_REQUEST_MAX);
        // It may begin anywhere in an extent.
        u64::from(slots.saturating_sub(1).max(1)).saturating_mul(SECTORS_PER_AL_EXTENT)
    }

    /// Nobody will write the record that these wait for: they go on without.
    pub(super) fn give_up_al_waits(&mut self) {
        while let Some(op) = self.ops.pop_front(&mut self.al_wait) {
            self.make_ready(op);
        }
        while let Some(op) = self.ops.pop_front(&mut self.al_full) {
            self.make_ready(op);
        }
    }

    /// Where a read of the range is served (replication-semantics section 6.6, prefer-local).
    pub fn read_from(&self, sector: u64, len_sectors: u32) -> ReadFrom {
        let local = match (&self.disk, self.state.disk) {
            (Some(_), DiskState::UpToDate) => true,
            // Bits that the source is still to send say nothing yet.
            (Some(disk), DiskState::Inconsistent) if disk.bits_complete => {
                disk.bitmap
                    .count_range(disk.bm_slot, bits_outward(sector, u64::from(len_sectors)))
                    == 0
            }
            (Some(_) | None, _) => false,
        };
        if local {
            ReadFrom::Local
        } else if self.state.pdsk == DiskState::UpToDate && self.peer.linked {
            ReadFrom::Peer
        } else {
            ReadFrom::Nobody
        }
    }

    pub(super) fn launch_app(&mut self, op: OpId, link: &mut dyn Link, now_ms: u64) {
        let at = *self.ops.at(op);
        if at.kind == Kind::AppWrite && at.len_sectors > 0 {
            if self.may_write_locally() && !at.any(flag::IN_ACT_LOG) && self.log_late(op, link) {
                return;
            }
            if !self.ops.at(op).any(flag::INDEXED) {
                self.enter_ranges(op, link, now_ms);
                return;
            }
        }
        if !self.accepts_app_io() {
            self.ops.at_mut(op).set(flag::PARKED);
            self.ops.push_back(&mut self.parked, op);
            return;
        }
        let launched = self.ops.at_mut(op);
        launched.set(flag::LAUNCHED);
        launched.start_ms = now_ms;
        if at.kind == Kind::AppRead {
            self.launch_app_read(op, link);
        } else {
            if at.len_sectors > 0 {
                self.look_for_congestion(link, now_ms);
            }
            self.launch_app_write(op, link);
        }
        self.settle(op, link);
    }

    /// A write that was admitted while there was no disk, and is launched with one, has to be in
    /// the activity log as any other. It gives up its place among overlapping writes first:
    /// whoever waits for it may hold the extents it needs. True if it waits, or failed.
    fn log_late(&mut self, op: OpId, link: &mut dyn Link) -> bool {
        self.leave_ranges(op);
        let at = *self.ops.at(op);
        let begun = match &mut self.disk {
            Some(disk) => disk.al.begin(al_extents(at.sector, at.len_sectors)),
            None => Begin::Suspended,
        };
        let at = self.ops.at_mut(op);
        match begun {
            Begin::Ready => {
                at.set(flag::IN_ACT_LOG);
                false
            }
            Begin::Wait { ticket } => {
                at.set(flag::IN_ACT_LOG | flag::WAIT_AL);
                at.ticket = ticket;
                self.ops.push_back(&mut self.al_wait, op);
                self.todo(Todo::METADATA);
                true
            }
            Begin::Full => {
                at.set(flag::WAIT_AL);
                self.ops.push_back(&mut self.al_full, op);
                self.todo(Todo::METADATA);
                true
            }
            Begin::TooLong => {
                at.set(flag::LAUNCHED);
                self.launched_writes = self.launched_writes.saturating_add(1);
                self.settle(op, link);
                true
            }
            Begin::Suspended | Begin::Failed => false,
        }
    }

    fn launch_app_read(&mut self, op: OpId, link: &mut dyn Link) {
        let at = *self.ops.at(op);
        let from = match self.read_from(at.sector, at.len_sectors) {
            // The local disk failed on it before.
            ReadFrom::Local if at.any(flag::RETRY) && self.peer.linked => ReadFrom::Peer,
            from => self.balance(op, from),
        };
        match from {
            ReadFrom::Local => self.queue_submit(op),
            ReadFrom::Peer => {
                let volume = self.number;
                if link.send(SendItem::Read { volume, op }) {
                    self.await_peer(op, flag::NET_QUEUED);
                }
            }
            ReadFrom::Nobody => {}
        }
    }

    fn launch_app_write(&mut self, op: OpId, link: &mut dyn Link) {
        let state = self.state;
        let at = *self.ops.at(op);
        self.launched_writes = self.launched_writes.saturating_add(1);
        if state.disk != DiskState::UpToDate && state.pdsk != DiskState::UpToDate {
            return; // neither side has data to add to: it fails in `settle`
        }
        if (at.len_sectors == 0 || at.bio.preflush) && self.flush_fails {
            // Told once, as the block layer's own caches do; it fails in `settle`.
            self.flush_fails = false;
            self.ops.at_mut(op).set(flag::RETRY);
            return;
        }
        let volume = self.number;
        if at.len_sectors == 0 {
            if state.replicates() {
                self.flush_peer(op, link);
            }
        } else if state.replicates() {
            if let Some(epoch) = link.send_write(volume, op) {
                let expects = match self.peer.protocol {
                    // What A and B promise besides is the local disk.
                    _ if !self.may_write_locally() && self.peer.dialect.has_ack_flags() => {
                        flag::EXP_WRITE_ACK
                    }
                    ReplicationProtocol::A => 0,
                    ReplicationProtocol::B => flag::EXP_RECEIVE_ACK,
                    ReplicationProtocol::C => flag::EXP_WRITE_ACK,
                };
                self.ops.at_mut(op).epoch = epoch;
                self.await_peer(op, expects | flag::NET_QUEUED | flag::EXP_BARR_ACK);
                self.note_mirrored(at.len_sectors);
                self.ops.push_back(&mut self.log, op);
            }
        } else if state.sends_out_of_sync() {
            self.set_out_of_sync(at.sector, at.len_sectors);
            if link.send(SendItem::OutOfSync { volume, op }) {
                self.ops
                    .at_mut(op)
                    .set(flag::OUT_OF_SYNC | flag::NET_QUEUED);
            }
        }
        if self.may_write_locally() {
            self.queue_submit(op);
        }
    }

    /// A flush is never sent as data: the peer flushes at the end of an epoch. Who relies on the
    /// peer's copy waits for that: protocol C, and whoever has no disk.
    fn flush_peer(&mut self, op: OpId, link: &mut dyn Link) {
        let relies = self.peer.protocol == ReplicationProtocol::C || !self.may_write_locally();
        let durable = link.flush();
        match durable {
            Durable::After(epoch) if relies => {
                self.ops.at_mut(op).epoch = epoch;
                self.await_peer(op, flag::EXP_BARR_ACK);
                self.ops.push_back(&mut self.log, op);
            }
            Durable::After(_) | Durable::Already => {
                self.ops.at_mut(op).set(flag::NET_OK | flag::NET_DONE);
            }
            Durable::Unknown => {}
        }
    }

    /// Offers what was parked again, after application I/O may run again.
    pub(super) fn unpark(&mut self) {
        self.recheck_refused();
        if !self.accepts_app_io() {
            return;
        }
        while let Some(op) = self.ops.pop_front(&mut self.parked) {
            self.make_ready(op);
        }
        self.todo(Todo::ADMIT);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rig, *};
    use crate::state::Conn;

    /// What a write of a node with a disk in state `disk` waits for.
    fn expects(protocol: ReplicationProtocol, disk: DiskState) -> u64 {
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        let mut peer = rig::Peer::default();
        volume.peer.protocol = protocol;
        volume.state.disk = disk;
        let op = rig::submit(&mut volume, &mut peer, true, 0);
        let waits = flag::EXP_RECEIVE_ACK | flag::EXP_WRITE_ACK;
        volume.ops.at(op).flags & waits
    }

    #[test]
    fn who_has_no_disk_relies_on_the_peers() {
        use ReplicationProtocol::{A, B, C};
        for (protocol, with_disk) in [(A, 0), (B, flag::EXP_RECEIVE_ACK), (C, flag::EXP_WRITE_ACK)]
        {
            assert_eq!(expects(protocol, DiskState::UpToDate), with_disk);
            let without = expects(protocol, DiskState::Diskless);
            assert_eq!(without, flag::EXP_WRITE_ACK, "{protocol:?}");
        }
    }
}
