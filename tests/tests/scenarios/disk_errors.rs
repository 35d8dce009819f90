// SPDX-License-Identifier: GPL-2.0-or-later
//! A disk that errs, on either node and under each policy: reads are served by
//! the peer, writes end well while one copy takes them, what a disk lacks is
//! marked and brought back, and metadata that cannot be written ends the disk.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::mapper::{self, Target, MIB_SECTORS};
use drbd_tests::recorder;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: takes two minutes"]
fn disk_errors() {
    scenario("disk_errors", &Setup::default().mapped(), story);
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn disk_errors_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock).mapped();
    scenario("disk_errors_with_stock", &setup, story);
}

const MINUTE: Duration = Duration::from_secs(60);
/// Sectors of the data that err.
const BAD: (u64, u64) = (16_384, 8192);

fn spoil_data(side: &Side) -> Result<()> {
    let (start, len) = BAD;
    let rest = mapper::disk_sectors(side)? - start - len;
    let stretches = [
        (start, Target::Disk),
        (len, Target::Error),
        (rest, Target::Disk),
    ];
    mapper::reload(side, &stretches)
}

/// Internal metadata is at the end.
fn spoil_metadata(side: &Side) -> Result<()> {
    let data = mapper::disk_sectors(side)? - MIB_SECTORS;
    mapper::reload(side, &[(data, Target::Disk), (MIB_SECTORS, Target::Error)])
}

fn write_bad() -> String {
    let at = BAD.0 / 32;
    format!("exec dd if=/dev/urandom of=/dev/drbd0 bs=16k count=16 seek={at} oflag=direct")
}

fn back(cluster: &Cluster, side: &Side) -> Result<()> {
    mapper::heal(side)?;
    if side.view()?.disk == "Diskless" {
        side.drbdadm("attach")?;
    }
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    Ok(())
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    recorder::install(alpha)?;
    step("up", || cluster.up_and_synced())?;
    step("a read error is served by the peer", || {
        alpha.node.sh_within(&write_bad(), MINUTE)?;
        let read = format!(
            "dd if=/dev/drbd0 bs=16k count=16 skip={} iflag=direct 2>/dev/null | md5sum",
            BAD.0 / 32
        );
        let good = alpha.sh(&read)?;
        spoil_data(alpha)?;
        ensure!(alpha.sh(&read)? == good, "other data was read");
        alpha.wait("no disk", MINUTE, |view| view.disk == "Diskless")?;
        beta.wait("the peer's loss", MINUTE, |view| {
            view.peer_disk == "Diskless"
        })?;
        back(cluster, alpha)
    })?;
    step("a write error of the Primary", || {
        spoil_data(alpha)?;
        alpha.node.sh_within(&write_bad(), MINUTE)?;
        alpha.wait("no disk", MINUTE, |view| view.disk == "Diskless")?;
        alpha.node.sh_within(&write_bad(), MINUTE)?;
        back(cluster, alpha)
    })?;
    step("a write error of the Secondary", || {
        spoil_data(beta)?;
        alpha.node.sh_within(&write_bad(), MINUTE)?;
        alpha.wait("the peer's loss", MINUTE, |view| {
            view.peer_disk == "Diskless"
        })?;
        alpha.node.sh_within(&write_bad(), MINUTE)?;
        back(cluster, beta)
    })?;
    step("pass_on", || {
        alpha.sh("drbdsetup disk-options 0 --on-io-error=pass_on")?;
        spoil_data(alpha)?;
        alpha.node.sh_within(&write_bad(), MINUTE)?;
        alpha.wait("a poor disk", MINUTE, |view| view.disk == "Inconsistent")?;
        mapper::heal(alpha)?;
        // Asked to disconnect, a Primary would refuse: the good data is the peer's.
        let port = beta.node.port(0)?;
        port.cut(true);
        alpha.wait("the loss of beta", MINUTE, |view| {
            view.connection != "Connected"
        })?;
        port.cut(false);
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    step("call-local-io-error", || {
        alpha.sh("drbdsetup disk-options 0 --on-io-error=call-local-io-error")?;
        recorder::answer(
            alpha,
            "local-io-error",
            "drbdsetup status r0 >/run/seen; sleep 1",
        )?;
        spoil_data(alpha)?;
        alpha.node.sh_within(&write_bad(), MINUTE)?;
        let call = recorder::wait_for(alpha, "local-io-error r0")?;
        ensure!(
            call.variable("DRBD_BACKING_DEV") == Some(mapper::PATH),
            "{call:?}"
        );
        alpha.wait("no disk", MINUTE, |view| view.disk == "Diskless")?;
        let seen = alpha.sh("cat /run/seen")?;
        ensure!(seen.contains("disk:Failed"), "{seen}");
        back(cluster, alpha)
    })?;
    for (side, name) in [(alpha, "Primary"), (beta, "Secondary")] {
        step(&format!("metadata of the {name} cannot be written"), || {
            spoil_metadata(side)?;
            // Extents that are not in the activity log yet.
            alpha.node.sh_within(
                "exec dd if=/dev/urandom of=/dev/drbd0 bs=64k count=320 oflag=direct",
                MINUTE,
            )?;
            let stopped = |view: &drbd_tests::view::View| view.disk == "Diskless";
            if side.is_ours() && side.name() == alpha.name() {
                side.wait("no disk", MINUTE, stopped)?;
            } else {
                side.drbdadm("detach")?;
            }
            back(cluster, side)
        })?;
    }
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
