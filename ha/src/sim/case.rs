// SPDX-License-Identifier: GPL-2.0-or-later
//! Stories that are not left to chance: what an administrator would do to a cluster to see whether it holds, and what has to
//! come of it. Chance decides delays only. The oracles look on all the time.

use super::chance::Chance;
use super::devices::Fenced;
use super::fault::Fault;
use super::scene::Scene;
use super::world::World;
use super::{Failure, Options, Played};
use crate::core::id::{GroupId, NodeId};

/// One line of a case.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// This happens.
    Do(Fault),
    /// The power switch keeps off what it switches off, and what is off stays so for the rest of the case.
    KeepOff,
    /// All of this comes true within so many milliseconds.
    Soon(u64, Vec<Fact>),
    /// All of this is true, and stays so for so many milliseconds.
    Stays(u64, Vec<Fact>),
}

/// Something about the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fact {
    /// All of the group with this number is active on that node, which runs.
    Runs(usize, u8),
    /// On some node.
    RunsSomewhere(usize),
    /// Nothing of the group is active on any node with power.
    Nowhere(usize),
    /// Switched off by a fence device since the case began, so often.
    Fenced(u8, usize),
    /// All nodes together.
    FencedInAll(usize),
    /// The node has no power, or fenced itself since the case began.
    Reset(u8),
    /// The replicas of the group's resource are connected, and both are good.
    InSync(usize),
}

/// A case: its name, where it takes place, its lines.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) scene: Scene,
    pub(super) lines: Vec<Line>,
}

/// Plays `case` with the delays of `seed`.
pub(super) fn play(case: &Case, seed: u64, options: &Options) -> Result<Played, Failure> {
    let mut world = World::new(
        case.scene.clone(),
        Chance::new(seed),
        Vec::new(),
        options.trace,
    );
    let boots: Vec<u64> = world.nodes.values().map(|sim| sim.boots).collect();
    for line in &case.lines {
        world.tell(|| format!("-- {line:?}"));
        match line {
            Line::Do(fault) => world.happens(fault),
            Line::KeepOff => world.keep_off = true,
            Line::Soon(ms, facts) => soon(&mut world, &boots, *ms, facts),
            Line::Stays(ms, facts) => stays(&mut world, &boots, *ms, facts),
        }
        if world.failure.is_some() {
            break;
        }
    }
    match world.failure.take() {
        None => Ok(Played {
            steps: world.steps,
            fenced: world.fenced.len() as u64,
        }),
        Some(what) => Err(Failure {
            seed,
            at_s: world.now_ms as f64 / 1000.0,
            what: format!("{}: {what}", case.name),
            faults: 0,
        }),
    }
}

fn pass(world: &mut World, ms: u64) {
    let until_ms = world.now_ms + ms;
    while world.step(until_ms) {}
    world.now_ms = until_ms;
}

fn soon(world: &mut World, boots: &[u64], ms: u64, facts: &[Fact]) {
    let until_ms = world.now_ms + ms;
    while world.failure.is_none() {
        let missing: Vec<&Fact> = facts
            .iter()
            .filter(|fact| !holds(world, boots, **fact))
            .collect();
        if missing.is_empty() {
            return;
        }
        if world.now_ms >= until_ms {
            world.fail(format!("not within {ms} ms: {missing:?}"));
            return;
        }
        pass(world, 100);
    }
}

fn stays(world: &mut World, boots: &[u64], ms: u64, facts: &[Fact]) {
    let until_ms = world.now_ms + ms;
    while world.failure.is_none() {
        let broken = facts.iter().find(|fact| !holds(world, boots, **fact));
        if let Some(fact) = broken {
            world.fail(format!("not so any more: {fact:?}"));
            return;
        }
        if world.now_ms >= until_ms {
            return;
        }
        pass(world, 100);
    }
}

fn holds(world: &World, boots: &[u64], fact: Fact) -> bool {
    let group = |number: usize| GroupId::of(&format!("g{number}"));
    let complete = |number: usize, node: NodeId| {
        let count = world
            .scene
            .cluster
            .groups
            .get(&group(number))
            .map_or(0, |group| group.resources.len());
        let sim = world.nodes.get(&node).filter(|sim| sim.runs());
        sim.is_some_and(|sim| {
            let active = sim.active.iter();
            active.filter(|(id, _)| *id == group(number)).count() == count
        })
    };
    let fenced = |node: u8| {
        let of = |fenced: &&Fenced| fenced.target == NodeId(node);
        world.fenced.iter().filter(of).count()
    };
    match fact {
        Fact::Runs(number, node) => complete(number, NodeId(node)),
        Fact::RunsSomewhere(number) => world.nodes.keys().any(|node| complete(number, *node)),
        Fact::Nowhere(number) => world
            .nodes
            .values()
            .all(|sim| !sim.on || !sim.has(group(number))),
        Fact::Fenced(node, count) => fenced(node) == count,
        Fact::FencedInAll(count) => world.fenced.len() == count,
        Fact::Reset(node) => {
            let before = boots.get(usize::from(node).saturating_sub(1));
            world
                .nodes
                .get(&NodeId(node))
                .is_some_and(|sim| !sim.on || Some(&sim.boots) > before)
        }
        Fact::InSync(number) => world
            .replicas
            .iter()
            .filter(|replicas| replicas.group == group(number))
            .all(super::replica::Replicas::is_in_sync),
    }
}
