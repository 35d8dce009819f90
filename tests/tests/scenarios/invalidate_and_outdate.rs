// SPDX-License-Identifier: GPL-2.0-or-later
//! `invalidate` and `invalidate-remote` copy all of a disk anew, whatever was
//! on it; `outdate` keeps a disk from being used before it has met its peer.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{disks, scenario, Cluster, Pairing, Setup, Side};

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).disk_mib(24)
}

#[test]
#[ignore = "full: takes more than two minutes"]
fn invalidate_and_outdate() {
    scenario("invalidate_and_outdate", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn invalidate_and_outdate_with_stock() {
    let setup = setup(Pairing::OursStock);
    scenario("invalidate_and_outdate_with_stock", &setup, story);
}

#[test]
#[ignore = "full: the same, and the stock driver is asked to copy"]
fn invalidate_and_outdate_of_stock() {
    let setup = setup(Pairing::StockOurs);
    scenario("invalidate_and_outdate_of_stock", &setup, story);
}

const MINUTE: Duration = Duration::from_secs(60);

/// Changes the disk of `side` behind the drivers' backs.
fn spoil(cluster: &Cluster, side: &Side) -> Result<()> {
    for at in [4096, 3 << 20, 9 << 20] {
        disks::flip_byte(side.node.disk_file(0)?, at + 77)?;
    }
    ensure!(cluster.compare_disks().is_err(), "nothing was changed");
    Ok(())
}

/// All of the disk came over to `target`, and mends it.
fn copied(cluster: &Cluster, target: &Side, before_kib: u64) -> Result<()> {
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    let device_kib = target.device_bytes()? >> 10;
    let copied_kib = target.view()?.received_kib - before_kib;
    ensure!(
        copied_kib >= device_kib,
        "{copied_kib} KiB of {device_kib} were copied"
    );
    cluster.compare_disks()
}

/// `asked` is told `words`, and all of `target` is copied.
fn anew(cluster: &Cluster, asked: &Side, words: &str, target: &Side) -> Result<()> {
    spoil(cluster, target)?;
    let before_kib = target.view()?.received_kib;
    asked.drbdadm(words)?;
    target.wait("the end of the copy", MINUTE, |view| {
        view.received_kib > before_kib && view.disk == "UpToDate"
    })?;
    copied(cluster, target, before_kib)
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.sh("dd if=/dev/urandom of=/dev/drbd0 bs=1M count=12 oflag=direct")?;
    step("invalidate", || anew(cluster, beta, "invalidate", beta))?;
    step("invalidate-remote", || {
        anew(cluster, alpha, "invalidate-remote", beta)
    })?;
    step("a write during invalidate", || {
        let before_kib = beta.view()?.received_kib;
        beta.drbdadm("invalidate")?;
        alpha.sh("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=64 seek=32 oflag=direct")?;
        copied(cluster, beta, before_kib)
    })?;
    step("the other direction", || {
        alpha.secondary()?;
        anew(cluster, alpha, "invalidate", alpha)?;
        anew(cluster, beta, "invalidate-remote", alpha)
    })?;
    step("the last good data stays", || {
        for side in cluster.sides() {
            side.drbdadm("disconnect")?;
        }
        alpha.primary()?;
        let said = alpha.refused("drbdadm invalidate r0")?;
        println!("    {}", said.stderr.trim().replace('\n', " / "));
        ensure!(alpha.view()?.disk == "UpToDate", "{:?}", alpha.view()?);
        Ok(())
    })?;
    step("invalidate without a connection", || {
        spoil(cluster, beta)?;
        beta.drbdadm("invalidate")?;
        beta.wait("a poor disk", MINUTE, |view| view.disk == "Inconsistent")?;
        beta.refused("drbdadm primary r0")?;
        for side in cluster.sides() {
            side.drbdadm("connect")?;
        }
        copied(cluster, beta, 0)
    })?;
    step("outdate", || {
        if beta.is_ours() {
            let said = beta.refused("drbdadm outdate r0")?;
            println!("    {}", said.stderr.trim().replace('\n', " / "));
            let said = beta.refused("drbdsetup outdate 0")?;
            ensure!(said.stderr.contains("(-6)"), "{said:?}");
        } else {
            // 8.4 says that it did so.
            beta.drbdadm("outdate")?;
        }
        ensure!(beta.view()?.disk == "UpToDate", "{:?}", beta.view()?);
        beta.drbdadm("disconnect")?;
        beta.drbdadm("outdate")?;
        ensure!(beta.view()?.disk == "Outdated", "{:?}", beta.view()?);
        beta.refused("drbdadm primary r0")?;
        // It stays so.
        beta.down()?;
        beta.drbdadm("up")?;
        for side in cluster.sides() {
            if side.view()?.connection == "StandAlone" {
                side.drbdadm("connect")?;
            }
        }
        for side in cluster.sides() {
            side.wait_healthy()?;
        }
        alpha.secondary()?;
        cluster.compare_disks()
    })?;
    cluster.finish()
}
