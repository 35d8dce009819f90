// SPDX-License-Identifier: GPL-2.0-or-later
//! What the two nodes tell each other about a volume, and what this one makes of it.
//!
//! P_SYNC_PARAM, P_SIZES, P_UUIDS and P_STATE in that order (wire-protocol section 5); the
//! decisions are pure functions of [`crate::uuid`] and [`crate::state`], carried out here.

use super::{md::Then, End, Todo, Volume};
use crate::{
    engine::{link::Link, mem::Mem},
    state::{Conn, Disk as DiskState, Kind, Role, State},
    uuid::{
        incoming::{
            exposes_after_wait, must_answer, on_state, on_uuids, Accepted, StateFacts,
            StateReaction, UuidsReaction,
        },
        AfterSplitBrain, Compared, Demotion, Fix, Handshake, Meeting, Outcome, PeerUuids,
        UuidFlags, Verdict,
    },
    wire::{
        command::Command, dialect::Features, packet::Packet, sizes::DdsFlags, sync_param::SyncParam,
    },
};

/// Why a packet of the handshake ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The peer's disk is too small for the data here.
    PeerTooSmall {
        /// Sectors the volume would have.
        sectors: u64,
    },
    /// Diskless and Primary, and the peer has other data.
    WrongData,
    /// The nodes do not come together; what the comparison of the UUIDs said.
    Handshake(Handshake),
    /// The resulting state is forbidden.
    State(crate::state::Ss),
    /// The connection is being closed anyway.
    Closing,
    /// A state word that means nothing.
    Malformed,
}

/// Packets that wait until the generation they tell of is durable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeldPackets {
    /// P_UUIDS, and whether it lets the peer skip the first resync.
    pub(super) uuids: Option<bool>,
    /// P_STATE.
    pub(super) state: bool,
    /// The end of a resync to this node, which P_STATE would tell of, is not durable.
    pub(super) finish: bool,
}

/// A disk that is being attached counts when it is negotiated: the peer then tells its UUIDs, which
/// it does for one that was Diskless only.
fn without_attaching(state: State) -> State {
    let disk = match state.disk {
        DiskState::Attaching => DiskState::Diskless,
        disk => disk,
    };
    State { disk, ..state }
}

/// A P_STATE that was accepted, while all bits are being set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    accepted: Accepted,
    told: State,
}

impl<M: Mem> Volume<M> {
    /// Sends the packets that open the replication of this volume. The connection was agreed on.
    pub fn send_handshake(&mut self, link: &mut dyn Link) {
        self.send_sync_param(link);
        self.send_sizes(false, DdsFlags::NONE, link);
        self.send_uuids(false, link);
        self.send_state(link);
    }

    /// Sends P_SYNC_PARAM: the options were changed.
    pub fn send_sync_param(&mut self, link: &mut dyn Link) {
        let options = &self.peer.options;
        let param = SyncParam {
            resync_rate: options.resync_rate_kib,
            c_plan_ahead: options.c_plan_ahead_ds,
            c_delay_target: options.c_delay_target_ds,
            c_fill_target: options.c_fill_target_sectors,
            c_max_rate: options.c_max_rate_kib,
            verify_alg: options.verify_alg,
            csums_alg: options.csums_alg,
        };
        let _ = link.control(self.number, Packet::SyncParam(param));
    }

    /// Sends P_UUIDS; a node without disk has nothing to tell.
    pub(super) fn send_uuids(&mut self, skip_initial_sync: bool, link: &mut dyn Link) {
        if self.state.disk < DiskState::Negotiating {
            return;
        }
        // A name that a crash would take back must not be known to others.
        if self.uuid_hold.is_some() {
            self.held_packets.uuids = Some(skip_initial_sync);
            return;
        }
        let Some(disk) = self.disk.as_ref() else {
            return;
        };
        // Not of an Outdated disk: a peer that takes it for worse than it is would begin a resync
        // that this node knows nothing of.
        let negotiating = self.context.negotiating;
        let worth = negotiating.map_or(self.state.disk, |remembered| remembered.disk);
        let inconsistent = worth == DiskState::Inconsistent;
        let bits = if core::mem::take(&mut self.peer.comm_bm_decided) {
            self.peer.comm_bm_set
        } else {
            disk.out_of_sync_bits()
        };
        let mut flags = 0u64;
        for (on, flag) in [
            (self.peer.discard_my_data, UuidFlags::DISCARD_MY_DATA),
            (disk.crashed_primary, UuidFlags::CRASHED_PRIMARY),
            (inconsistent, UuidFlags::INCONSISTENT),
            (skip_initial_sync, UuidFlags::SKIP_INITIAL_SYNC),
        ] {
            if on {
                flags |= flag.0;
            }
        }
        let told = PeerUuids {
            uuids: disk.uuids(),
            dirty_bits: bits,
            flags: UuidFlags(flags),
        };
        self.peer.comm_bm_set = bits;
        let _ = link.control(self.number, Packet::Uuids(told));
    }

    /// Sends P_STATE.
    pub(super) fn send_state(&mut self, link: &mut dyn Link) {
        // It depends on what was held back before it.
        let uuids = self.held_packets.uuids.is_some() || self.pending_sync_uuid.is_some();
        let held = uuids || self.held_packets.finish;
        if self.uuid_hold.is_some() && held {
            self.held_packets.state = true;
            return;
        }
        let told = without_attaching(self.state);
        let _ = link.control(self.number, Packet::State(told));
    }

    /// P_SYNC_PARAM89: the peer's resync settings become ours (wire-protocol section 5.5), the
    /// digests only when they are told after the handshake: `Err` if they differ then.
    pub fn sync_param_received(&mut self, param: &SyncParam) -> Result<(), End> {
        let options = &self.peer.options;
        let refuse = |why| {
            let conn = Conn::Disconnecting;
            Err(End { conn, why })
        };
        if self.state.conn <= Conn::WfReportParams {
            if self.peer.dialect.has_verify() && param.verify_alg != options.verify_alg {
                return refuse("the peer has another verify-alg: make the net options equal");
            }
            let tells_csums = self.peer.dialect.may_send(Command::CsumRsRequest);
            if tells_csums && param.csums_alg != options.csums_alg {
                return refuse("the peer has another csums-alg: make the net options equal");
            }
        }
        self.context.verify_alg = !param.verify_alg.is_empty();
        let options = &mut self.peer.options;
        options.verify_alg = param.verify_alg;
        options.csums_alg = param.csums_alg;
        if self.disk.is_some() {
            options.resync_rate_kib = param.resync_rate.max(1);
            options.c_plan_ahead_ds = param.c_plan_ahead;
            options.c_delay_target_ds = param.c_delay_target;
            options.c_fill_target_sectors = param.c_fill_target;
            options.c_max_rate_kib = param.c_max_rate;
        }
        Ok(())
    }

    /// P_UUIDS (replication-semantics section 3.1).
    pub fn uuids_received(
        &mut self,
        told: PeerUuids,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        self.peer.uuids = Some(told);
        let own = self
            .disk
            .as_ref()
            .filter(|_| self.has_disk())
            .map(|disk| disk.uuids());
        let apv = self.context.apv;
        let known = self.exposed_uuid;
        self.hear_generation(&told);
        match on_uuids(self.state, apv, own.as_ref(), self.exposed_uuid, &told) {
            UuidsReaction::WrongData { .. } => return Err(Refusal::WrongData),
            UuidsReaction::Accept {
                skip_initial_sync,
                expose,
            } => {
                if let Some(uuid) = expose {
                    self.exposed_uuid = uuid;
                }
                if skip_initial_sync {
                    self.adopt_skipped_sync(told, link, now_ms);
                }
            }
        }
        if exposes_after_wait(self.state) {
            self.exposed_uuid = told.uuids.current;
        }
        self.name_generation(known);
        Ok(())
    }

    fn adopt_skipped_sync(&mut self, told: PeerUuids, link: &mut dyn Link, now_ms: u64) {
        let primary = self.state.role == Role::Primary;
        if let Some(disk) = self.disk.as_mut() {
            let mut uuids = disk.uuids();
            uuids.adopt_skipped_sync(told.uuids.current, primary);
            disk.set_uuids(uuids);
        }
        self.start_bulk(false, Then::Nothing);
        self.hard(link, now_ms, |state| {
            state.disk = DiskState::UpToDate;
            state.pdsk = DiskState::UpToDate;
        });
    }

    /// Of a state that says that a resync or verify is over there, and of which nothing else counts yet. No further one
    /// comes for that. (The stock driver leaves these out as well, and the next resync stays paused.)
    fn note_role_and_pause(&mut self, told: State, link: &mut dyn Link, now_ms: u64) {
        self.hard(link, now_ms, |state| {
            state.peer = told.role;
            state.peer_isp = told.aftr_isp || told.user_isp;
        });
    }

    /// P_STATE (replication-semantics section 3.2).
    pub fn state_received(
        &mut self,
        told: State,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let told = without_attaching(told);
        self.note_failed_resync(told, link, now_ms);
        self.note_target_went_ahead(told, link, now_ms);
        self.note_peer_waits(told, link, now_ms);
        self.count_changes(told);
        let mut demotion = Demotion::NotTried;
        // One round more for each of: a demotion, an aborted attach.
        for _ in 0..3 {
            match self.judge_state(told, demotion) {
                StateReaction::ConnectionGone => return Err(Refusal::Closing),
                StateReaction::ResyncFinished { finish } => {
                    self.note_role_and_pause(told, link, now_ms);
                    self.peer.target_finished |= finish || self.resync.target_seen;
                    // Or it says so from before it heard of the resync.
                    if let Some(disk) = self.disk.as_mut() {
                        disk.peer_may_have_current = true;
                    }
                    self.finish_source_when_clean(link);
                    return Ok(());
                }
                StateReaction::VerifyFinished => {
                    self.note_role_and_pause(told, link, now_ms);
                    self.finish_verify_target(link, now_ms);
                    return Ok(());
                }
                StateReaction::Stale => {
                    self.note_role_and_pause(told, link, now_ms);
                    return Ok(());
                }
                StateReaction::TryDemote(met) => {
                    self.note_handshake(&met);
                    let wanted = State {
                        role: Role::Secondary,
                        ..self.state
                    };
                    // It belongs to the handshake, which keeps other changes out.
                    let sent = core::mem::take(&mut self.context.state_sent);
                    demotion = match self.change(wanted, Kind::Soft, link, now_ms) {
                        Ok(_) => Demotion::Succeeded,
                        Err(_) => Demotion::Failed,
                    };
                    self.context.state_sent = sent;
                }
                StateReaction::AbortAttach(met) => {
                    self.note_handshake(&met);
                    self.hard(link, now_ms, |state| state.disk = DiskState::Failed);
                }
                // The host ends the connection with what is returned, after the peer got to see
                // what it needs to come to the same conclusion.
                StateReaction::Refuse { handshake, .. } => {
                    self.note_handshake(&handshake);
                    return Err(Refusal::Handshake(handshake));
                }
                StateReaction::PeerRebooted(met) => {
                    if let Some(met) = met {
                        self.note_handshake(&met);
                    }
                    self.clean_log_now(link);
                    self.new_current_uuid();
                    self.end_connection(Conn::ProtocolError);
                    return Err(Refusal::Closing);
                }
                StateReaction::Apply(accepted) => {
                    return self.accept_state(accepted, told, link, now_ms)
                }
            }
        }
        Err(Refusal::Malformed)
    }

    /// The peer attaches a disk that this node is about to judge, and will judge by what it is told then: the count of
    /// changes has to be the same, however many are written meanwhile. (In the stock driver it is not.)
    fn count_changes(&mut self, told: State) {
        let Some(disk) = &self.disk else { return };
        if self.conn() == Conn::Connected && told.disk == DiskState::Negotiating {
            self.peer.comm_bm_set = disk.out_of_sync_bits();
            self.peer.comm_bm_decided = true;
        }
    }

    fn judge_state(&self, told: State, demotion: Demotion) -> StateReaction {
        let facts = StateFacts {
            peer_uuids: self.peer.uuids,
            consider_resync: self.peer.consider_resync,
            dirty_bits: self.disk.as_ref().map_or(0, |disk| disk.out_of_sync_bits()),
            resync_failed: self.resync.failed_bits,
            new_uuid_deferred: self.new_uuid_deferred,
            remembered_disk: self.context.negotiating.map(|was| was.disk),
        };
        on_state(self.state, told, &facts, |peer| {
            self.meeting(peer, demotion)
        })
    }

    fn meeting(&self, peer: &PeerUuids, demotion: Demotion) -> Option<Meeting> {
        let disk = self.disk.as_ref()?;
        let options = &self.peer.options;
        let [none, one, two] = options.after_sb;
        Some(Meeting {
            compared: Compared {
                own: disk.uuids(),
                peer: *peer,
                // The policies decide by what the two were when they met, or the peer, which does not
                // know of the demotion, would decide by another one.
                role: match demotion {
                    Demotion::Succeeded => Role::Primary,
                    Demotion::NotTried | Demotion::Failed => self.state.role,
                },
                peer_role: self.state.peer,
                crashed_primary: disk.crashed_primary,
                resolve_conflicts: self.peer.resolve_conflicts,
                apv: self.context.apv,
                feature_wsame: self.peer.dialect.features().contains(Features::WSAME),
            },
            disk: self.state.disk,
            remembered_disk: self
                .context
                .negotiating
                .map_or(self.state.disk, |was| was.disk),
            peer_disk: self.state.pdsk,
            changes: self.peer.comm_bm_set,
            discard_my_data: self.peer.discard_my_data,
            dry_run: self.peer.dry_run,
            always_asbp: options.always_asbp,
            after_split_brain: AfterSplitBrain { none, one, two },
            rr_conflict: options.rr_conflict,
            demotion,
        })
    }

    /// Carries out the corrections that the comparison found necessary.
    fn note_handshake(&mut self, met: &Handshake) {
        let fix = met.comparison.fix;
        self.last_handshake = Some(*met);
        self.want_handshake_helpers(met);
        if let (Some(disk), Some(peer)) = (self.disk.as_mut(), self.peer.uuids.as_mut()) {
            let mut own = disk.uuids();
            fix.apply(&mut own, &mut peer.uuids);
            disk.set_uuids(own);
            self.todo(Todo::METADATA);
        }
        if fix == Fix::FinishOwn && met.comparison.verdict == Verdict::BitmapSource {
            // Nothing but the bitmap UUID told this data, which may have gone on since, from that of the target. Until the
            // resync runs an interruption would leave two equal generations. (In the stock driver it does; and a peer whose
            // disk is being attached hears the UUIDs only now, and finds them equal.)
            self.new_current_uuid();
        }
    }

    fn accept_state(
        &mut self,
        accepted: Accepted,
        told: State,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if let Some(met) = &accepted.handshake {
            self.note_handshake(met);
            if let Outcome::Go(sync) = met.outcome {
                if sync.is_full() {
                    self.pending_state = Some(Pending { accepted, told });
                    self.start_bulk(true, Then::Handshake(sync.conn()));
                    return Ok(());
                }
            }
        }
        self.apply_told(accepted, told, link, now_ms)
    }

    /// All bits are set and written: the handshake goes on.
    pub(super) fn handshake_continues(&mut self, conn: Conn, link: &mut dyn Link, now_ms: u64) {
        let Some(pending) = self.pending_state.take() else {
            return;
        };
        let connected = self.state.conn >= Conn::WfReportParams;
        debug_assert!(pending.accepted.wanted.conn == conn);
        if !connected {
            return; // the connection was lost meanwhile
        }
        if self
            .apply_told(pending.accepted, pending.told, link, now_ms)
            .is_err()
        {
            self.end_connection(Conn::Disconnecting);
        }
    }

    fn apply_told(
        &mut self,
        accepted: Accepted,
        told: State,
        link: &mut dyn Link,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let before = self.state;
        // A P_STATE from before the peer knew of this disk: its UUIDs are still to come.
        let unjudged = before.disk == DiskState::Negotiating
            && self.peer.uuids.is_none()
            && told.disk >= DiskState::Negotiating;
        // Only what the peer told and the handshake decided; the rest may have changed meanwhile.
        let wanted = State {
            conn: accepted.wanted.conn,
            disk: if before.disk == DiskState::Negotiating && !unjudged {
                accepted.wanted.disk
            } else {
                before.disk
            },
            peer: accepted.wanted.peer,
            pdsk: accepted.wanted.pdsk,
            peer_isp: accepted.wanted.peer_isp,
            ..before
        };
        self.peer.consider_resync = false;
        if let Err(code) = self.change(wanted, accepted.kind, link, now_ms) {
            return Err(Refusal::State(code));
        }
        if self.state.disk != DiskState::Negotiating {
            self.context.negotiating = None;
        }
        // A peer whose disk does not fit here has to see for itself, or it waits for ever.
        if accepted.peer_attach_aborted || must_answer(before, self.state, told) {
            self.send_uuids(false, link);
            self.send_state(link);
        }
        self.peer.discard_my_data = false;
        self.todo(Todo::METADATA);
        Ok(())
    }

    /// Takes the outcome of the last comparison of UUIDs, for the log.
    pub fn take_handshake(&mut self) -> Option<Handshake> {
        self.last_handshake.take()
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
