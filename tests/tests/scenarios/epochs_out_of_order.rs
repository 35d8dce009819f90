// SPDX-License-Identifier: GPL-2.0-or-later
//! A stock Secondary that neither drains nor flushes acknowledges epochs in the order in which its
//! disk is done with them. The connection bears it, and a flush waits for all of them.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::mapper::{self, Target, MIB_SECTORS};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: an option that few use"]
fn epochs_out_of_order_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock)
        .mapped()
        .disk_option("disk-flushes no")
        .disk_option("disk-drain no");
    scenario("epochs_out_of_order_with_stock", &setup, story);
}

const MINUTE: Duration = Duration::from_secs(60);
/// What hangs, and where it is.
const SLOW: &str = "slow";
const SLOW_MIB: u64 = 16;

/// One MiB of the disk behind a device mapper of its own, so that it can hang while the others work.
fn part_a_mib(side: &Side) -> Result<()> {
    let start = SLOW_MIB * MIB_SECTORS;
    mapper::create_part(side, SLOW, start, MIB_SECTORS)?;
    let rest = mapper::disk_sectors(side)? - start - MIB_SECTORS;
    let stretches = [
        (start, Target::Disk),
        (MIB_SECTORS, Target::Part(SLOW)),
        (rest, Target::Disk),
    ];
    mapper::reload(side, &stretches)
}

/// A block at a MiB.
fn write(at_mib: u64) -> String {
    format!(
        "exec dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 seek={} oflag=direct",
        at_mib * 16
    )
}

/// While a write hangs, its epoch is open at the peer. The first one behind it is of that epoch too, and ends it here.
fn hang_and_go_on(cluster: &Cluster, round: u64) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    mapper::hang(beta, SLOW)?;
    let hanging = alpha.node.spawn(&write(SLOW_MIB))?;
    std::thread::sleep(Duration::from_secs(1));
    for at_mib in [24, 32, 40] {
        alpha.node.sh_within(&write(at_mib + round), MINUTE)?;
    }
    let flush = "exec dd if=/dev/urandom of=/dev/drbd0 bs=4k count=1 conv=fsync,notrunc";
    let flush = alpha.node.spawn(flush)?;
    std::thread::sleep(Duration::from_secs(4));
    let view = alpha.view()?;
    ensure!(view.connection == "Connected", "{view:?}");
    for waits in [&hanging, &flush] {
        ensure!(!waits.is_over(), "it is over: {:?}", waits.so_far());
    }
    mapper::go_on(beta, SLOW)?;
    for done in [hanging, flush] {
        let output = done.wait(MINUTE)?;
        ensure!(output.success(), "{output:?}");
    }
    alpha.wait_healthy()?;
    cluster.compare_disks()
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    part_a_mib(beta)?;
    step("up", || cluster.up_and_synced())?;
    for round in 0..3 {
        step("a part of its disk hangs", || {
            hang_and_go_on(cluster, round)
        })?;
    }
    let said = alpha.node.console_text();
    ensure!(!said.contains("connection ends"), "{said}");
    cluster.finish()
}
