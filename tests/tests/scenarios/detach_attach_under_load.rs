// SPDX-License-Identifier: GPL-2.0-or-later
//! Either node's disk is taken away and given back under load: the load does
//! not notice, and the disks are equal at the end.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::side::SOON;
use drbd_tests::{scenario, Cluster, Load, Setup, Writer};

#[test]
#[ignore = "full: takes more than two minutes"]
fn detach_attach_under_load() {
    // Beside a load a resync is held to c-min-rate, and the default of 250 KiB/s
    // would make this story minutes long on a machine that writes much.
    let setup = Setup::default().disk_option("c-min-rate 10M");
    scenario("detach_attach_under_load", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.mkfs_and_mount()?;
    let load = Load::start(alpha, 4, 8)?;
    let writer = Writer::start(alpha, "/mnt/records")?;
    for side in [beta, alpha, beta, alpha] {
        let name = side.name().to_owned();
        step(&format!("{name} detaches"), || {
            side.drbdadm("detach")?;
            side.wait("a detached disk", SOON, |view| view.disk == "Diskless")?;
            writer.wait_more(20, Duration::from_secs(60))
        })?;
        load.check()?;
        step(&format!("{name} attaches"), || {
            side.drbdadm("attach")?;
            alpha.wait_healthy()?;
            beta.wait_healthy()?;
            writer.wait_more(20, Duration::from_secs(60))
        })?;
        load.check()?;
    }
    load.stop()?;
    let acknowledged = writer.stop()?;
    cluster.hand_over(acknowledged)?;
    ensure!(alpha.view()?.out_of_sync_kib == 0, "bits are left");
    cluster.finish()
}
