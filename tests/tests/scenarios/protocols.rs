// SPDX-License-Identifier: GPL-2.0-or-later
//! Protocols A, B and C, changed on one node while applications write: the
//! other adopts it, what was written is what is read, and the disks are equal.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::config::Config;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: takes more than two minutes"]
fn protocols() {
    scenario("protocols", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn protocols_with_stock() {
    scenario("protocols_with_stock", &setup(Pairing::OursStock), story);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn protocols_from_stock() {
    scenario("protocols_from_stock", &setup(Pairing::StockOurs), story);
}

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).net("ping-timeout 60")
}

/// `/etc/drbd.conf` with another protocol.
fn configure(cluster: &Cluster, side: &Side, protocol: char) -> Result<()> {
    let config = Config {
        net: vec![format!("protocol {protocol}"), "ping-timeout 60".to_owned()],
        ..Config::default()
    };
    cluster.configure(side, &config)
}

/// The protocol in effect on a node.
fn protocol(side: &Side) -> Result<char> {
    let said = if side.is_ours() {
        let show = "drbdsetup show --show-defaults r0 | tr -d ' \\t'";
        side.sh(&format!(
            "{show} | sed -n 's/^protocol\\([ABC]\\);.*/\\1/p'"
        ))?
    } else {
        side.sh("sed -n 's/^ 0: .* \\([ABC]\\) r.*/\\1/p' /proc/drbd")?
    };
    Ok(said.trim().chars().next().unwrap_or('?'))
}

/// Writes and verifies a part of the device.
fn load(protocol: char) -> String {
    format!(
        "fio --thread --name={protocol} --filename=/dev/drbd0 --size=24m --offset=4m \
         --rw=randwrite --bsrange=4k-64k --ioengine=libaio --direct=1 --iodepth=16 \
         --verify=crc32c --verify_fatal=1 --do_verify=1 --output=/run/fio.log || \
         {{ cat /run/fio.log; exit 1; }}"
    )
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    let limit = Duration::from_secs(150);
    step("up", || cluster.up_and_synced())?;
    for (now, next, by) in [
        ('C', 'A', alpha),
        ('A', 'B', beta),
        ('B', 'C', alpha),
        ('C', 'B', beta),
        ('B', 'A', beta),
    ] {
        step(&format!("{now}, then {next}"), || -> Result<()> {
            let running = alpha.node.spawn(&load(now))?;
            std::thread::sleep(Duration::from_secs(2));
            configure(cluster, by, next)?;
            by.drbdadm("adjust")?;
            for side in cluster.sides() {
                let what = format!("{} works with protocol {next}", side.name());
                drbd_tests::wait::until(&what, limit, || protocol(side), |is| *is == next)?;
            }
            let output = running.wait(limit)?;
            ensure!(output.success(), "{output:?}");
            Ok(())
        })?;
        // What one node adopted counts when they meet again; the stock tools configure the node
        // that disconnects anew.
        configure(cluster, alpha, next)?;
        alpha.drbdadm("disconnect")?;
        alpha.wait_connection("StandAlone")?;
        alpha.drbdadm("connect")?;
        alpha.wait_healthy()?;
        beta.wait_healthy()?;
        cluster.compare_disks()?;
    }
    cluster.finish()
}
