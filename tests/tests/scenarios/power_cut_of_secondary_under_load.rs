// SPDX-License-Identifier: GPL-2.0-or-later
//! The Secondary loses power under load: the Primary goes on after a short
//! hold, and what was in flight or came later reaches the other when it is
//! back, while the load goes on.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Load, Setup, Writer};

#[test]
#[ignore = "full: power_cut_of_primary is the harder half"]
fn power_cut_of_secondary_under_load() {
    let setup = Setup::default().disk_mib(128).net("ping-int 2");
    scenario("power_cut_of_secondary_under_load", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_without_sync())?;
    alpha.primary()?;
    alpha.mkfs_and_mount()?;
    let load = Load::start(alpha, 4, 16)?;
    let writer = Writer::start(alpha, "/mnt/records")?;
    writer.wait_more(30, Duration::from_secs(60))?;

    beta.node.power_cut()?;
    step("alpha notices and goes on", || {
        alpha.wait_connection("Connecting")?;
        writer.wait_more(30, Duration::from_secs(60))
    })?;
    load.check()?;
    let apart = alpha.view()?;
    ensure!(apart.out_of_sync_kib > 0, "nothing is marked: {apart:?}");

    step("beta boots", || cluster.power_on(beta))?;
    beta.drbdadm("up")?;
    step("resync under load", || {
        beta.wait_healthy()?;
        alpha.wait_healthy().map(drop)
    })?;
    writer.wait_more(30, Duration::from_secs(60))?;
    load.stop()?;
    let acknowledged = writer.stop()?;
    cluster.hand_over(acknowledged)?;
    cluster.finish()
}
