// SPDX-License-Identifier: GPL-2.0-or-later
//! The guard, clause by clause: what another node says or does not say, what a disk is.

use super::super::drbd::{Disk, DrbdBrief, Role};
use super::super::facts::{Ending, Lives};
use super::super::guard::{promotable, yields, Other};
use super::super::id::{Incarnation, NodeId, OwnerEpoch, ViewId};
use super::super::message::{GroupBrief, Holding, NodeState};
use super::{disk, group, idle};

fn epoch(plan: u64) -> OwnerEpoch {
    OwnerEpoch {
        view: ViewId {
            epoch: 4,
            proposer: NodeId(1),
            incarnation: Incarnation(1),
        },
        plan,
    }
}

fn says(holding: Holding, promise: Option<u64>) -> GroupBrief {
    GroupBrief {
        epoch: promise.map(epoch),
        holding,
        ..idle(&group("db", &[1, 2], 0))
    }
}

/// The other node was active in life 5; `over` is the last that is over, `life` the one it is heard in.
fn asked(
    over: Option<u64>,
    life: u64,
    heard: bool,
    said: Option<(NodeState, &GroupBrief)>,
) -> Result<(), String> {
    let lives = Lives {
        active: Incarnation(5),
        over: over.map(|life| (Incarnation(life), Ending::Fenced)),
        ..Lives::default()
    };
    let other = Other {
        lives,
        life: Incarnation(life),
        heard,
        said,
    };
    yields(&other, epoch(3))
}

#[test]
fn a_silent_node_has_to_be_fenced_in_its_last_life() {
    let had = says(Holding::Running, Some(2));
    let member = Some((NodeState::Member, &had));
    assert!(asked(None, 5, false, member).is_err(), "not fenced");
    assert!(
        asked(Some(4), 5, false, member).is_err(),
        "fenced in a life before"
    );
    assert!(asked(Some(5), 5, false, member).is_ok());
    assert!(asked(Some(5), 5, false, None).is_ok());
    assert!(asked(None, 0, false, None).is_err(), "never heard");
}

#[test]
fn a_node_that_lives_has_to_release_and_to_acknowledge() {
    for (holding, promise, fine) in [
        (Holding::Released, Some(3), true),
        (Holding::Released, Some(4), true),
        (Holding::Released, Some(2), false),
        (Holding::Released, None, false),
        (Holding::Held, Some(3), false),
        (Holding::Running, Some(3), false),
        (Holding::Stuck, Some(3), false),
    ] {
        let brief = says(holding, promise);
        for heard in [true, false] {
            let answer = asked(None, 5, heard, Some((NodeState::Member, &brief)));
            assert_eq!(
                answer.is_ok(),
                fine,
                "{holding:?} {promise:?} heard {heard}: {answer:?}"
            );
        }
    }
}

#[test]
fn a_node_that_came_back_has_to_say_that_nothing_runs() {
    let nothing = says(Holding::Released, None);
    assert!(asked(Some(5), 6, true, None).is_err());
    assert!(asked(Some(5), 6, true, Some((NodeState::Probing, &nothing))).is_err());
    assert!(asked(Some(5), 6, true, Some((NodeState::Joining, &nothing))).is_ok());
    // Its life before was not ended: it may have promised, but this life has not.
    assert!(asked(Some(4), 6, true, Some((NodeState::Joining, &nothing))).is_err());
}

#[test]
fn words_of_a_life_before_the_last_active_one_are_nothing() {
    let brief = says(Holding::Released, Some(9));
    assert!(asked(None, 4, true, Some((NodeState::Member, &brief))).is_err());
}

#[test]
fn a_doubt_needs_a_fencing_after_it() {
    let lives = |settled| Lives {
        active: Incarnation(5),
        over: Some((Incarnation(5), Ending::Fenced)),
        doubt: 7,
        settled,
    };
    assert!(!lives(6).is_inert());
    assert!(lives(7).is_inert());
}

#[test]
fn disks() {
    for (local, fine) in [
        (Disk::UpToDate, true),
        (Disk::Consistent, false),
        (Disk::Outdated, false),
        (Disk::Inconsistent, false),
        (Disk::Diskless, false),
        (Disk::Unknown, false),
    ] {
        assert_eq!(
            promotable(&disk(local), None, false).is_ok(),
            fine,
            "{local:?}"
        );
    }
    assert!(
        promotable(&disk(Disk::Consistent), None, true).is_ok(),
        "the operator accepts it"
    );
    assert!(promotable(&disk(Disk::Outdated), None, true).is_err());
}

#[test]
fn a_consistent_disk_is_good_when_the_other_has_the_same_data() {
    let here = disk(Disk::Consistent);
    let there = |disk, generation| DrbdBrief {
        disk,
        generation,
        ..here
    };
    assert!(promotable(&here, Some(&there(Disk::Consistent, 4)), false).is_ok());
    assert!(promotable(&here, Some(&there(Disk::Consistent, 6)), false).is_err());
    assert!(promotable(&here, Some(&there(Disk::Diskless, 4)), false).is_err());
    let unknown = DrbdBrief {
        generation: 0,
        ..here
    };
    assert!(promotable(&unknown, Some(&unknown), false).is_err());
}

#[test]
fn never_two_primaries() {
    let mut here = disk(Disk::UpToDate);
    here.peer_role = Role::Primary;
    assert!(promotable(&here, None, true).is_err());
    here.peer_role = Role::Unknown;
    let mut there = disk(Disk::UpToDate);
    there.role = Role::Primary;
    assert!(promotable(&here, Some(&there), true).is_err());
    // What is Primary already may go on starting what stands on it, even without a disk of its own.
    here.role = Role::Primary;
    here.disk = Disk::Diskless;
    assert!(promotable(&here, None, false).is_ok());
}
