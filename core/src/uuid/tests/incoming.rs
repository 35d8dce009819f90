// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the reactions to P_UUIDS and P_STATE, and of the changes they lead to.

use crate::state::{apply, Conn, Context, Disk, Kind, Role, State};
use crate::uuid::compare::Compared;
use crate::uuid::generation::{GenUuids, PeerUuids, UuidFlags};
use crate::uuid::handshake::{Meeting, Outcome, Refusal, Sync};
use crate::uuid::incoming::*;
use crate::uuid::policy::{AfterSplitBrain, Demotion, Policy};

const OWN: GenUuids = GenUuids {
    current: 0xa0,
    bitmap: 0,
    history: [0xb0, 0xc0],
};
const UP: State = State {
    peer: Role::Secondary,
    conn: Conn::Connected,
    disk: Disk::UpToDate,
    pdsk: Disk::UpToDate,
    ..State::UNCONFIGURED
};
const MEETING: State = State {
    peer: Role::Unknown,
    conn: Conn::WfReportParams,
    pdsk: Disk::Unknown,
    ..UP
};
/// What a peer that is just connecting says of itself.
const TOLD: State = State {
    peer: Role::Unknown,
    conn: Conn::WfReportParams,
    pdsk: Disk::Unknown,
    ..UP
};

fn peer(uuids: GenUuids) -> PeerUuids {
    PeerUuids {
        uuids,
        ..PeerUuids::default()
    }
}

fn facts(uuids: Option<GenUuids>) -> StateFacts {
    StateFacts {
        peer_uuids: uuids.map(peer),
        consider_resync: false,
        dirty_bits: 0,
        resync_failed: 0,
        new_uuid_deferred: false,
        remembered_disk: None,
    }
}

fn meeting(own: GenUuids) -> impl Fn(&PeerUuids) -> Option<Meeting> {
    move |told| {
        Some(Meeting {
            compared: Compared {
                own,
                peer: *told,
                role: Role::Unknown,
                peer_role: Role::Unknown,
                crashed_primary: false,
                resolve_conflicts: false,
                apv: 101,
                feature_wsame: true,
            },
            disk: Disk::Diskless,
            remembered_disk: Disk::UpToDate,
            peer_disk: Disk::Diskless,
            changes: 0,
            discard_my_data: false,
            dry_run: false,
            always_asbp: false,
            after_split_brain: AfterSplitBrain::DISCONNECT,
            rr_conflict: Policy::Disconnect,
            demotion: Demotion::NotTried,
        })
    }
}

fn judge(now: State, told: State, facts: StateFacts) -> StateReaction {
    on_state(now, told, &facts, meeting(OWN))
}

fn accepted(reaction: StateReaction) -> Accepted {
    match reaction {
        StateReaction::Apply(accepted) => accepted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn equal_nodes_connect() {
    let reaction = accepted(judge(MEETING, TOLD, facts(Some(OWN))));
    assert_eq!(reaction.kind, Kind::Soft);
    assert_eq!(reaction.handshake.unwrap().comparison.rule, 40);
    let change = apply(MEETING, reaction.wanted, reaction.kind, &Context::DEFAULT).unwrap();
    assert_eq!(change.new, UP);
}

#[test]
fn the_newer_node_becomes_the_source() {
    let newer = GenUuids {
        current: 0xd1,
        bitmap: 0xa0,
        ..OWN
    };
    let told = State {
        role: Role::Primary,
        ..TOLD
    };
    let target = accepted(judge(MEETING, told, facts(Some(newer))));
    let change = apply(MEETING, target.wanted, target.kind, &Context::DEFAULT).unwrap();
    // Seen in a stock node's log: disk( UpToDate -> Outdated ) pdsk( DUnknown -> UpToDate ).
    assert_eq!(
        (change.new.conn, change.new.disk, change.new.pdsk),
        (Conn::WfBitMapT, Disk::Outdated, Disk::UpToDate)
    );
    let source = accepted(on_state(MEETING, TOLD, &facts(Some(OWN)), meeting(newer)));
    let change = apply(MEETING, source.wanted, source.kind, &Context::DEFAULT).unwrap();
    // And on its source: pdsk( DUnknown -> Consistent ).
    assert_eq!(
        (change.new.conn, change.new.disk, change.new.pdsk),
        (Conn::WfBitMapS, Disk::UpToDate, Disk::Consistent)
    );
}

#[test]
fn unrelated_data_ends_the_connection() {
    let foreign = GenUuids {
        current: 0x1110,
        bitmap: 0,
        history: [0x2220, 0x3330],
    };
    match judge(MEETING, TOLD, facts(Some(foreign))) {
        StateReaction::Refuse { handshake, conn } => {
            assert_eq!(handshake.outcome, Outcome::Refuse(Refusal::Unrelated));
            assert_eq!(conn, Conn::Disconnecting);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn disks_that_were_attached_at_once_are_compared_all_the_same() {
    // Each took the other for diskless, and its own disk for good.
    let alone = State {
        pdsk: Disk::Diskless,
        ..UP
    };
    let diverged = GenUuids {
        current: 0xd1,
        bitmap: 0xb0,
        history: [0xc0, 0],
    };
    let own = GenUuids {
        bitmap: 0xb0,
        ..OWN
    };
    match on_state(alone, UP, &facts(Some(diverged)), meeting(own)) {
        StateReaction::Refuse { handshake, conn } => {
            assert_eq!(handshake.outcome, Outcome::Refuse(Refusal::SplitBrain));
            assert_eq!(conn, Conn::Disconnecting);
        }
        other => panic!("{other:?}"),
    }
    // The same data go on.
    let equal = accepted(judge(alone, UP, facts(Some(OWN))));
    assert_eq!(equal.wanted, UP);
}

#[test]
fn a_dry_run_reconnects() {
    let dry = |told: &PeerUuids| {
        meeting(OWN)(told).map(|meeting| Meeting {
            dry_run: true,
            ..meeting
        })
    };
    match on_state(MEETING, TOLD, &facts(Some(OWN)), dry) {
        StateReaction::Refuse { handshake, conn } => {
            assert_eq!(
                handshake.outcome,
                Outcome::Refuse(Refusal::DryRun(Sync::None))
            );
            assert_eq!(conn, Conn::ProtocolError);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_connection_is_not_resurrected() {
    for conn in Conn::ALL.iter().filter(|conn| **conn <= Conn::TearDown) {
        let now = State {
            conn: *conn,
            ..MEETING
        };
        assert_eq!(
            judge(now, TOLD, facts(Some(OWN))),
            StateReaction::ConnectionGone
        );
    }
}

#[test]
fn the_end_of_a_resync_is_announced_by_the_target() {
    let source = State {
        conn: Conn::SyncSource,
        pdsk: Disk::Inconsistent,
        ..UP
    };
    let done = State {
        conn: Conn::Connected,
        ..UP
    };
    let left = |dirty_bits, resync_failed| StateFacts {
        dirty_bits,
        resync_failed,
        ..facts(Some(OWN))
    };
    assert_eq!(
        judge(source, done, left(3, 3)),
        StateReaction::ResyncFinished { finish: true }
    );
    assert_eq!(
        judge(source, done, left(4, 3)),
        StateReaction::ResyncFinished { finish: false }
    );
    // A peer that only prepares to be the target still looks UpToDate.
    let preparing = State {
        conn: Conn::WfBitMapT,
        ..UP
    };
    let seen = accepted(judge(
        State {
            conn: Conn::WfBitMapS,
            pdsk: Disk::Consistent,
            ..UP
        },
        preparing,
        left(4, 0),
    ));
    assert_eq!(seen.wanted.pdsk, Disk::Inconsistent);
    // A late word of a resync that is over here.
    let late = accepted(judge(
        UP,
        State {
            conn: Conn::SyncTarget,
            disk: Disk::Inconsistent,
            ..UP
        },
        left(0, 0),
    ));
    assert_eq!(late.wanted.pdsk, Disk::UpToDate);
}

#[test]
fn what_was_said_before_the_disk_was_attached_is_no_answer() {
    let attaching = State {
        disk: Disk::Negotiating,
        ..UP
    };
    // The disk before was lost in the middle of that, and the peer does not know.
    for conn in [Conn::WfSyncUuid, Conn::SyncSource, Conn::SyncTarget] {
        let told = State { conn, ..UP };
        let reaction = judge(attaching, told, facts(Some(OWN)));
        assert_eq!(reaction, StateReaction::Stale, "{conn:?}");
    }
    for conn in [Conn::Connected, Conn::WfBitMapS, Conn::WfBitMapT] {
        let told = State { conn, ..UP };
        let reaction = judge(attaching, told, facts(Some(OWN)));
        assert!(matches!(reaction, StateReaction::Apply(_)), "{reaction:?}");
    }
    // It was promoted, say, and takes this node for diskless. Its UUIDs are of before as well, if it told any.
    let told = State {
        pdsk: Disk::Diskless,
        ..UP
    };
    for uuids in [facts(Some(OWN)), facts(None)] {
        assert_eq!(judge(attaching, told, uuids), StateReaction::Stale);
    }
    // Both attach at once, and neither has heard of the other: nobody would go on.
    let told = State {
        disk: Disk::Negotiating,
        ..told
    };
    let reaction = judge(attaching, told, facts(Some(OWN)));
    assert!(matches!(reaction, StateReaction::Apply(_)), "{reaction:?}");
}

#[test]
fn the_end_of_a_verify_is_announced_by_its_source() {
    let verify = State {
        conn: Conn::VerifyT,
        ..UP
    };
    assert_eq!(
        judge(verify, UP, facts(Some(OWN))),
        StateReaction::VerifyFinished
    );
    let running = State {
        conn: Conn::VerifyS,
        ..UP
    };
    assert_eq!(
        accepted(judge(verify, running, facts(Some(OWN)))).wanted,
        verify
    );
}

#[test]
fn pausing_and_congestion_of_the_peer_are_noted() {
    let target = State {
        conn: Conn::SyncTarget,
        disk: Disk::Inconsistent,
        ..UP
    };
    let source = State {
        conn: Conn::SyncSource,
        pdsk: Disk::Inconsistent,
        user_isp: true,
        ..UP
    };
    let paused = accepted(judge(target, source, facts(Some(OWN))));
    assert!(paused.wanted.peer_isp);
    assert_eq!(paused.kind, Kind::Hard);
    let change = apply(target, paused.wanted, paused.kind, &Context::DEFAULT).unwrap();
    assert_eq!(change.new.conn, Conn::PausedSyncT);
    let ahead = accepted(judge(
        UP,
        State {
            conn: Conn::Ahead,
            pdsk: Disk::Consistent,
            ..UP
        },
        facts(Some(OWN)),
    ));
    assert_eq!(ahead.wanted.conn, Conn::Behind);
}

#[test]
fn a_forced_primary_draws_its_inconsistent_peer_into_a_resync() {
    let both = State {
        disk: Disk::Inconsistent,
        pdsk: Disk::Inconsistent,
        ..UP
    };
    let forced = State {
        role: Role::Primary,
        ..UP
    };
    let fresh = GenUuids::FRESH;
    let told = facts(Some(OWN));
    // Without the wish to consider it, a connected peer's word does not begin a handshake.
    let plain = accepted(on_state(both, forced, &told, meeting(fresh)));
    assert!(plain.handshake.is_none());
    let considered = StateFacts {
        consider_resync: true,
        ..told
    };
    let drawn = on_state(both, forced, &considered, meeting(fresh));
    assert!(sets_all_bits(&drawn));
    let drawn = accepted(drawn);
    assert_eq!(drawn.wanted.conn, Conn::WfBitMapT);
    assert!(must_answer(both, drawn.wanted, forced));
    assert!(!must_answer(MEETING, drawn.wanted, forced));
}

#[test]
fn an_attach_is_judged_by_both() {
    // Own attach: the peer answers, the remembered state counts.
    let now = State {
        disk: Disk::Negotiating,
        ..UP
    };
    let remembered = StateFacts {
        remembered_disk: Some(Disk::UpToDate),
        ..facts(Some(OWN))
    };
    assert_eq!(
        accepted(judge(now, UP, remembered)).wanted.disk,
        Disk::UpToDate
    );
    // ... or refuses.
    let foreign = GenUuids {
        current: 0x1110,
        bitmap: 0,
        history: [0x2220, 0x3330],
    };
    assert!(matches!(
        judge(now, UP, facts(Some(foreign))),
        StateReaction::AbortAttach(_)
    ));
    // ... also if it sees what this node does not.
    let failed = State {
        pdsk: Disk::Failed,
        ..UP
    };
    assert!(matches!(
        judge(now, failed, facts(Some(OWN))),
        StateReaction::AbortAttach(_)
    ));
    // The peer's attach is refused: it counts as failed.
    let diskless = State {
        pdsk: Disk::Diskless,
        ..UP
    };
    let attaching = State {
        disk: Disk::Negotiating,
        ..UP
    };
    let refused = accepted(judge(diskless, attaching, facts(Some(foreign))));
    assert!(refused.peer_attach_aborted);
    assert_eq!(
        (refused.wanted.conn, refused.wanted.pdsk),
        (Conn::Connected, Disk::Failed)
    );
    // A peer whose disk will be Inconsistent becomes the target.
    let mut flagged = facts(Some(OWN));
    flagged.peer_uuids = Some(PeerUuids {
        flags: UuidFlags::INCONSISTENT,
        ..peer(OWN)
    });
    assert_eq!(
        accepted(judge(diskless, attaching, flagged)).wanted.conn,
        Conn::WfBitMapS
    );
    assert_eq!(
        real_peer_disk(attaching, Some(&peer(OWN))),
        Disk::Consistent
    );
    assert_eq!(real_peer_disk(attaching, None), Disk::Inconsistent);
}

#[test]
fn a_rebooted_peer_does_not_get_old_requests() {
    let frozen = State {
        role: Role::Primary,
        susp_fen: true,
        ..MEETING
    };
    let told = State {
        disk: Disk::Consistent,
        ..TOLD
    };
    let deferred = StateFacts {
        new_uuid_deferred: true,
        ..facts(Some(OWN))
    };
    assert!(matches!(
        judge(frozen, told, deferred),
        StateReaction::PeerRebooted(_)
    ));
    // It only lost the network for a moment:
    assert!(matches!(
        judge(frozen, TOLD, deferred),
        StateReaction::Apply(_)
    ));
    // Nothing was frozen:
    let running = State {
        susp_fen: false,
        ..frozen
    };
    assert!(matches!(
        judge(running, told, deferred),
        StateReaction::Apply(_)
    ));
    assert!(matches!(
        judge(frozen, told, facts(Some(OWN))),
        StateReaction::Apply(_)
    ));
}

#[test]
fn a_primary_that_gives_in_is_demoted_first() {
    let split = GenUuids {
        current: 0xd0,
        bitmap: 0xa0,
        ..OWN
    };
    let mine = GenUuids {
        current: 0xe1,
        bitmap: 0xa0,
        ..OWN
    };
    let now = State {
        role: Role::Primary,
        ..MEETING
    };
    let meet = |demotion: Demotion| {
        move |told: &PeerUuids| {
            let mut meeting = meeting(mine)(told)?;
            meeting.after_split_brain = AfterSplitBrain {
                none: Policy::DiscardLocal,
                one: Policy::CallPriLost,
                two: Policy::Disconnect,
            };
            meeting.demotion = demotion;
            meeting.compared.role = Role::Primary;
            Some(meeting)
        }
    };
    let facts = facts(Some(split));
    assert!(matches!(
        on_state(now, TOLD, &facts, meet(Demotion::NotTried)),
        StateReaction::TryDemote(_)
    ));
    let demoted = State {
        role: Role::Secondary,
        ..now
    };
    let target = accepted(on_state(demoted, TOLD, &facts, meet(Demotion::Succeeded)));
    assert_eq!(target.wanted.conn, Conn::WfBitMapT);
    assert!(matches!(
        on_state(now, TOLD, &facts, meet(Demotion::Failed)),
        StateReaction::Refuse {
            conn: Conn::Disconnecting,
            ..
        }
    ));
}

#[test]
fn uuids_of_the_peer() {
    let accept = |skip_initial_sync, expose| UuidsReaction::Accept {
        skip_initial_sync,
        expose,
    };
    // A diskless Primary goes on with the data it has shown only.
    let diskless = State {
        role: Role::Primary,
        disk: Disk::Diskless,
        ..MEETING
    };
    assert_eq!(
        on_uuids(diskless, 101, None, 0xd1, &peer(OWN)),
        UuidsReaction::WrongData { expected: 0xd1 }
    );
    assert_eq!(
        on_uuids(diskless, 101, None, 0xa1, &peer(OWN)),
        accept(false, Some(0xa0))
    );
    let secondary = State {
        role: Role::Secondary,
        ..diskless
    };
    assert_eq!(
        on_uuids(secondary, 101, None, 0xd1, &peer(OWN)),
        accept(false, None)
    );
    // While connected to a server the new name of its data is taken.
    let served = State {
        conn: Conn::Connected,
        pdsk: Disk::UpToDate,
        ..diskless
    };
    assert_eq!(
        on_uuids(served, 101, None, 0xd1, &peer(OWN)),
        accept(false, Some(0xa0))
    );
    assert!(exposes_after_wait(served) && !exposes_after_wait(UP));
    // "Skip the initial sync" works on fresh disks only.
    let skip = PeerUuids {
        flags: UuidFlags::SKIP_INITIAL_SYNC,
        ..peer(OWN)
    };
    assert_eq!(
        on_uuids(UP, 101, Some(&GenUuids::FRESH), 0, &skip),
        accept(true, None)
    );
    assert_eq!(
        on_uuids(UP, 89, Some(&GenUuids::FRESH), 0, &skip),
        accept(false, None)
    );
    assert_eq!(on_uuids(UP, 101, Some(&OWN), 0, &skip), accept(false, None));
    assert_eq!(
        on_uuids(MEETING, 101, Some(&GenUuids::FRESH), 0, &skip),
        accept(false, None)
    );
}
