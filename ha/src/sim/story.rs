// SPDX-License-Identifier: GPL-2.0-or-later
//! One story: faults, then calm, after which everything has to run again.

use super::chance::Chance;
use super::devices::Fenced;
use super::fault::{schedule, Device};
use super::scene::scene;
use super::world::{Happening, World};
use super::Options;
use crate::core::id::{GroupId, NodeId};
use crate::core::input::{Control, Input};
use crate::core::message::Holding;

/// Faults happen for so long.
const FAULTS_MS: u64 = 100_000;

/// After that everything has to run again within this.
const CALM_MS: u64 = 240_000;

/// And stay so.
const STABLE_MS: u64 = 8_000;

/// A world for `seed`.
pub(super) fn begin(seed: u64, options: &Options) -> World {
    let mut chance = Chance::new(seed);
    let scene = scene(&mut chance);
    let faults = schedule(seed, &scene, FAULTS_MS);
    let mut world = World::new(scene, chance, faults, options.trace);
    world.keep.clone_from(&options.keep);
    world
}

/// Plays it to its end.
pub(super) fn tell(world: &mut World) {
    while world.step(FAULTS_MS) {}
    if world.failure.is_some() {
        return;
    }
    world.now_ms = FAULTS_MS;
    calm_down(world);
    let began_ms = world.now_ms;
    let mut well_since: Option<u64> = None;
    let mut helped_ms = began_ms;
    while world.failure.is_none() {
        let until_ms = world.now_ms + 1000;
        while world.step(until_ms) {}
        world.now_ms = until_ms;
        match trouble(world) {
            None => {
                let since = *well_since.get_or_insert(world.now_ms);
                if world.now_ms - since >= STABLE_MS {
                    break;
                }
            }
            Some(text) => {
                well_since = None;
                if world.now_ms - began_ms > CALM_MS {
                    world.fail(format!("no recovery: {text}"));
                }
                // An operator looks at it now and then.
                if world.now_ms - helped_ms > 50_000 {
                    helped_ms = world.now_ms;
                    clean_up(world);
                }
            }
        }
    }
    check_calm(world, began_ms);
}

/// Everything that was broken is repaired, what operators decided is taken back.
fn calm_down(world: &mut World) {
    world.tell(|| "-- calm".to_owned());
    world.calm = true;
    world.net.heal();
    let nodes: Vec<NodeId> = world.nodes.keys().copied().collect();
    for node in &nodes {
        world.devices.insert(*node, Device::Works);
        world.pings.insert(*node, true);
        if let Some(sim) = world.nodes.get_mut(node) {
            sim.agents.clear();
            sim.crash_after = None;
        }
        if world.scene.cluster.quorum.ping_group {
            world.feed(*node, Input::Ping { answers: true });
        }
    }
    for resource in 0..world.replicas.len() {
        for at in 0..2 {
            world.replicas[resource].attach(at);
        }
        world.replicas[resource].connected = false;
        world.report(resource);
        for node in [0, 1].map(|at| world.replicas[resource].both[at].node) {
            world.at(20, Happening::Handler { node, resource });
        }
    }
    world.watch_replication();
    for node in &nodes {
        world.plan_daemon(*node, 2000);
        // One that is about to leave goes and comes back.
        let daemons = world.nodes.get(node).map_or(0, |sim| sim.daemons);
        for later_ms in [15_000, 40_000] {
            world.at(
                later_ms,
                Happening::Daemon {
                    node: *node,
                    daemons: daemons + 1,
                },
            );
        }
    }
    clean_up(world);
}

/// An operator takes back every wish and forgets failures, on one node after another until one takes it.
fn clean_up(world: &mut World) {
    let nodes: Vec<NodeId> = world.nodes.keys().copied().collect();
    let groups: Vec<GroupId> = world.scene.cluster.groups.keys().copied().collect();
    for node in &nodes {
        let daemons = world.nodes.get(node).map_or(0, |sim| sim.daemons);
        world.at(
            100,
            Happening::Daemon {
                node: *node,
                daemons,
            },
        );
    }
    let Some(at) = nodes.iter().copied().find(|node| {
        world
            .nodes
            .get(node)
            .is_some_and(|sim| sim.runs() && sim.core.is_some())
    }) else {
        return;
    };
    world.operator(at, Control::Maintenance(false));
    for node in nodes {
        world.operator(at, Control::Standby(node, false));
    }
    for group in groups {
        world.operator(at, Control::Move(group, None));
        world.operator(at, Control::Cleanup(group));
    }
}

/// What is not as it should be in the end.
fn trouble(world: &World) -> Option<String> {
    for (node, sim) in &world.nodes {
        let Some(core) = sim.core.as_ref().filter(|_| sim.runs()) else {
            return Some(format!("{node} does not run"));
        };
        let status = core.status();
        if !status.quorate || status.members.len() != world.nodes.len() {
            return Some(format!(
                "{node} is {:?} in a view of {:?}: {}",
                status.state, status.members, status.quorum_reason
            ));
        }
    }
    for (id, group) in &world.scene.cluster.groups {
        let mut reason = String::new();
        let mut running = 0;
        for node in &group.nodes {
            let Some(core) = world.nodes.get(node).and_then(|sim| sim.core.as_ref()) else {
                continue;
            };
            let status = core.status();
            let mine = status.groups.iter().find(|status| status.id == *id);
            if let Some(mine) = mine {
                let holds = |(holder, holding): &(NodeId, Holding)| {
                    holder == node && *holding == Holding::Running
                };
                running += usize::from(mine.holders.iter().any(holds));
                reason.clone_from(&mine.reason);
            }
        }
        let frozen = world.replicas.iter().find(|replicas| {
            replicas.group == *id && (replicas.is_frozen(0) || replicas.is_frozen(1))
        });
        if let Some(replicas) = frozen {
            return Some(format!("the I/O of {} is frozen", replicas.name));
        }
        if running != 1 {
            return Some(format!("{} runs on {running} nodes: {reason}", group.name));
        }
    }
    None
}

/// How often a node may be switched off after the faults: in all, and while it has power.
const FENCED_MAX: usize = 4;
const ALIVE_MAX: usize = 2;

/// Nobody is fenced again and again for what is decided once the faults are over. An operator's order just before, and a
/// device that switched off and denied it, are faults. A node that is off loses nothing by being switched off once more, to have
/// a proof; but that has to have an end too.
fn check_calm(world: &mut World, began_ms: u64) {
    let nodes: Vec<NodeId> = world.nodes.keys().copied().collect();
    for node in nodes {
        let late = |fenced: &&Fenced| fenced.target == node && fenced.asked_ms > began_ms;
        let late: Vec<&Fenced> = world.fenced.iter().filter(late).collect();
        let (alive, all) = (
            late.iter().filter(|fenced| fenced.was_on).count(),
            late.len(),
        );
        if alive > ALIVE_MAX || all > FENCED_MAX {
            world.fail(format!(
                "{node} was fenced {all} times after the faults were over, {alive} of them while it was on"
            ));
        }
    }
}
