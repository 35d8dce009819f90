// SPDX-License-Identifier: GPL-2.0-or-later
//! The states that a resync begins and ends with.
//!
//! replication-semantics.md sections 7.1, 7.4 and 7.5; the UUID operations that belong to them are in
//! [`crate::uuid::GenUuids`].

use super::action::Side;
use super::model::{Conn, Disk, State};

/// The state to ask for (hard) when the resync begins. `held` says that `resync-after` does not allow it yet; the
/// sanitizer then chooses the paused state.
pub fn started(now: State, side: Side, held: bool) -> State {
    match side {
        Side::Source => State {
            conn: Conn::SyncSource,
            pdsk: Disk::Inconsistent,
            aftr_isp: held,
            ..now
        },
        Side::Target => State {
            conn: Conn::SyncTarget,
            disk: Disk::Inconsistent,
            aftr_isp: held,
            ..now
        },
    }
}

/// How a resync or verify ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The state to ask for (hard).
    pub wanted: State,
    /// Update the UUIDs as of a clean end.
    pub clean: bool,
}

/// The state to ask for when nothing is left but `failed` blocks; `None` when there is no resync to end.
///
/// An online verify leaves disks and UUIDs alone, whatever it found.
pub fn finished(now: State, failed: u64) -> Option<Finished> {
    let connected = State {
        conn: Conn::Connected,
        ..now
    };
    let (wanted, clean) = match now.conn {
        Conn::VerifyS | Conn::VerifyT => (connected, false),
        Conn::SyncSource | Conn::SyncTarget | Conn::PausedSyncS | Conn::PausedSyncT
            if failed == 0 =>
        {
            (
                State {
                    disk: Disk::UpToDate,
                    pdsk: Disk::UpToDate,
                    ..connected
                },
                true,
            )
        }
        Conn::SyncTarget | Conn::PausedSyncT => (
            State {
                disk: Disk::Inconsistent,
                pdsk: Disk::UpToDate,
                ..connected
            },
            false,
        ),
        Conn::SyncSource | Conn::PausedSyncS => (
            State {
                disk: Disk::UpToDate,
                pdsk: Disk::Inconsistent,
                ..connected
            },
            false,
        ),
        Conn::StandAlone
        | Conn::Disconnecting
        | Conn::Unconnected
        | Conn::Timeout
        | Conn::BrokenPipe
        | Conn::NetworkFailure
        | Conn::ProtocolError
        | Conn::TearDown
        | Conn::WfConnection
        | Conn::WfReportParams
        | Conn::Connected
        | Conn::StartingSyncS
        | Conn::StartingSyncT
        | Conn::WfBitMapS
        | Conn::WfBitMapT
        | Conn::WfSyncUuid
        | Conn::Ahead
        | Conn::Behind => return None,
    };
    Some(Finished { wanted, clean })
}

/// Whether a device blocks the resync of one that comes after it: it has a disk and is in a resync, or would be if it
/// were not held itself.
pub fn blocks_dependents(state: State) -> bool {
    let has_disk = state.disk != Disk::Diskless;
    has_disk
        && (state.conn >= Conn::SyncSource && state.conn <= Conn::PausedSyncT
            || state.resync_held())
}

#[cfg(test)]
mod tests {
    use super::super::{apply, Context, Kind, Role};
    use super::*;

    const UP: State = State {
        peer: Role::Secondary,
        conn: Conn::Connected,
        disk: Disk::UpToDate,
        pdsk: Disk::UpToDate,
        ..State::UNCONFIGURED
    };

    fn go(old: State, wanted: State) -> State {
        apply(old, wanted, Kind::Hard, &Context::DEFAULT)
            .unwrap()
            .new
    }

    #[test]
    fn from_the_bitmap_exchange_to_the_end_on_both_sides() {
        let source = State {
            conn: Conn::WfBitMapS,
            pdsk: Disk::Consistent,
            ..UP
        };
        let target = State {
            conn: Conn::WfSyncUuid,
            disk: Disk::Outdated,
            ..UP
        };
        let source = go(source, started(source, Side::Source, false));
        let target = go(target, started(target, Side::Target, false));
        assert_eq!(
            (source.conn, source.disk, source.pdsk),
            (Conn::SyncSource, Disk::UpToDate, Disk::Inconsistent)
        );
        assert_eq!(
            (target.conn, target.disk, target.pdsk),
            (Conn::SyncTarget, Disk::Inconsistent, Disk::UpToDate)
        );
        for side in [source, target] {
            let end = finished(side, 0).unwrap();
            assert!(end.clean);
            assert_eq!(go(side, end.wanted), UP);
        }
        let failed = finished(target, 3).unwrap();
        assert!(!failed.clean);
        assert_eq!(
            (failed.wanted.disk, failed.wanted.pdsk),
            (Disk::Inconsistent, Disk::UpToDate)
        );
        let failed = finished(source, 3).unwrap();
        assert_eq!(
            (failed.wanted.disk, failed.wanted.pdsk),
            (Disk::UpToDate, Disk::Inconsistent)
        );
    }

    #[test]
    fn held_from_the_beginning() {
        let target = State {
            conn: Conn::WfSyncUuid,
            disk: Disk::Outdated,
            ..UP
        };
        let held = go(target, started(target, Side::Target, true));
        assert_eq!(held.conn, Conn::PausedSyncT);
        assert!(blocks_dependents(held) && !blocks_dependents(UP));
    }

    #[test]
    fn a_target_that_may_be_finished_is_unknown() {
        use super::super::after::{after_change, Facts};
        use super::super::Action;
        let source = State {
            role: Role::Primary,
            conn: Conn::SyncSource,
            pdsk: Disk::Inconsistent,
            ..UP
        };
        let outdated = State {
            conn: Conn::TearDown,
            pdsk: Disk::Outdated,
            ..source
        };
        let gone = |conn| State { conn, ..source };
        // The connection breaks, the peer asks for its end, and it outdates itself before that.
        let wishes = [
            (gone(Conn::Timeout), Kind::Hard, Disk::Unknown),
            (gone(Conn::TearDown), Kind::Soft, Disk::Unknown),
            (outdated, Kind::Soft, Disk::Outdated),
        ];
        for (wish, kind, pdsk) in wishes {
            for good in [true, false] {
                let context = Context {
                    target_may_be_good: good,
                    ..Context::DEFAULT
                };
                let change = apply(source, wish, kind, &context).unwrap();
                let expected = if good { pdsk } else { wish.pdsk };
                assert_eq!(change.new.pdsk, expected);
                let facts = Facts {
                    bitmap_uuid_clear: false,
                    everything_sent: good,
                    ..Facts::of(change.new)
                };
                let actions = after_change(&change, &facts);
                assert_eq!(actions.contains(Action::FinishSourceUuids), good);
                assert_eq!(actions.contains(Action::NewCurrentUuid), good);
            }
        }
    }

    #[test]
    fn a_verify_changes_no_disk() {
        let verify = State {
            conn: Conn::VerifyS,
            ..UP
        };
        assert_eq!(
            finished(verify, 7),
            Some(Finished {
                wanted: UP,
                clean: false
            })
        );
        assert_eq!(finished(UP, 0), None);
        assert_eq!(
            finished(
                State {
                    conn: Conn::WfBitMapT,
                    ..UP
                },
                0
            ),
            None
        );
    }
}
