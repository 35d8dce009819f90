// SPDX-License-Identifier: GPL-2.0-or-later
//! A checksum-based resync of a whole disk moves the blocks that differ, and
//! hardly anything else.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup};

#[test]
#[ignore = "full: a minute; the simulator resyncs by checksums too"]
fn checksum_resync() {
    scenario("checksum_resync", &setup(Pairing::OursOurs), |cluster| {
        story(cluster)?;
        step("only after a crash", || not_without_a_crash(cluster))?;
        cluster.finish()
    });
}

#[test]
#[ignore = "full: repeats checksum_resync with another driver"]
fn checksum_resync_with_stock() {
    let name = "checksum_resync_with_stock";
    scenario(name, &setup(Pairing::OursStock), |cluster| {
        story(cluster)?;
        cluster.finish()
    });
}

#[test]
#[ignore = "full: repeats checksum_resync with another driver"]
fn checksum_resync_from_stock() {
    let name = "checksum_resync_from_stock";
    scenario(name, &setup(Pairing::StockOurs), |cluster| {
        story(cluster)?;
        cluster.finish()
    });
}

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).net("csums-alg crc32c")
}

/// Blocks of 4 KiB that get another byte: the first, neighbours, the far end.
const BROKEN: [u64; 4] = [0, 9000, 9001, 15000];

/// What a node asks for at once at most: ours, and the stock driver.
const REQUEST_OURS: u64 = 32 << 10;
const REQUEST_STOCK: u64 = 1 << 20;

/// Digests, acknowledgements and TCP, far less than the 64 MiB of the disk.
const REST: u64 = 2 << 20;

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("up", || cluster.up_and_synced())?;
    for block in BROKEN {
        // The last byte of the block, on the disk below the driver.
        beta.sh(&format!(
            "set -e; dd if=/dev/vdb bs=4k skip={block} count=1 iflag=direct of=/run/block 2>/dev/null
             python3 -c 'b = bytearray(open(\"/run/block\", \"rb\").read()); b[-1] ^= 1; open(\"/run/block\", \"wb\").write(b)'
             dd if=/run/block of=/dev/vdb bs=4k seek={block} count=1 oflag=direct conv=notrunc 2>/dev/null"
        ))?;
    }
    ensure!(
        cluster.compare_disks().is_err(),
        "the disks should differ by now"
    );
    let sent = step("resync", || resync_of_all(cluster))?;
    println!("{} KiB were sent for {} blocks", sent >> 10, BROKEN.len());
    let request = if beta.is_ours() {
        REQUEST_OURS
    } else {
        REQUEST_STOCK
    };
    let limit = BROKEN.len() as u64 * request + REST;
    ensure!(sent < limit, "{sent} bytes were sent, more than {limit}");
    alpha.secondary()?;
    cluster.compare_disks()
}

/// Every block of beta is in doubt; the bytes that alpha sent until none is.
fn resync_of_all(cluster: &Cluster) -> Result<u64> {
    let before = cluster.alpha.bytes_sent()?;
    cluster.beta.drbdadm("invalidate")?;
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    Ok(cluster.alpha.bytes_sent()? - before)
}

/// With csums-after-crash-only nothing is compared, since no Primary crashed.
fn not_without_a_crash(cluster: &Cluster) -> Result<()> {
    for (side, peer) in [(&cluster.alpha, 1), (&cluster.beta, 0)] {
        side.sh(&format!(
            "drbdsetup net-options r0 {peer} --csums-after-crash-only=yes"
        ))?;
    }
    let sent = resync_of_all(cluster)?;
    ensure!(sent > 60 << 20, "only {sent} bytes were sent");
    cluster.compare_disks()
}
