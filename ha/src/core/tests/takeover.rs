// SPDX-License-Identifier: GPL-2.0-or-later
//! The story that everything is about: two nodes, one group, one dies. And cores wired to each other for tests.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cluster::Cluster;
use super::super::drbd::{Disk, DrbdBrief, Role};
use super::super::effect::{Effect, Operation, Reply};
use super::super::id::{ActionId, FenceId, GroupId, Incarnation, NodeId, RequestId};
use super::super::input::{Control, Input, Outcome};
use super::super::memory::{BootMemory, Memory};
use super::super::message::Message;
use super::super::status::Status;
use super::super::{Core, Start};
use super::{cluster, disk, group, with_groups};

/// Some cores, a perfect or cut network, agents that work at once.
pub(super) struct Trial {
    cluster: Cluster,
    now_ms: u64,
    cores: BTreeMap<u8, Core>,
    on: BTreeSet<u8>,
    active: BTreeSet<(u8, GroupId, u16)>,
    memories: BTreeMap<u8, (u64, Option<Memory>, BootMemory)>,
    cuts: BTreeSet<(u8, u8)>,
    mail: Vec<(u8, u8, u64, Message)>,
    done: Vec<(u8, u64, ActionId, Outcome)>,
    /// What a probe takes; everything else is done at once.
    pub(super) probe_ms: u64,
    fences: Vec<(u8, FenceId, u8)>,
    held: BTreeSet<(u8, FenceId)>,
    pub(super) refuse_fencing: bool,
    /// Devices act at once and answer when this is over.
    pub(super) hold_answers: bool,
    /// Every attempt: by whom, whom.
    pub(super) fenced_by: Vec<(u8, u8)>,
    pub(super) starts: usize,
    pub(super) replies: Vec<Reply>,
    fail_stops: BTreeSet<u8>,
}

impl Trial {
    pub(super) fn new(cluster: Cluster) -> Self {
        Trial {
            cluster,
            now_ms: 1000,
            cores: BTreeMap::new(),
            on: BTreeSet::new(),
            active: BTreeSet::new(),
            memories: BTreeMap::new(),
            cuts: BTreeSet::new(),
            mail: Vec::new(),
            done: Vec::new(),
            probe_ms: 0,
            fences: Vec::new(),
            held: BTreeSet::new(),
            refuse_fencing: false,
            hold_answers: false,
            fenced_by: Vec::new(),
            starts: 0,
            replies: Vec::new(),
            fail_stops: BTreeSet::new(),
        }
    }

    pub(super) fn start_all(&mut self) {
        let nodes: Vec<u8> = self.cluster.nodes.keys().map(|node| node.0).collect();
        for node in nodes {
            self.start(node);
        }
    }

    /// Power on, and the daemon.
    pub(super) fn start(&mut self, node: u8) {
        self.on.insert(node);
        let (life, memory, boot) = self.memories.entry(node).or_default();
        *life += 1;
        let core = Core::new(Start {
            me: NodeId(node),
            incarnation: Incarnation(*life),
            cluster: self.cluster.clone(),
            memory: memory.clone(),
            boot: *boot,
            has_watchdog: true,
            now_ms: self.now_ms,
        });
        self.cores.insert(node, core);
        for name in self.drbd_names() {
            self.drbd(node, &name, disk(Disk::UpToDate));
        }
        self.feed(node, Input::Tick);
    }

    fn drbd_names(&self) -> Vec<String> {
        let resources = self
            .cluster
            .groups
            .values()
            .flat_map(|group| &group.resources);
        resources
            .filter(|resource| resource.is_drbd())
            .map(|resource| resource.name().to_owned())
            .collect()
    }

    pub(super) fn drbd(&mut self, node: u8, name: &str, brief: DrbdBrief) {
        let input = Input::Drbd {
            resource: name.to_owned(),
            brief,
        };
        self.feed(node, input);
    }

    pub(super) fn kill_daemon(&mut self, node: u8) {
        self.cores.remove(&node);
    }

    pub(super) fn power_off(&mut self, node: u8) {
        self.kill_daemon(node);
        self.on.remove(&node);
        self.active.retain(|(owner, _, _)| *owner != node);
        if let Some((_, _, boot)) = self.memories.get_mut(&node) {
            *boot = BootMemory::default();
        }
    }

    pub(super) fn leave(&mut self, node: u8) {
        self.feed(node, Input::Leave);
    }

    pub(super) fn cut(&mut self, a: u8, b: u8) {
        self.cuts.extend([(a, b), (b, a)]);
    }

    pub(super) fn ask(&mut self, node: u8, request: Control) {
        let input = Input::Control {
            id: RequestId(1),
            request,
        };
        self.feed(node, input);
    }

    /// What the core wants when it is asked that; nothing of it is done.
    pub(super) fn effects_of(&self, node: u8, request: Control) -> Vec<Effect> {
        let id = RequestId(1);
        let mut effects = Vec::new();
        let mut core = self.cores[&node].clone();
        core.step(self.now_ms, Input::Control { id, request }, &mut effects);
        effects
    }

    pub(super) fn status(&self, node: u8) -> Status {
        self.cores[&node].status()
    }

    pub(super) fn is_on(&self, node: u8) -> bool {
        self.on.contains(&node)
    }

    pub(super) fn is_running(&self, node: u8) -> bool {
        self.cores.contains_key(&node)
    }

    pub(super) fn reason(&self, node: u8, name: &str) -> String {
        let status = self.status(node);
        let group = status.groups.iter().find(|group| group.name == name);
        group.map_or(String::new(), |group| group.reason.clone())
    }

    /// Where all of a group is active.
    pub(super) fn running(&self, name: &str) -> Vec<u8> {
        let id = GroupId::of(name);
        let count = self.cluster.groups[&id].resources.len();
        let active = |node: &u8| {
            self.active
                .iter()
                .filter(|(owner, group, _)| (owner, group) == (node, &id))
                .count()
        };
        self.on
            .iter()
            .copied()
            .filter(|node| active(node) == count)
            .collect()
    }

    fn feed(&mut self, node: u8, input: Input) {
        let Some(core) = self.cores.get_mut(&node) else {
            return;
        };
        let life = core.incarnation().0;
        let mut effects = Vec::new();
        core.step(self.now_ms, input, &mut effects);
        for effect in effects {
            self.carry_out(node, life, effect);
        }
    }

    fn carry_out(&mut self, node: u8, life: u64, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.mail.push((node, to.0, life, message)),
            Effect::Broadcast { message } => {
                let others: Vec<u8> = self
                    .cluster
                    .nodes
                    .keys()
                    .map(|other| other.0)
                    .filter(|to| *to != node)
                    .collect();
                self.mail.extend(
                    others
                        .into_iter()
                        .map(|to| (node, to, life, message.clone())),
                );
            }
            Effect::Act { id, action } => {
                let key = (node, action.group, action.resource);
                let outcome = match action.operation {
                    Operation::Start => {
                        let elsewhere = self
                            .active
                            .iter()
                            .any(|(owner, group, _)| *owner != node && *group == action.group);
                        assert!(!elsewhere, "two owners at {} ms", self.now_ms);
                        self.starts += 1;
                        self.active.insert(key);
                        Outcome::Ok
                    }
                    Operation::Stop | Operation::KillAndStop if self.fail_stops.contains(&node) => {
                        Outcome::Failed
                    }
                    Operation::Stop | Operation::KillAndStop => {
                        self.active.remove(&key);
                        Outcome::Ok
                    }
                    Operation::Probe | Operation::Monitor if self.active.contains(&key) => {
                        Outcome::Ok
                    }
                    Operation::Probe | Operation::Monitor => Outcome::NotRunning,
                    Operation::Outdate => Outcome::Ok,
                };
                let slow = action.operation == Operation::Probe;
                let ready_ms = self.now_ms + if slow { self.probe_ms } else { 0 };
                self.done.push((node, ready_ms, id, outcome));
            }
            Effect::Fence { id, target, .. } => {
                self.fenced_by.push((node, target.0));
                self.fences.push((node, id, target.0));
            }
            Effect::SelfFence { .. } => self.power_off(node),
            Effect::Persist(memory) => self.memories.entry(node).or_default().1 = Some(memory),
            Effect::PersistBoot(memory) => self.memories.entry(node).or_default().2 = memory,
            Effect::Reply { reply, .. } => self.replies.push(reply),
            Effect::Left | Effect::Restart { .. } => {
                self.cores.remove(&node);
            }
            Effect::CancelFence { .. } | Effect::Watchdog { .. } | Effect::Event(_) => {}
        }
    }

    /// Lets `ms` pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 50;
            for node in self.cores.keys().copied().collect::<Vec<u8>>() {
                self.feed(node, Input::Tick);
            }
            for (node, ready_ms, id, outcome) in std::mem::take(&mut self.done) {
                if ready_ms > self.now_ms {
                    self.done.push((node, ready_ms, id, outcome));
                } else {
                    self.feed(node, Input::ActionDone { id, outcome });
                }
            }
            let fences = std::mem::take(&mut self.fences);
            for (node, id, target) in fences {
                if self.hold_answers {
                    let begins = !self.held.contains(&(node, id));
                    if begins {
                        self.power_off(target);
                        self.held.insert((node, id));
                    }
                    self.fences.push((node, id, target));
                    continue;
                }
                let held = self.held.remove(&(node, id));
                let result = if self.refuse_fencing && !held {
                    Err("refused".to_owned())
                } else {
                    Ok(())
                };
                if result.is_ok() && !held {
                    self.power_off(target);
                }
                self.feed(node, Input::FenceDone { id, result });
            }
            for (from, to, life, message) in std::mem::take(&mut self.mail) {
                if !self.cuts.contains(&(from, to)) {
                    let input = Input::Received {
                        from: NodeId(from),
                        incarnation: Incarnation(life),
                        link: 0,
                        message,
                    };
                    self.feed(to, input);
                }
            }
        }
    }
}

pub(super) fn pair() -> Trial {
    let mut trial = Trial::new(with_groups(cluster(2), vec![group("db", &[1, 2], 10)]));
    trial.start_all();
    trial.run(10_000);
    assert_eq!(trial.running("db"), [1]);
    trial
}

#[test]
fn the_dead_node_is_fenced_and_then_the_other_takes_over() {
    let mut trial = pair();
    trial.power_off(1);
    trial.run(4000);
    assert!(trial.fenced_by.is_empty(), "before deadtime");
    trial.run(12_000);
    assert_eq!(trial.fenced_by, [(2, 1)]);
    assert_eq!(trial.running("db"), [2]);
}

#[test]
fn a_node_that_may_live_is_not_replaced() {
    let mut trial = pair();
    trial.refuse_fencing = true;
    trial.cut(1, 2);
    trial.run(60_000);
    assert_eq!(
        trial.running("db"),
        [1],
        "it goes on: both have quorum, and the other one can't prove that it is gone"
    );
    assert!(
        trial.reason(2, "db").contains("(G3)"),
        "{}",
        trial.reason(2, "db")
    );
    // Both try, the owner first; not for ever at the same pace.
    assert_eq!(trial.fenced_by.first(), Some(&(1, 2)));
    assert!(
        trial.fenced_by.len() < 40,
        "{} attempts",
        trial.fenced_by.len()
    );
}

#[test]
fn the_more_valuable_side_wins_the_race() {
    let mut trial = pair();
    trial.cut(1, 2);
    trial.run(20_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    assert_eq!(trial.running("db"), [1]);
}

#[test]
fn a_node_alone_after_a_boot_waits_for_ever() {
    let mut trial = Trial::new(with_groups(cluster(2), vec![group("db", &[1, 2], 10)]));
    trial.start(1);
    trial.run(200_000);
    assert!(trial.fenced_by.is_empty());
    assert_eq!(trial.running("db"), [] as [u8; 0]);
    assert!(
        trial.reason(1, "db").contains("quorum-override"),
        "{}",
        trial.reason(1, "db")
    );
    trial.ask(1, Control::QuorumOverride);
    trial.run(20_000);
    assert_eq!(
        trial.fenced_by,
        [(1, 2)],
        "even then the other is fenced first"
    );
    assert_eq!(trial.running("db"), [1]);
}

#[test]
fn a_fenced_node_that_boots_without_a_network_does_not_fence_back() {
    let mut trial = pair();
    trial.cut(1, 2);
    trial.run(20_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    trial.start(2);
    trial.run(200_000);
    assert_eq!(trial.fenced_by, [(1, 2)]);
    assert_eq!(trial.running("db"), [1]);
    trial.cuts.clear();
    trial.run(20_000);
    assert_eq!(trial.status(2).members.len(), 2);
    assert_eq!(trial.running("db"), [1]);
}

#[test]
fn a_move_needs_no_fencing() {
    let mut trial = pair();
    trial.ask(1, Control::Move(GroupId::of("db"), Some(NodeId(2))));
    trial.run(5000);
    assert_eq!(trial.running("db"), [2]);
    trial.run(60_000);
    assert_eq!(trial.running("db"), [2], "it stays");
    assert!(trial.fenced_by.is_empty());
}

#[test]
fn a_failed_stop_resets_the_node_before_anybody_takes_over() {
    let mut trial = pair();
    trial.fail_stops.insert(1);
    trial.ask(2, Control::Move(GroupId::of("db"), Some(NodeId(2))));
    trial.run(30_000);
    assert!(!trial.is_on(1));
    assert_eq!(trial.fenced_by, [(2, 1)]);
    assert_eq!(trial.running("db"), [2]);
}

#[test]
fn maintenance_touches_nothing_and_fences_nobody() {
    let mut trial = pair();
    trial.ask(2, Control::Maintenance(true));
    trial.run(2000);
    trial.kill_daemon(1);
    trial.run(60_000);
    assert_eq!(trial.running("db"), [1]);
    assert!(trial.fenced_by.is_empty());
    trial.start(1);
    trial.run(5000);
    trial.ask(2, Control::Maintenance(false));
    trial.run(5000);
    assert_eq!(trial.running("db"), [1]);
    assert!(trial.fenced_by.is_empty());
}

#[test]
fn the_fence_peer_handler_answers_on_proof_only() {
    let request = || Control::FencePeer {
        resource: "r-db".to_owned(),
        peer: None,
        within_ms: 60_000,
    };
    // The peer's daemon is there: it outdates its disk, and nobody is fenced.
    let mut trial = pair();
    let primary = DrbdBrief {
        role: Role::Primary,
        ..disk(Disk::UpToDate)
    };
    trial.drbd(1, "r-db", primary);
    trial.replies.clear();
    trial.ask(1, request());
    trial.run(2000);
    assert!(
        matches!(trial.replies[..], [Reply::FencePeer { code: 4, .. }]),
        "{:?}",
        trial.replies
    );
    assert!(trial.fenced_by.is_empty());
    // It is not: it is fenced.
    let mut trial = pair();
    trial.power_off(2);
    trial.replies.clear();
    trial.ask(1, request());
    trial.run(4000);
    assert!(trial.replies.is_empty(), "silence is no proof");
    trial.run(20_000);
    assert!(
        matches!(trial.replies[..], [Reply::FencePeer { code: 7, .. }]),
        "{:?}",
        trial.replies
    );
    // It can't be.
    let mut trial = pair();
    trial.refuse_fencing = true;
    trial.power_off(2);
    trial.replies.clear();
    trial.ask(1, request());
    trial.run(70_000);
    assert!(
        matches!(trial.replies[..], [Reply::FencePeer { code: 1, .. }]),
        "{:?}",
        trial.replies
    );
}

/// The one that fences dies while its device is slow: the others do not go all at once.
#[test]
fn who_waits_for_another_ones_fencing_waits_anew_when_that_is_lost() {
    let mut trial = Trial::new(with_groups(cluster(5), vec![group("a", &[5, 4], 0)]));
    trial.start_all();
    trial.run(10_000);
    assert_eq!(trial.running("a"), [5]);
    trial.hold_answers = true;
    trial.power_off(5);
    trial.run(60_000);
    assert_eq!(trial.fenced_by, [(1, 5)]);
    trial.power_off(1);
    trial.run(9000);
    let of_five = trial.fenced_by.iter().filter(|(_, whom)| *whom == 5);
    let by: Vec<u8> = of_five.map(|(by, _)| *by).collect();
    assert_eq!(by, [1, 2]);
}
