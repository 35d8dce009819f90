// SPDX-License-Identifier: GPL-2.0-or-later
//! What goes wrong in a story, and what operators do meanwhile. Each draws from a chance of its own, so that leaving others out
//! does not change it: that is how stories shrink.

use super::chance::Chance;
use super::scene::Scene;
use crate::core::id::{GroupId, NodeId};

/// How a fence device behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Device {
    /// It works.
    Works,
    /// It says no and does nothing.
    Refuses,
    /// It needs half a minute.
    Slow,
    /// It switches the node off and says that it failed.
    Denies,
}

/// How agents behave on one node for one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Agents {
    /// They work.
    Work,
    /// Start fails.
    StartFails,
    /// Start never ends.
    StartHangs,
    /// Stop fails, with force as well.
    StopFails,
    /// Stop fails, but not with force.
    StopFailsOnce,
    /// It is not installed.
    NotInstalled,
    /// The service dies now and then.
    Dies,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    CutLink {
        a: NodeId,
        b: NodeId,
        link: u8,
        both: bool,
    },
    CutPair {
        a: NodeId,
        b: NodeId,
        both: bool,
    },
    Isolate {
        node: NodeId,
    },
    Partition {
        mask: u64,
    },
    Heal,
    Weather {
        loss: u64,
        delay_ms: u64,
        twice: u64,
    },
    Freeze {
        node: NodeId,
        for_ms: u64,
    },
    PowerCut {
        node: NodeId,
        for_ms: u64,
    },
    KillDaemon {
        node: NodeId,
        for_ms: u64,
        mid_step: bool,
    },
    LoseState {
        node: NodeId,
    },
    Detach {
        node: NodeId,
    },
    Agents {
        node: NodeId,
        group: GroupId,
        how: Agents,
    },
    Device {
        node: NodeId,
        how: Device,
    },
    Ping {
        node: NodeId,
        answers: bool,
    },
    Move {
        at: NodeId,
        group: GroupId,
        to: NodeId,
    },
    Standby {
        at: NodeId,
        node: NodeId,
        on: bool,
    },
    Maintenance {
        at: NodeId,
        on: bool,
    },
    Failback {
        at: NodeId,
        group: GroupId,
    },
    Leave {
        node: NodeId,
        for_ms: u64,
    },
    Override {
        node: NodeId,
    },
    Confirm {
        at: NodeId,
        node: NodeId,
    },
    FenceByHand {
        at: NodeId,
        node: NodeId,
    },
}

/// Faults of a story with their times.
pub(super) fn schedule(seed: u64, scene: &Scene, until_ms: u64) -> Vec<(u64, Fault)> {
    let mut chance = Chance::new(seed ^ 0xfa17);
    let count = chance.range(1, 14);
    let mut faults: Vec<(u64, Fault)> = (0..count)
        .map(|number| {
            let mut chance = Chance::new(seed.wrapping_mul(1009).wrapping_add(number));
            let at_ms = chance.range(1000, until_ms);
            (at_ms, fault(&mut chance, scene))
        })
        .collect();
    faults.sort_by_key(|(at_ms, _)| *at_ms);
    faults
}

fn fault(chance: &mut Chance, scene: &Scene) -> Fault {
    let nodes: Vec<NodeId> = scene.cluster.nodes.keys().copied().collect();
    let groups: Vec<GroupId> = scene.cluster.groups.keys().copied().collect();
    let node = chance.pick(&nodes);
    let others: Vec<NodeId> = nodes
        .iter()
        .copied()
        .filter(|other| *other != node)
        .collect();
    let other = chance.pick(&others);
    let group = chance.pick(&groups);
    let hosts = scene
        .cluster
        .groups
        .get(&group)
        .map_or(&[][..], |group| &group.nodes);
    let to = chance.pick(hosts);
    let link = u8::try_from(chance.range(0, u64::from(scene.links))).unwrap_or(0);
    if scene.gentle {
        return match chance.range(0, 7) {
            0 => Fault::Move {
                at: node,
                group,
                to,
            },
            1 => Fault::Standby {
                at: node,
                node: other,
                on: chance.percent(50),
            },
            2 => Fault::KillDaemon {
                node,
                for_ms: chance.range(50, 900),
                mid_step: chance.percent(50),
            },
            3 => Fault::Maintenance {
                at: node,
                on: chance.percent(30),
            },
            4 => Fault::Failback { at: node, group },
            5 => Fault::Leave {
                node,
                for_ms: chance.range(4000, 20_000),
            },
            _ => Fault::Weather {
                loss: chance.range(0, 20),
                delay_ms: chance.range(5, 200),
                twice: 20,
            },
        };
    }
    match chance.range(0, 34) {
        0 | 1 => Fault::CutLink {
            a: node,
            b: other,
            link,
            both: chance.percent(50),
        },
        2..=4 => Fault::CutPair {
            a: node,
            b: other,
            both: chance.percent(60),
        },
        5 | 6 => Fault::Isolate { node },
        7 | 8 => Fault::Partition {
            mask: chance.next(),
        },
        9..=12 => Fault::Heal,
        13 => Fault::Weather {
            loss: chance.range(0, 60),
            delay_ms: chance.range(5, 1500),
            twice: chance.range(0, 60),
        },
        14..=16 => Fault::Freeze {
            node,
            for_ms: chance.range(500, 60_000),
        },
        17..=19 => Fault::PowerCut {
            node,
            for_ms: chance.range(2000, 60_000),
        },
        20 | 21 => Fault::KillDaemon {
            node,
            for_ms: chance.range(50, 15_000),
            mid_step: chance.percent(50),
        },
        22 => Fault::LoseState { node },
        23 => Fault::Detach { node: to },
        24 | 25 => Fault::Agents {
            node: to,
            group,
            how: chance.pick(&[
                Agents::StartFails,
                Agents::StartHangs,
                Agents::StopFails,
                Agents::StopFailsOnce,
                Agents::NotInstalled,
                Agents::Dies,
                Agents::Work,
            ]),
        },
        26 => Fault::Device {
            node: to,
            how: chance.pick(&[Device::Refuses, Device::Slow, Device::Denies, Device::Works]),
        },
        27 => Fault::Ping {
            node,
            answers: chance.percent(40),
        },
        28 => Fault::Move {
            at: node,
            group,
            to,
        },
        29 => match chance.range(0, 3) {
            0 => Fault::Standby {
                at: node,
                node: other,
                on: chance.percent(60),
            },
            1 => Fault::Maintenance {
                at: node,
                on: chance.percent(40),
            },
            _ => Fault::Failback { at: node, group },
        },
        30 => Fault::Leave {
            node,
            for_ms: chance.range(4000, 30_000),
        },
        31 => Fault::Override { node },
        32 => Fault::Confirm {
            at: node,
            node: other,
        },
        _ => Fault::FenceByHand {
            at: node,
            node: other,
        },
    }
}
