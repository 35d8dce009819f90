// SPDX-License-Identifier: GPL-2.0-or-later
//! A node of ours and one with the distribution's own 8.4.11 driver and tools,
//! in both directions: initial sync, discards, a resync of what changed, and a
//! change of roles.

use anyhow::{ensure, Result};
use drbd_tests::cluster::Pairing;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup};

const SUMS: &str = "cd /mnt && find . -type f | sort | xargs -d '\\n' md5sum | md5sum";

#[test]
fn ours_primary_stock_secondary() {
    let setup = Setup::pairing(Pairing::OursStock);
    scenario("ours_primary_stock_secondary", &setup, story);
}

#[test]
fn stock_primary_ours_secondary() {
    let setup = Setup::pairing(Pairing::StockOurs);
    scenario("stock_primary_ours_secondary", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("initial sync", || cluster.up_and_synced())?;
    cluster.compare_disks()?;

    alpha.mkfs_and_mount()?;
    step("files and discards", || {
        alpha.sh("cp -a /etc /usr/share/zoneinfo /mnt/ && sync && rm -r /mnt/zoneinfo && sync")?;
        alpha.sh(
            "fstrim /mnt && fallocate -l 1M /mnt/zeroes && fallocate -z -l 1M /mnt/zeroes && sync",
        )
    })?;

    alpha.drbdadm("disconnect")?;
    alpha.wait_connection("StandAlone")?;
    alpha.sh("dd if=/dev/urandom of=/mnt/more bs=64k count=20 conv=fsync 2>/dev/null")?;
    let changed_kib = alpha.view()?.out_of_sync_kib;
    ensure!(
        (1280..8192).contains(&changed_kib),
        "{changed_kib} KiB marked for 1280 KiB written"
    );
    let received = beta.view()?.received_kib;
    alpha.drbdadm("connect")?;
    step("resync of what changed", || {
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    // The file system goes on to write its inode tables after the mark was read, so this bound is
    // one for "a part of the disk", not for the exact blocks.
    let came_kib = beta.view()?.received_kib - received;
    ensure!(
        (changed_kib..16384).contains(&came_kib),
        "{came_kib} KiB came for {changed_kib} KiB changed of 65536"
    );
    let before = alpha.sh(SUMS)?;
    alpha.umount()?;
    alpha.secondary()?;
    cluster.compare_disks()?;

    step("roles change", || {
        beta.primary()?;
        beta.fsck()?;
        beta.mount()
    })?;
    ensure!(beta.sh(SUMS)? == before, "the second node has other files");
    beta.drbdadm("disconnect")?;
    beta.wait_connection("StandAlone")?;
    beta.sh("dd if=/dev/urandom of=/mnt/back bs=4k count=50 conv=fsync 2>/dev/null")?;
    beta.drbdadm("connect")?;
    step("resync the other way", || {
        beta.wait_healthy()?;
        alpha.wait_healthy().map(drop)
    })?;
    beta.umount()?;
    beta.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
