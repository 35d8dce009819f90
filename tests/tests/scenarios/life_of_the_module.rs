// SPDX-License-Identifier: GPL-2.0-or-later
//! After twenty lives of a resource: what the module took it gives back.

use anyhow::{bail, ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup, Side};

#[test]
fn life_of_the_module() {
    scenario("life_of_the_module", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let alpha = &cluster.alpha;
    alpha.create_md()?;
    let live = "drbdadm up r0 && drbdadm primary --force r0 \
        && dd if=/dev/zero of=/dev/drbd0 bs=64k count=8 oflag=direct 2>/dev/null \
        && drbdadm secondary r0 && drbdadm down r0";
    alpha.sh(live)?;
    step("twenty lives", || gives_back_all(alpha, live))?;
    step("a disconnect waits for nobody", || unheard(alpha))?;
    let threads = "ps -e -o comm= | grep -c '^drbd_[rwm]_' || true";
    ensure!(alpha.sh(threads)?.trim() == "0", "threads are left");
    step("unloaded", || {
        alpha.sh("rmmod drbd && mkfs.ext4 -q -F /dev/vdb && mount /dev/vdb /mnt && umount /mnt && modprobe drbd && rmmod drbd")
    })?;
    cluster.beta.sh("rmmod drbd")?;
    Ok(cluster.lab.check_consoles()?)
}

/// One life holds some 3 MiB: of a buffer that is leaked each time, twenty are missing after twenty lives. The kernel's own caches
/// keep now more and now less, by as much as one life holds, but not each time again.
fn gives_back_all(side: &Side, live: &str) -> Result<()> {
    let free = || -> Result<i64> {
        let text = side.sh(
            "sync; echo 3 > /proc/sys/vm/drop_caches; sleep 1; awk '/MemFree/{print $2}' /proc/meminfo",
        )?;
        Ok(text.trim().parse()?)
    };
    let mut before_kib = free()?;
    let mut lost_kib = Vec::new();
    for _ in 0..3 {
        side.sh(&format!("for i in $(seq 20); do {live} || exit 1; done"))?;
        let after_kib = free()?;
        if before_kib - after_kib < 4096 {
            return Ok(());
        }
        lost_kib.push(before_kib - after_kib);
        before_kib = after_kib;
    }
    bail!("less free memory after each twenty lives: {lost_kib:?} KiB");
}

/// A connection whose peer does not answer is waited for as long as `connect-int` says, which an administrator who takes it down
/// must not notice. `timeout` would say 124.
fn unheard(side: &Side) -> Result<()> {
    // Refused at once: from then on it listens.
    let path = "ipv4:127.0.0.1:7790 ipv4:127.0.0.1:7791";
    side.sh(&format!(
        "set -e; drbdsetup new-resource r0 0; drbdsetup new-peer r0 1 --_name=nobody --connect-int=120
         drbdsetup new-path r0 1 {path}
         for i in 1 2 3; do
             drbdsetup connect r0 1; sleep 2; timeout 30 drbdsetup disconnect r0 1
         done; drbdsetup down r0"
    ))
    .map(drop)
}
