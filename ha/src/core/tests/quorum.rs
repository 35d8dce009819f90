// SPDX-License-Identifier: GPL-2.0-or-later
//! The table of failover.md 5.

use std::collections::BTreeSet;

use super::super::id::NodeId;
use super::super::message::Electorate;
use super::super::quorum::verdict;
use super::cluster;

fn set(ids: &[u8]) -> BTreeSet<NodeId> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

fn without(epoch: u64, ids: &[u8]) -> Electorate {
    Electorate {
        epoch,
        without: set(ids),
    }
}

#[test]
fn more_than_half_of_three_and_more() {
    for (count, present, quorate) in [
        (3, &[1][..], false),
        (3, &[1, 2], true),
        (3, &[1, 2, 3], true),
        (4, &[1, 2], false),
        (4, &[1, 2, 3], true),
        (5, &[1, 2], false),
        (5, &[3, 4, 5], true),
        (16, &[1, 2, 3, 4, 5, 6, 7, 8], false),
        (16, &[1, 2, 3, 4, 5, 6, 7, 8, 9], true),
    ] {
        let verdict = verdict(
            &cluster(count),
            &Electorate::default(),
            &[],
            &set(present),
            false,
        );
        assert_eq!(
            verdict.quorate, quorate,
            "{present:?} of {count}: {}",
            verdict.reason
        );
    }
}

#[test]
fn one_of_two_only_when_both_were_seen() {
    for (present, seen_all, quorate) in [
        (&[1][..], false, false),
        (&[1], true, true),
        (&[1, 2], true, true),
        (&[], true, false),
    ] {
        let verdict = verdict(
            &cluster(2),
            &Electorate::default(),
            &[],
            &set(present),
            seen_all,
        );
        assert_eq!(verdict.quorate, quorate, "{present:?}: {}", verdict.reason);
    }
    let mut strict = cluster(2);
    strict.quorum.two_node = false;
    assert!(!verdict(&strict, &Electorate::default(), &[], &set(&[1]), true).quorate);
}

#[test]
fn votes_count_and_not_nodes() {
    let mut weighted = cluster(3);
    for (id, votes) in [(1, 3), (2, 1), (3, 1)] {
        if let Some(node) = weighted.nodes.get_mut(&NodeId(id)) {
            node.votes = votes;
        }
    }
    assert!(verdict(&weighted, &Electorate::default(), &[], &set(&[1]), true).quorate);
    assert!(!verdict(&weighted, &Electorate::default(), &[], &set(&[2, 3]), true).quorate);
}

#[test]
fn waiting_for_all_holds_a_majority_back() {
    let mut waiting = cluster(3);
    waiting.quorum.wait_for_all = true;
    assert!(!verdict(&waiting, &Electorate::default(), &[], &set(&[1, 2]), false).quorate);
    assert!(verdict(&waiting, &Electorate::default(), &[], &set(&[1, 2]), true).quorate);
}

#[test]
fn who_was_fenced_leaves_the_total() {
    let five = cluster(5);
    assert!(!verdict(&five, &Electorate::default(), &[], &set(&[1, 2]), true).quorate);
    assert!(verdict(&five, &without(1, &[4, 5]), &[], &set(&[1, 2]), true).quorate);
    // And does not count before it is let in again.
    assert!(!verdict(&five, &without(1, &[4, 5]), &[], &set(&[3, 4, 5]), true).quorate);
}

#[test]
fn an_undecided_electorate_needs_both_majorities() {
    let five = cluster(5);
    let pending = [without(1, &[4, 5])];
    let old = Electorate::default();
    assert!(!verdict(&five, &old, &pending, &set(&[1, 2]), true).quorate);
    assert!(!verdict(&five, &old, &pending, &set(&[3, 4, 5]), true).quorate);
    assert!(verdict(&five, &old, &pending, &set(&[1, 2, 5]), true).quorate);
}
