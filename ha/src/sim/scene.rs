// SPDX-License-Identifier: GPL-2.0-or-later
//! Which cluster a story is about: every shape of failover.md 1.1, of two to sixteen nodes.

use std::collections::BTreeMap;

use super::chance::Chance;
use crate::core::cluster::{
    Cluster, Failback, FencingRules, Group, Node, QuorumLoss, QuorumRules, Resource, ResourceKind,
    Timing,
};
use crate::core::id::{ConfigHash, GroupId, NodeId};

/// What a story begins with.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    pub(super) links: u8,
    /// Only faults that must not lead to a fencing.
    pub(super) gentle: bool,
}

/// The scene of a story.
pub(super) fn scene(chance: &mut Chance) -> Scene {
    let shape = chance.range(0, 10);
    let (hosts, groups): (u8, Vec<Vec<u8>>) = match shape {
        0..=2 => (2, vec![vec![1, 2]]),
        3 => (2, vec![vec![1, 2], vec![2, 1]]),
        4 => (3, vec![vec![1, 3], vec![2, 3]]),
        5 => (4, vec![vec![1, 3], vec![2, 4], vec![1, 3]]),
        6 => (3, vec![vec![1, 2], vec![2, 3], vec![3, 1]]),
        7 => (3, vec![vec![1, 2, 3], vec![2, 1]]),
        8 => (
            5,
            vec![
                vec![1, 2],
                vec![2, 3],
                vec![3, 4],
                vec![4, 5],
                vec![5, 1, 2],
            ],
        ),
        _ => {
            let nodes = u8::try_from(chance.range(3, 9)).unwrap_or(3);
            let nodes = if chance.percent(10) { 16 } else { nodes };
            let ring = (1..=nodes).map(|node| vec![node, node % nodes + 1]);
            (nodes, ring.take(6).collect())
        }
    };
    let arbiter = (hosts % 2 == 0 && chance.percent(40)) || chance.percent(5);
    let count = (hosts + u8::from(arbiter)).min(16);
    let two_node = hosts == 2 && !arbiter;
    let timing = Timing {
        keepalive_ms: 500,
        warntime_ms: 1500,
        deadtime_ms: 3000,
        initdead_ms: 8000,
    };
    let nodes = (1..=count).map(|id| {
        let node = Node {
            name: format!("n{id}"),
            votes: 1,
            arbiter: id > hosts,
            capacity: BTreeMap::from([("slots".to_owned(), 4)]),
        };
        (NodeId(id), node)
    });
    let nodes: BTreeMap<NodeId, Node> = nodes.collect();
    let levels = (1..=hosts).map(|id| (NodeId(id), 1 + u8::from(chance.percent(30))));
    let fencing = FencingRules {
        delay_base_ms: 0,
        delay_priority_ms: 2500,
        delay_random_ms: 1000,
        attempts_max: 10,
        levels: levels.collect(),
    };
    let mut configured = BTreeMap::new();
    for (index, hosts) in groups.iter().enumerate() {
        let name = format!("g{index}");
        configured.insert(GroupId::of(&name), group(chance, &name, index, hosts));
    }
    let quorum = QuorumRules {
        two_node,
        wait_for_all: two_node || chance.percent(30),
        shrink_on_fence: !two_node && chance.percent(25),
        ping_group: chance.percent(10),
    };
    Scene {
        cluster: Cluster {
            hash: ConfigHash(7),
            timing,
            quorum,
            fencing,
            nodes,
            groups: configured,
        },
        links: u8::try_from(chance.range(1, 3)).unwrap_or(1),
        gentle: chance.percent(12),
    }
}

fn group(chance: &mut Chance, name: &str, index: usize, hosts: &[u8]) -> Group {
    let service = |kind, interval| Resource {
        kind,
        monitor_interval_ms: interval,
        start_timeout_ms: 8000,
        stop_timeout_ms: 6000,
        monitor_timeout_ms: 4000,
    };
    let mut resources = Vec::new();
    if hosts.len() == 2 && chance.percent(80) {
        let kind = ResourceKind::Drbd {
            name: format!("r{index}"),
        };
        resources.push(service(kind, 5000));
    }
    for number in 0..=chance.range(0, 2) {
        let kind = ResourceKind::Service {
            name: format!("{name}-s{number}"),
        };
        resources.push(service(kind, 5000));
    }
    Group {
        name: name.to_owned(),
        nodes: hosts.iter().map(|id| NodeId(*id)).collect(),
        priority: i32::try_from(chance.range(0, 20)).unwrap_or(0),
        uses: BTreeMap::from([("slots".to_owned(), 1)]),
        failback: chance.pick(&[
            Failback::Never,
            Failback::Never,
            Failback::Auto,
            Failback::Manual,
        ]),
        failback_delay_ms: 5000,
        stickiness: 100,
        migration_threshold: 3,
        failure_timeout_ms: 40_000,
        on_quorum_loss: if chance.percent(20) {
            QuorumLoss::Freeze
        } else {
            QuorumLoss::Stop
        },
        after: Vec::new(),
        avoid: Vec::new(),
        avoid_hard: false,
        preempt: chance.percent(20),
        resources,
    }
}
