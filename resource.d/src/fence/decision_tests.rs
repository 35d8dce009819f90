// SPDX-License-Identifier: GPL-2.0-or-later
//! Each answer of the handlers, on a cluster that is played.

use std::cell::{Cell, RefCell};

use super::*;
use crate::status::{Disk, Peer};

/// A cluster of alpha, where the handler runs, and beta.
struct Played {
    cib: RefCell<Cib>,
    beta: Cell<Standing>,
    coordinator_after: Cell<Duration>,
    /// The cluster's configuration can be read.
    answers_after: Cell<Duration>,
    beta_answers: Cell<bool>,
    /// When the cluster has shot beta.
    shot_after: Option<Duration>,
    driver: RefCell<Option<Facts>>,
    /// Another node makes its constraint just before ours.
    rival: Cell<bool>,
    /// Beta is good again as soon as there is a constraint.
    comes_back: Cell<bool>,
    now: Cell<Duration>,
    calls: RefCell<Vec<String>>,
}

fn uname(name: &str) -> Mark {
    ("#uname".to_owned(), name.to_owned())
}

fn allowing(nodes: &[&str]) -> Existing {
    Existing {
        clone: "ms".to_owned(),
        role: "Promoted".to_owned(),
        score: "-INFINITY".to_owned(),
        allowed: nodes.iter().map(|name| uname(name)).collect(),
        foreign: false,
    }
}

const ONLINE: Standing = Standing {
    online: true,
    unclean: false,
    pending: false,
};
const UNCLEAN: Standing = Standing {
    online: false,
    unclean: true,
    pending: false,
};
const OFFLINE: Standing = Standing {
    online: false,
    unclean: false,
    pending: false,
};

fn facts(own: Disk, peer: Disk) -> Facts {
    Facts {
        primary: true,
        disks: vec![own],
        client: false,
        quorum: true,
        peers: vec![Peer {
            primary: false,
            connected: false,
            disks: vec![peer],
        }],
    }
}

impl Default for Played {
    /// Beta is in the cluster, replication to it is lost, alpha is Primary with good data.
    fn default() -> Self {
        let cib = Cib {
            quorate: true,
            clone: Some("ms".to_owned()),
            stonith: true,
            promoted: "Promoted".to_owned(),
            nodes: vec!["alpha".to_owned(), "beta".to_owned()],
            existing: None,
        };
        Played {
            cib: RefCell::new(cib),
            beta: Cell::new(ONLINE),
            coordinator_after: Cell::default(),
            answers_after: Cell::default(),
            beta_answers: Cell::new(true),
            shot_after: None,
            driver: RefCell::new(Some(facts(Disk::Good, Disk::Unknown))),
            rival: Cell::new(false),
            comes_back: Cell::new(false),
            now: Cell::default(),
            calls: RefCell::default(),
        }
    }
}

impl Played {
    fn note(&self, call: &str) {
        self.calls.borrow_mut().push(call.to_owned());
    }

    fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    fn without_stonith(self) -> Self {
        self.cib.borrow_mut().stonith = false;
        self
    }

    fn with(self, existing: Existing) -> Self {
        self.cib.borrow_mut().existing = Some(existing);
        self
    }
}

impl World for Played {
    fn cib(&self) -> Result<Cib, String> {
        if self.now.get() < self.answers_after.get() {
            return Err("the cluster does not answer".to_owned());
        }
        Ok(self.cib.borrow().clone())
    }

    fn cluster(&self) -> Result<Cluster, String> {
        let mut beta = self.beta.get();
        if self.shot_after.is_some_and(|after| self.now.get() >= after) {
            beta = OFFLINE;
        }
        let nodes = [("alpha", ONLINE), ("beta", beta)];
        Ok(Cluster {
            cib: self.cib.borrow().clone(),
            coordinator: self.now.get() >= self.coordinator_after.get(),
            nodes: nodes
                .map(|(name, standing)| (name.to_owned(), standing))
                .into(),
        })
    }

    fn driver(&self) -> Option<Facts> {
        if self.comes_back.get() && self.cib.borrow().existing.is_some() {
            return Some(facts(Disk::Good, Disk::Good));
        }
        self.driver.borrow().clone()
    }

    fn answers(&self, _node: &str) -> bool {
        self.beta_answers.get()
    }

    fn mark(&self, node: &str) -> Mark {
        uname(node)
    }

    fn create(&self, constraint: &Constraint) -> Result<Made, String> {
        let mut cib = self.cib.borrow_mut();
        if self.rival.get() {
            cib.existing = Some(allowing(&["beta"]));
        }
        if cib.existing.is_some() {
            return Ok(Made::Exists);
        }
        self.note("create");
        let names: Vec<&str> = constraint
            .allowed
            .iter()
            .map(|(_, (_, name))| name.as_str())
            .collect();
        cib.existing = Some(allowing(&names));
        Ok(Made::Done)
    }

    fn narrow(&self, _id: &str, without: &[Mark]) -> Result<(), String> {
        self.note("narrow");
        if let Some(existing) = &mut self.cib.borrow_mut().existing {
            existing.allowed.retain(|mark| !without.contains(mark));
        }
        Ok(())
    }

    fn widen(&self, _constraint: &Constraint) -> Result<(), String> {
        self.note("widen");
        Ok(())
    }

    fn remove(&self, _id: &str, _clone: &str) -> Result<(), String> {
        self.note("remove");
        self.cib.borrow_mut().existing = None;
        Ok(())
    }

    fn ask_to_be_shot(&self) -> Result<(), String> {
        self.note("shoot me");
        Ok(())
    }

    fn reboot(&self) {
        self.note("reboot");
    }

    fn now(&self) -> Duration {
        self.now.get()
    }

    fn sleep(&self, pause: Duration) {
        self.now.set(self.now.get() + pause);
    }

    fn info(&self, _text: &str) {}

    fn warn(&self, _text: &str) {}
}

fn peers() -> Peers {
    let member = |id, name: &str| Member {
        id: Some(id),
        name: name.to_owned(),
    };
    Peers {
        resource: Some("r0".to_owned()),
        good: vec![member(0, "alpha")],
        fenced: vec![member(1, "beta")],
        minors: vec![0],
        is_9: true,
    }
}

fn call<T>(
    world: &Played,
    peers: &Peers,
    words: &[&str],
    act: impl FnOnce(&Handler<'_>) -> T,
) -> T {
    let options = Options::read(words.iter().map(|word| (*word).to_owned()))
        .unwrap()
        .0;
    let handler = Handler {
        options: &options,
        resource: "r0",
        own: "alpha",
        peers,
        world,
    };
    act(&handler)
}

fn fence(world: &Played, words: &[&str]) -> Answer {
    call(world, &peers(), words, |handler| handler.fence())
}

fn unfence(world: &Played, words: &[&str]) -> bool {
    call(world, &peers(), words, |handler| handler.unfence())
}

#[test]
fn a_peer_that_is_there_is_outdated_by_the_constraint() {
    let world = Played::default();
    assert_eq!(fence(&world, &[]), Answer::Outdated);
    assert_eq!(world.calls(), ["create"]);
    assert_eq!(world.cib.borrow().existing, Some(allowing(&["alpha"])));
    // Called once more, by the promotion say.
    assert_eq!(fence(&world, &[]), Answer::Outdated);
    assert_eq!(world.calls(), ["create"]);
    assert_eq!(world.now.get(), Duration::ZERO, "nobody waited");
}

#[test]
fn a_peer_that_was_shot_is_fenced() {
    let world = Played::default();
    world.beta.set(OFFLINE);
    assert_eq!(fence(&world, &[]), Answer::Fenced);
    assert_eq!(world.calls(), ["create"]);
}

#[test]
fn the_handler_waits_for_the_shot() {
    let world = Played {
        shot_after: Some(Duration::from_secs(20)),
        ..Played::default()
    };
    // At first the cluster has not noticed, but nobody answers.
    world.beta_answers.set(false);
    assert_eq!(fence(&world, &[]), Answer::Fenced);
    assert_eq!(world.now.get(), Duration::from_secs(20));
}

#[test]
fn a_peer_that_nobody_shoots_is_not_taken_for_dead() {
    let world = Played::default();
    world.beta.set(UNCLEAN);
    assert_eq!(fence(&world, &["--timeout", "30"]), Answer::Failed);
    assert_eq!(world.now.get(), Duration::from_secs(30));
    assert!(world.calls().is_empty());
}

#[test]
fn without_stonith_a_peer_that_is_gone_is_unreachable() {
    let world = Played::default().without_stonith();
    world.beta.set(OFFLINE);
    assert_eq!(fence(&world, &[]), Answer::Unreachable);
    assert_eq!(world.calls(), ["create"]);
    let world = Played::default().without_stonith();
    world.beta_answers.set(false);
    assert_eq!(fence(&world, &["--timeout=5"]), Answer::Unreachable);
    assert_eq!(world.now.get(), Duration::from_secs(5));
}

#[test]
fn data_that_are_not_good_do_not_get_better_by_shooting() {
    let world = Played::default();
    world.beta.set(OFFLINE);
    *world.driver.borrow_mut() = Some(facts(Disk::Consistent, Disk::Unknown));
    assert_eq!(fence(&world, &[]), Answer::Unreachable);
    assert!(
        world.calls().is_empty(),
        "the driver refuses to be promoted, and the constraint would outlive that"
    );
    assert_eq!(
        fence(&world, &["--unreachable-peer-is-outdated"]),
        Answer::Unreachable
    );
    assert_eq!(world.calls(), ["create"]);
    // A peer that is there would have been promoted if its data were better.
    let world = Played::default();
    *world.driver.borrow_mut() = Some(facts(Disk::Consistent, Disk::Unknown));
    assert_eq!(fence(&world, &[]), Answer::Outdated);
    let world = Played::default();
    *world.driver.borrow_mut() = Some(facts(Disk::Useless, Disk::Unknown));
    assert_eq!(fence(&world, &[]), Answer::Failed);
    assert!(world.calls().is_empty());
}

#[test]
fn a_partition_without_quorum_changes_nothing() {
    let world = Played::default();
    world.cib.borrow_mut().quorate = false;
    assert_eq!(fence(&world, &[]), Answer::Failed);
    assert!(world.calls().is_empty());
}

#[test]
fn a_coordinator_is_waited_for() {
    let world = Played::default();
    world.coordinator_after.set(Duration::from_secs(8));
    assert_eq!(fence(&world, &[]), Answer::Outdated);
    let world = Played::default();
    world.coordinator_after.set(Duration::from_secs(800));
    assert_eq!(fence(&world, &["--dc-timeout", "9"]), Answer::Failed);
    assert_eq!(world.now.get(), Duration::from_secs(9));
}

#[test]
fn nothing_is_fenced_that_is_well_or_unknown() {
    let world = Played::default();
    *world.driver.borrow_mut() = Some(facts(Disk::Good, Disk::Good));
    assert_eq!(fence(&world, &[]), Answer::Failed);
    *world.driver.borrow_mut() = None;
    assert_eq!(fence(&world, &[]), Answer::Failed);
    *world.driver.borrow_mut() = Some(facts(Disk::Good, Disk::Unknown));
    world.cib.borrow_mut().clone = None;
    assert_eq!(fence(&world, &[]), Answer::Failed);
    assert!(world.calls().is_empty());
}

#[test]
fn the_connection_may_come_back_while_the_peer_is_there() {
    let world = Played::default();
    let mut back = facts(Disk::Good, Disk::Unknown);
    back.peers[0].connected = true;
    *world.driver.borrow_mut() = Some(back);
    assert_eq!(fence(&world, &["--net-hickup", "5"]), Answer::Failed);
    assert!(world.calls().is_empty());
    let world = Played::default();
    assert_eq!(fence(&world, &["--net-hickup", "5"]), Answer::Outdated);
    assert_eq!(world.now.get(), Duration::from_secs(5));
}

#[test]
fn the_loser_of_a_race_is_told_so() {
    let world = Played::default();
    world.rival.set(true);
    assert_eq!(fence(&world, &[]), Answer::Failed);
    assert!(world.calls().is_empty());
    let world = Played::default().with(allowing(&["beta"]));
    assert_eq!(fence(&world, &[]), Answer::Failed);
    let odd = Existing {
        foreign: true,
        ..allowing(&["alpha"])
    };
    let world = Played::default().with(odd);
    assert_eq!(
        fence(&world, &[]),
        Answer::Failed,
        "nobody knows what it says"
    );
}

#[test]
fn a_primary_that_lost_may_have_itself_shot() {
    let world = Played::default().with(allowing(&["beta"]));
    let words = ["--suicide-on-failure-if-primary"];
    assert_eq!(fence(&world, &words), Answer::Failed);
    assert_eq!(world.calls(), ["shoot me", "reboot"]);
    assert_eq!(world.now.get(), SUICIDE_AFTER);
    let world = Played::default()
        .with(allowing(&["beta"]))
        .without_stonith();
    assert_eq!(fence(&world, &words), Answer::Failed);
    assert_eq!(
        (world.calls(), world.now.get()),
        (vec!["reboot".to_owned()], SUICIDE_WITHOUT_STONITH_AFTER)
    );
    let world = Played::default().with(allowing(&["beta"]));
    if let Some(facts) = &mut *world.driver.borrow_mut() {
        facts.primary = false;
    }
    assert_eq!(fence(&world, &words), Answer::Failed);
    assert!(world.calls().is_empty(), "a Secondary does no harm");
}

#[test]
fn of_three_nodes_one_more_is_kept_out() {
    let world = Played::default().with(allowing(&["alpha", "beta"]));
    assert_eq!(fence(&world, &[]), Answer::Outdated);
    assert_eq!(world.calls(), ["narrow"]);
    assert_eq!(world.cib.borrow().existing, Some(allowing(&["alpha"])));
}

#[test]
fn before_generation_9_the_only_other_node_is_the_peer() {
    let own = Peers {
        good: vec![Member {
            id: None,
            name: "alpha".to_owned(),
        }],
        ..Peers::default()
    };
    let world = Played::default();
    assert_eq!(
        call(&world, &own, &[], |handler| handler.fence()),
        Answer::Outdated
    );
    let world = Played::default();
    world.cib.borrow_mut().nodes.push("gamma".to_owned());
    assert_eq!(
        call(&world, &own, &[], |handler| handler.fence()),
        Answer::Failed,
        "it may be any of two"
    );
}

#[test]
fn unfencing_waits_for_good_data() {
    let world = Played::default().with(allowing(&["alpha"]));
    assert!(unfence(&world, &[]), "the constraint says what is so");
    assert!(world.calls().is_empty());
    let old = Peers {
        is_9: false,
        ..peers()
    };
    assert!(!call(&world, &old, &[], |handler| handler.unfence()));
    *world.driver.borrow_mut() = Some(facts(Disk::Good, Disk::Good));
    assert!(unfence(&world, &[]));
    assert_eq!(world.calls(), ["remove"]);
    assert!(unfence(&world, &[]), "nothing to do");
    assert_eq!(world.calls(), ["remove"]);
}

#[test]
fn unfencing_is_not_given_up_because_the_cluster_is_busy() {
    let world = || {
        let world = Played::default().with(allowing(&["alpha"]));
        *world.driver.borrow_mut() = Some(facts(Disk::Good, Disk::Good));
        world
    };
    let seconds = Duration::from_secs;
    let busy = world();
    busy.answers_after.set(seconds(10));
    assert!(unfence(&busy, &[]));
    assert_eq!(busy.calls(), ["remove"]);
    let gone = world();
    gone.answers_after.set(seconds(1000));
    assert!(!unfence(&gone, &[]));
    assert!(gone.now.get() >= seconds(20) && gone.now.get() < seconds(30));
    // A monitor that waits is a monitor that fails.
    let asked_by_a_monitor = world();
    asked_by_a_monitor.answers_after.set(seconds(10));
    assert!(!unfence(&asked_by_a_monitor, &["--flock-timeout", "0"]));
    assert_eq!(asked_by_a_monitor.now.get(), Duration::ZERO);
}

#[test]
fn anothers_constraint_may_be_left_alone() {
    let world = Played::default().with(allowing(&["beta"]));
    *world.driver.borrow_mut() = Some(facts(Disk::Good, Disk::Good));
    assert!(unfence(&world, &["--unfence-only-if-owner-match"]));
    assert!(world.calls().is_empty());
    assert!(unfence(&world, &[]));
    assert_eq!(world.calls(), ["remove"]);
}

#[test]
fn a_peer_that_came_back_meanwhile_is_not_kept_out() {
    let world = Played::default();
    world.comes_back.set(true);
    assert_eq!(fence(&world, &[]), Answer::Failed);
    assert_eq!(world.calls(), ["create", "remove"]);
}
