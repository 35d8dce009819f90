// SPDX-License-Identifier: GPL-2.0-or-later
//! Each action with a change that causes it, and with one that does not.

extern crate std;

use super::super::{Random, UP};
use super::{after, change, ALONE, PRIMARY};
use crate::state::action::{Action, BitmapWrite, Helper, Side, Thaw};
use crate::state::after::{after_change, after_role_change, immediate, Facts};
use crate::state::{apply, Conn, Context, Disk, Kind, OnNoData, Role, State};
use std::vec::Vec;

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
