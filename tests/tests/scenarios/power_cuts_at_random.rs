// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts at random moments under load, on disks that lose what was not
//! flushed: every acknowledged record survives every one of them, and both
//! disks are equal whenever the nodes have found each other again.
//!
//! The node that keeps its power goes on from moment to moment; the other one
//! boots anew each time. `DRBD_SEED` repeats a run's moments, `DRBD_MOMENTS`
//! sets how many there are.

use std::fmt;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_qemu::disk::Loss;
use drbd_tests::dice::{self, dice};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Load, Setup, Side, Writer};

/// How many moments there are unless the environment says otherwise.
const MOMENTS: u32 = 20;

/// The latest moment, after the first record of each load was acknowledged.
const LATEST_MS: u64 = 4000;

const RECORDS: &str = "/mnt/records";

#[test]
#[ignore = "full: twenty power cuts take ten minutes"]
fn power_cuts_of_primary() {
    scenario("power_cuts_of_primary", &setup(), primary_story);
}

#[test]
#[ignore = "full: twenty power cuts take ten minutes"]
fn power_cuts_of_secondary() {
    scenario("power_cuts_of_secondary", &setup(), secondary_story);
}

/// The fewest extents there can be cover more than the disk, but only those
/// that are written to are resynchronised after a crash.
fn setup() -> Setup {
    let mut setup = Setup::default()
        .disk_mib(128)
        .disk_option("al-extents 67")
        .net("ping-int 2");
    setup.volatile = true;
    setup
}

/// One moment: what is written, and when the power goes.
#[derive(Clone, Copy, Debug)]
struct Moment {
    number: u32,
    block_kib: u32,
    depth: u32,
    after: Duration,
    /// Seed of what the disk's cache loses; all of it if there is none.
    loss: Option<u64>,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment {
            number,
            block_kib,
            depth,
            after,
            loss,
        } = self;
        let lost = loss.map_or("all", |_| "a part");
        write!(
            f,
            "moment {number}: {after:?} into writes of {block_kib} KiB at depth {depth}, {lost} of the cache is lost"
        )
    }
}

impl Moment {
    /// Lets `side` lose its power while `primary` writes; the number of the
    /// last acknowledged record.
    fn cut(self, primary: &Side, side: &Side) -> Result<(u64, Load, Writer)> {
        let loss = self.loss.map_or(Loss::All, |seed| Loss::Some { seed });
        side.node.served_disk(0)?.set_loss(loss);
        let load = Load::start(primary, self.block_kib, self.depth)?;
        let writer = Writer::start(primary, RECORDS)?;
        std::thread::sleep(self.after);
        load.check()?;
        side.node.power_cut()?;
        Ok((writer.acknowledged()?, load, writer))
    }
}

fn moments() -> Result<Vec<Moment>> {
    let count = dice::count("DRBD_MOMENTS", MOMENTS)?;
    let mut dice = dice()?;
    let mut moment = |number| Moment {
        number,
        block_kib: 1 << dice.u32(2..7),
        depth: dice.u32(1..24),
        after: Duration::from_millis(dice.u64(0..LATEST_MS)),
        loss: dice.bool().then(|| dice.u64(..)),
    };
    Ok((1..=count).map(&mut moment).collect())
}

/// The Primary loses power, the other one takes over, and is the next to lose
/// power.
fn primary_story(cluster: &Cluster) -> Result<()> {
    step("up", || cluster.up_without_sync())?;
    cluster.alpha.primary()?;
    cluster.alpha.mkfs_and_mount()?;
    let (mut primary, mut secondary) = (&cluster.alpha, &cluster.beta);
    for moment in moments()? {
        step(&moment.to_string(), || {
            let (acknowledged, _, _) = moment.cut(primary, primary)?;
            secondary.wait_connection("Connecting")?;
            secondary.primary()?;
            secondary.fsck()?;
            secondary.mount()?;
            Writer::check(secondary, RECORDS, acknowledged)?;
            come_back(cluster, primary)?;
            quiet(cluster, secondary)?;
            cluster.compare_disks()?;
            secondary.primary()?;
            secondary.mount()?;
            forget_records(secondary)
        })
        .with_context(|| format!("{moment}, on {}", primary.name()))?;
        (primary, secondary) = (secondary, primary);
    }
    finish(cluster, primary)
}

/// The Secondary loses power, and comes back under load.
fn secondary_story(cluster: &Cluster) -> Result<()> {
    step("up", || cluster.up_without_sync())?;
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.primary()?;
    alpha.mkfs_and_mount()?;
    for moment in moments()? {
        step(&moment.to_string(), || {
            let (before, load, writer) = moment.cut(alpha, beta)?;
            alpha.wait_connection("Connecting")?;
            come_back(cluster, beta)?;
            load.stop()?;
            let acknowledged = writer.stop()?;
            ensure!(acknowledged > before, "the Primary did not go on");
            quiet(cluster, alpha)?;
            cluster.compare_disks()?;
            alpha.primary()?;
            alpha.mount()?;
            Writer::check(alpha, RECORDS, acknowledged)?;
            forget_records(alpha)
        })
        .with_context(|| moment.to_string())?;
    }
    finish(cluster, alpha)
}

/// The node without power boots and gets what it lacks.
fn come_back(cluster: &Cluster, dead: &Side) -> Result<()> {
    cluster.power_on(dead)?;
    dead.drbdadm("up")?;
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    Ok(())
}

/// Nobody writes, and the caches of both disks are on their media.
fn quiet(cluster: &Cluster, primary: &Side) -> Result<()> {
    primary.umount()?;
    primary.secondary()?;
    for side in cluster.sides() {
        side.flush_disks()?;
    }
    Ok(())
}

/// The next moment's records begin anew: all together would fill the disk.
fn forget_records(side: &Side) -> Result<()> {
    side.sh(&format!("rm {RECORDS} && sync")).map(drop)
}

fn finish(cluster: &Cluster, primary: &Side) -> Result<()> {
    primary.umount()?;
    primary.secondary()?;
    cluster.finish()
}
