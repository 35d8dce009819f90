// SPDX-License-Identifier: GPL-2.0-or-later
//! What follows from a change of state.
//!
//! [`immediate`] is done together with the change, [`after_change`] later by a worker, ordered with data packets.
//! replication-semantics.md sections 2, 8, 11.6 and the list of occasions for P_STATE in wire-protocol.md section 8.

use super::action::{Action, Actions, BitmapWrite, Helper, Side, Thaw};
use super::check::Change;
use super::model::{Conn, Disk, Role, State};
use super::sanitize::no_data;

/// Facts beside the change itself, as they are after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Agreed protocol version.
    pub apv: u8,
    /// Whether the own bitmap UUID for this peer is 0.
    pub bitmap_uuid_clear: bool,
    /// Lowest connection state of the connection's volumes.
    pub lowest_conn: Conn,
    /// Lowest own disk of the connection's volumes.
    pub lowest_disk: Disk,
    /// Highest peer disk of the connection's volumes.
    pub highest_pdsk: Disk,
    /// Whether another volume of the connection is still in WFReportParams.
    pub others_in_handshake: bool,
    /// Whether the disk failed by an I/O error, and `on-io-error` asks for the helper.
    pub call_io_error_helper: bool,
    /// Whether the detach is forced (by the administrator or `disk-timeout`).
    pub force_detach: bool,
    /// Whether a disk grew while it was detached, so that the added part is still to be resynchronised.
    pub grew_before_negotiation: bool,
    /// Whether a new data generation waits for I/O to be resumed.
    pub new_uuid_deferred: bool,
    /// Whether the peer's disk may have the current generation although a bitmap UUID says what it had: a resync from here
    /// began since, and may have ended there without this node's knowing.
    pub peer_may_have_current: bool,
    /// As the source: whether all that the target lacks was sent, acknowledged or not, so that it may have finished.
    pub everything_sent: bool,
    /// Whether the target of a resync from here said that it has everything, and this node has not
    /// ended the resync yet.
    pub target_finished: bool,
}

impl Facts {
    /// A connection with one volume in state `state` and nothing special going on.
    pub fn of(state: State) -> Facts {
        Facts {
            apv: 101,
            bitmap_uuid_clear: true,
            lowest_conn: state.conn,
            lowest_disk: state.disk,
            highest_pdsk: state.pdsk,
            others_in_handshake: false,
            call_io_error_helper: false,
            force_detach: false,
            grew_before_negotiation: false,
            new_uuid_deferred: false,
            peer_may_have_current: false,
            everything_sent: true,
            target_finished: false,
        }
    }

    /// Whether what is written here without the peer needs a generation of its own: the peer may have the current one, and
    /// may go on with it too. (The stock driver looks at the bitmap UUID alone, and of two nodes that went on with the same
    /// generation, one overwrites the other without a word of split brain.)
    pub fn needs_generation(&self) -> bool {
        self.bitmap_uuid_clear || self.peer_may_have_current
    }

    /// Whether both nodes can end a verify before the end of the device.
    fn stop_sector(&self) -> bool {
        self.apv >= 97 && self.apv != 100
    }
}

fn has_disk(state: State) -> bool {
    state.disk >= Disk::Inconsistent && state.disk != Disk::Unknown
}

/// What has to be done together with the change.
pub fn immediate(change: &Change, facts: &Facts) -> Actions {
    let (old, new) = (change.old, change.new);
    let mut actions = Actions::NONE;
    if old == new {
        return actions;
    }
    let left = |conn: Conn| old.conn == conn && new.conn != conn;
    let entered = |conn: Conn| old.conn != conn && new.conn == conn;
    let verifies = |conn: Conn| matches!(conn, Conn::VerifyS | Conn::VerifyT);
    let paused = |conn: Conn| matches!(conn, Conn::PausedSyncS | Conn::PausedSyncT);
    let syncs = |conn: Conn| matches!(conn, Conn::SyncSource | Conn::SyncTarget);

    actions.push_if(old.replicates() != new.replicates(), Action::NewEpoch);
    actions.push_if(
        left(Conn::WfReportParams) && !facts.others_in_handshake,
        Action::ClearStateSent,
    );
    actions.push_if(
        verifies(old.conn) && (new.conn <= Conn::Connected || new.conn >= Conn::Ahead),
        Action::VerifyEnds,
    );
    actions.push_if(paused(old.conn) && syncs(new.conn), Action::ResyncContinues);
    actions.push_if(syncs(old.conn) && paused(new.conn), Action::ResyncPauses);
    actions.push_if(
        old.conn == Conn::Connected && verifies(new.conn),
        Action::VerifyBegins,
    );
    if has_disk(new) {
        actions.push(Action::UpdateMetadata);
        actions.push_if(
            old.disk < Disk::Consistent && new.disk >= Disk::Consistent,
            Action::ExposeCurrentUuid,
        );
    }
    let both_inconsistent = old.disk == Disk::Inconsistent && old.pdsk == Disk::Inconsistent;
    let peer_promoted = old.peer == Role::Secondary && new.peer == Role::Primary;
    actions.push_if(both_inconsistent && peer_promoted, Action::ConsiderResync);
    actions.push_if(
        entered(Conn::Disconnecting) || entered(Conn::StandAlone),
        Action::StopReceiver,
    );
    let failed = new.conn >= Conn::Timeout && new.conn <= Conn::TearDown;
    actions.push_if(
        old.conn > Conn::WfConnection && failed,
        Action::RestartReceiver,
    );
    actions.push_if(
        old.conn < Conn::Connected && new.conn >= Conn::Connected,
        Action::ResumeActivityLog,
    );
    actions.push_if(
        old.conn == Conn::StandAlone && new.conn == Conn::Unconnected,
        Action::StartReceiver,
    );
    actions
}

/// What has to be done by the worker, in order.
///
/// `Notify` is the generic notification; the engine decides which objects it concerns.
pub fn after_change(change: &Change, facts: &Facts) -> Actions {
    let (old, new) = (change.old, change.new);
    let mut actions = Actions::NONE;
    if old == new {
        return actions;
    }
    let both_up_to_date =
        |state: State| state.disk == Disk::UpToDate && state.pdsk == Disk::UpToDate;
    actions.push_if(
        !both_up_to_date(old) && both_up_to_date(new),
        Action::ClearCrashedPrimary,
    );
    actions.push(Action::Notify);
    actions.push_if(
        !no_data(old) && no_data(new),
        Action::RunHelper(Helper::PriOnInconDegr),
    );
    thaw(new, facts, &mut actions);
    let becomes_source = !old.conn.is_sync_source() && new.conn.is_sync_source();
    actions.push_if(
        becomes_source && facts.apv >= 96 && has_disk(new),
        Action::SendSyncUuid,
    );
    if old.pdsk == Disk::Diskless && new.pdsk > Disk::Diskless && new.pdsk != Disk::Unknown {
        actions.push(Action::ResetResync);
        actions.push(Action::SendUuids);
        actions.push(Action::SendState);
    }
    actions.push_if(
        old.conn != Conn::WfBitMapS && new.conn == Conn::WfBitMapS,
        Action::SendBitmap,
    );
    let facts = &missed_end(old, new, facts, &mut actions);
    peer_data(old, new, facts, &mut actions);
    let demoted = old.role == Role::Primary && new.role == Role::Secondary;
    if demoted && new.conn <= Conn::Connected && has_disk(new) {
        actions.push(Action::WriteBitmap(BitmapWrite::Demote));
    }
    talk(old, new, facts, &mut actions);
    for (conn, side) in [
        (Conn::StartingSyncS, Side::Source),
        (Conn::StartingSyncT, Side::Target),
    ] {
        actions.push_if(
            old.conn != conn && new.conn == conn,
            Action::StartFullSync(side),
        );
    }
    disk_lost(old, new, facts, &mut actions);
    ends(old, new, facts, &mut actions);
    actions.push(Action::SyncMetadata);
    actions
}

/// Whether the peer takes part: it is as good as we are, or knows that it is not.
fn together(conn: Conn) -> bool {
    conn == Conn::Connected || conn >= Conn::SyncSource
}

/// Frozen requests go on when their reason is gone. What has no copy within reach waits until there is one, not
/// only for the connection; and a peer that was lost has to know what it lacks before anybody is told of a write that
/// only this node has, or it could be promoted without it.
fn thaw(new: State, facts: &Facts, actions: &mut Actions) {
    if new.susp_nod && !no_data(new) {
        let attached = new.disk == Disk::UpToDate && facts.lowest_disk == Disk::UpToDate;
        let what = if attached {
            Some(Thaw::RestartDiskIo)
        } else if together(new.conn) && facts.lowest_conn >= Conn::Connected {
            Some(Thaw::Resend)
        } else {
            None
        };
        if let Some(thaw) = what {
            actions.push(Action::Thaw {
                thaw,
                fencing: false,
            });
        }
    }
    if new.susp_fen {
        if facts.lowest_conn >= Conn::Connected {
            let resend = Action::Thaw {
                thaw: Thaw::Resend,
                fencing: true,
            };
            actions.push_if(together(new.conn), resend);
        } else if facts.highest_pdsk <= Disk::Outdated {
            actions.push_if(facts.new_uuid_deferred, Action::NewCurrentUuid);
            actions.push(Action::Thaw {
                thaw: Thaw::CleanTransferLog,
                fencing: true,
            });
        }
    }
}

/// Whether the peer's copy stopped following ours.
///
/// The second case is a frozen Primary whose peer comes back without its data: nothing was counted as lost when the
/// connection broke, it is lost now.
pub fn lost_peer_data(old: Disk, new: Disk) -> bool {
    let had = old >= Disk::Inconsistent && !matches!(old, Disk::Unknown | Disk::Outdated);
    let gone = new < Disk::Inconsistent || matches!(new, Disk::Unknown | Disk::Outdated);
    let returned_without =
        old == Disk::Unknown && matches!(new, Disk::Diskless | Disk::Failed | Disk::Outdated);
    had && gone || returned_without
}

/// A source whose peer may have finished without its knowing ([`super::Context::target_may_be_good`]) must not go on under a bitmap
/// UUID that the peer has put into its history.
///
/// Writes under it would begin no new generation, and if the peer was promoted meanwhile they would look older than
/// the peer's and be overwritten without a word of split brain. (The stock driver lets that happen.) If the target was
/// not finished the price is a full resync.
fn missed_end(old: State, new: State, facts: &Facts, actions: &mut Actions) -> Facts {
    let lost = new.conn < Conn::Connected && facts.everything_sent;
    // The disk was finished before it went: what is written from here on it does not have.
    let gone = facts.target_finished && new.pdsk < Disk::Inconsistent;
    let missed = old.conn.is_sync_source() && !new.conn.is_sync_source() && (lost || gone);
    if !missed || facts.bitmap_uuid_clear || !has_disk(new) {
        return *facts;
    }
    actions.push(Action::FinishSourceUuids);
    Facts {
        bitmap_uuid_clear: true,
        ..*facts
    }
}

/// Whether the peer, who did not get everything, is left without a resync. Whatever was known of its disk and of the
/// roles, it must not pass for one with the same data.
fn left_ahead(old: State, new: State) -> bool {
    old.conn == Conn::Ahead && new.conn != Conn::Ahead && !new.conn.is_sync_source()
}

/// New data generations because the peer's copy is gone or never was.
fn peer_data(old: State, new: State, facts: &Facts, actions: &mut Actions) {
    let may_diverge = facts.needs_generation() && new.disk >= Disk::UpToDate;
    let someone_primary = new.role == Role::Primary || new.peer == Role::Primary;
    let mut bumped = false;
    let lost = lost_peer_data(old.pdsk, new.pdsk) && someone_primary;
    if (lost || left_ahead(old, new)) && may_diverge {
        if new.suspended() {
            actions.push(Action::DeferNewCurrentUuid);
        } else {
            bumped = true;
            actions.push(Action::NewCurrentUuid);
            actions.push(Action::SendUuids);
        }
    }
    if new.pdsk < Disk::Inconsistent && has_disk(new) {
        // The first new generation sets the bitmap UUID, so that the second condition is gone with it.
        if old.peer != Role::Primary && new.peer == Role::Primary && may_diverge && !bumped {
            actions.push(Action::NewCurrentUuid);
            actions.push(Action::SendUuids);
        }
        if old.peer == Role::Primary && new.peer == Role::Secondary {
            actions.push(Action::WriteBitmap(BitmapWrite::DemoteDisklessPeer));
        }
    }
}

/// What the peer has to hear while connected.
fn talk(old: State, new: State, _facts: &Facts, actions: &mut Actions) {
    if new.conn >= Conn::Connected && old.disk == Disk::Attaching && new.disk == Disk::Negotiating {
        actions.push(Action::SendSizes);
        actions.push(Action::SendUuids);
        actions.push(Action::SendState);
    }
    let own_pause_changed = old.aftr_isp != new.aftr_isp || old.user_isp != new.user_isp;
    actions.push_if(
        new.conn >= Conn::Connected && own_pause_changed,
        Action::SendState,
    );
    actions.push_if(
        !old.resync_held() && new.resync_held(),
        Action::PauseDependents,
    );
    let handshake_done = old.conn == Conn::WfReportParams && new.conn >= Conn::Connected;
    actions.push_if(handshake_done, Action::SendState);
    actions.push_if(
        old.conn != Conn::Ahead && new.conn == Conn::Ahead,
        Action::SendState,
    );
}

/// The two halves of losing a disk.
fn disk_lost(old: State, new: State, facts: &Facts, actions: &mut Actions) {
    let connected = new.conn >= Conn::Connected;
    if old.disk != Disk::Failed && new.disk == Disk::Failed {
        actions.push_if(
            facts.call_io_error_helper,
            Action::RunHelper(Helper::LocalIoError),
        );
        actions.push_if(facts.force_detach, Action::AbortLocalRequests);
        actions.push_if(connected, Action::SendState);
        actions.push(Action::CancelResyncExtents);
        actions.push(Action::SyncMetadata);
        actions.push(Action::ReleaseFailedDisk);
    }
    if old.disk != Disk::Diskless && new.disk == Disk::Diskless {
        actions.push_if(connected, Action::SendState);
        actions.push(Action::CloseDisk);
    }
    let worsened = old.disk == Disk::UpToDate && new.disk == Disk::Inconsistent;
    actions.push_if(worsened && connected, Action::SendState);
}

/// Resync, verify and connection ending.
fn ends(old: State, new: State, facts: &Facts, actions: &mut Actions) {
    let negotiated = new.disk > Disk::Negotiating && new.pdsk > Disk::Negotiating;
    let grow = facts.grew_before_negotiation && negotiated && new.conn == Conn::Connected;
    actions.push_if(grow, Action::ResyncAfterGrow);
    let sync_over = old.conn > Conn::Connected && new.conn <= Conn::Connected;
    let released = old.peer_isp && !new.peer_isp || old.user_isp && !new.user_isp;
    let unconfigured =
        new.disk == Disk::Diskless && new.conn == Conn::StandAlone && new.role == Role::Secondary;
    let forgotten = unconfigured && old.aftr_isp != new.aftr_isp;
    actions.push_if(sync_over || released || forgotten, Action::ResumeDependents);
    let target_done =
        old.disk < Disk::UpToDate && old.conn > Conn::Connected && new.conn == Conn::Connected;
    let verify_done =
        old.conn == Conn::VerifyS && new.conn == Conn::Connected && facts.stop_sector();
    actions.push_if(target_done || verify_done, Action::SendState);
    let settled = new.conn == Conn::Connected || new.conn >= Conn::Ahead;
    if old.conn > Conn::Connected && settled && has_disk(new) {
        actions.push(Action::WriteBitmap(BitmapWrite::ResyncEnded));
    }
    let given_up = old.conn == Conn::Disconnecting && new.conn == Conn::StandAlone;
    actions.push_if(given_up, Action::ForgetPeer);
}

/// What a completed change of the own role asks for beside [`after_change`] (replication-semantics.md sections 2 and
/// 12): `new` is the state after it, `forced` says that old data was declared UpToDate.
///
/// The engine also sets (Primary) or clears (Secondary) bit 0 of the current UUID: see
/// [`crate::uuid::GenUuids::set_primary`].
pub fn after_role_change(new: State, forced: bool, facts: &Facts) -> Actions {
    let mut actions = Actions::NONE;
    if new.role == Role::Primary && has_disk(new) {
        let alone = new.conn < Conn::Connected || new.pdsk <= Disk::Failed;
        actions.push_if(
            forced || alone && facts.needs_generation(),
            Action::NewCurrentUuid,
        );
    }
    if new.conn >= Conn::WfReportParams {
        actions.push_if(forced && new.role == Role::Primary, Action::SendUuids);
        actions.push(Action::SendState);
    }
    actions.push(Action::SyncMetadata);
    actions
}
