// SPDX-License-Identifier: GPL-2.0-or-later
//! How a story is told under a few seeds, and what most of them begin with.

use crate::world::{Setup, World};

/// Seeds of each story; `ENGINE_SEEDS` overrides.
const SEEDS: u64 = 4;

pub(super) fn each_seed(story: impl Fn(u64)) {
    let only = std::env::var("ENGINE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = std::env::var("ENGINE_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok());
    for seed in 0..seeds.unwrap_or(SEEDS) {
        if only.is_none_or(|only: u64| only == seed) {
            eprintln!("ENGINE_SEED={seed}");
            story(seed);
        }
    }
}

pub(super) fn synced(seed: u64) -> World {
    let mut world = World::new(Setup::synced(seed));
    world.start();
    world.assert_in_sync();
    world
}

/// A primary on node 0, both in sync.
pub(super) fn primary(seed: u64) -> World {
    let mut world = synced(seed);
    world.promote(0);
    world.settle();
    world
}

pub(super) fn writes(world: &mut World, n: usize, count: u64) {
    for _ in 0..count {
        let sector = world.rng.below(90 * 2048);
        let len = 1 + world.rng.below(64);
        world.write(n, sector, len);
        world.run(3);
    }
}

pub(super) fn detach(world: &mut World, n: usize) {
    world.nodes[n].command(crate::admin::Admin::Detach(0, 0, false));
    world.succeed(n, "detach");
    world.settle();
}
