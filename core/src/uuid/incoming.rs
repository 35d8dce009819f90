// SPDX-License-Identifier: GPL-2.0-or-later
//! What a node makes of the peer's P_UUIDS and P_STATE.
//!
//! Pure decisions of replication-semantics.md section 3; the engine carries them out in the order stated at each
//! reaction. A P_STATE is judged against the state at that moment: if the engine had to let go of it in between (a
//! demotion, a bitmap to write), it asks again.

use super::generation::{same, GenUuids, PeerUuids, UuidFlags, JUST_CREATED};
use super::handshake::{handshake, Handshake, Meeting, Outcome, Refusal, Sync};
use super::policy::Demotion;
use crate::state::{Conn, Disk, Kind, Role, State};

/// Reaction to P_UUIDS. The packet is stored in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UuidsReaction {
    /// This diskless Primary works with other data: go to Disconnecting.
    WrongData {
        /// UUID of the data it works with.
        expected: u64,
    },
    /// Go on.
    Accept {
        /// Clear the bitmap, write it, take the peer's current UUID ([`GenUuids::adopt_skipped_sync`]), set both disks
        /// UpToDate (hard), sync the metadata.
        skip_initial_sync: bool,
        /// New exposed-data UUID, if it changes at once.
        expose: Option<u64>,
    },
}

/// Judges P_UUIDS.
///
/// `own` are the own UUIDs if a disk is usable (Inconsistent or better), `exposed` the UUID of the data that
/// applications saw. Afterwards the engine waits for a cluster-wide change of its own that is under way, and then
/// asks [`exposes_after_wait`].
pub fn on_uuids(
    state: State,
    apv: u8,
    own: Option<&GenUuids>,
    exposed: u64,
    peer: &PeerUuids,
) -> UuidsReaction {
    let diskless_primary = state.disk < Disk::Inconsistent && state.role == Role::Primary;
    let no_server = state.conn < Conn::Connected || state.pdsk == Disk::Diskless;
    if no_server && diskless_primary && !same(exposed, peer.uuids.current) {
        return UuidsReaction::WrongData { expected: exposed };
    }
    let skip_initial_sync = state.conn == Conn::Connected
        && apv >= 90
        && own.is_some_and(|own| own.current == JUST_CREATED)
        && peer.flags.contains(UuidFlags::SKIP_INITIAL_SYNC);
    UuidsReaction::Accept {
        skip_initial_sync,
        expose: Some(peer.uuids.current).filter(|_| own.is_none() && diskless_primary),
    }
}

/// Whether a connected node without usable disk works with the peer's data, so that its current UUID is exposed.
pub fn exposes_after_wait(state: State) -> bool {
    state.conn >= Conn::Connected && state.disk < Disk::Inconsistent
}

/// Facts for judging a P_STATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateFacts {
    /// What the peer told by P_UUIDS, if it did since the connection (or the own attach) began.
    pub peer_uuids: Option<PeerUuids>,
    /// Both nodes were Inconsistent and the peer was forced to Primary.
    pub consider_resync: bool,
    /// Dirty bits of the own bitmap.
    pub dirty_bits: u64,
    /// Bits whose resync failed.
    pub resync_failed: u64,
    /// A new data generation waits for I/O to be resumed.
    pub new_uuid_deferred: bool,
    /// The own disk as remembered at attach, while it is `Negotiating`.
    pub remembered_disk: Option<Disk>,
}

/// What to do with an accepted P_STATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The state to ask for, before sanitizing.
    pub wanted: State,
    /// How to ask for it; if it is refused the connection goes to Disconnecting.
    pub kind: Kind,
    /// The handshake that took place. Its correction and notes are to be carried out, and if it says full sync all
    /// bits set and written, before the change.
    pub handshake: Option<Handshake>,
    /// The peer's attach was refused by this node (log it).
    pub peer_attach_aborted: bool,
}

/// Reaction to P_STATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateReaction {
    /// The connection is being closed already: end the receiver, change nothing.
    ConnectionGone,
    /// The peer says that the resync ended. Finish it if nothing is left, then nothing more.
    ResyncFinished {
        /// Whether no bits are left but failed ones.
        finish: bool,
    },
    /// The peer says that the verify ended. Finish it, then nothing more.
    VerifyFinished,
    /// It was sent before the peer heard of the disk that is being attached, and its answer is still to come. Only role and
    /// pause count.
    Stale,
    /// Try to become Secondary, then ask again with the result in [`Meeting::demotion`] and the former role in its
    /// [`super::Compared::role`].
    TryDemote(Handshake),
    /// The peer does not want this disk: set it Failed (hard), then ask again with the new state.
    AbortAttach(Handshake),
    /// End the connection.
    Refuse {
        /// The handshake that failed.
        handshake: Handshake,
        /// Failure state to enter: Disconnecting, or a mere protocol error that reconnects when it was a dry run.
        conn: Conn,
    },
    /// The peer rebooted while this node is frozen: outstanding requests must not be sent again. Fail the transfer log
    /// over, begin a new data generation, forget that it was deferred, enter ProtocolError.
    PeerRebooted(Option<Handshake>),
    /// Apply the state; afterwards see [`must_answer`], clear `discard-my-data` and `consider-resync`, and sync the
    /// metadata.
    Apply(Accepted),
}

/// The peer's disk: what it will be if it is being negotiated.
pub fn real_peer_disk(told: State, peer_uuids: Option<&PeerUuids>) -> Disk {
    match (told.disk, peer_uuids) {
        (Disk::Negotiating, Some(peer)) if !peer.flags.contains(UuidFlags::INCONSISTENT) => {
            Disk::Consistent
        }
        (Disk::Negotiating, _) => Disk::Inconsistent,
        (disk, _) => disk,
    }
}

/// Judges P_STATE with content `told`, `now` being the own state.
///
/// `meet` fills in a [`Meeting`] from the peer's UUIDs; its roles, disks and the peer's UUIDs are set here. It is asked
/// only when a disk is attached (Negotiating or better) and the peer told its UUIDs.
pub fn on_state(
    now: State,
    told: State,
    facts: &StateFacts,
    meet: impl FnOnce(&PeerUuids) -> Option<Meeting>,
) -> StateReaction {
    let mut peer_disk = real_peer_disk(told, facts.peer_uuids.as_ref());
    if now.conn <= Conn::TearDown {
        return StateReaction::ConnectionGone;
    }
    let answers =
        matches!(told.conn, Conn::WfBitMapS | Conn::WfBitMapT) || told.conn <= Conn::Connected;
    let attaching = now.conn == Conn::Connected && now.disk == Disk::Negotiating;
    // It takes this node for diskless still; or it does not want the disk, and says that it failed.
    let untaken = attaching && told.pdsk < Disk::Negotiating && told.disk > Disk::Negotiating;
    let refused = untaken && told.pdsk == Disk::Failed;
    let unheard = untaken && !refused;
    if attaching && !answers || unheard && facts.peer_uuids.is_none() {
        return StateReaction::Stale;
    }
    let behind = matches!(now.pdsk, Disk::Inconsistent | Disk::Consistent);
    if behind
        && peer_disk == Disk::UpToDate
        && now.conn > Conn::Connected
        && now.disk == Disk::UpToDate
    {
        if told.conn > Conn::Connected && told.conn < Conn::SyncSource {
            // It prepares to be the target; its disk will be Inconsistent in a moment.
            peer_disk = Disk::Inconsistent;
        } else if now.conn >= Conn::SyncSource && told.conn == Conn::Connected {
            return StateReaction::ResyncFinished {
                finish: facts.dirty_bits <= facts.resync_failed,
            };
        }
    }
    let good = told.conn == Conn::Connected && peer_disk == Disk::UpToDate;
    if now.conn == Conn::VerifyT && now.disk == Disk::UpToDate && good {
        return StateReaction::VerifyFinished;
    }
    let late = now.pdsk == Disk::UpToDate && peer_disk == Disk::Inconsistent;
    if late && now.conn == Conn::Connected && told.conn > Conn::SyncSource {
        // It still thinks of the resync that is finished here.
        peer_disk = Disk::UpToDate;
    }
    let mut wanted = now;
    if wanted.conn == Conn::WfReportParams {
        wanted.conn = Conn::Connected;
    }
    if told.conn == Conn::Ahead {
        wanted.conn = Conn::Behind;
    }
    let mut met = None;
    let mut peer_attach_aborted = false;
    if let Some(mut meeting) = meeting_due(now, told, facts, meet) {
        meeting.peer_disk = peer_disk;
        let result = handshake(&meeting);
        met = Some(result);
        match result.outcome {
            // It may know more than this node, of two Primaries for example.
            _ if refused => return StateReaction::AbortAttach(result),
            Outcome::Go(_) | Outcome::TryDemote if unheard => return StateReaction::Stale,
            Outcome::Go(sync) => wanted.conn = sync.conn(),
            Outcome::TryDemote => return StateReaction::TryDemote(result),
            Outcome::Refuse(_) if now.disk == Disk::Negotiating => {
                return StateReaction::AbortAttach(result)
            }
            Outcome::Refuse(_) if told.disk == Disk::Negotiating => {
                wanted.conn = Conn::Connected;
                peer_disk = Disk::Failed;
                peer_attach_aborted = true;
            }
            Outcome::Refuse(refusal) => {
                let conn = match refusal {
                    Refusal::DryRun(_) => Conn::ProtocolError,
                    Refusal::Unrelated
                    | Refusal::TooOld
                    | Refusal::SplitBrain
                    | Refusal::SourceInconsistent
                    | Refusal::PrimaryAsTarget => Conn::Disconnecting,
                };
                return StateReaction::Refuse {
                    handshake: result,
                    conn,
                };
            }
        }
    }
    wanted.peer = told.role;
    wanted.pdsk = peer_disk;
    wanted.peer_isp = told.aftr_isp || told.user_isp;
    // The remembered state counts once the nodes come together; a target becomes Inconsistent anyway.
    if wanted.disk == Disk::Negotiating && matches!(wanted.conn, Conn::Connected | Conn::WfBitMapS)
    {
        wanted.disk = facts.remembered_disk.unwrap_or(wanted.disk);
    }
    complete(now, wanted, facts, met, peer_attach_aborted)
}

/// Ends the judgement: the rebooted peer, and hard or soft.
fn complete(
    now: State,
    wanted: State,
    facts: &StateFacts,
    handshake: Option<Handshake>,
    peer_attach_aborted: bool,
) -> StateReaction {
    let connects = now.conn < Conn::Connected && wanted.conn >= Conn::Connected;
    let returns = connects && wanted.conn == Conn::Connected && wanted.pdsk == Disk::Consistent;
    if returns && now.suspended() && facts.new_uuid_deferred {
        return StateReaction::PeerRebooted(handshake);
    }
    StateReaction::Apply(Accepted {
        wanted,
        kind: if connects { Kind::Soft } else { Kind::Hard },
        handshake,
        peer_attach_aborted,
    })
}

/// The meeting to evaluate, if one is due.
fn meeting_due(
    now: State,
    told: State,
    facts: &StateFacts,
    meet: impl FnOnce(&PeerUuids) -> Option<Meeting>,
) -> Option<Meeting> {
    let attached = now.disk >= Disk::Negotiating && now.disk != Disk::Unknown;
    let peer_uuids = facts.peer_uuids.as_ref()?;
    if !attached || told.disk < Disk::Negotiating {
        return None;
    }
    let connected = now.conn == Conn::Connected;
    let attaches = told.disk == Disk::Negotiating || now.disk == Disk::Negotiating;
    // Both attached at once and took the other for diskless: nobody has compared these two disks.
    let unseen = now.pdsk < Disk::Negotiating && told.disk > Disk::Negotiating;
    let peer_starts = told.conn >= Conn::StartingSyncS && told.conn <= Conn::WfBitMapT;
    let due = now.conn < Conn::Connected
        || connected && (attaches || unseen || peer_starts)
        || facts.consider_resync;
    if !due {
        return None;
    }
    let mut meeting = meet(peer_uuids)?;
    meeting.disk = now.disk;
    meeting.compared.peer = *peer_uuids;
    meeting.compared.peer_role = told.role;
    if meeting.demotion == Demotion::NotTried {
        meeting.compared.role = now.role;
    }
    Some(meeting)
}

/// Whether the peer has to be shown P_UUIDS and P_STATE so that it joins the resync that this node just decided on:
/// `before` and `after` are the own states around the change, `told` is the P_STATE that caused it.
pub fn must_answer(before: State, after: State, told: State) -> bool {
    before.conn > Conn::WfReportParams
        && after.conn > Conn::Connected
        && told.conn <= Conn::Connected
        && told.disk != Disk::Negotiating
}

/// Whether the handshake in `reaction` asks for all bits to be set.
pub fn sets_all_bits(reaction: &StateReaction) -> bool {
    match reaction {
        StateReaction::Apply(Accepted {
            handshake: Some(met),
            ..
        }) => match met.outcome {
            Outcome::Go(sync) => Sync::is_full(sync),
            Outcome::TryDemote | Outcome::Refuse(_) => false,
        },
        StateReaction::Apply(_)
        | StateReaction::ConnectionGone
        | StateReaction::Stale
        | StateReaction::ResyncFinished { .. }
        | StateReaction::VerifyFinished
        | StateReaction::TryDemote(_)
        | StateReaction::AbortAttach(_)
        | StateReaction::Refuse { .. }
        | StateReaction::PeerRebooted(_) => false,
    }
}
