// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads that the peer serves, by each policy, under writes: what is read is
//! what was written, and the peer's disk is read when the policy says so. A
//! peer that loses its disk fails nobody.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: takes two minutes"]
fn read_balancing() {
    scenario("read_balancing", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn read_balancing_with_stock() {
    scenario(
        "read_balancing_with_stock",
        &setup(Pairing::OursStock),
        story,
    );
}

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).net("ping-timeout 60")
}

/// Sectors read from a node's data disk so far.
fn reads(side: &Side) -> Result<u64> {
    Ok(side
        .sh("awk '{print $3}' /sys/block/vdb/stat")?
        .trim()
        .parse()?)
}

/// Reads the first 8 MiB, 64 KiB at a time; what both disks had to read for
/// it, in KiB.
fn read_all(cluster: &Cluster) -> Result<[u64; 2]> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    let before = [reads(alpha)?, reads(beta)?];
    alpha.sh("dd if=/dev/drbd0 bs=64k count=128 iflag=direct of=/dev/null 2>/dev/null")?;
    let after = [reads(alpha)?, reads(beta)?];
    Ok([0, 1].map(|n: usize| (after[n] - before[n]) / 2))
}

const LOAD: &str = "fio --thread --name=load --filename=/dev/drbd0 --size=16m --offset=8m \
     --rw=randrw --bsrange=4k-64k --ioengine=libaio --direct=1 --iodepth=16 --verify=crc32c \
     --verify_fatal=1 --do_verify=1 --verify_backlog=32 --output=/run/fio.log || \
     { cat /run/fio.log; exit 1; }";

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    let limit = Duration::from_secs(200);
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("up", || cluster.up_and_synced())?;
    // Of 8 MiB: what the peer has to read.
    for (policy, least, most) in [
        ("prefer-local", 0, 0),
        ("prefer-remote", 8192, 8192),
        ("round-robin", 4096, 4096),
        ("least-pending", 0, 8192),
        ("when-congested-remote", 0, 0),
        ("64K-striping", 4096, 4096),
        ("1M-striping", 4096, 4096),
    ] {
        step(policy, || -> Result<()> {
            alpha.sh(&format!(
                "drbdsetup disk-options 0 --read-balancing={policy}"
            ))?;
            let [own, peer] = read_all(cluster)?;
            ensure!(own + peer == 8192, "{policy}: {own} KiB here, {peer} there");
            ensure!((least..=most).contains(&peer), "{policy}: {peer} KiB there");
            Ok(())
        })?;
    }
    for (policy, protocol) in [
        ("prefer-remote", "C"),
        ("round-robin", "A"),
        ("prefer-remote", "B"),
    ] {
        step(
            &format!("{policy} with protocol {protocol}"),
            || -> Result<()> {
                alpha.sh(&format!(
                    "drbdsetup disk-options 0 --read-balancing={policy}"
                ))?;
                alpha.sh(&format!("drbdsetup net-options r0 1 --protocol={protocol}"))?;
                alpha.node.sh_within(LOAD, limit)?;
                Ok(())
            },
        )?;
    }
    step("the peer loses its disk", || -> Result<()> {
        let running = alpha.node.spawn(LOAD)?;
        std::thread::sleep(Duration::from_secs(2));
        beta.drbdadm("-- --force detach")
            .or_else(|_| beta.drbdadm("detach"))?;
        alpha.wait("a diskless peer", Duration::from_secs(40), |view| {
            view.peer_disk == "Diskless"
        })?;
        let output = running.wait(limit)?;
        ensure!(output.success(), "{output:?}");
        beta.drbdadm("attach")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    cluster.compare_disks()?;
    cluster.finish()
}
