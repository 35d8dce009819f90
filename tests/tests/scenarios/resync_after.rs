// SPDX-License-Identifier: GPL-2.0-or-later
//! A resync that comes after that of another minor waits for it, and begins by
//! itself when that one is over.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, wait, Cluster, Setup, Side};

#[test]
#[ignore = "full: the simulator orders resyncs too"]
fn resync_after() {
    let setup = Setup {
        disks_mib: vec![48, 16],
        ..Setup::default()
    }
    .disk_option("c-plan-ahead 0")
    .disk_option("resync-rate 1M");
    scenario("resync_after", &setup, story);
}

/// Adds the resource r1, minor 1, to both configurations.
fn second_resource(cluster: &Cluster) -> Result<()> {
    let hosts: String = cluster
        .sides()
        .into_iter()
        .enumerate()
        .map(|(id, side)| {
            let (name, ip) = (side.name(), side.node.ip(0));
            format!("on {name} {{ node-id {id}; address {ip}:7790; }} ")
        })
        .collect();
    let text = format!(
        "resource r1 {{ volume 0 {{ device /dev/drbd1 minor 1; disk /dev/vdc; meta-disk internal; }} \
         {hosts} net {{ protocol C; }} disk {{ c-plan-ahead 0; resync-rate 4M; resync-after r0/0; }} }}"
    );
    for side in cluster.sides() {
        side.sh(&format!("cat >>/etc/drbd.conf <<'END'\n{text}\nEND"))?;
    }
    Ok(())
}

/// What a node says about r1.
fn status(side: &Side) -> Result<String> {
    side.sh("drbdsetup status r1 --verbose --statistics")
}

fn until(side: &Side, what: &str, words: &[&str]) -> Result<()> {
    let limit = Duration::from_secs(60);
    let good = |text: &String| words.iter().all(|word| text.contains(word));
    wait::until(what, limit, || status(side), good).map(drop)
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    second_resource(cluster)?;
    step("up", || cluster.up())?;
    for side in [alpha, beta] {
        side.sh("drbdadm -- --force create-md r1 && drbdadm up r1")?;
    }
    until(beta, "the second connection", &["connection:Connected"])?;

    step("refusals", || -> Result<()> {
        let said = beta.refused("drbdsetup disk-options 0 --resync-after=1")?;
        ensure!(said.stderr.contains("comes after this one"), "{said:?}");
        let said = beta.refused("drbdsetup disk-options 1 --resync-after=1")?;
        ensure!(said.stderr.contains("(133)"), "{said:?}");
        // It may come.
        beta.sh("drbdsetup disk-options 0 --resync-after=77")?;
        beta.sh("drbdsetup disk-options 0 --resync-after=-1")
            .map(drop)
    })?;

    step("waiting", || -> Result<()> {
        alpha.primary_force()?;
        alpha.sh("drbdadm -- --force primary r1")?;
        let held = ["replication:PausedSyncT", "dependency"];
        until(beta, "the second to wait", &held)?;
        let first = beta.view()?;
        ensure!(first.replication == "SyncTarget", "{first:?}");
        Ok(())
    })?;
    step("changed while it waits", || -> Result<()> {
        for side in [alpha, beta] {
            side.sh("drbdsetup disk-options 1 --resync-after=-1")?;
        }
        until(beta, "the second to go on", &["replication:SyncTarget"])?;
        for side in [alpha, beta] {
            side.sh("drbdsetup disk-options 1 --resync-after=0")?;
        }
        until(
            beta,
            "the second to wait again",
            &["replication:PausedSyncT"],
        )
    })?;
    step("one after the other", || -> Result<()> {
        beta.sh("drbdsetup peer-device-options r0 0 0 --resync-rate=40M")?;
        beta.wait_healthy()?;
        until(
            beta,
            "the second to be done",
            &["peer-disk:UpToDate", "replication:Established"],
        )?;
        let after = status(beta)?;
        ensure!(after.contains("disk:UpToDate"), "{after}");
        Ok(())
    })?;
    for side in [alpha, beta] {
        side.sh("drbdadm secondary r1")?;
    }
    for side in [alpha, beta] {
        side.sh("drbdadm down r1")?;
    }
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
