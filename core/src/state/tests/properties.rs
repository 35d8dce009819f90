// SPDX-License-Identifier: GPL-2.0-or-later
//! Properties of the sanitizer and of the checks, on chosen and on random states.

extern crate std;

use std::vec::Vec;

use super::{Random, C, UP};
use crate::state::check::{is_valid_soft_transition, is_valid_state, is_valid_transition};
use crate::state::sanitize::{sanitize, CLAMPS};
use crate::state::{
    apply, Conn, Context, Disk, Fencing, Kind, Negotiated, OnNoData, Role, Ss, State, Warnings,
};

#[test]
fn facts_pass_where_wishes_do_not() {
    let alone = State {
        role: Role::Primary,
        peer: Role::Unknown,
        conn: Conn::WfConnection,
        pdsk: Disk::Unknown,
        ..UP
    };
    let lost = State {
        disk: Disk::Failed,
        ..alone
    };
    assert_eq!(apply(alone, lost, Kind::Soft, &C), Err(Ss::NoUpToDateDisk));
    assert_eq!(
        apply(alone, lost, Kind::Hard, &C).map(|change| change.result()),
        Ok(Ss::Success)
    );
    assert_eq!(
        apply(alone, alone, Kind::Soft, &C).map(|change| change.result()),
        Ok(Ss::NothingToDo)
    );
    // Once broken, the same breach does not lock in; another one is still refused.
    let gone = State {
        disk: Disk::Diskless,
        ..alone
    };
    assert!(apply(lost, gone, Kind::Soft, &C).is_ok());
    assert!(apply(gone, State { susp: true, ..gone }, Kind::Soft, &C).is_ok());
    assert_eq!(
        apply(
            gone,
            State {
                role: Role::Secondary,
                ..gone
            },
            Kind::Soft,
            &Context {
                device_open: true,
                ..C
            }
        ),
        Err(Ss::DeviceInUse)
    );
}

#[test]
fn the_sanitizer_comes_to_rest() {
    for seed in 0..200_000u64 {
        let mut random = Random(seed);
        let (old, new, context) = (random.state(), random.state(), random.context());
        let first = sanitize(old, new, &context);
        let mut once = first.state;
        if first.warnings.contains(Warnings::LOST_WHILE_NEGOTIATING)
            && once.conn == Conn::StandAlone
        {
            // The disk goes after "unconfigured" was looked for; the next change finds it.
            once.aftr_isp &= once.role == Role::Primary;
        }
        let twice = sanitize(old, once, &context).state;
        let resumed =
            matches!(once.conn, Conn::SyncSource | Conn::SyncTarget) && new.conn != once.conn;
        if resumed {
            // The clamp of the paused state is wider, and is applied before the pause ends.
            assert_eq!(twice, sanitize(old, twice, &context).state, "seed {seed}");
        } else {
            assert_eq!(twice, once, "seed {seed}");
        }
        let clamp = CLAMPS
            .iter()
            .find(|clamp| clamp.conn == twice.conn)
            .unwrap();
        for (disk, span) in [(twice.disk, clamp.disk), (twice.pdsk, clamp.pdsk)] {
            assert!(
                disk >= span.low && disk <= span.high,
                "seed {seed}: {twice:?}"
            );
        }
        assert!(
            once.conn >= Conn::Connected || once.peer == Role::Unknown,
            "seed {seed}"
        );
    }
}

#[test]
fn what_the_sanitizer_says_and_does() {
    let resync = State {
        conn: Conn::SyncTarget,
        disk: Disk::Inconsistent,
        ..UP
    };
    let aborted = sanitize(
        resync,
        State {
            disk: Disk::Failed,
            ..resync
        },
        &C,
    );
    assert_eq!(
        (aborted.state.conn, aborted.warnings),
        (Conn::Connected, Warnings::ABORTED_RESYNC)
    );
    let verify = State {
        conn: Conn::VerifyT,
        ..UP
    };
    let aborted = sanitize(
        verify,
        State {
            pdsk: Disk::Diskless,
            ..verify
        },
        &C,
    );
    assert_eq!(
        (aborted.state.conn, aborted.warnings),
        (Conn::Connected, Warnings::ABORTED_VERIFY)
    );

    let lost = sanitize(
        UP,
        State {
            conn: Conn::NetworkFailure,
            ..UP
        },
        &C,
    );
    assert_eq!(
        (lost.state.peer, lost.state.pdsk),
        (Role::Unknown, Disk::Unknown)
    );
    let known = sanitize(
        UP,
        State {
            conn: Conn::NetworkFailure,
            pdsk: Disk::Outdated,
            ..UP
        },
        &C,
    );
    assert_eq!(known.state.pdsk, Disk::Outdated);

    let negotiating = State {
        disk: Disk::Negotiating,
        ..UP
    };
    let cut = State {
        conn: Conn::NetworkFailure,
        ..negotiating
    };
    let remembered = Negotiated {
        disk: Disk::Consistent,
        pdsk: Disk::Unknown,
        data_unchanged: true,
    };
    let kept = sanitize(
        negotiating,
        cut,
        &Context {
            negotiating: Some(remembered),
            ..C
        },
    );
    assert_eq!(
        (kept.state.disk, kept.warnings),
        (Disk::Consistent, Warnings::NONE)
    );
    let other = Negotiated {
        data_unchanged: false,
        ..remembered
    };
    let dropped = sanitize(
        negotiating,
        cut,
        &Context {
            negotiating: Some(other),
            ..C
        },
    );
    assert_eq!(
        (dropped.state.disk, dropped.warnings),
        (Disk::Diskless, Warnings::LOST_WHILE_NEGOTIATING)
    );

    let upgraded = sanitize(
        UP,
        State {
            conn: Conn::WfBitMapS,
            disk: Disk::Inconsistent,
            ..UP
        },
        &C,
    );
    assert_eq!(
        (upgraded.state.disk, upgraded.warnings),
        (Disk::UpToDate, Warnings::UPGRADED_DISK)
    );
    assert_eq!(
        upgraded.warnings.texts().collect::<Vec<_>>(),
        ["Implicitly upgraded disk state"]
    );
}

#[test]
fn suspension_begins_with_the_loss_only() {
    let primary = State {
        role: Role::Primary,
        ..UP
    };
    let lost = State {
        conn: Conn::NetworkFailure,
        ..primary
    };
    let stonith = Context {
        fencing: Fencing::ResourceAndStonith,
        ..C
    };
    assert!(sanitize(primary, lost, &stonith).state.susp_fen);
    assert!(
        !sanitize(
            primary,
            lost,
            &Context {
                fencing: Fencing::ResourceOnly,
                ..C
            }
        )
        .state
        .susp_fen
    );
    assert!(
        !sanitize(
            primary,
            State {
                pdsk: Disk::Outdated,
                ..lost
            },
            &stonith
        )
        .state
        .susp_fen
    );
    assert!(
        !sanitize(
            primary,
            State {
                role: Role::Secondary,
                ..lost
            },
            &stonith
        )
        .state
        .susp_fen
    );
    // A state that was already so is not suspended again: resume-io stays resumed.
    let resumed = sanitize(primary, lost, &C).state;
    assert!(
        !sanitize(
            resumed,
            State {
                conn: Conn::Unconnected,
                ..resumed
            },
            &stonith
        )
        .state
        .susp_fen
    );

    let freeze = Context {
        on_no_data: OnNoData::SuspendIo,
        ..C
    };
    let nothing = State {
        disk: Disk::Failed,
        conn: Conn::WfConnection,
        ..primary
    };
    assert!(sanitize(primary, nothing, &freeze).state.susp_nod);
    assert!(!sanitize(primary, nothing, &C).state.susp_nod);
    assert!(
        !sanitize(
            primary,
            State {
                disk: Disk::Failed,
                ..primary
            },
            &freeze
        )
        .state
        .susp_nod
    );
}

#[test]
fn pause_flags_choose_the_paused_state() {
    let target = State {
        conn: Conn::SyncTarget,
        disk: Disk::Inconsistent,
        ..UP
    };
    for paused in [
        State {
            user_isp: true,
            ..target
        },
        State {
            peer_isp: true,
            ..target
        },
        State {
            aftr_isp: true,
            ..target
        },
    ] {
        let state = sanitize(target, paused, &C).state;
        assert_eq!(state.conn, Conn::PausedSyncT);
        let back = State {
            user_isp: false,
            peer_isp: false,
            aftr_isp: false,
            ..state
        };
        assert_eq!(sanitize(state, back, &C).state, target);
    }
}

#[test]
fn what_was_accepted_softly_is_valid_or_was_broken_before() {
    let mut accepted = 0;
    for seed in 0..200_000u64 {
        let mut random = Random(seed);
        let (from, wish, context) = (random.state(), random.state(), random.context());
        let old = sanitize(from, from, &context).state;
        let Ok(change) = apply(old, wish, Kind::Soft, &context) else {
            continue;
        };
        accepted += 1;
        if change.old == change.new {
            continue;
        }
        let now = Context {
            fencing: context.fencing_with(old.disk),
            ..context
        };
        let after = is_valid_state(change.new, &now);
        assert!(
            after.is_ok() || after == is_valid_state(old, &now),
            "seed {seed}"
        );
        assert_eq!(
            is_valid_soft_transition(old, change.new, &now),
            Ok(()),
            "seed {seed}"
        );
        assert_eq!(is_valid_transition(old, change.new), Ok(()), "seed {seed}");
    }
    assert!(
        accepted > 1000,
        "{accepted} accepted: the generator is too wild to prove anything"
    );
}

/// Whoever was about to become the target of a resync has old data, and does not become good by
/// the loss of the source's disk.
#[test]
fn a_target_to_be_is_not_promoted_by_the_loss_of_the_source() {
    for conn in [Conn::WfBitMapT, Conn::WfSyncUuid] {
        let target = State {
            conn,
            disk: Disk::Outdated,
            ..UP
        };
        let alone = State {
            pdsk: Disk::Failed,
            ..target
        };
        let state = sanitize(target, alone, &C).state;
        assert_eq!(
            (state.conn, state.disk),
            (Conn::Connected, Disk::Inconsistent)
        );
    }
    let source = State {
        role: Role::Primary,
        conn: Conn::WfBitMapS,
        pdsk: Disk::Consistent,
        ..UP
    };
    let detached = State {
        disk: Disk::Failed,
        ..source
    };
    assert_eq!(
        apply(source, detached, Kind::Soft, &C),
        Err(Ss::NoUpToDateDisk)
    );
    let verify = State {
        conn: Conn::VerifyT,
        pdsk: Disk::Failed,
        ..UP
    };
    assert_eq!(sanitize(UP, verify, &C).state.disk, Disk::UpToDate);
}
