// SPDX-License-Identifier: GPL-2.0-or-later
//! How views form, with real cores that talk to each other.

use super::super::id::NodeId;
use super::super::message::NodeState;
use super::takeover::Trial;
use super::{cluster, group, with_groups};

fn members(trial: &Trial, node: u8) -> Vec<u8> {
    trial
        .status(node)
        .members
        .iter()
        .map(|node| node.0)
        .collect()
}

#[test]
fn all_who_hear_each_other_are_one_view() {
    let mut trial = Trial::new(with_groups(cluster(5), vec![group("a", &[1, 2], 0)]));
    trial.start_all();
    trial.run(10_000);
    for node in 1..=5 {
        assert_eq!(members(&trial, node), [1, 2, 3, 4, 5]);
        assert_eq!(trial.status(node).coordinator, Some(NodeId(1)));
        assert!(trial.status(node).quorate);
    }
}

#[test]
fn a_minority_is_isolated_and_fences_nobody() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[1, 2, 3], 0)]));
    trial.start_all();
    trial.run(10_000);
    assert_eq!(trial.running("a"), [1]);
    trial.cut(1, 2);
    trial.cut(1, 3);
    trial.refuse_fencing = true;
    trial.run(30_000);
    assert_eq!(members(&trial, 2), [2, 3]);
    assert!(trial.status(2).quorate);
    assert_eq!(trial.status(1).state, NodeState::Isolated);
    assert!(
        trial
            .fenced_by
            .iter()
            .all(|(by, target)| *by != 1 && *target == 1),
        "{:?}",
        trial.fenced_by
    );
    // It has stopped, and yet nobody starts it before the fencing is confirmed.
    assert_eq!(trial.running("a"), [] as [u8; 0]);
    assert!(
        trial.reason(2, "a").contains("was not fenced"),
        "{}",
        trial.reason(2, "a")
    );
    trial.refuse_fencing = false;
    trial.run(30_000);
    assert_eq!(trial.running("a"), [2]);
}

#[test]
fn a_pair_that_does_not_hear_each_other_costs_one_of_them() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[2, 3], 0)]));
    trial.start_all();
    trial.run(10_000);
    trial.cut(2, 3);
    trial.run(20_000);
    let views: Vec<Vec<u8>> = (1..=3)
        .filter(|node| trial.is_on(*node))
        .map(|node| members(&trial, node))
        .collect();
    assert!(views.contains(&vec![1, 2]), "{views:?}");
    assert_eq!(trial.running("a"), [2]);
}

#[test]
fn a_daemon_that_restarts_rejoins_and_nothing_moves() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[2, 3], 0)]));
    trial.start_all();
    trial.run(10_000);
    assert_eq!(trial.running("a"), [2]);
    let starts = trial.starts;
    trial.kill_daemon(2);
    trial.run(1000);
    trial.start(2);
    trial.run(10_000);
    assert_eq!(trial.running("a"), [2]);
    assert_eq!(trial.starts, starts, "what ran was adopted");
    assert!(trial.fenced_by.is_empty());
    assert_eq!(members(&trial, 1), [1, 2, 3]);
}

/// Agents that look for longer than `initdead` are no reason to stop what they find.
#[test]
fn a_daemon_that_probes_for_long_adopts_what_runs() {
    let mut trial = Trial::new(with_groups(cluster(2), vec![group("da", &[1, 2], 0)]));
    trial.start_all();
    trial.run(10_000);
    assert_eq!(trial.running("da"), [1]);
    let starts = trial.starts;
    trial.kill_daemon(1);
    trial.run(1000);
    trial.probe_ms = 20_000;
    trial.start(1);
    trial.run(60_000);
    assert_eq!(trial.running("da"), [1]);
    assert_eq!(trial.starts, starts, "what ran was adopted");
    assert!(trial.fenced_by.is_empty());
}

#[test]
fn a_daemon_that_leaves_is_not_fenced_and_its_groups_move() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[2, 3], 0)]));
    trial.start_all();
    trial.run(10_000);
    trial.leave(2);
    trial.run(10_000);
    assert!(!trial.is_running(2));
    assert_eq!(trial.running("a"), [3]);
    assert!(trial.fenced_by.is_empty());
}

/// The first two don't hear each other, and both hear the third: it stands by one of them, whoever asks.
#[test]
fn a_view_that_works_is_not_given_up_for_one_of_as_many_votes() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[1, 3], 0)]));
    trial.refuse_fencing = true;
    trial.start_all();
    trial.run(10_000);
    trial.cut(1, 2);
    trial.run(15_000);
    let settled = trial.status(3).view;
    trial.run(60_000);
    assert_eq!(trial.status(3).view, settled, "no view after another");
    assert!(trial.status(3).quorate);
}

/// Whom the others left out, and who boots after a fencing, is not dangerous by wishing for a view.
#[test]
fn a_node_that_is_left_out_is_fenced_once() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[1, 2], 0)]));
    trial.start_all();
    trial.run(10_000);
    trial.cut(1, 2);
    trial.run(30_000);
    let fenced = trial.fenced_by.clone();
    assert_eq!(fenced.len(), 1, "{fenced:?}");
    trial.start(fenced[0].1);
    trial.run(120_000);
    assert_eq!(trial.fenced_by, fenced);
    assert!(trial.is_running(fenced[0].1));
}

/// An attempt that is under way can't be taken back: its target does not become a member, whose loss would need another one.
#[test]
fn a_node_that_is_being_fenced_does_not_join() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[1, 3], 0)]));
    trial.start_all();
    trial.run(10_000);
    trial.power_off(3);
    trial.hold_answers = true;
    trial.run(10_000);
    assert_eq!(trial.fenced_by.len(), 1);
    trial.start(3);
    trial.run(10_000);
    assert_eq!(members(&trial, 1), [1, 2]);
    assert_eq!(trial.status(3).state, NodeState::Joining);
    trial.hold_answers = false;
    trial.run(5000);
    assert_eq!(members(&trial, 1), [1, 2, 3]);
    assert_eq!(trial.fenced_by.len(), 1);
}

/// Whom another member hears has just booted, or the network is broken in part: not fenced at once.
#[test]
fn a_node_that_a_member_hears_gets_time() {
    let mut trial = Trial::new(with_groups(cluster(3), vec![group("a", &[2, 3], 0)]));
    trial.start_all();
    trial.run(10_000);
    trial.cut(1, 3);
    trial.run(9000);
    assert!(trial.fenced_by.is_empty(), "{:?}", trial.fenced_by);
    trial.run(10_000);
    assert_eq!(trial.fenced_by.len(), 1);
}
