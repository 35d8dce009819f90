// SPDX-License-Identifier: GPL-2.0-or-later
//! Changing the state of a volume, and what follows from a change.
//!
//! The rules are in [`crate::state`]; this carries their actions out. Everything that goes to the
//! peer is queued at once, in order, with the volume locked, so it is ordered with the data
//! packets around it. What has to be durable first holds application I/O meanwhile.

use super::{md::Then, ConnectionRequest, End, Todo, Volume};
use crate::{
    engine::{link::Link, mem::Mem},
    meta::{MdFlags, PeerFlags},
    state::{
        action::{Action, Helper, Side, Thaw},
        after::{after_change, immediate, Facts},
        apply, invalidates,
        md_flags::MdState,
        Actions, Change, Conn, Disk as DiskState, Kind, Role, Ss, State,
    },
};

pub use crate::state::Context;

impl<M: Mem> Volume<M> {
    /// Facts about the surroundings, which the host keeps current.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Takes a change that is a fact, or judges one that is wished for.
    pub fn change(
        &mut self,
        wanted: State,
        kind: Kind,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<Ss, Ss> {
        let change = apply(self.state, wanted, kind, &self.judgement())?;
        self.commit(change, link, now_ms);
        Ok(change.result())
    }

    /// Applies a fact.
    pub(super) fn hard(&mut self, link: &mut dyn Link, now_ms: u64, edit: impl FnOnce(&mut State)) {
        let mut wanted = self.state;
        edit(&mut wanted);
        let _ = self.change(wanted, Kind::Hard, link, now_ms);
    }

    /// Connection state `conn` is a fact. Host.
    pub fn set_conn(&mut self, conn: Conn, link: &mut dyn Link, now_ms: u64) {
        self.hard(link, now_ms, |state| state.conn = conn);
    }

    pub(super) fn facts(&self) -> Facts {
        let disk = self.disk.as_ref();
        let bitmap_uuid = disk.map_or(0, |disk| disk.uuids().bitmap);
        Facts {
            apv: self.context.apv,
            bitmap_uuid_clear: bitmap_uuid == 0,
            force_detach: self.force_detach,
            call_io_error_helper: self.calls_io_error_helper(),
            new_uuid_deferred: self.new_uuid_deferred,
            peer_may_have_current: disk.is_some_and(|disk| disk.peer_may_have_current),
            everything_sent: self.everything_sent(),
            target_finished: self.peer.target_finished,
            others_in_handshake: self.others_in_handshake,
            grew_before_negotiation: self.sizing.grew_before_negotiation,
            ..Facts::of(self.state)
        }
    }

    pub(super) fn commit(&mut self, change: Change, link: &mut dyn Link, now_ms: u64) {
        if change.old == change.new {
            return;
        }
        self.state = change.new;
        self.context.invalidated = invalidates(self.context.invalidated, change.new.conn);
        self.follow_peer_data(change.old, now_ms);
        let exchanging = |conn: Conn| matches!(conn, Conn::WfBitMapS | Conn::WfBitMapT);
        if exchanging(change.old.conn) && !exchanging(change.new.conn) {
            self.bitmap_hold = false;
            self.end_exchange();
        }
        if change.new.conn == Conn::WfBitMapT && change.old.conn != Conn::WfBitMapT {
            if let Some(disk) = self.disk.as_mut() {
                disk.bits_complete = false;
            }
            self.become_bitmap_target(link);
        }
        let at_once = immediate(&change, &self.facts());
        self.carry_out(&at_once, link, now_ms);
        if at_once.contains(Action::VerifyEnds) {
            self.verify_ends(change.old);
        }
        let later = after_change(&change, &self.facts());
        self.carry_out(&later, link, now_ms);
        if self.takes_up_alone(change.old) {
            self.new_current_uuid();
        }
        self.follow_freeze(&change, link, now_ms);
        if change.old.role != change.new.role {
            // Who could ask has closed the device.
            self.flush_fails = false;
            self.todo(Todo::ROLE);
        }
        self.todo(Todo::NOTIFY.with(Todo::WAKE));
        self.admin_look_again(link, now_ms);
        self.unpark();
        self.sizing_look_again();
    }

    /// Whether a Primary, this node or a peer without disk, begins to work with this disk alone.
    /// The other data may have gone on without it, and will not have what is written from here on,
    /// so this must not pass for the same generation.
    fn takes_up_alone(&self, old: State) -> bool {
        let now = self.state;
        let attached = old.disk < DiskState::Inconsistent && now.disk == DiskState::UpToDate;
        let alone = now.conn < Conn::Connected || now.pdsk <= DiskState::Failed;
        let one_generation = self
            .disk
            .as_ref()
            .is_some_and(|disk| disk.needs_generation());
        let serves = now.conn >= Conn::Connected && now.peer == Role::Primary;
        (now.role == Role::Primary || serves) && attached && alone && one_generation
    }

    pub(super) fn carry_out(&mut self, actions: &Actions, link: &mut dyn Link, now_ms: u64) {
        for action in actions.iter() {
            self.act(action, link, now_ms);
        }
    }

    fn act(&mut self, action: Action, link: &mut dyn Link, now_ms: u64) {
        match action {
            Action::NewEpoch => link.new_epoch(),
            Action::ClearStateSent => {
                self.context.state_sent = false;
                self.todo(Todo::CONNECTION.with(Todo::WAKE));
            }
            // The host drives the connection and knows these already.
            Action::StartReceiver | Action::StopReceiver | Action::RestartReceiver => {}
            Action::ResumeActivityLog => {
                if let Some(disk) = self.disk.as_mut() {
                    disk.al.resume();
                }
            }
            Action::ExposeCurrentUuid => self.expose_current(),
            Action::ConsiderResync => self.peer.consider_resync = true,
            Action::VerifyBegins => self.verify_begins(now_ms),
            // It has to know the state it left: see `commit`.
            Action::VerifyEnds => {}
            Action::ResyncPauses | Action::ResyncContinues => self.todo(Todo::RESYNC),
            Action::UpdateMetadata => self.update_md_flags(),
            Action::ClearCrashedPrimary => {
                if let Some(disk) = self.disk.as_mut() {
                    disk.crashed_primary = false;
                }
                if let Some(peer) = self.peer.uuids.as_mut() {
                    peer.flags = peer.flags.without(crate::uuid::UuidFlags::CRASHED_PRIMARY);
                }
                self.update_md_flags();
            }
            Action::Notify => self.todo(Todo::NOTIFY),
            Action::RunHelper(helper) => self.want_helper(helper),
            Action::Thaw { thaw, fencing } => self.thaw(thaw, fencing, link, now_ms),
            Action::SendSyncUuid => self.send_sync_uuid(),
            Action::ResetResync => self.cancel_resync_requests(),
            Action::SendSizes => {
                self.send_sizes(false, crate::wire::sizes::DdsFlags::NONE, link);
            }
            Action::SendUuids => self.send_uuids(false, link),
            Action::SendState => self.send_state(link),
            Action::SendBitmap => self.begin_bitmap_send(link),
            Action::FinishSourceUuids => {
                if let Some(disk) = self.disk.as_mut() {
                    let mut uuids = disk.uuids();
                    uuids.finish_as_source();
                    disk.set_uuids(uuids);
                }
            }
            Action::NewCurrentUuid => self.new_current_uuid(),
            Action::DeferNewCurrentUuid => {
                let one_generation = self.facts().needs_generation();
                // suspend-io alone lets end what has begun.
                if one_generation && !self.is_frozen() {
                    self.new_current_uuid();
                }
                self.new_uuid_deferred |= one_generation && self.is_frozen();
            }
            Action::WriteBitmap(_) => self.write_bitmap(),
            Action::StartFullSync(side) => self.start_bulk(true, Then::Resync(side)),
            Action::AbortLocalRequests => {}
            Action::CancelResyncExtents => self.cancel_resync_requests(),
            Action::SyncMetadata => self.todo(Todo::METADATA),
            Action::ReleaseFailedDisk => {
                self.detaching = true;
                self.write_bitmap();
                self.todo(Todo::READY);
            }
            Action::CloseDisk => self.todo(Todo::DISK_GONE),
            Action::ResyncAfterGrow => self.resync_growth(link, now_ms),
            Action::PauseDependents | Action::ResumeDependents => self.todo(Todo::DEPENDENTS),
            Action::ForgetPeer => {
                self.peer.discard_my_data = false;
                self.peer.dry_run = false;
            }
        }
    }

    pub(super) fn expose_current(&mut self) {
        if let Some(disk) = self.disk.as_ref() {
            self.exposed_uuid = disk.uuids().current;
        }
    }

    /// Writes the flags that follow from the state (metadata.md section 8).
    pub(super) fn update_md_flags(&mut self) {
        let state = self.state;
        let Some(disk) = self.disk.as_mut() else {
            return;
        };
        let mut md = MdState::of(state, disk.crashed_primary);
        disk.lacks_write &= state.disk > DiskState::Inconsistent;
        let is_bad = disk.lacks_write || self.context.invalidated;
        md.consistent &= !is_bad;
        md.was_up_to_date &= !is_bad;
        // What a former Primary wrote and the peer did not confirm is known to the activity log
        // only, and so is what a Primary wrote while it had no disk.
        md.primary |= self.launched_writes > 0 || self.only_copies > 0;
        let mut flags = disk.flags().without(MdFlags::AL_CLEAN);
        let mut peer = disk.peer_flags();
        for (on, flag) in [
            (md.consistent, MdFlags::CONSISTENT),
            (md.primary, MdFlags::PRIMARY_IND),
            (md.was_up_to_date, MdFlags::WAS_UP_TO_DATE),
            (md.crashed_primary, MdFlags::CRASHED_PRIMARY),
        ] {
            flags = if on {
                flags.with(flag)
            } else {
                flags.without(flag)
            };
        }
        for (on, flag) in [
            (md.connected, PeerFlags::CONNECTED),
            (md.peer_outdated, PeerFlags::OUTDATED),
        ] {
            peer = if on {
                peer.with(flag)
            } else {
                peer.without(flag)
            };
        }
        disk.set_flags(flags, peer);
        self.todo(Todo::METADATA);
    }

    /// Begins a new data generation. Nothing is written or completed before it is durable: a
    /// crash would otherwise hide that this node's data went on without the peer.
    pub(super) fn new_current_uuid(&mut self) {
        let random = self.random();
        let primary = self.state.role == Role::Primary;
        let Some(disk) = self.disk.as_mut() else {
            return;
        };
        let mut uuids = disk.uuids();
        uuids.new_current(random, primary);
        disk.set_uuids(uuids);
        disk.peer_may_have_current = false;
        self.uuid_hold = Some(disk.version);
        // Whatever state the connection is in: a peer must not go on with a name that is gone.
        if self.peer.linked {
            let _ = self.held_packets.uuids.get_or_insert(false);
        }
        self.new_uuid_deferred = false;
        self.unconfirmed = false;
        self.expose_current();
        self.todo(Todo::METADATA);
    }

    /// A resync from here begins: its UUID goes out when it is durable, and mirrored writes after it.
    fn send_sync_uuid(&mut self) {
        let random = self.random();
        let Some(disk) = self.disk.as_mut() else {
            return;
        };
        let mut uuids = disk.uuids();
        // Of one generation until now, it has that until it has the sync UUID.
        disk.peer_may_have_current = uuids.bitmap == 0;
        let sync = uuids.start_as_source(random);
        disk.set_uuids(uuids);
        self.uuid_hold = Some(disk.version);
        self.pending_sync_uuid = Some(sync);
        self.todo(Todo::METADATA);
    }

    fn thaw(&mut self, thaw: Thaw, fencing: bool, link: &mut dyn Link, now_ms: u64) {
        self.hard(link, now_ms, |state| {
            if fencing {
                state.susp_fen = false;
            } else {
                state.susp_nod = false;
            }
        });
        match thaw {
            Thaw::CleanTransferLog => self.clean_log_soon(link),
            // The peer has what was written before.
            Thaw::Resend if fencing => {
                self.new_uuid_deferred = false;
                self.unconfirmed = false;
            }
            Thaw::Resend | Thaw::RestartDiskIo => {}
        }
    }

    /// A 64-bit random number (splitmix64 from the host's seed): UUIDs need to be unlike any other.
    pub(super) fn random(&mut self) -> u64 {
        self.entropy = self.entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.entropy;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Not one of the reserved values 0 and 4, and without the Primary marker.
        (z ^ (z >> 31)) & !1 | 0x8000_0000_0000_0000
    }

    /// Mixes fresh entropy in. Host, at creation and at connect.
    pub fn add_entropy(&mut self, random: u64) {
        self.entropy ^= random;
    }

    /// The connection has to end in `conn`.
    pub(super) fn end_connection(&mut self, conn: Conn) {
        self.connection_request = Some(ConnectionRequest::End(conn));
        self.peer.ends = true;
        self.todo(Todo::CONNECTION);
    }

    /// What the volume wants of its connection.
    pub fn take_connection_request(&mut self) -> Option<ConnectionRequest> {
        self.connection_request.take()
    }

    /// A bulk change of the bitmap is complete.
    pub(super) fn bulk_done(&mut self, then: Then, link: &mut dyn Link, now_ms: u64) {
        match then {
            Then::Nothing => {}
            Then::Handshake(conn) => self.handshake_continues(conn, link, now_ms),
            Then::SkipInitialSync => self.skip_initial_sync(link, now_ms),
            // The connection may be gone.
            Then::Resync(Side::Source) if self.state.conn != Conn::StartingSyncS => {}
            Then::Resync(Side::Target) if self.state.conn != Conn::StartingSyncT => {}
            Then::Resync(Side::Source) => self.start_resync(Side::Source, link, now_ms),
            Then::Resync(Side::Target) => {
                self.hard(link, now_ms, |state| state.conn = Conn::WfSyncUuid);
            }
        }
    }

    /// Begins a resync whose bits are known to both.
    pub(super) fn start_resync(&mut self, side: Side, link: &mut dyn Link, now_ms: u64) {
        if self.resync_waits_for_helper(side) {
            return;
        }
        if side == Side::Source && self.source_waits(link) {
            return;
        }
        self.helpers.drop_gate();
        let bits = self.dirty_bits();
        self.resync
            .begin(bits, self.peer.options.c_fill_target_sectors, now_ms);
        self.resync.unacked_sectors = self.queued_answers_sectors();
        self.resync.of_growth = side == Side::Source && self.conn() == Conn::Connected;
        self.peer.finish_source_ping = None;
        self.peer.target_finished = false;
        if side == Side::Target {
            self.resync.checksums = self.wants_checksums();
            if let Some(disk) = self.disk.as_mut() {
                disk.bits_complete = true;
            }
            self.write_bitmap();
        }
        let (conn, disk, pdsk) = match side {
            Side::Source => (Conn::SyncSource, self.state.disk, DiskState::Inconsistent),
            Side::Target => (Conn::SyncTarget, DiskState::Inconsistent, self.state.pdsk),
        };
        self.hard(link, now_ms, |state| {
            state.conn = conn;
            state.disk = disk;
            state.pdsk = pdsk;
        });
        self.todo(Todo::RESYNC.with(Todo::DEPENDENTS));
    }

    /// resync-after: whether a resync here has to wait for that of another minor. Tells whether
    /// that is new. Host, task context.
    pub fn hold_resync(&mut self, held: bool, link: &mut dyn Link, now_ms: u64) -> bool {
        let before = self.state.aftr_isp;
        if before != held {
            self.hard(link, now_ms, |state| state.aftr_isp = held);
        }
        self.state.aftr_isp != before
    }

    /// P_SYNC_UUID: the source begins. `Err` ends the connection.
    pub fn sync_uuid_received(
        &mut self,
        uuid: u64,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), End> {
        self.note_bitmap_answered(link, now_ms);
        if self.state.disk < DiskState::Inconsistent {
            return Ok(()); // The peer has not heard yet that the disk is lost.
        }
        if self.is_early_to_sync() {
            self.peer.early_sync_uuid = Some(uuid);
            return Ok(());
        }
        let misplaced = self.out_of_step("P_SYNC_UUID out of place");
        if !matches!(self.state.conn, Conn::WfSyncUuid | Conn::Behind) {
            return Err(misplaced);
        }
        let primary = self.state.role == Role::Primary;
        let disk = self.disk.as_mut().ok_or(misplaced)?;
        let mut uuids = disk.uuids();
        uuids.start_as_target(uuid, primary);
        disk.set_uuids(uuids);
        // Told to the source in a next connection and then lost with the power, it would cost the
        // source an entry of its history for each start, until what this node was is unknown.
        self.uuid_hold = Some(disk.version);
        self.expose_current();
        self.todo(Todo::METADATA);
        self.start_resync(Side::Target, link, now_ms);
        Ok(())
    }

    /// Whether the peer may begin a resync that this node agrees to only now: its answer to what was asked comes by the
    /// other socket, and a size that was put off is still to be followed.
    fn is_early_to_sync(&self) -> bool {
        let follows = self.sizes_due() && self.conn() == Conn::Connected;
        let starts = self.conn() == Conn::StartingSyncT;
        let ready = matches!(self.conn(), Conn::WfSyncUuid | Conn::Behind);
        !ready && (self.admin.is_asking() || self.receiver_waits() || follows || starts)
    }

    /// Takes P_SYNC_UUID that was early, once it is not any more. Task context.
    pub(super) fn tend_early_sync_uuid(&mut self, link: &mut dyn Link, now_ms: u64) {
        let Some(uuid) = self.peer.early_sync_uuid.take() else {
            return;
        };
        match self.sync_uuid_received(uuid, link, now_ms) {
            Ok(()) if self.peer.early_sync_uuid.is_some() => {}
            Ok(()) => self.todo(Todo::WAKE),
            Err(end) => self.end_connection(end.conn),
        }
    }

    /// The last block is in sync, as the target (replication-semantics section 7.4).
    pub(super) fn finish_resync_target(&mut self, link: &mut dyn Link, now_ms: u64) {
        let clean = self.resync.failed_bits == 0;
        let primary = self.state.role == Role::Primary;
        if clean {
            let own = match (self.disk.as_mut(), self.peer.uuids) {
                (Some(disk), Some(peer)) => {
                    let mut uuids = disk.uuids();
                    uuids.finish_as_target(&peer.uuids, primary);
                    disk.set_uuids(uuids);
                    Some(uuids)
                }
                (Some(_) | None, _) => None,
            };
            if let (Some(own), Some(peer)) = (own, self.peer.uuids.as_mut()) {
                peer.uuids = own;
            }
            self.expose_current();
            // A source that lost its disk goes on with this one alone: it must not be Inconsistent after a crash.
            self.uuid_hold = self.uuid_hold.or(Some(0));
            self.held_packets.finish = true;
        }
        self.finish_resync(clean, link, now_ms);
        if clean {
            self.update_md_flags();
            self.uuid_hold = self.disk.as_ref().map(|disk| disk.version);
            self.todo(Todo::METADATA);
        }
    }

    /// The target says it is finished, and nothing is on its way any more, as the source.
    pub(super) fn finish_resync_source(&mut self, link: &mut dyn Link, now_ms: u64) {
        let clean = self.resync.failed_bits == 0 && self.nothing_left();
        if clean {
            self.finish_source_uuids();
        }
        self.finish_resync(clean, link, now_ms);
    }

    pub(super) fn finish_source_uuids(&mut self) {
        if let Some(disk) = self.disk.as_mut() {
            let mut uuids = disk.uuids();
            uuids.finish_as_source();
            disk.set_uuids(uuids);
            if let Some(peer) = self.peer.uuids.as_mut() {
                peer.uuids = uuids;
            }
        }
    }

    pub(super) fn finish_resync(&mut self, clean: bool, link: &mut dyn Link, now_ms: u64) {
        let target = matches!(self.state.conn, Conn::SyncTarget | Conn::PausedSyncT);
        if target {
            self.want_helper(Helper::AfterResyncTarget);
        }
        self.resync.total_bits = 0;
        self.resync.finish_ping = None;
        self.peer.target_finished = false;
        self.hard(link, now_ms, |state| {
            state.conn = Conn::Connected;
            (state.disk, state.pdsk) = match (clean, target) {
                (true, _) => (DiskState::UpToDate, DiskState::UpToDate),
                (false, true) => (DiskState::Inconsistent, DiskState::UpToDate),
                (false, false) => (DiskState::UpToDate, DiskState::Inconsistent),
            };
        });
        self.resync.failed_bits = 0;
        if clean && !target {
            self.note_source_finished();
        }
    }
}
