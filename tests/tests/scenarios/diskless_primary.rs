// SPDX-License-Identifier: GPL-2.0-or-later
//! A Primary without a disk works on the peer's: reads, writes and discards go
//! there; without the peer it gets errors, not silence, and no disk is harmed.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::side::SOON;
use drbd_tests::{scenario, Cluster, Setup};

#[test]
#[ignore = "full: more than a minute, and the simulator has nodes without disk all the time"]
fn diskless_primary() {
    let setup = Setup::default().net("ping-int 2");
    scenario("diskless_primary", &setup, story);
}

const SUMS: &str = "cd /mnt && find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum";

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.mkfs_and_mount()?;
    alpha.sh("cp -a /etc /mnt/ && sync")?;
    let sums = alpha.sh(SUMS)?;

    alpha.drbdadm("detach")?;
    alpha.wait("a detached disk", SOON, |view| view.disk == "Diskless")?;
    beta.wait("a diskless peer", SOON, |view| view.peer_disk == "Diskless")?;
    step("read", || {
        alpha.sh("echo 3 > /proc/sys/vm/drop_caches")?;
        ensure!(alpha.sh(SUMS)? == sums, "other files through the network");
        Ok(())
    })?;
    step("write and trim", || {
        alpha.sh("cp -a /mnt/etc /mnt/copy && rm -r /mnt/copy/systemd && sync && fstrim /mnt")
    })?;
    alpha.umount()?;

    // It may also start like this.
    alpha.secondary()?;
    alpha.primary()?;
    alpha.mount()?;
    let sums = alpha.sh(SUMS)?;

    step("attach", || {
        alpha.drbdadm("attach")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    alpha.sh("echo 3 > /proc/sys/vm/drop_caches")?;
    ensure!(alpha.sh(SUMS)? == sums, "other files on the own disk");
    alpha.umount()?;
    cluster.compare_disks()?;

    // Neither disk nor peer: an error within the time-out of the connection.
    alpha.drbdadm("detach")?;
    alpha.wait("a detached disk", SOON, |view| view.disk == "Diskless")?;
    step("the peer is cut off", || {
        beta.node.port(0)?.cut(true);
        alpha.refused("timeout 30 dd if=/dev/drbd0 of=/dev/null bs=4k count=1 iflag=direct")
    })?;
    alpha.refused("timeout 30 dd if=/dev/zero of=/dev/drbd0 bs=4k count=1 oflag=direct")?;
    beta.node.port(0)?.cut(false);
    step("the peer is back", || {
        let what = "the peer's disk";
        alpha
            .wait(what, SOON, |view| view.peer_disk == "UpToDate")
            .map(drop)
    })?;
    alpha.sh("dd if=/dev/drbd0 of=/dev/null bs=4k count=1 iflag=direct")?;
    alpha.drbdadm("attach")?;
    alpha.wait_healthy()?;
    beta.wait_healthy()?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
