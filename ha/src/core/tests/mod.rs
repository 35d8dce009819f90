// SPDX-License-Identifier: GPL-2.0-or-later
//! Each decision by itself; the whole is tried in `sim`.

mod guard;
mod handler;
mod placement;
mod quorum;
mod takeover;
mod talk;
mod views;

use std::collections::BTreeMap;

use super::cluster::{
    Cluster, Failback, FencingRules, Group, Node, QuorumLoss, QuorumRules, Resource, ResourceKind,
    Timing,
};
use super::drbd::{Disk, DrbdBrief, Role};
use super::id::{ConfigHash, GroupId, NodeId};
use super::message::{GroupBrief, Holding};

/// A cluster of `count` nodes with one vote each; two are a two-node cluster.
fn cluster(count: u8) -> Cluster {
    let node = |id: u8| Node {
        name: format!("n{id}"),
        votes: 1,
        arbiter: false,
        capacity: BTreeMap::new(),
    };
    Cluster {
        hash: ConfigHash(1),
        timing: Timing {
            keepalive_ms: 500,
            warntime_ms: 2000,
            deadtime_ms: 5000,
            initdead_ms: 30_000,
        },
        quorum: QuorumRules {
            two_node: count == 2,
            wait_for_all: count == 2,
            shrink_on_fence: false,
            ping_group: false,
        },
        fencing: FencingRules {
            delay_base_ms: 0,
            delay_priority_ms: 5000,
            delay_random_ms: 0,
            attempts_max: 10,
            levels: (1..=count).map(|id| (NodeId(id), 1)).collect(),
        },
        nodes: (1..=count).map(|id| (NodeId(id), node(id))).collect(),
        groups: BTreeMap::new(),
    }
}

/// A resource; those called `r...` are DRBD's.
fn resource(name: &str) -> Resource {
    let name = name.to_owned();
    let kind = if name.starts_with('r') {
        ResourceKind::Drbd { name }
    } else {
        ResourceKind::Service { name }
    };
    Resource {
        kind,
        monitor_interval_ms: 10_000,
        start_timeout_ms: 20_000,
        stop_timeout_ms: 20_000,
        monitor_timeout_ms: 20_000,
    }
}

/// A group of one service, or of DRBD and a service where its name begins with `d`.
fn group(name: &str, nodes: &[u8], priority: i32) -> Group {
    let mut resources = vec![resource(&format!("s-{name}"))];
    if name.starts_with('d') {
        resources.insert(0, resource(&format!("r-{name}")));
    }
    Group {
        name: name.to_owned(),
        nodes: nodes.iter().map(|id| NodeId(*id)).collect(),
        priority,
        uses: BTreeMap::new(),
        failback: Failback::Never,
        failback_delay_ms: 60_000,
        stickiness: 100,
        migration_threshold: 3,
        failure_timeout_ms: 600_000,
        on_quorum_loss: QuorumLoss::Stop,
        after: Vec::new(),
        avoid: Vec::new(),
        avoid_hard: false,
        preempt: false,
        resources,
    }
}

fn with_groups(mut cluster: Cluster, groups: Vec<Group>) -> Cluster {
    for group in groups {
        cluster.groups.insert(GroupId::of(&group.name), group);
    }
    cluster
}

/// What a node with good data says of a group that it does not have.
fn idle(group: &Group) -> GroupBrief {
    let drbd = group.resources.iter().filter(|resource| resource.is_drbd());
    GroupBrief {
        epoch: None,
        holding: Holding::Released,
        fails: 0,
        banned: false,
        drbd: drbd.map(|_| disk(Disk::UpToDate)).collect(),
    }
}

fn disk(disk: Disk) -> DrbdBrief {
    DrbdBrief {
        role: Role::Secondary,
        disk,
        generation: 4,
        ..DrbdBrief::default()
    }
}
