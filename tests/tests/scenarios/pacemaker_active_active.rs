// SPDX-License-Identifier: GPL-2.0-or-later
//! Active/active: the same service on both nodes, on a resource with two Primaries and a cluster file system that both have
//! mounted, under the real Pacemaker. When one of them loses its power, the other one stands still until that is certain, and
//! goes on with everything that either was told is durable.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_tests::cib::both;
use drbd_tests::pacemaker;
use drbd_tests::scenario::step;
use drbd_tests::services::{self, LIMIT};
use drbd_tests::side::SYNC_LIMIT;
use drbd_tests::wait::until;
use drbd_tests::{scenario, Cib, Cluster, Pacemaker, Pairing, Setup, Side, Writer};

/// How long nothing may move while the power switch does not work.
const SUSPENDED: Duration = Duration::from_secs(10);

#[test]
#[ignore = "full: several minutes"]
fn pacemaker_active_active() {
    scenario("pacemaker_active_active", &setup(), story);
}

fn setup() -> Setup {
    let setup = pacemaker::setup(Pairing::OursOurs).disk_mib(128);
    setup.net("allow-two-primaries yes")
}

fn story(cluster: &Cluster) -> Result<()> {
    let cib = Cib {
        on_both: true,
        ..Cib::default()
    };
    let pacemaker = Pacemaker::new(cluster, cib)?;
    pacemaker.play(|pacemaker| {
        step("two good copies", || {
            services::make_file_system_by(cluster, &both::mkfs())
        })?;
        step("a cluster", || pacemaker.start_all())?;
        step("both mount and serve", || serving(cluster))?;
        let [left, lost] = cluster.sides();
        let [ours, theirs] = write_on([left, lost])?;
        step("each sees the other's file", || {
            let counts = [(left, ours.acknowledged()?), (lost, theirs.acknowledged()?)];
            check(cluster, &counts)
        })?;
        let known = power_cut(cluster, pacemaker, &ours, left, lost, &theirs)?;
        step("the other one comes back", || {
            comes_back(cluster, pacemaker, left, lost)
        })?;
        check(cluster, &[(left, ours.acknowledged()?), (lost, known)])?;
        let [theirs] = write_on([lost])?;
        ours.wait_more(20, LIMIT)?;
        let all = [(left, ours.stop()?), (lost, theirs.stop()?)];
        check(cluster, &all)?;
        step("everything stops", || stops(cluster, pacemaker))?;
        for (side, count) in all {
            println!(
                "  {count} records of {} were acknowledged and are there",
                side.name()
            );
        }
        Ok(())
    })
}

/// Where the writer of that node writes.
fn file_of(side: &Side) -> String {
    format!("/mnt/records-{}", side.name())
}

fn write_on<const N: usize>(sides: [&Side; N]) -> Result<[Writer; N]> {
    let mut writers = Vec::new();
    for side in sides {
        writers.push(Writer::start(side, &file_of(side))?);
    }
    for writer in &writers {
        writer.wait_more(20, LIMIT)?;
    }
    writers.try_into().ok().context("as many writers as nodes")
}

/// Every record that was acknowledged to a writer is there, on every node.
fn check(cluster: &Cluster, acknowledged: &[(&Side, u64)]) -> Result<()> {
    for reader in cluster
        .sides()
        .into_iter()
        .filter(|it| it.node.is_running())
    {
        for (writer, count) in acknowledged {
            Writer::check(reader, &file_of(writer), *count)
                .with_context(|| format!("{} on {}", file_of(writer), reader.name()))?;
        }
    }
    Ok(())
}

/// Both nodes are Primary, UpToDate, and have the services.
fn serving(cluster: &Cluster) -> Result<()> {
    for side in cluster.sides() {
        services::wait_serving(side)?;
    }
    for side in cluster.sides() {
        side.wait("two Primaries", LIMIT, |view| {
            view.role == "Primary" && view.peer_role == "Primary" && view.is_healthy()
        })?;
        let mounts = side.sh("grep ' /mnt ' /proc/mounts")?;
        ensure!(mounts.contains("gfs2"), "{}: {mounts}", side.name());
    }
    Ok(())
}

/// `lost` loses its power while the power switch does not work: `left` stands still as long as that may be writing, and goes
/// on when it is shot. How many records `lost` had acknowledged.
fn power_cut(
    cluster: &Cluster,
    pacemaker: &Pacemaker<'_>,
    ours: &Writer,
    left: &Side,
    lost: &Side,
    theirs: &Writer,
) -> Result<u64> {
    let power = cluster.power.as_ref().context("no power switch")?;
    // The writer waits for as long as the story wants it to.
    left.sh("echo 600 >/proc/sys/kernel/hung_task_timeout_secs")?;
    let console = left.node.console_position();
    power.refuse(true);
    let begun = Instant::now();
    let since = |what: &str| println!("  {:>6.1} s: {what}", begun.elapsed().as_secs_f64());
    lost.node.power_cut()?;
    let known = theirs.acknowledged()?;
    left.wait("suspended I/O", LIMIT, |view| {
        view.suspended.contains("fencing")
    })?;
    since("suspended");
    let tried = || Ok(power.history().len());
    until("an attempt to fence", LIMIT, tried, |tried| *tried >= 1)?;
    since("an attempt to fence failed");
    let before = ours.acknowledged()?;
    std::thread::sleep(SUSPENDED);
    let (after, view) = (ours.acknowledged()?, left.view()?);
    ensure!(
        before == after && view.suspended.contains("fencing"),
        "{} writes beside a node that may be alive: {before}, {after} records, {view:?}",
        left.name()
    );
    ensure!(pacemaker.shot()?.is_empty(), "{:?}", pacemaker.shot()?);
    power.refuse(false);
    let shot = || pacemaker.shot();
    until("a shot", LIMIT, shot, |shot| !shot.is_empty())?;
    since("fenced");
    left.wait("I/O that goes on", LIMIT, |view| {
        view.suspended.is_empty() && view.peer_disk == "Outdated"
    })?;
    since("the resource goes on");
    left.node
        .wait_console("Replaying journal", console, LIMIT)?;
    since("the file system replays the other one's journal");
    ours.wait_more(20, LIMIT)?;
    since("writes are acknowledged again");
    services::wait_serving(left)?;
    check(cluster, &[(left, ours.acknowledged()?), (lost, known)])?;
    since("every acknowledged record of both was read");
    only_shot(pacemaker, lost)?;
    Ok(known)
}

/// Nobody but `lost` was shot, be it twice: Pacemaker does it, and the lock manager asks for it.
fn only_shot(pacemaker: &Pacemaker<'_>, lost: &Side) -> Result<()> {
    let shot = pacemaker.shot()?;
    let only = !shot.is_empty() && shot.iter().all(|name| name == lost.name());
    ensure!(only, "{shot:?} were shot");
    Ok(())
}

/// `lost` is switched on again: it fetches what it missed, becomes Primary beside the other one, and mounts.
fn comes_back(
    cluster: &Cluster,
    pacemaker: &Pacemaker<'_>,
    left: &Side,
    lost: &Side,
) -> Result<()> {
    ensure!(
        !pacemaker.constraint(left)?.is_empty(),
        "nothing keeps {} from being promoted with old data",
        lost.name()
    );
    cluster.power_on(lost)?;
    pacemaker.prepare(lost)?;
    pacemaker.start(lost)?;
    left.wait("a resync", SYNC_LIMIT, |view| view.is_healthy())?;
    let look = || pacemaker.constraint(left);
    until("no constraint", LIMIT, look, String::is_empty)?;
    serving(cluster)?;
    only_shot(pacemaker, lost)
}

/// The cluster stops in good order; the disks are equal, and the file system has no fault.
fn stops(cluster: &Cluster, pacemaker: &Pacemaker<'_>) -> Result<()> {
    pacemaker.stop_all()?;
    for side in cluster.sides() {
        ensure!(services::active(side)?.is_empty(), "{}", side.name());
    }
    let alpha = &cluster.alpha;
    alpha.drbdadm("up")?;
    cluster.beta.drbdadm("up")?;
    alpha.wait_healthy()?;
    cluster.compare_disks()?;
    alpha.primary()?;
    alpha.sh("fsck.gfs2 -n /dev/drbd0 2>&1")?;
    alpha.secondary()?;
    cluster.finish()
}
