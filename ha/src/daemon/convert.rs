// SPDX-License-Identifier: GPL-2.0-or-later
//! The configuration as the core wants it: without addresses, agents and keys, with identities instead of names.

use crate::config::{self, Config};
use crate::core::cluster::{
    Cluster, Failback, FencingRules, Group, Node, QuorumLoss, QuorumRules, Resource, ResourceKind,
    Timing,
};
use crate::core::id::{ConfigHash, GroupId, NodeId};

/// The whole of it.
#[must_use]
pub fn cluster(config: &Config) -> Cluster {
    let timing = config.file.timing();
    let fencing = config.file.fencing();
    let levels = config.nodes().filter_map(|node| {
        let levels = config.fence_levels(node.name.as_ref()).len();
        let levels = u8::try_from(levels).unwrap_or(u8::MAX);
        (levels > 0).then_some((id(node), levels))
    });
    let [a, b, c, d, e, f, g, h, ..] = config.hash;
    Cluster {
        hash: ConfigHash(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        timing: Timing {
            keepalive_ms: timing.keepalive,
            warntime_ms: timing.warntime,
            deadtime_ms: timing.deadtime,
            initdead_ms: timing.initdead,
        },
        quorum: QuorumRules {
            two_node: config.two_node(),
            wait_for_all: config.file.quorum.wait_for_all,
            shrink_on_fence: config.file.quorum.shrink_on_fence,
            ping_group: !config.file.quorum.ping_group.is_empty(),
        },
        fencing: FencingRules {
            delay_base_ms: fencing.delay_base,
            delay_priority_ms: fencing.delay_priority,
            delay_random_ms: fencing.delay_random,
            attempts_max: u32::from(fencing.max_attempts),
            levels: levels.collect(),
        },
        nodes: config.nodes().map(|n| (id(n), node(n))).collect(),
        groups: config
            .groups()
            .map(|g| (GroupId::of(g.name.as_ref()), group(config, g)))
            .collect(),
    }
}

fn id(node: &config::Node) -> NodeId {
    NodeId(*node.id.as_ref())
}

fn node(node: &config::Node) -> Node {
    Node {
        name: node.name.as_ref().clone(),
        votes: u32::from(node.votes),
        arbiter: node.role == config::Role::Arbiter,
        capacity: node.capacity.clone(),
    }
}

fn group(config: &Config, group: &config::Group) -> Group {
    let nodes = group.nodes.iter();
    let ids = |names: &[toml::Spanned<String>]| {
        let ids = names.iter().map(|name| GroupId::of(name.as_ref()));
        ids.collect::<Vec<_>>()
    };
    Group {
        name: group.name.as_ref().clone(),
        nodes: nodes
            .filter_map(|name| config.node(name.as_ref()).map(id))
            .collect(),
        priority: group.priority,
        uses: group
            .uses
            .iter()
            .map(|(kind, amount)| (kind.as_ref().clone(), *amount))
            .collect(),
        failback: match group.failback {
            config::Failback::Never => Failback::Never,
            config::Failback::Auto => Failback::Auto,
            config::Failback::Manual => Failback::Manual,
        },
        failback_delay_ms: group.failback_delay.saturating_mul(1000),
        stickiness: u32::from(group.stickiness),
        migration_threshold: group.migration_threshold,
        failure_timeout_ms: group.failure_timeout.saturating_mul(1000),
        on_quorum_loss: match group.on_quorum_loss {
            config::OnQuorumLoss::Stop => QuorumLoss::Stop,
            config::OnQuorumLoss::Freeze => QuorumLoss::Freeze,
        },
        after: ids(&group.after),
        avoid: ids(&group.avoid),
        avoid_hard: group.avoid_hard,
        preempt: group.preempt,
        resources: group
            .resource
            .iter()
            .map(|r| resource(r.as_ref()))
            .collect(),
    }
}

fn resource(resource: &config::Resource) -> Resource {
    let timeout = resource.timeout;
    Resource {
        kind: match &resource.drbd {
            Some(name) => ResourceKind::Drbd {
                name: name.as_ref().clone(),
            },
            None => ResourceKind::Service {
                name: config::resource_name(resource),
            },
        },
        monitor_interval_ms: resource.monitor.saturating_mul(1000),
        start_timeout_ms: timeout.start.saturating_mul(1000),
        stop_timeout_ms: timeout.stop.saturating_mul(1000),
        monitor_timeout_ms: timeout.monitor.saturating_mul(1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identities_and_seconds_become_milliseconds() {
        let text = include_str!("../../../docs/ha/n-plus-m.toml").to_owned();
        let (config, _) = config::parse("t.toml", text).unwrap();
        let cluster = cluster(&config);
        assert_eq!(cluster.nodes.len(), 5);
        assert!(cluster.nodes[&NodeId(5)].arbiter && !cluster.quorum.two_node);
        assert_eq!(cluster.fencing.levels.len(), 4);
        let proxy = &cluster.groups[&GroupId::of("proxy")];
        assert_eq!(proxy.avoid, [GroupId::of("db")]);
        assert_eq!(proxy.nodes, [1, 2, 3, 4].map(NodeId));
        assert_eq!(proxy.resources[0].monitor_interval_ms, 20_000);
        let db = &cluster.groups[&GroupId::of("db")];
        assert_eq!(db.resources[0].name(), "r1");
        assert!(db.has_drbd());
    }
}
