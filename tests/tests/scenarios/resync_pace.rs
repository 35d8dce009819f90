// SPDX-License-Identifier: GPL-2.0-or-later
//! A resync keeps the rate that it is given, follows a change while it runs,
//! and pauses as long as either node wants it to.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: a minute, and unit tests of the controller"]
fn resync_rate() {
    scenario("resync_rate", &setup(Pairing::OursOurs), rates);
}

#[test]
#[ignore = "full: the simulator pauses more often"]
fn pause_from_both_nodes() {
    let setup = setup(Pairing::OursOurs);
    scenario("pause_from_both_nodes", &setup, pauses);
}

#[test]
#[ignore = "full: the pairing of ours shows it"]
fn pause_from_both_nodes_with_stock() {
    let name = "pause_from_both_nodes_with_stock";
    scenario(name, &setup(Pairing::OursStock), pauses);
}

/// 64 MiB, 32 times as long as a look takes.
fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing)
        .disk_option("c-plan-ahead 0")
        .disk_option("resync-rate 2M")
}

/// A rate over a window of real time, KiB/s.
fn rate_kib(side: &Side, window: Duration) -> Result<u64> {
    let (began, before) = (Instant::now(), side.view()?.out_of_sync_kib);
    std::thread::sleep(window);
    let after = side.view()?.out_of_sync_kib;
    let ms = u64::try_from(began.elapsed().as_millis())?;
    Ok(before.saturating_sub(after) * 1000 / ms)
}

const WINDOW: Duration = Duration::from_secs(6);

fn begin(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("up", || cluster.up())?;
    alpha.primary_force()?;
    for side in [alpha, beta] {
        side.wait("the resync", Duration::from_secs(40), |view| {
            view.replication.starts_with("Sync") && view.out_of_sync_kib > 0
        })?;
    }
    Ok(())
}

fn rates(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    begin(cluster)?;
    std::thread::sleep(Duration::from_secs(1));
    let slow = step("2 MiB/s", || rate_kib(beta, WINDOW))?;
    println!("{slow} KiB/s");
    ensure!((1000..=2400).contains(&slow), "{slow} KiB/s, not 2048");
    // The source is told, and tells the target.
    alpha.sh("drbdsetup peer-device-options r0 1 0 --c-plan-ahead=0 --resync-rate=512k")?;
    std::thread::sleep(Duration::from_secs(1));
    let slower = step("512 KiB/s", || rate_kib(beta, WINDOW))?;
    println!("{slower} KiB/s");
    ensure!((250..=640).contains(&slower), "{slower} KiB/s, not 512");
    for (side, peer) in [(alpha, 1), (beta, 0)] {
        side.sh(&format!(
            "drbdsetup peer-device-options r0 {peer} 0 --set-defaults"
        ))?;
    }
    // Writes go first: what is left is about c-min-rate.
    step("the rest", || -> Result<()> {
        for side in cluster.sides() {
            side.wait_healthy()?;
        }
        Ok(())
    })?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}

fn paused(side: &Side) -> Result<()> {
    side.wait("a pause", Duration::from_secs(20), |view| {
        view.replication.starts_with("PausedSync")
    })
    .map(drop)
}

fn runs(side: &Side) -> Result<()> {
    side.wait("the resync", Duration::from_secs(20), |view| {
        view.replication.starts_with("Sync")
    })
    .map(drop)
}

fn pauses(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    begin(cluster)?;
    for (first, second) in [(alpha, beta), (beta, alpha)] {
        first.drbdadm("pause-sync")?;
        paused(first)?;
        paused(second)?;
        let stands = rate_kib(first, Duration::from_secs(2))?;
        ensure!(stands < 200, "paused, but {stands} KiB/s");
        second.drbdadm("pause-sync")?;
        first.drbdadm("resume-sync")?;
        // Not before both want it.
        std::thread::sleep(Duration::from_secs(1));
        paused(first)?;
        paused(second)?;
        let said = first.refused("drbdadm resume-sync r0")?;
        ensure!(!said.success(), "resumed what the peer pauses");
        second.drbdadm("resume-sync")?;
        runs(first)?;
        runs(second)?;
    }
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
