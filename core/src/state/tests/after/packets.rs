// SPDX-License-Identifier: GPL-2.0-or-later
//! What is sent after a change, and in which order.

extern crate std;

use super::super::UP;
use super::{after, change, packets, ALONE, PRIMARY};
use crate::state::action::{Action, BitmapWrite};
use crate::state::after::{after_change, immediate, lost_peer_data, Facts};
use crate::state::{Conn, Disk, Role, State};
use std::vec::Vec;

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
