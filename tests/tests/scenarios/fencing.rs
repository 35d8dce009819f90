// SPDX-License-Identifier: GPL-2.0-or-later
//! A Primary that loses its peer fences it: with resource-and-stonith nobody
//! hears of a write meanwhile, and each answer of the handler does what it
//! should. A node that was lost is promoted only when its peer is fenced.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::recorder;
use drbd_tests::scenario::step;
use drbd_tests::wait::until;
use drbd_tests::{scenario, Cluster, Pairing, Setup};

const MINUTE: Duration = Duration::from_secs(60);

fn setup(pairing: Pairing, policy: &str) -> Setup {
    Setup::pairing(pairing).net(&format!("fencing {policy}"))
}

#[test]
#[ignore = "full: over two minutes"]
fn fencing_stonith() {
    let setup = setup(Pairing::OursOurs, "resource-and-stonith");
    scenario("fencing_stonith", &setup, stonith);
}

#[test]
#[ignore = "full: over two minutes"]
fn fencing_stonith_with_stock() {
    let setup = setup(Pairing::OursStock, "resource-and-stonith");
    scenario("fencing_stonith_with_stock", &setup, stonith);
}

#[test]
#[ignore = "full: more than a minute; pacemaker_links_lost fences too"]
fn fencing_resource_only() {
    let setup = setup(Pairing::OursOurs, "resource-only");
    scenario("fencing_resource_only", &setup, resource_only);
}

#[test]
#[ignore = "full: fencing_stonith_with_stock meets the same peer"]
fn fencing_by_stock() {
    let setup = setup(Pairing::StockOurs, "resource-and-stonith");
    scenario("fencing_by_stock", &setup, by_stock);
}

fn write(at: u32) -> String {
    format!("exec dd if=/dev/urandom of=/dev/drbd0 bs=16k count=32 seek={at} oflag=direct")
}

/// Cuts the line under a writer, has the handler say `code`, and expects that the write goes on, or
/// stands still.
fn lose(cluster: &Cluster, at: u32, code: &str, goes_on: bool) -> Result<()> {
    let alpha = &cluster.alpha;
    recorder::answer(alpha, "fence-peer", &format!("sleep 3; exit {code}"))?;
    alpha.sh(": >/run/helper.log")?;
    cluster.beta.node.port(0)?.cut(true);
    let running = alpha.node.spawn(&write(at))?;
    alpha.wait("frozen I/O", MINUTE, |view| view.suspended == "fencing")?;
    // The handler runs, and a command gets through meanwhile.
    let call = recorder::wait_for(alpha, "fence-peer r0")?;
    ensure!(
        call.variable("UP_TO_DATE_NODES") == Some("0x00000001"),
        "{call:?}"
    );
    ensure!(call.variable("DRBD_PEER_NODE_ID") == Some("1"), "{call:?}");
    if goes_on {
        let output = running.wait(MINUTE)?;
        ensure!(output.success(), "exit code {code}: {output:?}");
        let view = alpha.view()?;
        ensure!(view.suspended.is_empty(), "{view:?}");
        let worst = if code == "3" {
            "Inconsistent"
        } else {
            "Outdated"
        };
        ensure!(view.peer_disk == worst, "exit code {code}: {view:?}");
        cluster.beta.node.port(0)?.cut(false);
    } else {
        std::thread::sleep(Duration::from_secs(5));
        let view = alpha.view()?;
        ensure!(view.suspended == "fencing", "exit code {code}: {view:?}");
        ensure!(view.peer_disk == "DUnknown", "exit code {code}: {view:?}");
        // The peer comes back: what waited is sent to it.
        cluster.beta.node.port(0)?.cut(false);
        let output = running.wait(MINUTE)?;
        ensure!(output.success(), "exit code {code}: {output:?}");
    }
    alpha.wait_healthy()?;
    cluster.beta.wait_healthy()?;
    if goes_on {
        // What the peer lacked was resynchronised.
        recorder::wait_for(alpha, "unfence-peer r0")?;
    }
    Ok(())
}

fn stonith(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    recorder::install(alpha)?;
    recorder::answer(beta, "fence-peer", "exit 1")?;
    if beta.is_ours() {
        recorder::install(beta)?;
    }
    step("up", || cluster.up_and_synced())?;
    for (at, code, goes_on) in [
        (0, "4", true),
        (40, "5", true),
        (80, "7", true),
        (120, "3", true),
        (160, "1", false),
        (200, "0", false),
        (240, "6", false),
    ] {
        step(&format!("the handler says {code}"), || {
            lose(cluster, at, code, goes_on)
        })?;
    }
    step("resume-io by hand", || {
        recorder::answer(alpha, "fence-peer", "exit 1")?;
        beta.node.port(0)?.cut(true);
        let running = alpha.node.spawn(&write(280))?;
        alpha.wait("frozen I/O", MINUTE, |view| view.suspended == "fencing")?;
        alpha.drbdadm("resume-io")?;
        ensure!(running.wait(MINUTE)?.success(), "the write failed");
        beta.node.port(0)?.cut(false);
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    step("disconnect outdates the peer, and nobody is called", || {
        alpha.sh(": >/run/helper.log")?;
        alpha.drbdadm("disconnect")?;
        let view = alpha.view()?;
        ensure!(view.suspended.is_empty(), "{view:?}");
        ensure!(view.peer_disk == "Outdated", "{view:?}");
        beta.wait("an outdated disk", MINUTE, |view| view.disk == "Outdated")?;
        let calls = recorder::calls(alpha)?;
        ensure!(calls.is_empty(), "{calls:?}");
        alpha.drbdadm("connect")?;
        let _ = beta.drbdadm("connect");
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    if beta.is_ours() {
        step("a Secondary that disconnects outdates itself", || {
            beta.drbdadm("disconnect")?;
            let view = beta.view()?;
            ensure!(view.disk == "Outdated", "{view:?}");
            let view = alpha.view()?;
            ensure!(view.suspended.is_empty(), "{view:?}");
            beta.drbdadm("connect")?;
            let _ = alpha.drbdadm("connect");
            alpha.wait_healthy()?;
            beta.wait_healthy().map(drop)
        })?;
    }
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}

fn resource_only(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        recorder::install(side)?;
    }
    step("up", || cluster.up_and_synced())?;
    let port = beta.node.port(0)?;
    step(
        "the handler has the peer outdated, I/O goes on meanwhile",
        || {
            recorder::answer(alpha, "fence-peer", "sleep 2; exit 4")?;
            port.cut(true);
            alpha.wait("the loss of beta", MINUTE, |view| {
                view.connection != "Connected"
            })?;
            alpha.node.sh_within(&write(0), MINUTE)?;
            beta.wait("the loss of alpha", MINUTE, |view| {
                view.connection != "Connected"
            })?;
            beta.drbdadm("outdate")?;
            ensure!(beta.view()?.disk == "Outdated", "{:?}", beta.view()?);
            alpha.wait("a fenced peer", MINUTE, |view| view.peer_disk == "Outdated")?;
            Ok(())
        },
    )?;
    step("an outdated node is not promoted", || {
        recorder::answer(beta, "fence-peer", "exit 7")?;
        beta.refused("drbdadm primary r0").map(drop)
    })?;
    port.cut(false);
    alpha.wait_healthy()?;
    beta.wait_healthy()?;
    step(
        "a node that was lost is promoted when its peer is fenced",
        || {
            alpha.secondary()?;
            port.cut(true);
            beta.wait("the loss of alpha", MINUTE, |view| {
                view.connection != "Connected"
            })?;
            // The handler runs commands while `primary` waits for it.
            recorder::answer(
            beta,
            "fence-peer",
            "drbdsetup status r0 >/run/seen; drbdsetup resource-options r0 --on-no-data-accessible=io-error >>/run/seen 2>&1 || exit 1; exit 1",
        )?;
            beta.refused("drbdadm primary r0")?;
            let seen = beta.sh("cat /run/seen")?;
            ensure!(seen.contains("r0 role:Secondary"), "{seen}");
            recorder::answer(beta, "fence-peer", "exit 4")?;
            beta.primary()?;
            ensure!(beta.view()?.peer_disk == "Outdated", "{:?}", beta.view()?);
            beta.node.sh_within(&write(40), MINUTE)?;
            port.cut(false);
            beta.wait_healthy()?;
            alpha.wait_healthy()?;
            beta.secondary()
        },
    )?;
    step("a node that boots alone does not trust its data", || {
        alpha.down()?;
        beta.down()?;
        beta.drbdadm("up")?;
        until(
            "a disk",
            MINUTE,
            || beta.view(),
            |view| view.disk == "Consistent",
        )?;
        recorder::answer(beta, "fence-peer", "exit 1")?;
        beta.refused("drbdadm primary r0")?;
        recorder::answer(beta, "fence-peer", "exit 7")?;
        beta.primary()?;
        beta.secondary()?;
        alpha.drbdadm("up")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    cluster.compare_disks()?;
    cluster.finish()
}

/// The stock driver freezes, its handler has our node outdated, and it goes on.
fn by_stock(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    recorder::install(alpha)?;
    recorder::install(beta)?;
    step("up", || cluster.up_and_synced())?;
    let port = beta.node.port(0)?;
    recorder::answer(alpha, "fence-peer", "sleep 3; exit 4")?;
    step("fenced", || {
        port.cut(true);
        let running = alpha.node.spawn(&write(0))?;
        beta.wait("the loss of alpha", MINUTE, |view| {
            view.connection != "Connected"
        })?;
        beta.drbdadm("outdate")?;
        ensure!(running.wait(MINUTE)?.success(), "the write failed");
        port.cut(false);
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    recorder::answer(alpha, "fence-peer", "exit 1")?;
    step("not fenced, and the peer is back", || {
        port.cut(true);
        let running = alpha.node.spawn(&write(40))?;
        beta.wait("the loss of alpha", MINUTE, |view| {
            view.connection != "Connected"
        })?;
        std::thread::sleep(Duration::from_secs(3));
        port.cut(false);
        ensure!(running.wait(MINUTE)?.success(), "the write failed");
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
