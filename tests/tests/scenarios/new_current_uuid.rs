// SPDX-License-Identifier: GPL-2.0-or-later
//! Two fresh disks are declared equal: no initial sync.

use anyhow::{ensure, Result};
use drbd_tests::cluster::Pairing;
use drbd_tests::{scenario, Cluster, Setup};

#[test]
#[ignore = "full: as new_current_uuid_with_stock, with ours on both nodes"]
fn new_current_uuid() {
    scenario("new_current_uuid", &Setup::default(), story);
}

#[test]
fn new_current_uuid_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock);
    scenario("new_current_uuid_with_stock", &setup, story);
}

#[test]
#[ignore = "full: as new_current_uuid_with_stock, asked of the in-tree driver"]
fn new_current_uuid_from_stock() {
    let setup = Setup::pairing(Pairing::StockOurs);
    scenario("new_current_uuid_from_stock", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        // The last word of the bitmap must not be what is left of an earlier one.
        side.sh("dd if=/dev/zero of=/dev/vdb bs=1M count=64 2>/dev/null")?;
    }
    cluster.up()?;
    let refused = alpha.refused("drbdadm new-current-uuid r0/0")?;
    ensure!(
        format!("{}{}", refused.stdout, refused.stderr).contains("151"),
        "without --clear-bitmap, while connected: {refused:?}"
    );
    let clear = if alpha.is_ours() {
        "drbdadm new-current-uuid --clear-bitmap r0/0"
    } else {
        "drbdadm -- --clear-bitmap new-current-uuid r0/0"
    };
    alpha.sh(clear)?;
    for side in cluster.sides() {
        let view = side.wait_healthy()?;
        ensure!(view.out_of_sync_kib == 0, "bits are set: {view:?}");
        ensure!(view.received_kib == 0, "there was a resync: {view:?}");
    }
    // It is good data from here on.
    alpha.primary()?;
    alpha.mkfs_and_mount()?;
    alpha.sh("cp -a /etc /mnt/ && sync")?;
    alpha.drbdadm("disconnect")?;
    alpha.wait_connection("StandAlone")?;
    alpha.sh("dd if=/dev/urandom of=/mnt/more bs=64k count=20 conv=fsync 2>/dev/null")?;
    alpha.drbdadm("connect")?;
    alpha.wait_healthy()?;
    let came_kib = beta.wait_healthy()?.received_kib;
    ensure!(came_kib < 40_000, "{came_kib} KiB came of 65536");
    alpha.umount()?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
