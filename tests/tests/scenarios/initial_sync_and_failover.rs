// SPDX-License-Identifier: GPL-2.0-or-later
//! A new pair synchronises, and the second node goes on with the first one's
//! files after an orderly change of roles, and back.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup};

#[test]
fn initial_sync_and_failover() {
    scenario("initial_sync_and_failover", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    // Something to copy: an initial sync of zeros to zeros proves nothing.
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("up", || cluster.up())?;
    let fresh = alpha.view()?;
    ensure!(
        fresh.disk == "Inconsistent" && fresh.peer_disk == "Inconsistent",
        "{fresh:?}"
    );
    // Nobody may use a disk that is not known to be good.
    alpha.refused("drbdadm primary r0")?;

    alpha.primary_force()?;
    step("initial sync", || {
        beta.wait_healthy()?;
        alpha.wait_healthy().map(drop)
    })?;
    cluster.compare_disks()?;

    alpha.mkfs_and_mount()?;
    step("copy", || {
        alpha.sh("cp -a /etc /usr/share/zoneinfo /mnt/ && sync")
    })?;
    let sums = "cd /mnt && find . -type f | sort | xargs -d '\\n' md5sum | md5sum";
    let before = alpha.sh(sums)?;
    // One Primary at a time, and none while it is mounted.
    beta.refused("drbdadm primary r0")?;
    alpha.refused("drbdadm secondary r0")?;
    beta.refused("mount /dev/drbd0 /mnt")?;
    alpha.umount()?;
    alpha.secondary()?;
    cluster.compare_disks()?;

    beta.primary()?;
    beta.fsck()?;
    beta.mount()?;
    ensure!(beta.sh(sums)? == before, "beta has other files");
    beta.sh("echo back > /mnt/back && sync")?;
    beta.umount()?;
    beta.secondary()?;

    alpha.primary()?;
    alpha.mount()?;
    ensure!(
        alpha.sh("cat /mnt/back")?.trim() == "back",
        "alpha lacks beta's file"
    );
    alpha.umount()?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
