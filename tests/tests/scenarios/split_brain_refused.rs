// SPDX-License-Identifier: GPL-2.0-or-later
//! Two nodes that were both written to while apart do not connect: no data is
//! thrown away unless the administrator says whose.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup, Side};

#[test]
fn split_brain_refused() {
    scenario("split_brain_refused", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.sh("echo both | dd of=/dev/drbd0 bs=4k conv=sync oflag=direct 2>/dev/null")?;
    alpha.secondary()?;
    for side in cluster.sides() {
        side.drbdadm("disconnect")?;
        side.wait_connection("StandAlone")?;
    }
    for (side, at) in [(alpha, 100), (beta, 200)] {
        side.primary()?;
        let name = side.name();
        side.sh(&format!(
            "echo {name} | dd of=/dev/drbd0 bs=4k seek={at} conv=sync oflag=direct 2>/dev/null"
        ))?;
        side.secondary()?;
    }

    step("they do not connect", || {
        for side in cluster.sides() {
            side.drbdadm("connect")?;
        }
        // Each finds out by itself, whoever is first.
        for side in cluster.sides() {
            side.wait_connection("StandAlone")?;
        }
        Ok(())
    })?;
    step("explain says what each choice costs", || {
        let theirs = beta.sh("drbdadm get-gi r0")?;
        let said = alpha.sh(&format!("drbdadm explain --peer-gi={} r0", theirs.trim()))?;
        for part in [
            "split brain",
            "here:  now",
            "there: now",
            "both have changed what they once shared",
            "at most 4 KiB",
            "drbdadm connect --discard-my-data r0",
        ] {
            ensure!(said.contains(part), "no `{part}` in {said}");
        }
        Ok(())
    })?;
    let read = |side: &Side, block: u32| {
        side.sh(&format!(
            "drbdadm primary r0 && dd if=/dev/drbd0 bs=4k skip={block} count=1 iflag=direct \
             2>/dev/null | head -1 | tr -d '\\0'; drbdadm secondary r0"
        ))
    };
    ensure!(read(alpha, 100)?.trim() == "alpha", "alpha's data is gone");
    ensure!(read(beta, 200)?.trim() == "beta", "beta's data is gone");

    step("beta gives up its data", || {
        beta.drbdadm("-- --discard-my-data connect")?;
        alpha.drbdadm("connect")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    cluster.compare_disks()?;
    ensure!(
        read(beta, 100)?.trim() == "alpha",
        "beta lacks alpha's data"
    );
    ensure!(
        read(beta, 200)?.trim() != "beta",
        "what beta gave up is still there"
    );
    let why = cluster
        .sides()
        .map(|side| side.node.console_text().contains("split brain: both"));
    ensure!(why == [true; 2], "one did not say why it stood alone");
    cluster.finish()
}
