// SPDX-License-Identifier: GPL-2.0-or-later
//! Metadata on a device of its own never says more than the data device has: a target that loses
//! its power right after a resync either has the blocks or still asks for them.

use anyhow::Result;
use drbd_qemu::disk::Loss;
use drbd_tests::config::{Config, MetaDisk};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup};

#[test]
#[ignore = "full: power_cut_of_primary is the same with internal metadata"]
fn power_cut_with_external_metadata() {
    let setup = Setup {
        disks_mib: vec![48, 8],
        config: Config {
            meta_disk: MetaDisk::Flexible,
            net: vec!["ping-int 2".to_owned()],
            ..Config::default()
        },
        volatile: true,
        ..Setup::default()
    };
    scenario("power_cut_with_external_metadata", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.drbdadm("disconnect")?;
    alpha.wait_connection("StandAlone")?;
    alpha.sh(
        "dd if=/dev/urandom of=/dev/drbd0 bs=1M count=24 oflag=direct conv=notrunc 2>/dev/null",
    )?;
    alpha.drbdadm("connect")?;
    step("resync", || {
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;

    step(
        "the target loses its power, and all that was not flushed",
        || {
            for number in 0..2 {
                beta.node.served_disk(number)?.set_loss(Loss::All);
            }
            beta.node.power_cut()?;
            alpha.wait_connection("Connecting").map(drop)
        },
    )?;
    step("and comes back", || {
        cluster.power_on(beta)?;
        beta.drbdadm("up")?;
        for side in cluster.sides() {
            side.wait_healthy()?;
        }
        alpha.secondary()?;
        for side in cluster.sides() {
            side.flush_disks()?;
        }
        cluster.compare_disks()
    })?;
    cluster.finish()
}
