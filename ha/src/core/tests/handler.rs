// SPDX-License-Identifier: GPL-2.0-or-later
//! What a handler may take for proof.

use super::super::drbd::{Disk, DrbdBrief, Role};
use super::super::effect::{Effect, Reply};
use super::super::id::NodeId;
use super::super::input::Control;
use super::disk;
use super::takeover::{pair, Trial};

fn request() -> Control {
    Control::FencePeer {
        resource: "r-db".to_owned(),
        peer: None,
        within_ms: 600_000,
    }
}

fn primary(connected: bool) -> DrbdBrief {
    DrbdBrief {
        role: Role::Primary,
        connected,
        ..disk(Disk::UpToDate)
    }
}

fn code(trial: &Trial) -> Option<u8> {
    trial.replies.iter().find_map(|reply| match reply {
        Reply::FencePeer { code, .. } => Some(*code),
        Reply::Done(_) | Reply::Refused(_) => None,
    })
}

/// Node 2 died, is being fenced and comes back before the device has answered. Its disk fetches what it missed, and then the two
/// lose each other: the old answer, when it comes at last, says nothing about that disk.
fn late_answer(heard: bool) {
    let mut trial = pair();
    replicate_and_lose(&mut trial);
    trial.hold_answers = true;
    trial.run(10_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    if !heard {
        trial.cut(1, 2);
    }
    trial.start(2);
    trial.drbd(1, "r-db", primary(true));
    trial.run(3000);
    trial.cut(1, 2);
    trial.drbd(1, "r-db", primary(false));
    trial.replies.clear();
    trial.ask(1, request());
    trial.hold_answers = false;
    trial.refuse_fencing = true;
    trial.run(10_000);
    assert_eq!(code(&trial), None, "the attempt began before it booted");
    trial.refuse_fencing = false;
    trial.run(60_000);
    assert_eq!(code(&trial), Some(7));
}

#[test]
fn a_late_answer_of_the_device_proves_nothing_about_a_peer_that_came_back() {
    late_answer(true);
}

#[test]
fn nor_about_one_whose_daemon_was_not_heard() {
    late_answer(false);
}

/// The asker's disk is not known to be recent and has other data: what is here may be all there is.
#[test]
fn a_disk_that_may_be_the_newer_one_is_not_outdated() {
    let asks = |there: DrbdBrief| {
        let mut trial = pair();
        // Nothing moves meanwhile.
        trial.ask(1, Control::Maintenance(true));
        trial.run(1000);
        trial.drbd(1, "r-db", there);
        trial.run(2000);
        trial.replies.clear();
        trial.ask(1, request());
        trial.run(5000);
        code(&trial)
    };
    let older = DrbdBrief {
        generation: 2,
        ..disk(Disk::Consistent)
    };
    let primary_of = |brief: DrbdBrief| DrbdBrief {
        role: Role::Primary,
        ..brief
    };
    assert_eq!(asks(primary_of(older)), None);
    assert_eq!(asks(primary_of(disk(Disk::Consistent))), Some(4));
    assert_eq!(asks(primary_of(disk(Disk::UpToDate))), Some(4));
}

/// A peer that was connected meanwhile and then leaves is not fenced for the sake of an old question.
#[test]
fn a_handler_whose_peer_is_connected_again_is_answered() {
    let mut trial = pair();
    trial.ask(1, Control::Maintenance(true));
    trial.run(1000);
    trial.drbd(1, "r-db", primary(false));
    trial.cut(1, 2);
    trial.replies.clear();
    trial.ask(1, request());
    trial.run(1000);
    assert_eq!(code(&trial), None);
    trial.drbd(1, "r-db", primary(true));
    trial.run(1000);
    assert_eq!(code(&trial), Some(1));
}

/// Node 2 replicates, and loses its power.
fn replicate_and_lose(trial: &mut Trial) {
    trial.drbd(1, "r-db", primary(true));
    trial.power_off(2);
    trial.drbd(1, "r-db", primary(false));
}

/// A fenced node whose disk is there again before its daemon boots: it gets the time that a start takes.
#[test]
fn a_peer_that_replicates_after_its_fencing_is_not_fenced_at_once() {
    let mut trial = pair();
    replicate_and_lose(&mut trial);
    trial.run(15_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    trial.drbd(1, "r-db", primary(true));
    trial.run(5000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    trial.start(2);
    trial.run(60_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    assert!(trial.is_running(2));
}

/// A device that answers late may have ended the next life as well, and that node boots again. A handler that waits is no reason
/// to shoot into that boot.
#[test]
fn a_late_answer_leaves_time_to_boot() {
    let mut trial = pair();
    replicate_and_lose(&mut trial);
    trial.hold_answers = true;
    trial.run(10_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    trial.start(2);
    trial.run(1000);
    // It replicates again: what the device says when it answers proves nothing about that life.
    replicate_and_lose(&mut trial);
    trial.run(40_000);
    trial.replies.clear();
    trial.ask(1, request());
    trial.hold_answers = false;
    trial.run(15_000);
    assert_eq!(trial.fenced_by, [(1, 2)], "it may just boot");
    trial.start(2);
    trial.run(60_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
}

/// A device that is slow again and again, and a node that boots just then: the time that it has to boot in grows, or this would go
/// on for ever.
#[test]
fn who_is_shot_while_it_boots_gets_twice_the_time() {
    let mut trial = pair();
    replicate_and_lose(&mut trial);
    for (shots, patience_ms) in [(1, 30_000), (2, 60_000)] {
        trial.hold_answers = true;
        trial.run(15_000);
        assert_eq!(trial.fenced_by.len(), shots);
        trial.start(2);
        trial.run(1000);
        replicate_and_lose(&mut trial);
        trial.run(40_000);
        trial.hold_answers = false;
        trial.run(patience_ms - 5000);
        assert_eq!(trial.fenced_by.len(), shots, "it may still boot");
    }
    trial.run(15_000);
    assert_eq!(trial.fenced_by.len(), 3, "not for ever");
}

/// What an answer rests on is remembered before it is given.
#[test]
fn memory_comes_before_answers() {
    let trial = pair();
    for request in [
        Control::Standby(NodeId(2), true),
        Control::Maintenance(true),
    ] {
        let effects = trial.effects_of(1, request);
        let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
        let kept = at(|effect| matches!(effect, Effect::Persist(_)));
        let answered = at(|effect| matches!(effect, Effect::Reply { .. }));
        assert!(kept.is_some() && kept < answered, "{effects:?}");
    }
}
