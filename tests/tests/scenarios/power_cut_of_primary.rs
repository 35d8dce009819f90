// SPDX-License-Identifier: GPL-2.0-or-later
//! The Primary loses power under a writer: the survivor has every record that
//! was acknowledged, and the dead node comes back by copying no more than what
//! was changed and what its activity log names.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup, Side, Writer};

/// An activity log extent.
const EXTENT_KIB: u64 = 4096;

/// As many extents as the configuration allows, the fewest there can be: a
/// quarter of the disk.
const EXTENTS: u64 = 67;

#[test]
fn power_cut_of_primary() {
    scenario(
        "power_cut_of_primary",
        &Setup::default()
            .disk_mib(1024)
            .disk_option(&format!("al-extents {EXTENTS}"))
            // So long that nobody would notice the loss by himself.
            .net("ping-int 120"),
        story,
    );
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_without_sync())?;
    alpha.primary()?;
    // A discard of the whole disk would bring all of it into the log.
    step("mkfs", || {
        alpha.sh("mkfs.ext4 -q -E nodiscard /dev/drbd0 && mount /dev/drbd0 /mnt")
    })?;
    alpha.sh("cp -a /etc /mnt/ && sync")?;
    let writer = Writer::start(alpha, "/mnt/records")?;
    writer.wait_more(50, Duration::from_secs(60))?;
    alpha.node.power_cut()?;
    let acknowledged = writer.acknowledged()?;

    let promoting = Instant::now();
    step("the survivor asks whether it is there", || beta.primary())?;
    ensure!(
        promoting.elapsed() < Duration::from_secs(60),
        "the loss was noticed by ping-int"
    );
    step("the survivor goes on", || {
        beta.fsck()?;
        beta.mount()?;
        Writer::check(beta, "/mnt/records", acknowledged)
    })?;
    beta.sh("cd / && diff -r /etc /mnt/etc --exclude=hosts --exclude=hostname --exclude=drbd.conf --exclude=mtab --no-dereference")?;
    // Changes while the other is away.
    beta.sh("dd if=/dev/urandom of=/mnt/more bs=64k count=32 conv=fsync 2>/dev/null && sync")?;
    step("the dead node boots", || cluster.power_on(alpha))?;
    let logged_kib = apply_activity_log(alpha)?;
    ensure!(
        logged_kib <= EXTENTS * EXTENT_KIB,
        "{logged_kib} KiB are more than {EXTENTS} extents"
    );
    // The file system writes on its own, so both are read at one moment.
    let before = beta.view()?;
    let changed_kib = before.out_of_sync_kib;
    ensure!(changed_kib >= 2048, "only {changed_kib} KiB are marked");
    alpha.drbdadm("up")?;
    step("resync", || {
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    let (sent_kib, written_kib) = beta.view()?.sent_and_written_since(&before);
    println!(
        "  resent {sent_kib} KiB: {changed_kib} KiB had changed, {logged_kib} KiB were in \
         logged extents, {written_kib} KiB were written meanwhile"
    );
    ensure!(
        sent_kib <= changed_kib + logged_kib + written_kib,
        "too much was sent: {sent_kib} KiB for {changed_kib} KiB changed, {logged_kib} KiB \
         logged and {written_kib} KiB written meanwhile"
    );
    beta.umount()?;
    beta.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}

/// KiB of the extents that the activity log names and the bitmap did not, put
/// into the bitmap as every attach after a crash demands.
fn apply_activity_log(side: &Side) -> Result<u64> {
    let said = side.sh("drbdmeta -v 0 v09 /dev/vdb internal apply-al 2>&1")?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "additional");
    let kib = at.and_then(|at| words.get(at + 1));
    kib.context("the activity log of a crashed Primary names nothing")?
        .parse()
        .with_context(|| said.clone())
}
