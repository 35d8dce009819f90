// SPDX-License-Identifier: GPL-2.0-or-later
//! What a wished state implies: the wish made consistent with itself before any rule looks at it.
//!
//! A lost connection takes the peer's role along, a lost disk ends a resync, a sync direction fixes what both disks
//! can be. replication-semantics.md section 11.1; the steps are applied in that order, once.

use super::context::{Context, Fencing, OnNoData};
use super::model::{Conn, Disk, Role, State};

/// Things that happened on the way which an administrator wants to read in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warnings(u8);

impl Warnings {
    /// Nothing to report.
    pub const NONE: Warnings = Warnings(0);
    /// An online verify ended because a disk went away.
    pub const ABORTED_VERIFY: Warnings = Warnings(1);
    /// A resync ended because a disk went away.
    pub const ABORTED_RESYNC: Warnings = Warnings(2);
    /// The connection was lost before the peer had judged a disk that was being attached.
    pub const LOST_WHILE_NEGOTIATING: Warnings = Warnings(4);
    /// The own disk was raised to fit the connection state.
    pub const UPGRADED_DISK: Warnings = Warnings(8);
    /// The peer's disk was raised to fit the connection state.
    pub const UPGRADED_PDSK: Warnings = Warnings(16);

    const TEXTS: [(Warnings, &'static str); 5] = [
        (Warnings::ABORTED_VERIFY, "Online-verify aborted."),
        (Warnings::ABORTED_RESYNC, "Resync aborted."),
        (
            Warnings::LOST_WHILE_NEGOTIATING,
            "Connection lost while negotiating, no disk",
        ),
        (Warnings::UPGRADED_DISK, "Implicitly upgraded disk state"),
        (
            Warnings::UPGRADED_PDSK,
            "Implicitly upgraded peer disk state",
        ),
    ];

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Warnings) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is nothing to report.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Warnings) -> Warnings {
        Warnings(self.0 | other.0)
    }

    /// One sentence for each.
    pub fn texts(self) -> impl Iterator<Item = &'static str> {
        Self::TEXTS
            .iter()
            .filter(move |(warning, _)| self.contains(*warning))
            .map(|(_, text)| *text)
    }
}

/// A state that agrees with itself, and what had to be bent for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitized {
    /// The state to judge and, if no rule forbids it, to take.
    pub state: State,
    /// What to log if it is taken.
    pub warnings: Warnings,
}

/// Lowest and highest disk state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Lowest state allowed.
    pub low: Disk,
    /// Highest state allowed; by number, so `DUnknown` as the highest turns Consistent and UpToDate into DUnknown.
    pub high: Disk,
}

impl Span {
    const fn of(low: Disk, high: Disk) -> Span {
        Span { low, high }
    }

    fn clamp(self, disk: Disk) -> Disk {
        disk.min(self.high).max(self.low)
    }
}

/// What one connection state allows both disks to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    /// The connection state.
    pub conn: Conn,
    /// Range of the own disk.
    pub disk: Span,
    /// Range of the peer's disk.
    pub pdsk: Span,
}

const ANY: Span = Span::of(Disk::Diskless, Disk::UpToDate);
const UNCONNECTED_PEER: Span = Span::of(Disk::Inconsistent, Disk::Unknown);
const BECOMING_TARGET: Span = Span::of(Disk::Inconsistent, Disk::Outdated);
const BECOMING_TARGET_PEER: Span = Span::of(Disk::Inconsistent, Disk::Consistent);
const INCONSISTENT: Span = Span::of(Disk::Inconsistent, Disk::Inconsistent);
const UP_TO_DATE: Span = Span::of(Disk::UpToDate, Disk::UpToDate);

const fn row(conn: Conn, disk: Span, pdsk: Span) -> Clamp {
    Clamp { conn, disk, pdsk }
}

/// The implications of the connection state onto the disk states, one row for each connection state in order.
pub const CLAMPS: [Clamp; 24] = [
    row(Conn::StandAlone, ANY, UNCONNECTED_PEER),
    row(Conn::Disconnecting, ANY, UNCONNECTED_PEER),
    row(Conn::Unconnected, ANY, UNCONNECTED_PEER),
    row(Conn::Timeout, ANY, UNCONNECTED_PEER),
    row(Conn::BrokenPipe, ANY, UNCONNECTED_PEER),
    row(Conn::NetworkFailure, ANY, UNCONNECTED_PEER),
    row(Conn::ProtocolError, ANY, UNCONNECTED_PEER),
    row(Conn::TearDown, ANY, UNCONNECTED_PEER),
    row(Conn::WfConnection, ANY, UNCONNECTED_PEER),
    row(Conn::WfReportParams, ANY, UNCONNECTED_PEER),
    row(Conn::Connected, ANY, ANY),
    row(Conn::StartingSyncS, UP_TO_DATE, BECOMING_TARGET_PEER),
    row(Conn::StartingSyncT, BECOMING_TARGET, UP_TO_DATE),
    row(Conn::WfBitMapS, UP_TO_DATE, BECOMING_TARGET_PEER),
    row(Conn::WfBitMapT, BECOMING_TARGET, UP_TO_DATE),
    row(Conn::WfSyncUuid, BECOMING_TARGET, UP_TO_DATE),
    row(Conn::SyncSource, UP_TO_DATE, INCONSISTENT),
    row(Conn::SyncTarget, INCONSISTENT, UP_TO_DATE),
    row(Conn::VerifyS, UP_TO_DATE, UP_TO_DATE),
    row(Conn::VerifyT, UP_TO_DATE, UP_TO_DATE),
    row(Conn::PausedSyncS, UP_TO_DATE, BECOMING_TARGET_PEER),
    row(Conn::PausedSyncT, BECOMING_TARGET, UP_TO_DATE),
    row(Conn::Ahead, UP_TO_DATE, BECOMING_TARGET_PEER),
    row(Conn::Behind, BECOMING_TARGET, UP_TO_DATE),
];

/// Completes the wished state `new` with what it implies, given that `old` is the state now.
pub fn sanitize(old: State, new: State, context: &Context) -> Sanitized {
    let mut state = new;
    let mut warnings = Warnings::NONE;

    if state.conn < Conn::Connected {
        state.peer_isp = false;
        state.peer = Role::Unknown;
        if state.pdsk > Disk::Unknown || state.pdsk < Disk::Inconsistent {
            state.pdsk = Disk::Unknown;
        }
        // Else a fence-peer handler would not be called for a peer that may be promoted, and no new generation begun.
        let source = old.conn.is_sync_source();
        if source && context.target_may_be_good && state.pdsk == Disk::Inconsistent {
            state.pdsk = Disk::Unknown;
        }
    }
    if state.conn == Conn::StandAlone
        && state.disk == Disk::Diskless
        && state.role == Role::Secondary
    {
        state.aftr_isp = false;
    }
    if state.conn > Conn::Connected && (state.disk <= Disk::Failed || state.pdsk <= Disk::Failed) {
        let verify = matches!(state.conn, Conn::VerifyS | Conn::VerifyT);
        warnings = warnings.with(if verify {
            Warnings::ABORTED_VERIFY
        } else {
            Warnings::ABORTED_RESYNC
        });
        (state.disk, state.pdsk) = left_behind(state);
        state.conn = Conn::Connected;
    }
    if state.conn < Conn::Connected
        && state.disk == Disk::Negotiating
        && old.disk >= Disk::Negotiating
    {
        match context.negotiating {
            Some(remembered) if remembered.data_unchanged => {
                state.disk = remembered.disk;
                state.pdsk = remembered.pdsk;
            }
            Some(_) | None => {
                warnings = warnings.with(Warnings::LOST_WHILE_NEGOTIATING);
                state.disk = Disk::Diskless;
                state.pdsk = Disk::Unknown;
            }
        }
    }
    if state.conn < Conn::Connected && context.invalidated {
        state.disk = given_up(state.disk);
    }
    if state.conn >= Conn::Connected && state.conn < Conn::Ahead {
        state.disk = connected_disk(state.disk);
        state.pdsk = connected_disk(state.pdsk);
    }
    if let Some(clamp) = CLAMPS.iter().find(|clamp| clamp.conn == state.conn) {
        if state.disk < clamp.disk.low {
            warnings = warnings.with(Warnings::UPGRADED_DISK);
        }
        if state.pdsk < clamp.pdsk.low {
            warnings = warnings.with(Warnings::UPGRADED_PDSK);
        }
        state.disk = clamp.disk.clamp(state.disk);
        state.pdsk = clamp.pdsk.clamp(state.pdsk);
    }
    if context.fencing_with(old.disk) == Fencing::ResourceAndStonith
        && peer_lost(state)
        && !peer_lost(old)
    {
        state.susp_fen = true;
    }
    if context.on_no_data == OnNoData::SuspendIo && no_data(state) && !no_data(old) {
        state.susp_nod = true;
    }
    state.conn = match (state.conn, state.resync_held()) {
        (Conn::SyncSource, true) => Conn::PausedSyncS,
        (Conn::SyncTarget, true) => Conn::PausedSyncT,
        (Conn::PausedSyncS, false) => Conn::SyncSource,
        (Conn::PausedSyncT, false) => Conn::SyncTarget,
        (conn, _) => conn,
    };
    Sanitized { state, warnings }
}

/// Both disks when a resync ends at its beginning, or before, because the source's disk goes: the other one is
/// known to be old, and must not pass for a good one merely because it is connected. (In the stock
/// driver it does.)
fn left_behind(state: State) -> (Disk, Disk) {
    match state.conn {
        Conn::WfBitMapT | Conn::WfSyncUuid | Conn::Behind => (given_up(state.disk), state.pdsk),
        Conn::WfBitMapS | Conn::Ahead => (state.disk, given_up(state.pdsk)),
        _ => (state.disk, state.pdsk),
    }
}

/// A disk whose data is not to be used any more.
fn given_up(disk: Disk) -> Disk {
    match disk {
        Disk::Consistent | Disk::Outdated => Disk::Inconsistent,
        other => other,
    }
}

/// "May be old" has no meaning while the other copy is in sight.
fn connected_disk(disk: Disk) -> Disk {
    if matches!(disk, Disk::Consistent | Disk::Outdated) {
        Disk::UpToDate
    } else {
        disk
    }
}

/// A Primary that may have a rival: the peer is out of sight and not known to be outdated.
fn peer_lost(state: State) -> bool {
    state.role == Role::Primary && state.conn < Conn::Connected && state.pdsk > Disk::Outdated
}

/// A Primary without access to up-to-date data.
pub(super) fn no_data(state: State) -> bool {
    state.role == Role::Primary && state.disk < Disk::UpToDate && state.pdsk < Disk::UpToDate
}
