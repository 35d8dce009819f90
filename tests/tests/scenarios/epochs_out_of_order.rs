// SPDX-License-Identifier: GPL-2.0-or-later
//! A stock Secondary that neither drains nor flushes acknowledges epochs in the order in which its
//! disk is done with them. The connection bears it, and a flush waits for all of them.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: an option that few use"]
fn epochs_out_of_order_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock)
        .disk_option("disk-flushes no")
        .disk_option("disk-drain no");
    scenario("epochs_out_of_order_with_stock", &setup, story);
}

const MINUTE: Duration = Duration::from_secs(60);

/// The disk behind a device mapper, of which one MiB can hang while the others work.
fn interpose(side: &Side) -> Result<()> {
    side.sh("modprobe dm_mod 2>/dev/null; set -e
         sed -i 's,/dev/vdb,/dev/mapper/all,' /etc/drbd.conf
         dmsetup create slow --table '0 2048 linear /dev/vdb 32768'
         dmsetup mknodes
         rest=$(($(blockdev --getsz /dev/vdb) - 34816))
         printf '0 32768 linear /dev/vdb 0\n32768 2048 linear /dev/mapper/slow 0\n' >/run/table
         echo 34816 $rest linear /dev/vdb 34816 >>/run/table
         dmsetup create all /run/table
         dmsetup mknodes")
        .map(drop)
}

/// A block at a MiB.
fn write(at_mib: u32) -> String {
    format!(
        "exec dd if=/dev/urandom of=/dev/drbd0 bs=64k count=1 seek={} oflag=direct",
        at_mib * 16
    )
}

/// While a write hangs, its epoch is open at the peer. The first one behind it is of that epoch too, and ends it here.
fn hang_and_go_on(cluster: &Cluster, round: u32) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    beta.sh("dmsetup suspend --noflush --nolockfs slow")?;
    let hanging = alpha.node.spawn(&write(16))?;
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
    beta.sh("dmsetup resume slow")?;
    for done in [hanging, flush] {
        let output = done.wait(MINUTE)?;
        ensure!(output.success(), "{output:?}");
    }
    alpha.wait_healthy()?;
    cluster.compare_disks()
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    interpose(beta)?;
    step("up", || cluster.up_and_synced())?;
    for round in 0..3 {
        step("a part of its disk hangs", || {
            hang_and_go_on(cluster, round)
        })?;
    }
    let said = alpha.node.console_text();
    ensure!(!said.contains("connection ends"), "{said}");
    for side in cluster.sides() {
        side.down()?;
    }
    beta.sh("dmsetup remove all; dmsetup remove slow")?;
    for side in cluster.sides() {
        side.sh("rmmod drbd")?;
    }
    Ok(cluster.lab.check_consoles()?)
}
