// SPDX-License-Identifier: GPL-2.0-or-later
//! What is forbidden: three tables, one row per case, the code in the row.
//!
//! [`STATE_RULES`] judge a state by itself, [`SOFT_RULES`] a change that somebody asked for, [`HARD_RULES`] any change,
//! facts included. replication-semantics.md section 11.3.

use super::context::{Context, Fencing};
use super::model::{Conn, Disk, Role, State};
use super::ss::Ss;

/// A state that must not be.
#[derive(Clone, Copy)]
pub struct StateRule {
    /// What is answered.
    pub code: Ss,
    /// Name of the row.
    pub name: &'static str,
    /// Whether the state breaks the rule. The context's fencing policy is the one that counts now.
    pub broken: fn(&State, &Context) -> bool,
}

/// A change that must not be; `old` before, `new` after.
#[derive(Clone, Copy)]
pub struct ChangeRule {
    /// What is answered.
    pub code: Ss,
    /// Name of the row.
    pub name: &'static str,
    /// Whether the change breaks the rule.
    pub broken: fn(old: &State, new: &State, context: &Context) -> bool,
}

const fn state_rule(
    code: Ss,
    name: &'static str,
    broken: fn(&State, &Context) -> bool,
) -> StateRule {
    StateRule { code, name, broken }
}

const fn change_rule(
    code: Ss,
    name: &'static str,
    broken: fn(&State, &State, &Context) -> bool,
) -> ChangeRule {
    ChangeRule { code, name, broken }
}

/// Rules for states; the first broken one gives the code.
pub const STATE_RULES: [StateRule; 15] = [
    state_rule(Ss::TwoPrimaries, "both Primary", |n, c| {
        !c.two_primaries && n.role == Role::Primary && n.peer == Role::Primary
    }),
    state_rule(
        Ss::OtherVolumePeerPrimary,
        "peer Primary for another volume",
        |n, c| !c.two_primaries && n.role == Role::Primary && c.other_peer_primary,
    ),
    state_rule(Ss::DeviceInUse, "Secondary while open", |n, c| {
        n.role == Role::Secondary && c.device_open
    }),
    state_rule(
        Ss::NoUpToDateDisk,
        "lone Primary without UpToDate disk",
        |n, _| n.role == Role::Primary && n.conn < Conn::Connected && n.disk < Disk::UpToDate,
    ),
    state_rule(Ss::PrimaryNop, "lone Primary, peer not outdated", |n, c| {
        c.fencing >= Fencing::ResourceOnly
            && n.role == Role::Primary
            && n.conn < Conn::Connected
            && n.pdsk >= Disk::Unknown
    }),
    state_rule(Ss::NoUpToDateDisk, "Primary with two bad disks", |n, _| {
        n.role == Role::Primary && n.disk <= Disk::Inconsistent && n.pdsk <= Disk::Inconsistent
    }),
    state_rule(Ss::NoLocalDisk, "resync without own disk", |n, _| {
        n.conn > Conn::Connected && n.disk < Disk::Inconsistent
    }),
    state_rule(Ss::NoRemoteDisk, "resync without peer's disk", |n, _| {
        n.conn > Conn::Connected && n.pdsk < Disk::Inconsistent
    }),
    state_rule(
        Ss::NoUpToDateDisk,
        "resync without UpToDate disk",
        |n, _| n.conn > Conn::Connected && n.disk < Disk::UpToDate && n.pdsk < Disk::UpToDate,
    ),
    state_rule(
        Ss::ConnectedOutdates,
        "Outdated while Connected or source",
        |n, _| {
            n.disk == Disk::Outdated
                && matches!(
                    n.conn,
                    Conn::Connected | Conn::WfBitMapS | Conn::SyncSource | Conn::PausedSyncS
                )
        },
    ),
    state_rule(Ss::NoVerifyAlg, "verify without algorithm", |n, c| {
        verifies(n) && !c.verify_alg
    }),
    state_rule(Ss::NotSupported, "verify before protocol 88", |n, c| {
        verifies(n) && c.apv < 88
    }),
    state_rule(
        Ss::NoUpToDateDisk,
        "Primary without UpToDate data",
        |n, _| super::sanitize::no_data(*n),
    ),
    state_rule(
        Ss::NeedConnection,
        "full sync with unknown peer disk",
        |n, _| starts_sync(n) && n.pdsk == Disk::Unknown,
    ),
    state_rule(
        Ss::ConnectedOutdates,
        "connected with unknown peer disk",
        |n, _| n.conn >= Conn::Connected && n.pdsk == Disk::Unknown,
    ),
];

/// Rules for changes that are asked for; the last broken one gives the code.
pub const SOFT_RULES: [ChangeRule; 16] = [
    change_rule(Ss::ResyncRunning, "full sync during resync", |o, n, _| {
        starts_sync(n) && o.conn > Conn::Connected
    }),
    change_rule(
        Ss::AlreadyStandAlone,
        "disconnect from StandAlone",
        |o, n, _| n.conn == Conn::Disconnecting && o.conn == Conn::StandAlone,
    ),
    change_rule(Ss::IsDiskless, "disk state without disk", |o, n, _| {
        n.disk > Disk::Attaching && o.disk == Disk::Diskless
    }),
    change_rule(
        Ss::NoNetConfig,
        "connect without configuration",
        |o, n, _| n.conn == Conn::WfConnection && o.conn < Conn::Unconnected,
    ),
    change_rule(Ss::LowerThanOutdated, "outdate a worse disk", |o, n, _| {
        n.disk == Disk::Outdated && o.disk < Disk::Outdated && o.disk != Disk::Attaching
    }),
    change_rule(
        Ss::InTransientState,
        "disconnect while Unconnected",
        |o, n, _| n.conn == Conn::Disconnecting && o.conn == Conn::Unconnected,
    ),
    change_rule(
        Ss::InTransientState,
        "other change during handshake",
        |o, n, c| {
            let begins = n.conn == Conn::WfReportParams && o.conn == Conn::WfConnection;
            let ends = n.conn >= Conn::Connected && o.conn == Conn::WfReportParams;
            c.state_sent && !begins && !ends
        },
    ),
    change_rule(
        Ss::InTransientState,
        "promote while resync is being agreed",
        |o, n, _| {
            o.role != Role::Primary
                && n.role == Role::Primary
                && n.pdsk == Disk::UpToDate
                && !matches!(n.disk, Disk::UpToDate | Disk::Diskless)
                && (n.conn <= Conn::WfSyncUuid || n.conn != o.conn)
        },
    ),
    change_rule(Ss::NeedConnection, "verify while unconnected", |o, n, _| {
        verifies(n) && o.conn < Conn::Connected
    }),
    change_rule(
        Ss::ResyncRunning,
        "verify during resync or verify",
        |o, n, _| verifies(n) && n.conn != o.conn && o.conn > Conn::Connected,
    ),
    change_rule(
        Ss::NeedConnection,
        "full sync while unconnected",
        |o, n, _| starts_sync(n) && o.conn < Conn::Connected,
    ),
    change_rule(
        Ss::NeedConnection,
        "resync before the handshake",
        |o, n, _| {
            matches!(n.conn, Conn::SyncSource | Conn::SyncTarget) && o.conn < Conn::WfReportParams
        },
    ),
    change_rule(
        Ss::OutdateWithoutConnection,
        "outdate peer while unconnected",
        |o, n, _| {
            n.conn == Conn::Disconnecting
                && n.pdsk == Disk::Outdated
                && o.conn < Conn::Connected
                && o.pdsk > Disk::Outdated
        },
    ),
    // These three look at the disks as they are: what a verify or a full sync implies would make good ones of them. (In the
    // stock driver it does.)
    change_rule(
        Ss::NoUpToDateDisk,
        "verify of a disk that is not UpToDate",
        |o, n, _| verifies(n) && o.conn == Conn::Connected && o.disk.min(o.pdsk) < Disk::UpToDate,
    ),
    change_rule(
        Ss::NoUpToDateDisk,
        "full sync over the only good disk",
        |o, n, _| {
            let overwrites =
                |source: Disk, target: Disk| source < Disk::UpToDate && target == Disk::UpToDate;
            o.conn == Conn::Connected
                && match n.conn {
                    Conn::StartingSyncS => overwrites(o.disk, o.pdsk),
                    Conn::StartingSyncT => overwrites(o.pdsk, o.disk),
                    _ => false,
                }
        },
    ),
    change_rule(
        Ss::InTransientState,
        "verify or full sync while a disk is attached",
        |o, n, _| {
            let attaches = |disk: Disk| matches!(disk, Disk::Attaching | Disk::Negotiating);
            o.conn == Conn::Connected
                && (verifies(n) || starts_sync(n))
                && (attaches(o.disk) || attaches(o.pdsk))
        },
    ),
];

/// Rules for every change, facts included. A refused disk change outweighs the connection rows, which are judged
/// first match first and only when the connection changes.
pub const HARD_RULES: [ChangeRule; 6] = [
    change_rule(Ss::IsDiskless, "fail a disk that is gone", |o, n, _| {
        n.disk == Disk::Failed && o.disk == Disk::Diskless
    }),
    change_rule(
        Ss::AlreadyStandAlone,
        "StandAlone to Disconnecting",
        |o, n, _| o.conn == Conn::StandAlone && n.conn == Conn::Disconnecting,
    ),
    change_rule(
        Ss::NeedConnection,
        "StandAlone only to Unconnected",
        |o, n, _| o.conn == Conn::StandAlone && n.conn != o.conn && n.conn != Conn::Unconnected,
    ),
    change_rule(
        Ss::NeedConnection,
        "Connected only by a handshake",
        |o, n, _| o.conn < Conn::WfReportParams && n.conn >= Conn::Connected,
    ),
    change_rule(
        Ss::InTransientState,
        "failure only to Unconnected or Disconnecting",
        |o, n, _| {
            o.conn >= Conn::Timeout
                && o.conn <= Conn::TearDown
                && n.conn != o.conn
                && !matches!(n.conn, Conn::Unconnected | Conn::Disconnecting)
        },
    ),
    change_rule(
        Ss::InTransientState,
        "Disconnecting only to StandAlone",
        |o, n, _| o.conn == Conn::Disconnecting && n.conn != o.conn && n.conn != Conn::StandAlone,
    ),
];

fn verifies(state: &State) -> bool {
    matches!(state.conn, Conn::VerifyS | Conn::VerifyT)
}

fn starts_sync(state: &State) -> bool {
    matches!(state.conn, Conn::StartingSyncS | Conn::StartingSyncT)
}
