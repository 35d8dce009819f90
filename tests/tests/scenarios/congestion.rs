// SPDX-License-Identifier: GPL-2.0-or-later
//! A peer behind a slow line is left behind and fetched again; the writer does
//! not wait for it, and nothing is lost, not even when the line breaks in
//! between.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_qemu::switch::{Direction, Faults};
use drbd_tests::scenario::step;
use drbd_tests::view::View;
use drbd_tests::{scenario, Cluster, Pairing, Setup};

const NET: [&str; 5] = [
    "protocol A",
    "on-congestion pull-ahead",
    "congestion-fill 256k",
    "ping-timeout 60",
    "timeout 100",
];

fn setup(pairing: Pairing) -> Setup {
    NET.iter()
        .fold(Setup::pairing(pairing), |setup, line| setup.net(line))
}

#[test]
#[ignore = "full: takes two minutes"]
fn pull_ahead() {
    scenario("pull_ahead", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn pull_ahead_of_stock() {
    scenario("pull_ahead_of_stock", &setup(Pairing::OursStock), story);
}

#[test]
#[ignore = "full: as pull_ahead, with the in-tree driver ahead"]
fn stock_pulls_ahead() {
    scenario("stock_pulls_ahead", &setup(Pairing::StockOurs), story);
}

/// Connected, and blocks are marked: nothing else does that here.
fn was_ahead(view: &View) -> bool {
    view.out_of_sync_kib > 0 && matches!(view.replication.as_str(), "Ahead" | "SyncSource")
}

fn slow(kib_per_s: u64) -> Faults {
    Faults {
        rate_bytes_per_s: Some(kib_per_s * 1024),
        ..Faults::default()
    }
}

/// Writes `mib` MiB from `at_mib` on, past the page cache.
fn write(mib: u32, at_mib: u32) -> String {
    format!(
        "dd if=/dev/urandom of=/dev/drbd0 bs=64k count={} seek={} oflag=direct conv=notrunc 2>/dev/null",
        mib * 16,
        at_mib * 16
    )
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    let minute = Duration::from_secs(60);
    step("up", || cluster.up_and_synced())?;
    let port = beta.node.port(0)?;

    // 12 MiB take a minute over this line.
    port.set(Direction::ToGuest, slow(200));
    step("the line is slow", || -> Result<()> {
        let began = Instant::now();
        alpha.node.sh_within(&write(12, 4), minute)?;
        let took = began.elapsed();
        ensure!(took < Duration::from_secs(40), "writing took {took:?}");
        // The resync may have begun.
        let view = alpha.wait("pulling ahead", minute, was_ahead)?;
        ensure!(view.out_of_sync_kib > 4096, "{view:?}");
        Ok(())
    })?;
    port.set(Direction::ToGuest, Faults::default());
    step("the peer is fetched again", || -> Result<()> {
        beta.wait("the peer to be behind, or fetched", minute, |view| {
            view.replication == "Behind" || view.is_syncing() || view.is_healthy()
        })?;
        alpha.wait_healthy()?;
        let view = beta.wait_healthy()?;
        ensure!(view.out_of_sync_kib == 0, "{view:?}");
        Ok(())
    })?;
    cluster.compare_disks()?;

    port.set(Direction::ToGuest, slow(200));
    step("slow again, and the line breaks", || -> Result<()> {
        alpha.node.sh_within(&write(8, 20), minute)?;
        alpha.wait("pulling ahead", minute, was_ahead)?;
        port.cut(true);
        alpha.node.sh_within(&write(1, 1), minute)?;
        alpha.wait("the loss of beta", minute, |view| {
            view.connection != "Connected"
        })?;
        alpha.node.sh_within(&write(2, 40), minute)?;
        Ok(())
    })?;
    port.cut(false);
    step("healed", || {
        alpha.wait_healthy()?;
        beta.wait_healthy()
    })?;
    cluster.compare_disks()?;
    if alpha.is_ours() {
        step("a demotion waits for the peer to be fetched", || {
            demotion(cluster)
        })?;
    }
    cluster.finish()
}

/// While Ahead only the Primary knows what its peer lacks.
fn demotion(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    let minute = Duration::from_secs(60);
    let port = beta.node.port(0)?;
    port.set(Direction::ToGuest, slow(50));
    alpha.node.sh_within(&write(4, 8), minute)?;
    let ahead = alpha.view()?.replication == "Ahead";
    let running = alpha.node.spawn("exec drbdadm secondary r0")?;
    std::thread::sleep(Duration::from_secs(2));
    let view = alpha.view()?;
    ensure!(
        !ahead || view.role == "Primary" || view.replication == "SyncSource",
        "{view:?}"
    );
    port.set(Direction::ToGuest, Faults::default());
    let output = running.wait(minute)?;
    ensure!(output.success(), "{output:?}");
    alpha.wait_healthy()?;
    beta.wait_healthy()?;
    cluster.compare_disks()
}

#[test]
#[ignore = "full: as the others of congestion, which take longer"]
fn congestion_disconnects() {
    let setup = Setup::default()
        .net("protocol A")
        .net("on-congestion disconnect")
        .net("congestion-fill 128k");
    scenario("congestion_disconnects", &setup, |cluster| {
        let (alpha, beta) = (&cluster.alpha, &cluster.beta);
        step("up", || cluster.up_and_synced())?;
        let port = beta.node.port(0)?;
        port.set(Direction::ToGuest, slow(100));
        step("the line is slow", || {
            alpha
                .node
                .sh_within(&write(4, 4), Duration::from_secs(60))?;
            alpha.wait_connection("StandAlone")
        })?;
        port.set(Direction::ToGuest, Faults::default());
        alpha.drbdadm("connect")?;
        beta.drbdadm("connect").or_else(|_| beta.sh("true"))?;
        step("together again", || {
            alpha.wait_healthy()?;
            beta.wait_healthy()
        })?;
        cluster.compare_disks()?;
        cluster.finish()
    });
}
