// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts of either node at random moments, under options as the dice say, on disks that lose what was not flushed:
//! the node comes back in its role, no acknowledged record is lost, and the disks are equal.
//!
//! `DRBD_SEED` repeats a run, `DRBD_ROUNDS` sets how many cuts there are.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_qemu::disk::Loss;
use drbd_tests::dice::{self, dice};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Draw, Load, Pairing, Setup, Side, Writer};

/// How many cuts there are unless the environment says otherwise.
const ROUNDS: u32 = 6;

/// The latest moment, after the first record was acknowledged.
const LATEST_MS: u64 = 4000;

const RECORDS: &str = "/mnt/records";

#[test]
#[ignore = "full: boots six times"]
fn power_cuts_with_any_options() {
    play("power_cuts_with_any_options", Pairing::OursOurs);
}

#[test]
#[ignore = "full: the same with the stock driver as one of the nodes"]
fn power_cuts_with_any_options_and_stock() {
    play("power_cuts_with_any_options_and_stock", Pairing::OursStock);
}

fn play(name: &str, pairing: Pairing) {
    let setup = Setup {
        volatile: true,
        ..Setup::pairing(pairing)
    };
    scenario(name, &setup, story);
}

/// The options are for the time until the node is back: they are in effect on both when it goes.
fn round(cluster: &Cluster, dice: &mut fastrand::Rng, primary: &Side, dead: &Side) -> Result<()> {
    let sides = cluster.sides();
    let configs = Draw::default().configure(cluster, dice)?;
    for side in sides {
        side.drbdadm("adjust")?;
    }
    let (block_kib, depth) = (1 << dice.u32(2..7), dice.u32(1..24));
    let after = Duration::from_millis(dice.u64(0..LATEST_MS));
    let loss = match dice.bool() {
        true => Loss::Some { seed: dice.u64(..) },
        false => Loss::All,
    };
    println!(
        "    {} loses its power {after:?} into writes of {block_kib} KiB at depth {depth}; {} is Primary",
        dead.name(),
        primary.name()
    );
    primary.primary()?;
    primary.mount()?;
    dead.node.served_disk(0)?.set_loss(loss);
    let load = Load::start(primary, block_kib, depth)?;
    let writer = Writer::start(primary, RECORDS)?;
    std::thread::sleep(after);
    load.check()?;
    dead.node.power_cut()?;
    let before = writer.acknowledged()?;
    cluster.power_on(dead)?;
    for (side, config) in sides.into_iter().zip(&configs) {
        cluster.configure(side, config)?;
    }
    dead.drbdadm("up")?;
    for side in sides {
        side.wait_healthy()?;
    }
    let acknowledged = if dead.name() == primary.name() {
        primary.primary()?;
        primary.fsck()?;
        primary.mount()?;
        before
    } else {
        load.stop()?;
        let acknowledged = writer.stop()?;
        ensure!(acknowledged > before, "the Primary did not go on");
        acknowledged
    };
    Writer::check(primary, RECORDS, acknowledged)?;
    primary.sh(&format!("rm {RECORDS} && sync"))?;
    primary.umount()?;
    primary.secondary()?;
    for side in sides {
        side.flush_disks()?;
    }
    cluster.compare_disks()
}

fn story(cluster: &Cluster) -> Result<()> {
    let rounds = dice::count("DRBD_ROUNDS", ROUNDS)?;
    let mut dice = dice()?;
    step("up", || cluster.up_and_synced())?;
    cluster.alpha.mkfs_and_mount()?;
    cluster.alpha.umount()?;
    cluster.alpha.secondary()?;
    for number in 1..=rounds {
        let primary = cluster.sides()[dice.usize(..2)];
        let dead = cluster.sides()[dice.usize(..2)];
        step(&format!("round {number}"), || {
            round(cluster, &mut dice, primary, dead)
        })?;
    }
    cluster.finish()
}
