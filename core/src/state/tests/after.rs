// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of what follows from a change: the order of packets, and each action with a change that does not cause it.

extern crate std;

use std::vec::Vec;

use super::{Random, UP};
use crate::state::action::{Action, Actions, BitmapWrite, Helper, Side, Thaw};
use crate::state::after::{after_change, after_role_change, immediate, lost_peer_data, Facts};
use crate::state::{apply, Change, Conn, Context, Disk, Kind, OnNoData, Role, State, Warnings};

const PRIMARY: State = State {
    role: Role::Primary,
    ..UP
};
const ALONE: State = State {
    peer: Role::Unknown,
    conn: Conn::WfConnection,
    pdsk: Disk::Unknown,
    ..UP
};

fn change(old: State, new: State) -> Change {
    Change {
        old,
        new,
        warnings: Warnings::NONE,
    }
}

fn after(old: State, new: State) -> Actions {
    after_change(&change(old, new), &Facts::of(new))
}

fn packets(actions: &Actions) -> Vec<Action> {
    let sends = |action: &Action| {
        matches!(
            action,
            Action::SendSizes
                | Action::SendUuids
                | Action::SendState
                | Action::SendSyncUuid
                | Action::SendBitmap
                | Action::NewCurrentUuid
        )
    };
    actions.iter().filter(sends).collect()
}

#[test]
fn nothing_follows_from_nothing() {
    assert!(after(UP, UP).is_empty());
    assert!(immediate(&change(UP, UP), &Facts::of(UP)).is_empty());
}

#[test]
fn occasions_for_packets() {
    let handshake = State {
        conn: Conn::WfReportParams,
        ..ALONE
    };
    let source = State {
        conn: Conn::SyncSource,
        pdsk: Disk::Inconsistent,
        ..UP
    };
    let target = State {
        conn: Conn::SyncTarget,
        disk: Disk::Inconsistent,
        ..UP
    };
    let becoming = State {
        conn: Conn::WfBitMapS,
        pdsk: Disk::Consistent,
        ..UP
    };
    let none: &[Action] = &[];
    let state: &[Action] = &[Action::SendState];
    let cases: &[(&str, State, State, &[Action])] = &[
        ("connected", handshake, UP, state),
        (
            "pause",
            target,
            State {
                conn: Conn::PausedSyncT,
                user_isp: true,
                ..target
            },
            state,
        ),
        (
            "peer's pause",
            target,
            State {
                conn: Conn::PausedSyncT,
                peer_isp: true,
                ..target
            },
            none,
        ),
        (
            "pause, unconnected",
            ALONE,
            State {
                user_isp: true,
                ..ALONE
            },
            none,
        ),
        (
            "pull ahead",
            UP,
            State {
                conn: Conn::Ahead,
                pdsk: Disk::Consistent,
                ..UP
            },
            state,
        ),
        (
            "disk fails",
            UP,
            State {
                disk: Disk::Failed,
                ..UP
            },
            state,
        ),
        (
            "disk fails, unconnected",
            ALONE,
            State {
                disk: Disk::Failed,
                ..ALONE
            },
            none,
        ),
        (
            "disk is gone",
            State {
                disk: Disk::Failed,
                ..UP
            },
            State {
                disk: Disk::Diskless,
                ..UP
            },
            state,
        ),
        (
            "disk has errors",
            UP,
            State {
                disk: Disk::Inconsistent,
                ..UP
            },
            state,
        ),
        (
            "own attach",
            State {
                disk: Disk::Attaching,
                ..UP
            },
            State {
                disk: Disk::Negotiating,
                ..UP
            },
            &[Action::SendSizes, Action::SendUuids, Action::SendState],
        ),
        (
            "peer's attach",
            State {
                pdsk: Disk::Diskless,
                ..UP
            },
            State {
                pdsk: Disk::Consistent,
                ..UP
            },
            &[Action::SendUuids, Action::SendState],
        ),
        ("resync done on the target", target, UP, state),
        ("resync done on the source", source, UP, none),
        (
            "verify done",
            State {
                conn: Conn::VerifyS,
                ..UP
            },
            UP,
            state,
        ),
        (
            "verify done on the other side",
            State {
                conn: Conn::VerifyT,
                ..UP
            },
            UP,
            none,
        ),
        (
            "bitmap",
            handshake,
            becoming,
            &[Action::SendBitmap, Action::SendState],
        ),
        ("source", becoming, source, &[Action::SendSyncUuid]),
        (
            "source, paused",
            becoming,
            State {
                conn: Conn::PausedSyncS,
                peer_isp: true,
                ..source
            },
            &[Action::SendSyncUuid],
        ),
        (
            "source goes on",
            State {
                conn: Conn::PausedSyncS,
                ..source
            },
            source,
            none,
        ),
    ];
    for (name, old, new, expected) in cases {
        let actions = after(*old, *new);
        assert_eq!(packets(&actions), *expected, "{name}");
        assert!(actions.contains(Action::Notify), "{name}");
        assert_eq!(actions.iter().last(), Some(Action::SyncMetadata), "{name}");
    }
    let stop = Facts {
        apv: 100,
        ..Facts::of(UP)
    };
    assert!(packets(&after_change(
        &change(
            State {
                conn: Conn::VerifyS,
                ..UP
            },
            UP
        ),
        &stop
    ))
    .is_empty());
    let old_protocol = Facts {
        apv: 95,
        ..Facts::of(source)
    };
    assert!(packets(&after_change(&change(becoming, source), &old_protocol)).is_empty());
}

#[test]
fn a_new_generation_when_the_peer_is_lost() {
    let lost = State {
        peer: Role::Unknown,
        conn: Conn::NetworkFailure,
        pdsk: Disk::Unknown,
        ..PRIMARY
    };
    assert_eq!(
        packets(&after(PRIMARY, lost)),
        [Action::NewCurrentUuid, Action::SendUuids]
    );
    // Not a second time, ...
    let counting = Facts {
        bitmap_uuid_clear: false,
        ..Facts::of(lost)
    };
    assert!(packets(&after_change(&change(PRIMARY, lost), &counting)).is_empty());
    // ... not while nobody writes, ...
    assert!(packets(&after(
        UP,
        State {
            role: Role::Secondary,
            ..lost
        }
    ))
    .is_empty());
    // ... not while I/O is frozen, when it is deferred.
    let frozen = after(
        PRIMARY,
        State {
            susp_fen: true,
            ..lost
        },
    );
    assert!(
        frozen.contains(Action::DeferNewCurrentUuid) && !frozen.contains(Action::NewCurrentUuid)
    );
    // The peer lost its disk.
    let failed = State {
        pdsk: Disk::Failed,
        ..PRIMARY
    };
    assert_eq!(
        packets(&after(PRIMARY, failed)),
        [Action::NewCurrentUuid, Action::SendUuids]
    );
    // A diskless peer is promoted.
    let diskless = State {
        pdsk: Disk::Diskless,
        ..UP
    };
    let served = State {
        peer: Role::Primary,
        ..diskless
    };
    assert_eq!(
        packets(&after(diskless, served)),
        [Action::NewCurrentUuid, Action::SendUuids]
    );
    assert!(after(served, diskless).contains(Action::WriteBitmap(BitmapWrite::DemoteDisklessPeer)));
}

#[test]
fn what_counts_as_lost() {
    for (old, new, lost) in [
        (Disk::UpToDate, Disk::Unknown, true),
        (Disk::UpToDate, Disk::Outdated, true),
        (Disk::Inconsistent, Disk::Failed, true),
        (Disk::Inconsistent, Disk::UpToDate, false),
        (Disk::Outdated, Disk::Unknown, false),
        (Disk::Unknown, Disk::Outdated, true),
        (Disk::Unknown, Disk::Diskless, true),
        (Disk::Unknown, Disk::Inconsistent, false),
        (Disk::Unknown, Disk::UpToDate, false),
        (Disk::Failed, Disk::Diskless, false),
    ] {
        assert_eq!(lost_peer_data(old, new), lost, "{old:?} {new:?}");
    }
}

#[test]
fn frozen_requests() {
    let frozen = State {
        role: Role::Primary,
        susp_fen: true,
        ..ALONE
    };
    let back = State {
        susp_fen: true,
        ..PRIMARY
    };
    let fencing = |thaw| Action::Thaw {
        thaw,
        fencing: true,
    };
    assert!(after(frozen, back).contains(fencing(Thaw::Resend)));
    // Only when every volume is back.
    let partly = Facts {
        lowest_conn: Conn::WfReportParams,
        highest_pdsk: Disk::UpToDate,
        ..Facts::of(back)
    };
    let actions = after_change(&change(frozen, back), &partly);
    assert!(!actions
        .iter()
        .any(|action| matches!(action, Action::Thaw { .. })));
    let fenced = State {
        pdsk: Disk::Outdated,
        ..frozen
    };
    let deferred = Facts {
        new_uuid_deferred: true,
        ..Facts::of(fenced)
    };
    let actions: Vec<Action> = after_change(&change(frozen, fenced), &deferred)
        .iter()
        .collect();
    let uuid = actions
        .iter()
        .position(|action| *action == Action::NewCurrentUuid)
        .unwrap();
    let thaw = actions
        .iter()
        .position(|action| *action == fencing(Thaw::CleanTransferLog))
        .unwrap();
    assert!(uuid < thaw, "the new generation begins before I/O goes on");

    let no_data = |thaw| Action::Thaw {
        thaw,
        fencing: false,
    };
    let starved = State {
        role: Role::Primary,
        disk: Disk::Diskless,
        susp_nod: true,
        ..ALONE
    };
    let served = State {
        disk: Disk::Diskless,
        susp_nod: true,
        ..PRIMARY
    };
    assert!(after(starved, served).contains(no_data(Thaw::Resend)));
    let attached = State {
        disk: Disk::UpToDate,
        ..starved
    };
    let attaching = State {
        disk: Disk::Attaching,
        ..starved
    };
    assert!(after(attaching, attached).contains(no_data(Thaw::RestartDiskIo)));
    assert!(!after(
        attaching,
        State {
            disk: Disk::Outdated,
            ..attached
        }
    )
    .contains(no_data(Thaw::RestartDiskIo)));
}

#[test]
fn losing_a_disk_has_an_order() {
    let failed = State {
        disk: Disk::Failed,
        ..UP
    };
    let facts = Facts {
        call_io_error_helper: true,
        force_detach: true,
        ..Facts::of(failed)
    };
    let actions: Vec<Action> = after_change(&change(UP, failed), &facts).iter().collect();
    let expected = [
        Action::RunHelper(Helper::LocalIoError),
        Action::AbortLocalRequests,
        Action::SendState,
        Action::CancelResyncExtents,
        Action::SyncMetadata,
        Action::ReleaseFailedDisk,
    ];
    assert_eq!(
        actions
            .iter()
            .filter(|action| expected.contains(action))
            .count(),
        expected.len() + 1
    );
    let positions: Vec<_> = expected
        .iter()
        .map(|wanted| actions.iter().position(|action| action == wanted))
        .collect();
    assert!(
        positions.windows(2).all(|pair| pair[0] < pair[1]),
        "{actions:?}"
    );
    assert!(after(
        failed,
        State {
            disk: Disk::Diskless,
            ..UP
        }
    )
    .contains(Action::CloseDisk));
    let degraded = State {
        pdsk: Disk::Inconsistent,
        role: Role::Primary,
        ..failed
    };
    assert!(after(PRIMARY, degraded).contains(Action::RunHelper(Helper::PriOnInconDegr)));
    assert!(!after(UP, failed).contains(Action::RunHelper(Helper::PriOnInconDegr)));
}

#[test]
fn the_rest_of_the_list() {
    let target = State {
        conn: Conn::SyncTarget,
        disk: Disk::Inconsistent,
        ..UP
    };
    assert!(after(target, UP).contains(Action::ClearCrashedPrimary));
    assert!(!after(
        target,
        State {
            disk: Disk::Outdated,
            ..UP
        }
    )
    .contains(Action::ClearCrashedPrimary));
    assert!(after(target, UP).contains(Action::WriteBitmap(BitmapWrite::ResyncEnded)));
    assert!(after(target, UP).contains(Action::ResumeDependents));
    assert!(after(PRIMARY, UP).contains(Action::WriteBitmap(BitmapWrite::Demote)));
    assert!(!after(UP, PRIMARY).contains(Action::WriteBitmap(BitmapWrite::Demote)));
    let starting = State {
        conn: Conn::StartingSyncT,
        disk: Disk::Inconsistent,
        ..UP
    };
    assert!(after(UP, starting).contains(Action::StartFullSync(Side::Target)));
    assert!(!after(UP, starting).contains(Action::StartFullSync(Side::Source)));
    let paused = State {
        conn: Conn::PausedSyncT,
        aftr_isp: true,
        ..target
    };
    assert!(after(target, paused).contains(Action::PauseDependents));
    let grown = Facts {
        grew_before_negotiation: true,
        ..Facts::of(UP)
    };
    let attach = change(
        State {
            pdsk: Disk::Diskless,
            ..UP
        },
        UP,
    );
    assert!(after_change(&attach, &grown).contains(Action::ResyncAfterGrow));
    assert!(!after_change(&attach, &Facts::of(UP)).contains(Action::ResyncAfterGrow));
    let leaving = State {
        conn: Conn::Disconnecting,
        ..ALONE
    };
    assert!(after(
        leaving,
        State {
            conn: Conn::StandAlone,
            ..ALONE
        }
    )
    .contains(Action::ForgetPeer));
}

#[test]
fn together_with_the_change() {
    let now = |old, new| immediate(&change(old, new), &Facts::of(new));
    let handshake = State {
        conn: Conn::WfReportParams,
        ..ALONE
    };
    let connected = now(handshake, UP);
    for action in [
        Action::NewEpoch,
        Action::ClearStateSent,
        Action::ResumeActivityLog,
        Action::UpdateMetadata,
    ] {
        assert!(connected.contains(action), "{action:?}");
    }
    let others = Facts {
        others_in_handshake: true,
        ..Facts::of(UP)
    };
    assert!(!immediate(&change(handshake, UP), &others).contains(Action::ClearStateSent));
    assert!(!now(UP, PRIMARY).contains(Action::NewEpoch));
    assert!(now(
        UP,
        State {
            conn: Conn::Timeout,
            ..ALONE
        }
    )
    .contains(Action::RestartReceiver));
    assert!(!now(
        ALONE,
        State {
            conn: Conn::Timeout,
            ..ALONE
        }
    )
    .contains(Action::RestartReceiver));
    assert!(now(
        UP,
        State {
            conn: Conn::Disconnecting,
            ..ALONE
        }
    )
    .contains(Action::StopReceiver));
    let down = State {
        conn: Conn::StandAlone,
        ..ALONE
    };
    assert!(now(
        down,
        State {
            conn: Conn::Unconnected,
            ..ALONE
        }
    )
    .contains(Action::StartReceiver));
    let verify = State {
        conn: Conn::VerifyS,
        ..UP
    };
    assert!(now(UP, verify).contains(Action::VerifyBegins));
    assert!(now(verify, UP).contains(Action::VerifyEnds));
    let target = State {
        conn: Conn::SyncTarget,
        disk: Disk::Inconsistent,
        ..UP
    };
    let paused = State {
        conn: Conn::PausedSyncT,
        ..target
    };
    assert!(now(target, paused).contains(Action::ResyncPauses));
    assert!(now(paused, target).contains(Action::ResyncContinues));
    assert!(now(target, UP).contains(Action::ExposeCurrentUuid));
    let both = State {
        disk: Disk::Inconsistent,
        pdsk: Disk::Inconsistent,
        ..UP
    };
    let forced = State {
        peer: Role::Primary,
        pdsk: Disk::UpToDate,
        ..both
    };
    assert!(now(both, forced).contains(Action::ConsiderResync));
    assert!(!now(
        UP,
        State {
            peer: Role::Primary,
            ..UP
        }
    )
    .contains(Action::ConsiderResync));
    // The metadata of a failed disk is left alone.
    assert!(!now(
        UP,
        State {
            disk: Disk::Failed,
            ..UP
        }
    )
    .contains(Action::UpdateMetadata));
}

#[test]
fn role_changes() {
    let primary = State {
        role: Role::Primary,
        ..ALONE
    };
    let alone: Vec<Action> = after_role_change(primary, false, &Facts::of(primary))
        .iter()
        .collect();
    assert_eq!(alone, [Action::NewCurrentUuid, Action::SyncMetadata]);
    let counting = Facts {
        bitmap_uuid_clear: false,
        ..Facts::of(primary)
    };
    assert!(!after_role_change(primary, false, &counting).contains(Action::NewCurrentUuid));
    let connected: Vec<Action> = after_role_change(PRIMARY, false, &Facts::of(PRIMARY))
        .iter()
        .collect();
    assert_eq!(connected, [Action::SendState, Action::SyncMetadata]);
    let forced: Vec<Action> = after_role_change(PRIMARY, true, &Facts::of(PRIMARY))
        .iter()
        .collect();
    assert_eq!(
        forced,
        [
            Action::NewCurrentUuid,
            Action::SendUuids,
            Action::SendState,
            Action::SyncMetadata
        ]
    );
    let demoted: Vec<Action> = after_role_change(UP, false, &Facts::of(UP))
        .iter()
        .collect();
    assert_eq!(demoted, [Action::SendState, Action::SyncMetadata]);
}

#[test]
fn no_change_overflows_the_list() {
    let context = Context {
        on_no_data: OnNoData::SuspendIo,
        ..Context::DEFAULT
    };
    let mut longest = 0;
    for seed in 0..200_000u64 {
        let mut random = Random(seed);
        let (from, wish) = (random.state(), random.state());
        let Ok(change) = apply(from, wish, Kind::Hard, &context) else {
            continue;
        };
        let facts = Facts {
            bitmap_uuid_clear: random.flip(),
            call_io_error_helper: true,
            force_detach: true,
            grew_before_negotiation: true,
            new_uuid_deferred: true,
            ..Facts::of(change.new)
        };
        for actions in [after_change(&change, &facts), immediate(&change, &facts)] {
            longest = longest.max(actions.iter().count());
            // wire-protocol.md section 15: P_SYNC_UUID before any P_STATE that shows the resync.
            let list: Vec<Action> = actions.iter().collect();
            let at = |wanted| list.iter().position(|action| *action == wanted);
            if let (Some(sync), Some(state)) = (at(Action::SendSyncUuid), at(Action::SendState)) {
                assert!(sync < state, "seed {seed}: {list:?}");
            }
        }
    }
    assert!(longest > 8 && longest < 24, "longest list: {longest}");
}

/// A target that had finished and then lost its disk does not have what is written from here on.
#[test]
fn a_finished_target_that_goes_is_left_for_a_new_generation() {
    let source = State {
        role: Role::Primary,
        conn: Conn::SyncSource,
        pdsk: Disk::Inconsistent,
        ..UP
    };
    let gone = State {
        conn: Conn::Connected,
        pdsk: Disk::Failed,
        ..source
    };
    for target_finished in [true, false] {
        let facts = Facts {
            bitmap_uuid_clear: false,
            target_finished,
            ..Facts::of(gone)
        };
        let actions: Vec<Action> = after_change(&change(source, gone), &facts).iter().collect();
        let place = |wanted| actions.iter().position(|action| *action == wanted);
        let (ended, begun) = (
            place(Action::FinishSourceUuids),
            place(Action::NewCurrentUuid),
        );
        assert_eq!(
            (ended.is_some(), begun.is_some()),
            (target_finished, target_finished)
        );
        assert!(ended <= begun, "the old one ends before the new one begins");
    }
}

/// A target that has not begun, and whose source is gone, is older than the peer believes.
#[test]
fn a_target_that_never_began_says_what_it_is() {
    let target = State {
        peer: Role::Primary,
        conn: Conn::WfSyncUuid,
        disk: Disk::Outdated,
        ..UP
    };
    let left = State {
        conn: Conn::Connected,
        disk: Disk::Inconsistent,
        pdsk: Disk::Failed,
        ..target
    };
    assert!(after(target, left).contains(Action::SendState));
}
