// SPDX-License-Identifier: GPL-2.0-or-later
//! The actions on a node that is played: what they do, in which order, and how long they try.

use std::cell::{Cell, RefCell};

use super::*;
use crate::status::{Disk, Peer};

/// A node; what its commands answer is told beforehand.
#[derive(Default)]
struct Played {
    facts: RefCell<Option<Facts>>,
    /// Exit codes of `primary`, `secondary`, `down` and `adjust` to come; 0 when there are none left.
    codes: RefCell<Vec<i32>>,
    calls: RefCell<Vec<String>>,
    score: Cell<Option<u32>>,
    now: Cell<Duration>,
    unloaded: Cell<bool>,
}

impl World for Played {
    fn look(&self) -> Result<Option<Facts>, Failure> {
        Ok(self.facts.borrow().clone())
    }

    fn drbdadm(&self, command: &[&str]) -> Result<(i32, String), Failure> {
        self.calls.borrow_mut().push(command.join(" "));
        let code = if self.codes.borrow().is_empty() {
            0
        } else {
            self.codes.borrow_mut().remove(0)
        };
        if code != 0 {
            return Ok((code, "it does not work".to_owned()));
        }
        let mut facts = self.facts.borrow_mut();
        match (command.first().copied(), facts.as_mut()) {
            (Some("primary"), Some(facts)) => facts.primary = true,
            (Some("secondary"), Some(facts)) => facts.primary = false,
            (Some("down"), _) => *facts = None,
            (Some("adjust"), None) => *facts = Some(running(false)),
            _ => {}
        }
        Ok((0, String::new()))
    }

    fn set_score(&self, score: Option<u32>) {
        self.score.set(score);
    }

    fn driver_is_loaded(&self) -> bool {
        !self.unloaded.get()
    }

    fn load_driver(&self) -> Result<(), Failure> {
        self.calls.borrow_mut().push("load".to_owned());
        self.unloaded.set(false);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.now.get()
    }

    fn sleep(&self, pause: Duration) {
        self.now.set(self.now.get() + pause);
    }
}

fn running(primary: bool) -> Facts {
    Facts {
        primary,
        disks: vec![Disk::Good],
        client: false,
        quorum: true,
        peers: vec![Peer {
            primary: false,
            connected: true,
            disks: vec![Disk::Good],
        }],
    }
}

fn act(world: &Played, action: Action, more: &[(&str, &str)]) -> Outcome {
    let mut variables = vec![
        ("OCF_RESKEY_drbd_resource", "r0"),
        ("OCF_RESKEY_CRM_meta_timeout", "20000"),
    ];
    variables.extend(more);
    let env = Environment::of(&variables);
    let parameters = Parameters::read(&env).unwrap().0;
    let agent = Agent {
        env: &env,
        parameters: &parameters,
        world,
        node: "alpha",
    };
    agent.act(action)
}

fn calls(world: &Played) -> Vec<String> {
    world.calls.borrow().clone()
}

#[test]
fn a_monitor_tells_what_runs_and_keeps_the_score() {
    let world = Played::default();
    world.score.set(Some(1));
    let probe = [("OCF_RESKEY_CRM_meta_interval", "0")];
    assert_eq!(act(&world, Action::Monitor, &probe), Ok(Code::NotRunning));
    assert_eq!(world.score.get(), Some(1), "a probe changes nothing");
    assert_eq!(act(&world, Action::Monitor, &[]), Ok(Code::NotRunning));
    assert_eq!(world.score.get(), None);
    *world.facts.borrow_mut() = Some(running(false));
    assert_eq!(act(&world, Action::Monitor, &[]), Ok(Code::Success));
    assert_eq!(world.score.get(), Some(10_000));
    *world.facts.borrow_mut() = Some(running(true));
    assert_eq!(act(&world, Action::Monitor, &[]), Ok(Code::Promoted));
    assert!(calls(&world).is_empty());
}

#[test]
fn a_start_ends_as_a_secondary() {
    let world = Played::default();
    world.unloaded.set(true);
    assert_eq!(act(&world, Action::Start, &[]), Ok(Code::Success));
    assert_eq!(calls(&world), ["load", "adjust"]);
    let world = Played::default();
    *world.facts.borrow_mut() = Some(running(true));
    assert_eq!(act(&world, Action::Start, &[]), Ok(Code::Success));
    assert_eq!(calls(&world), ["secondary", "adjust"]);
}

#[test]
fn a_start_that_fails_twice_says_what_drbdadm_said() {
    let world = Played::default();
    world.codes.replace(vec![10, 10]);
    let failure = act(&world, Action::Start, &[]).unwrap_err();
    assert_eq!(failure.code, Code::Generic);
    assert!(failure.reason.contains("it does not work"), "{failure}");
    assert_eq!(calls(&world), ["adjust", "adjust"]);
}

#[test]
fn a_stop_demotes_first_and_leaves_no_score() {
    let world = Played::default();
    *world.facts.borrow_mut() = Some(running(true));
    world.score.set(Some(1));
    assert_eq!(act(&world, Action::Stop, &[]), Ok(Code::Success));
    assert_eq!(calls(&world), ["secondary", "down"]);
    assert_eq!(world.score.get(), None);
    assert_eq!(
        act(&world, Action::Stop, &[]),
        Ok(Code::Success),
        "stopped already"
    );
}

#[test]
fn a_stop_that_cannot_demote_fails_in_time() {
    let world = Played::default();
    *world.facts.borrow_mut() = Some(running(true));
    world.codes.replace(vec![11; 100]);
    let failure = act(&world, Action::Stop, &[]).unwrap_err();
    assert!(failure.reason.contains("stop did not work"), "{failure}");
    assert!(
        world.now.get() < Duration::from_secs(20),
        "{:?}",
        world.now.get()
    );
    assert!(calls(&world).len() > 10);
}

#[test]
fn a_stopped_secondary_is_outdated_while_another_node_is_promoted() {
    let world = Played::default();
    *world.facts.borrow_mut() = Some(running(false));
    let promoted = ("OCF_RESKEY_CRM_meta_notify_promoted_uname", "beta");
    let asked = ("OCF_RESKEY_stop_outdates_secondary", "true");
    assert_eq!(
        act(&world, Action::Stop, &[asked, promoted]),
        Ok(Code::Success)
    );
    assert_eq!(calls(&world), ["down", "outdate"]);
}

#[test]
fn a_promotion_is_tried_again_but_not_without_good_data() {
    let world = Played::default();
    *world.facts.borrow_mut() = Some(running(false));
    world.codes.replace(vec![11, 11]);
    assert_eq!(act(&world, Action::Promote, &[]), Ok(Code::Success));
    assert_eq!(calls(&world), ["primary"; 3]);
    let world = Played::default();
    *world.facts.borrow_mut() = Some(running(false));
    world.codes.replace(vec![NO_GOOD_DATA]);
    let failure = act(&world, Action::Promote, &[]).unwrap_err();
    assert!(failure.reason.contains("UpToDate"), "{failure}");
    assert_eq!(calls(&world), ["primary"]);
    assert!(
        world.now.get() >= PROMOTION_FAILS_AFTER,
        "the cluster would try without end"
    );
}

#[test]
fn a_demotion_of_what_does_not_run_says_so() {
    let world = Played::default();
    assert_eq!(act(&world, Action::Demote, &[]), Ok(Code::NotRunning));
    *world.facts.borrow_mut() = Some(running(true));
    world.codes.replace(vec![11]);
    assert_eq!(act(&world, Action::Demote, &[]), Ok(Code::Success));
    assert_eq!(calls(&world), ["secondary", "secondary"]);
}

#[test]
fn a_notification_of_a_start_connects_and_never_fails() {
    let world = Played::default();
    *world.facts.borrow_mut() = Some(running(false));
    world.codes.replace(vec![10]);
    let told = [
        ("OCF_RESKEY_CRM_meta_notify_type", "post"),
        ("OCF_RESKEY_CRM_meta_notify_operation", "start"),
    ];
    assert_eq!(act(&world, Action::Notify, &told), Ok(Code::Success));
    assert_eq!(calls(&world), ["adjust"]);
    assert_eq!(world.score.get(), Some(10_000));
    assert_eq!(
        act(&Played::default(), Action::Notify, &[]),
        Ok(Code::Success)
    );
}
