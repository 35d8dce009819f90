// SPDX-License-Identifier: GPL-2.0-or-later
//! Attaching and losing the disk, gaining and losing the connection.
//!
//! replication-semantics sections 8 and 9.

use super::{disk::Disk, Todo, Volume};
use crate::{
    config::OnIoError,
    engine::{
        link::Link,
        mem::Mem,
        op::{flag, Kind as OpKind},
    },
    meta::{MdFlags, PeerFlags},
    state::{
        md_flags::{attach, attach_refused, AttachFacts, MdState},
        sizes::{agreed_size, Bounds},
        Conn, Disk as DiskState, Kind, Role, Ss, State,
    },
    wire::{dialect::Dialect, handshake::ReplicationProtocol},
};

/// Largest bio of application and peer, bytes (wire-protocol section 6.2).
pub(crate) const MAX_BIO_BYTES: u32 = 1 << 20;

/// Why a disk is not attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// There is one already.
    Attached,
    /// A Primary works with other data (error 150).
    OtherData,
    /// It would make the volume smaller (error 170).
    WouldShrink,
    /// The disk before it was given up and has not answered: what it writes late could be written
    /// over what comes now.
    Unanswered,
    /// The state does not allow it.
    State(Ss),
}

impl<M: Mem> Volume<M> {
    /// Reserves the volume for a disk: Diskless to Attaching. With [`Ss::InTransientState`] the
    /// host tries again after [`Todo::WAKE`].
    pub fn begin_attach(&mut self, link: &mut dyn Link, now_ms: u64) -> Result<(), AttachError> {
        if self.state.disk != DiskState::Diskless {
            return Err(AttachError::Attached);
        }
        if self.late > 0 {
            return Err(AttachError::Unanswered);
        }
        if self.disk_closes() {
            return Err(AttachError::State(Ss::InTransientState));
        }
        if self.awaits_generation() {
            // What the disk is worth is known when the peer has named its data.
            return Err(AttachError::State(Ss::InTransientState));
        }
        let wanted = State {
            disk: DiskState::Attaching,
            ..self.state
        };
        self.change(wanted, Kind::Soft, link, now_ms)
            .map_err(AttachError::State)?;
        // Long before the peer is asked what is out of sync: the two go different ways.
        self.unflushed_is_past(link);
        Ok(())
    }

    /// Whether a disk that was detached is not given back to the host yet. Any context.
    pub fn disk_closes(&self) -> bool {
        self.state.disk == DiskState::Diskless && self.disk.is_some()
    }

    /// Gives up an attach.
    pub fn abort_attach(&mut self, link: &mut dyn Link, now_ms: u64) {
        if self.state.disk == DiskState::Attaching {
            self.hard(link, now_ms, |state| state.disk = DiskState::Diskless);
        }
    }

    /// The disk was read and its bitmap loaded: it becomes part of the volume. When it is refused
    /// it stays where it is, and the state is Diskless; with [`Ss::InTransientState`] it stays
    /// Attaching, and the host tries again after [`Todo::WAKE`].
    pub fn attach(
        &mut self,
        offered: &mut Option<Disk<M>>,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), AttachError> {
        let Some(disk) = offered.as_mut() else {
            return Err(AttachError::State(Ss::IsDiskless));
        };
        if self.state.disk != DiskState::Attaching {
            return Err(AttachError::State(Ss::IsDiskless));
        }
        // The peer was told that there is no disk: it has to hear of this one when the handshake is
        // over.
        if self.state.conn == Conn::WfReportParams {
            return Err(AttachError::State(Ss::InTransientState));
        }
        let current = disk.uuids().current;
        let served = self.state.pdsk == DiskState::UpToDate;
        if attach_refused(self.state, self.exposed_uuid, current)
            || !served && self.wrote_elsewhere()
        {
            self.abort_attach(link, now_ms);
            return Err(AttachError::OtherData);
        }
        let size = self.size_with(disk);
        let someone = self.state.role == Role::Primary || self.state.peer == Role::Primary;
        let in_use = someone && self.state.conn >= Conn::Connected;
        if size < self.capacity_sectors && in_use {
            self.abort_attach(link, now_ms);
            return Err(AttachError::WouldShrink);
        }
        let flags = disk.flags();
        let peer_flags = disk.peer_flags();
        let md = MdState {
            consistent: flags.contains(MdFlags::CONSISTENT),
            primary: flags.contains(MdFlags::PRIMARY_IND),
            connected: peer_flags.contains(PeerFlags::CONNECTED),
            was_up_to_date: flags.contains(MdFlags::WAS_UP_TO_DATE),
            peer_outdated: peer_flags.contains(PeerFlags::OUTDATED),
            crashed_primary: flags.contains(MdFlags::CRASHED_PRIMARY),
        };
        let facts = AttachFacts {
            full_sync: peer_flags.contains(PeerFlags::FULL_SYNC),
            al_disabled: flags.contains(MdFlags::AL_DISABLED),
            data_unchanged: crate::uuid::generation::same(self.exposed_uuid, current),
        };
        let found = attach(self.state, md, facts, &self.context);
        disk.crashed_primary = found.crashed_primary;
        disk.peer_may_have_current = disk.uuids().resync_began();
        self.degraded = found.degraded;
        self.context.negotiating = found.negotiating;
        if found.negotiating.is_some() {
            self.peer.uuids = None;
            self.end_exchange();
        }
        self.disk = offered.take();
        self.io_error_pending = false;
        self.force_detach = false;
        self.helpers.disk_error = false;
        self.detaching = false;
        self.set_capacity(size);
        if found.set_all_bits {
            self.start_bulk(true, super::md::Then::Nothing);
        }
        if found.negotiating.is_none() {
            self.exposed_uuid = current;
        }
        self.hard(link, now_ms, |state| {
            state.disk = found.disk;
            state.pdsk = found.pdsk;
        });
        if let Some(disk) = self.disk.as_mut() {
            // The magic on the disk says "in use" from here on.
            disk.touch();
        }
        self.todo(Todo::METADATA.with(Todo::NOTIFY).with(Todo::CAPACITY));
        Ok(())
    }

    /// The size that the volume will have with `disk`; the host calls [`Disk::resize`] with it
    /// before [`Volume::attach`], unlocked, since a large bitmap takes its time.
    pub fn size_with(&self, disk: &Disk<M>) -> u64 {
        let last_agreed = disk.superblock().effective_sectors;
        let size = agreed_size(
            Bounds {
                peer_max: self.peer.size_sectors,
                own_max: disk.facts.layout.usable_sectors,
                last_agreed,
                user: disk.facts.options.size_sectors,
            },
            self.state.conn,
            false,
        );
        // To grow, both have to agree on it.
        if self.state.conn >= Conn::Connected && self.capacity_sectors > 0 {
            size.min(self.capacity_sectors.max(last_agreed))
        } else {
            size
        }
    }

    /// Takes a new size of the volume; the bitmap has room for the largest possible.
    pub(super) fn set_capacity(&mut self, sectors: u64) {
        if let Some(disk) = self.disk.as_mut() {
            let _ = disk.resize(sectors);
        }
        if self.capacity_sectors != sectors {
            self.capacity_sectors = sectors;
            self.fit_unflushed();
            self.todo(Todo::CAPACITY.with(Todo::METADATA));
        }
    }

    /// The administrator detaches hard, or the disk failed beyond use.
    pub fn fail_disk(&mut self, link: &mut dyn Link, now_ms: u64) {
        if self.state.disk > DiskState::Failed {
            self.hard(link, now_ms, |state| state.disk = DiskState::Failed);
        }
    }

    /// What `local_done` left for task context: on-io-error, and the end of a detach.
    pub fn tend_disk(&mut self, link: &mut dyn Link, now_ms: u64) {
        if core::mem::take(&mut self.io_error_pending) && self.disk.is_some() {
            let detach = self.force_detach
                || self
                    .disk
                    .as_ref()
                    .is_some_and(|disk| disk.facts.options.on_io_error != OnIoError::PassOn);
            if detach {
                self.helpers.disk_error = true;
                self.fail_disk(link, now_ms);
            } else if self.state.disk > DiskState::Inconsistent {
                self.hard(link, now_ms, |state| state.disk = DiskState::Inconsistent);
            }
        }
        self.tend_frozen();
        if core::mem::take(&mut self.md_flags_due) {
            self.update_md_flags();
        }
        if self.exchange.start_due {
            self.queue_bitmap(link);
        }
        if core::mem::take(&mut self.al_retry) {
            self.retry_al_full();
        }
        if self.disk.as_ref().is_some_and(|disk| disk.failed) {
            self.give_up_al_waits();
        }
        self.release_uuid_hold(link);
        self.release_refused(link);
        self.tend_sizes(link, now_ms);
        self.tend_early_sync_uuid(link, now_ms);
        let told = !self.helpers.hold_disk();
        if self.detaching && told && self.drained() && self.metadata_rests() {
            self.detaching = false;
            self.give_up_al_waits();
            if self.state.disk == DiskState::Failed {
                self.hard(link, now_ms, |state| state.disk = DiskState::Diskless);
            }
        }
    }

    /// Whether everything that the metadata has to remember of a disk that goes is written, or
    /// never will be. Begins to write what is not.
    fn metadata_rests(&mut self) -> bool {
        let Some(disk) = self.disk.as_mut() else {
            return true;
        };
        if disk.al_phase != super::md::AlPhase::Idle {
            return false;
        }
        if disk.failed {
            return true;
        }
        if disk.resizing.is_some() {
            return false;
        }
        if disk.writeout.is_none() && disk.bitmap.next_page_to_write(0, false).is_some() {
            disk.writeout = Some(0);
            self.todo(Todo::METADATA);
            return false;
        }
        if disk.writeout.is_some() || disk.durable_version != disk.version {
            return false;
        }
        // One superblock more: its preflush makes durable what was written before and may be
        // acknowledged by a barrier when the disk is not here any more.
        if !core::mem::replace(&mut disk.sealed, true) {
            disk.touch();
            self.todo(Todo::METADATA);
            return false;
        }
        true
    }

    /// The sockets are connected and the dialect agreed on: packets of this volume may flow.
    pub fn connected(
        &mut self,
        dialect: Dialect,
        protocol: ReplicationProtocol,
        resolve_conflicts: bool,
    ) {
        self.peer.dialect = dialect;
        self.peer.protocol = protocol;
        self.peer.resolve_conflicts = resolve_conflicts;
        self.peer.linked = true;
        self.peer.ends = false;
        self.flush_lost = false;
        let _ = self.barrier_flush_begins();
        self.links = self.links.wrapping_add(1);
        self.peer.uuids = None;
        self.peer.finish_source_ping = None;
        self.peer.target_finished = false;
        self.peer.was_source = false;
        self.peer.start_source_ping = None;
        self.peer.early_sync_uuid = None;
        self.peer.checksums_stale = false;
        self.peer.told_in_sync = false;
        self.peer.told_ping = None;
        self.peer.stale_replies = 0;
        self.peer.sequence = 0;
        self.peer.sequence_sent = 0;
        self.peer.size_sectors = 0;
        self.peer.consider_resync = false;
        self.context.apv = dialect.version();
        self.forget_exchange();
        self.forget_sizes();
    }

    /// The protocol changed at run time.
    pub fn set_protocol(&mut self, protocol: ReplicationProtocol) {
        self.peer.protocol = protocol;
    }

    /// Options of the disk that can change while it is attached.
    pub fn set_disk_options(&mut self, options: super::DiskOptions) {
        if let Some(disk) = self.disk.as_mut() {
            disk.facts.options = options;
            self.todo(Todo::METADATA);
        }
    }

    /// Operations that the disk has not answered.
    pub fn on_disk(&self) -> u32 {
        self.counters.lower_pending
    }

    /// Options of connection and peer device.
    pub fn set_peer_options(&mut self, options: super::PeerOptions) {
        self.peer.options = options;
        self.context.verify_alg = !options.verify_alg.is_empty();
    }

    /// One-shot wishes of the next handshake.
    pub fn set_one_shot(&mut self, discard_my_data: bool, dry_run: bool) {
        self.peer.discard_my_data = discard_my_data;
        self.peer.dry_run = dry_run;
    }

    /// First half of losing the connection: its failure is a fact, nothing is sent any more, but
    /// what the peer sent is still on its way to the disk. The sender has stopped.
    pub fn disconnecting(&mut self, failure: Conn, link: &mut dyn Link, now_ms: u64) {
        self.peer.linked = false;
        if self.state.conn > Conn::WfConnection {
            self.set_conn(failure, link, now_ms);
        }
        for op in 0..self.ops.capacity() {
            let at = self.ops.at_mut(op);
            if !matches!(at.kind, OpKind::AppRead | OpKind::AppWrite | OpKind::Free) {
                at.set(flag::ORPHAN);
            }
            // It waits for an application's write, which waits for the peer: nobody needs it.
            if at.kind == OpKind::RsRead && at.any(flag::WAIT_RANGE) {
                at.clear(flag::WAIT_RANGE);
                self.release(op);
            }
        }
        self.helpers.drop_gate();
        self.cancel_resync_requests();
        self.drop_held_reads();
        self.cancel_verify();
        self.drop_untracked(link);
        self.drop_waiting_writes(link);
    }

    /// Second half: operations of the peer are done, the send queue is drained. Settles what was
    /// outstanding, at once or when the new data generation is durable.
    pub fn disconnected(&mut self, link: &mut dyn Link, now_ms: u64) {
        debug_assert!(!self.peer.linked);
        self.resync = Default::default();
        self.forget_exchange();
        self.forget_sizes();
        self.peer.uuids = None;
        self.peer.finish_source_ping = None;
        self.peer.target_finished = false;
        self.peer.was_source = false;
        self.peer.start_source_ping = None;
        self.peer.early_sync_uuid = None;
        self.peer.stale_replies = 0;
        self.pending_state = None;
        self.pending_sync_uuid = None;
        self.peer.comm_bm_decided = false;
        self.held_packets = Default::default();
        self.bitmap_hold = false;
        self.context.state_sent = false;
        if let Some(was) = self.context.negotiating.take() {
            // Without the peer the metadata is all there is to judge the disk by.
            if self.state.disk == DiskState::Negotiating {
                let disk = if was.data_unchanged {
                    was.disk
                } else {
                    DiskState::Diskless
                };
                self.hard(link, now_ms, |state| state.disk = disk);
            }
        }
        if self.is_frozen() {
            self.park_unanswered(link);
        } else {
            self.clean_log_soon(link);
        }
        self.write_bitmap();
        self.unpark();
        self.todo(Todo::METADATA.with(Todo::WAKE).with(Todo::NOTIFY));
    }

    /// Whether a new connection may begin: everything of the old one is settled.
    pub fn ready_to_connect(&self) -> bool {
        !self.clean_log
            && !self.peer_ops_in_flight()
            && !self.bulk_running()
            && !self.resizing()
            && self.state.disk != DiskState::Attaching
    }

    /// Holds application I/O back, or lets it go on. Host, for detach and resize.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        if !frozen {
            self.unpark();
        }
    }

    /// Whether this node was Primary without its peer when it went down.
    pub fn degraded(&self) -> bool {
        self.degraded
    }

    /// Role of this node.
    pub fn is_primary(&self) -> bool {
        self.state.role == Role::Primary
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rig, *};
    use crate::engine::mem::tests::Heap;

    /// A disk is attached that is smaller than the volume was.
    fn attach_smaller(role: Role) -> (Volume<Heap>, Result<(), AttachError>) {
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        let mut disk = volume.disk.take();
        volume.state.role = role;
        volume.state.disk = DiskState::Attaching;
        volume.state.pdsk = DiskState::Diskless;
        volume.capacity_sectors = 16 * 1024;
        volume.peer.size_sectors = 0;
        let attached = volume.attach(&mut disk, &mut rig::Peer::default(), 0);
        (volume, attached)
    }

    #[test]
    fn a_volume_shrinks_only_while_nobody_uses_it() {
        let (_, attached) = attach_smaller(Role::Primary);
        assert_eq!(attached, Err(AttachError::WouldShrink));
        let (volume, attached) = attach_smaller(Role::Secondary);
        assert_eq!(attached, Ok(()));
        assert_eq!(volume.capacity_sectors, 8 * 1024);
    }

    #[test]
    fn a_disk_is_given_back_when_nothing_is_written_to_it() {
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        let mut peer = rig::Peer::default();
        volume.update_md_flags();
        let mut block = [0; 4096];
        let io = volume.md_poll(&mut block, &mut peer, 0);
        assert!(matches!(
            io,
            Some(crate::engine::volume::MdIo::Write { .. })
        ));
        // As when the connection breaks while a disk is negotiated.
        volume.state.disk = DiskState::Diskless;
        assert!(volume.take_disk().is_none());
        let refused = volume.begin_attach(&mut peer, 0);
        assert_eq!(refused, Err(AttachError::State(Ss::InTransientState)));
        let _ = volume.take_todo();
        volume.md_done(crate::engine::volume::MdResult::Written, &mut peer, 0);
        assert!(volume.take_todo().has(Todo::DISK_GONE));
        assert!(volume.take_disk().is_some());
    }
}
