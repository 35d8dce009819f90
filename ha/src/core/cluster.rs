// SPDX-License-Identifier: GPL-2.0-or-later
//! The configuration as the core sees it: checked and resolved, without addresses, agents and keys.

use std::collections::BTreeMap;

use super::id::{ConfigHash, GroupId, NodeId};

/// A whole cluster. The same on every node, as `hash` shows.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    /// Of everything that has to be the same on every node.
    pub hash: ConfigHash,
    /// How fast silence is noticed.
    pub timing: Timing,
    /// Who may act.
    pub quorum: QuorumRules,
    /// How nodes are fenced.
    pub fencing: FencingRules,
    /// At most 16.
    pub nodes: BTreeMap<NodeId, Node>,
    /// By identity.
    pub groups: BTreeMap<GroupId, Group>,
}

/// Section `timing` of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Between two heartbeats.
    pub keepalive_ms: u64,
    /// Silence that is worth a warning.
    pub warntime_ms: u64,
    /// Silence that means a dead node; at least four keepalives.
    pub deadtime_ms: u64,
    /// The same for nodes that were not heard since this daemon started; at least two deadtimes.
    pub initdead_ms: u64,
}

/// Section `quorum` of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuorumRules {
    /// One of two votes is enough, once both nodes were seen together since boot. Only for two voting nodes.
    pub two_node: bool,
    /// First quorum only after all nodes were seen together.
    pub wait_for_all: bool,
    /// Nodes that were fenced, with confirmation, leave the total of votes.
    pub shrink_on_fence: bool,
    /// There is a ping group: without an answer from it nothing is fenced and nothing started.
    pub ping_group: bool,
}

/// Section `fencing` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FencingRules {
    /// Waited before every fencing (two-node clusters only, as the other two).
    pub delay_base_ms: u64,
    /// Waited as well when the target is the more valuable side; at least twice `delay_random_ms`.
    pub delay_priority_ms: u64,
    /// Upper end of a random wait.
    pub delay_random_ms: u64,
    /// Attempts after which fencing goes on at the slowest pace, and an alarm says so.
    pub attempts_max: u32,
    /// Levels of devices by target, tried in turn. A node without an entry can't be fenced.
    pub levels: BTreeMap<NodeId, u8>,
}

/// Section `node` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What `uname -n` says there.
    pub name: String,
    /// Usually 1.
    pub votes: u32,
    /// Votes but owns nothing.
    pub arbiter: bool,
    /// What groups may use, by name of the quantity; a quantity that is not named is unlimited.
    pub capacity: BTreeMap<String, u64>,
}

/// When a group goes back to the first of its nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failback {
    /// Never: where it runs is where it stays.
    Never,
    /// As soon as the first node has been usable for `failback_delay_ms`.
    Auto,
    /// When the operator says so.
    Manual,
}

/// What happens to a running group when quorum is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuorumLoss {
    /// It is stopped.
    Stop,
    /// It is left alone: only its data can't be written.
    Freeze,
}

/// Section `group` of the configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// As the operator knows it.
    pub name: String,
    /// Where it may run, in order of preference. For groups with DRBD exactly the resource's hosts.
    pub nodes: Vec<NodeId>,
    /// Higher is placed first.
    pub priority: i32,
    /// Of the capacity of its node.
    pub uses: BTreeMap<String, u64>,
    /// When it goes back to the first node.
    pub failback: Failback,
    /// How long the first node has to be usable before.
    pub failback_delay_ms: u64,
    /// What it is worth to stay; 100 is more than any preference.
    pub stickiness: u32,
    /// Failures on one node after which it runs elsewhere.
    pub migration_threshold: u32,
    /// A failure is forgotten after this.
    pub failure_timeout_ms: u64,
    /// What happens when quorum is lost.
    pub on_quorum_loss: QuorumLoss,
    /// Groups that have to run, anywhere, before this one is started.
    pub after: Vec<GroupId>,
    /// Groups that should run elsewhere.
    pub avoid: Vec<GroupId>,
    /// They have to.
    pub avoid_hard: bool,
    /// May take the capacity of a group of lower priority.
    pub preempt: bool,
    /// Started in this order, stopped in the reverse one.
    pub resources: Vec<Resource>,
}

/// What a resource is, as far as the core has to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResourceKind {
    /// A DRBD resource: start is promote, stop is demote. Bringing it up, Secondary, belongs to its probe.
    Drbd {
        /// Its name in drbd.conf.
        name: String,
    },
    /// Anything else: an OCF agent, a systemd unit.
    Service {
        /// For people.
        name: String,
    },
}

/// Section `group.resource` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Between two monitors; 0 is never.
    pub monitor_interval_ms: u64,
    /// Limit of start (promote).
    pub start_timeout_ms: u64,
    /// Limit of stop (demote).
    pub stop_timeout_ms: u64,
    /// Limit of monitor and probe.
    pub monitor_timeout_ms: u64,
}

impl Cluster {
    /// Nodes on which groups may run: those are fenced when they are silent.
    #[must_use]
    pub fn is_host(&self, node: NodeId) -> bool {
        self.groups
            .values()
            .any(|group| group.nodes.contains(&node))
    }

    /// The name of `node` for a sentence.
    #[must_use]
    pub fn name(&self, node: NodeId) -> &str {
        self.nodes
            .get(&node)
            .map_or("an unknown node", |node| node.name.as_str())
    }
}

impl Group {
    /// Whether any of its resources is DRBD's.
    #[must_use]
    pub fn has_drbd(&self) -> bool {
        self.resources.iter().any(Resource::is_drbd)
    }

    /// The name of its DRBD resource number `at`.
    #[must_use]
    pub fn drbd_name(&self, at: usize) -> &str {
        let mut drbd = self.resources.iter().filter(|resource| resource.is_drbd());
        drbd.nth(at).map_or("", Resource::name)
    }

    /// The longest that stopping it may take.
    #[must_use]
    pub fn stop_limit_ms(&self) -> u64 {
        self.resources
            .iter()
            .map(|resource| resource.stop_timeout_ms)
            .sum()
    }
}

impl Resource {
    /// Whether it is DRBD's.
    #[must_use]
    pub fn is_drbd(&self) -> bool {
        matches!(self.kind, ResourceKind::Drbd { .. })
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            ResourceKind::Drbd { name } | ResourceKind::Service { name } => name,
        }
    }
}
