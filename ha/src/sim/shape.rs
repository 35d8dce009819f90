// SPDX-License-Identifier: GPL-2.0-or-later
//! Clusters of a given shape, for cases: what chance does not decide.

use std::collections::BTreeMap;

use super::scene::Scene;
use crate::core::cluster::{
    Cluster, Failback, FencingRules, Group, Node, QuorumLoss, QuorumRules, Resource, ResourceKind,
    Timing,
};
use crate::core::id::{ConfigHash, GroupId, NodeId};

/// A cluster whose nodes have two links and one fence device each, with groups of a DRBD resource and two services on two
/// hosts each, or of services on more.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    hosts: u8,
    slots: BTreeMap<u8, u64>,
    groups: Vec<Group>,
}

impl Shape {
    /// So many hosts.
    pub(super) fn of(hosts: u8) -> Self {
        Shape {
            hosts,
            slots: BTreeMap::new(),
            groups: Vec::new(),
        }
    }

    /// A group on `hosts`, in order of preference: the later ones are less important.
    pub(super) fn group(mut self, hosts: &[u8]) -> Self {
        let index = self.groups.len();
        let name = format!("g{index}");
        let mut resources = Vec::new();
        if hosts.len() == 2 {
            let name = format!("r{index}");
            resources.push(resource(ResourceKind::Drbd { name }));
        }
        for service in ["fs", "address"] {
            let name = format!("{name}-{service}");
            resources.push(resource(ResourceKind::Service { name }));
        }
        self.groups.push(Group {
            name,
            nodes: hosts.iter().map(|id| NodeId(*id)).collect(),
            priority: 10 - i32::try_from(index).unwrap_or(0),
            uses: BTreeMap::from([("slots".to_owned(), 1)]),
            failback: Failback::Never,
            failback_delay_ms: 5000,
            stickiness: 100,
            migration_threshold: 3,
            failure_timeout_ms: 40_000,
            on_quorum_loss: QuorumLoss::Stop,
            after: Vec::new(),
            avoid: Vec::new(),
            avoid_hard: false,
            preempt: false,
            resources,
        });
        self
    }

    /// The first node of each group.
    pub(super) fn homes(&self) -> Vec<u8> {
        let first = |group: &Group| group.nodes.first().map_or(0, |node| node.0);
        self.groups.iter().map(first).collect()
    }

    /// All groups go home.
    pub(super) fn failback(mut self) -> Self {
        for group in &mut self.groups {
            group.failback = Failback::Auto;
        }
        self
    }

    /// `node` has room for so many groups.
    pub(super) fn room(mut self, node: u8, slots: u64) -> Self {
        self.slots.insert(node, slots);
        self
    }

    /// The world that it makes.
    pub(super) fn scene(self) -> Scene {
        let slots = &self.slots;
        let node = |id: u8| Node {
            name: format!("n{id}"),
            votes: 1,
            arbiter: false,
            capacity: BTreeMap::from([("slots".to_owned(), slots.get(&id).copied().unwrap_or(8))]),
        };
        let two_node = self.hosts == 2;
        let cluster = Cluster {
            hash: ConfigHash(7),
            timing: Timing {
                keepalive_ms: 500,
                warntime_ms: 1500,
                deadtime_ms: 3000,
                initdead_ms: 8000,
            },
            quorum: QuorumRules {
                two_node,
                wait_for_all: two_node,
                shrink_on_fence: false,
                ping_group: false,
            },
            fencing: FencingRules {
                delay_base_ms: 0,
                // Longer than the device takes: else the loser of a race shoots back before it is off.
                delay_priority_ms: 5000,
                delay_random_ms: 1000,
                attempts_max: 10,
                levels: (1..=self.hosts).map(|id| (NodeId(id), 1)).collect(),
            },
            nodes: (1..=self.hosts).map(|id| (NodeId(id), node(id))).collect(),
            groups: self
                .groups
                .into_iter()
                .map(|group| (GroupId::of(&group.name), group))
                .collect(),
        };
        Scene {
            cluster,
            links: 2,
            gentle: false,
        }
    }
}

fn resource(kind: ResourceKind) -> Resource {
    Resource {
        kind,
        monitor_interval_ms: 5000,
        start_timeout_ms: 8000,
        stop_timeout_ms: 6000,
        monitor_timeout_ms: 4000,
    }
}
