// SPDX-License-Identifier: GPL-2.0-or-later
//! Online verify finds the bytes that differ on the two disks, under a mounted
//! file system and beside nothing else, and the next connect repairs them.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::side::SYNC_LIMIT;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: takes two minutes"]
fn verify() {
    scenario("verify", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: as verify, of the in-tree driver"]
fn verify_of_stock() {
    scenario("verify_of_stock", &setup(Pairing::OursStock), story);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn verify_by_stock() {
    scenario("verify_by_stock", &setup(Pairing::StockOurs), story);
}

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).net("verify-alg crc32c")
}

/// Blocks of 4 KiB that get another byte: the first, neighbours, the far end.
const BROKEN: [u64; 4] = [0, 9000, 9001, 15000];

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("up", || cluster.up_and_synced())?;
    step("verify of equal disks", || verified(alpha))?;
    ensure!(
        alpha.view()?.out_of_sync_kib == 0,
        "equal disks were said to differ"
    );

    for block in BROKEN {
        // The last byte of the block, on the disk below the driver.
        beta.sh(&format!(
            "set -e; dd if=/dev/vdb bs=4k skip={block} count=1 iflag=direct of=/run/block 2>/dev/null
             python3 -c 'b = bytearray(open(\"/run/block\", \"rb\").read()); b[-1] ^= 1; open(\"/run/block\", \"wb\").write(b)'
             dd if=/run/block of=/dev/vdb bs=4k seek={block} count=1 oflag=direct conv=notrunc 2>/dev/null"
        ))?;
    }
    step("verify of different disks", || verified(alpha))?;
    let marked_kib = alpha.view()?.out_of_sync_kib;
    ensure!(
        marked_kib == 4 * BROKEN.len() as u64,
        "{marked_kib} KiB are marked"
    );
    ensure!(
        alpha.view()?.is_healthy(),
        "a verify changed the disk states"
    );
    // Again: what is known is neither lost nor counted twice.
    step("verify once more", || verified(alpha))?;
    ensure!(
        alpha.view()?.out_of_sync_kib == marked_kib,
        "the second verify marked something else"
    );

    step("repair", || {
        alpha.drbdadm("disconnect")?;
        alpha.wait_connection("StandAlone")?;
        alpha.drbdadm("connect")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    ensure!(alpha.view()?.out_of_sync_kib == 0, "bits are left");
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}

fn verified(side: &Side) -> Result<()> {
    side.drbdadm("verify")?;
    side.wait("the end of the verify", SYNC_LIMIT, |view| {
        view.replication == "Established"
    })
    .map(drop)
}
