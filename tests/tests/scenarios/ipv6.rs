// SPDX-License-Identifier: GPL-2.0-or-later
//! Two nodes that know each other by IPv6 addresses.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup};

#[test]
#[ignore = "full: the same with longer addresses"]
fn ipv6() {
    scenario("ipv6", &Setup::default(), story);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn ipv6_with_stock() {
    scenario(
        "ipv6_with_stock",
        &Setup::pairing(Pairing::OursStock),
        story,
    );
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        let mut turn = String::new();
        for (number, of) in cluster.sides().iter().enumerate() {
            let (old, new) = (of.node.ip(0), format!("fd00::{}", number + 1));
            turn += &format!("s/address {old}:/address ipv6 [{new}]:/;");
            if of.name() == side.name() {
                side.sh(&format!(
                    "dev=$(ip -o -4 addr show to {old} | awk '{{print $2}}') && \
                     ip -6 addr add {new}/64 dev $dev nodad"
                ))?;
            }
        }
        side.sh(&format!(
            "sed -i '{turn}' /etc/drbd.conf && grep -q fd00::2 /etc/drbd.conf"
        ))?;
    }
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("initial sync", || cluster.up_and_synced())?;
    let sockets = alpha.sh("ss -6tnH state established | grep -c 7789")?;
    ensure!(sockets.trim() == "2", "{sockets}");
    alpha.mkfs_and_mount()?;
    alpha.sh("cp -a /etc /mnt/ && sync")?;
    step("cut and healed", || -> Result<()> {
        beta.node.port(0)?.cut(true);
        alpha.wait("the loss of beta", drbd_tests::side::SOON, |view| {
            view.connection != "Connected"
        })?;
        alpha.sh("rm -r /mnt/etc && sync")?;
        beta.node.port(0)?.cut(false);
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    alpha.umount()?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
