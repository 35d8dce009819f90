// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had when parts of a node fail: its disk, a service again and again, and the stop of a service. What a writer was told is
//! durable goes along with the group.

use std::time::Duration;

use anyhow::Result;
use drbd_tests::config::{DEVICE, RESOURCE};
use drbd_tests::flags;
use drbd_tests::had::{self, Group, Plan, GROUP};
use drbd_tests::scenario::step;
use drbd_tests::services::LIMIT;
use drbd_tests::{Cluster, Had, Pairing, Side, Writer};

const RECORDS: &str = "/mnt/records";

const FAILURES: usize = 2;

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_disk_and_stop() {
    let setup = had::setup(Pairing::OursOurs);
    had::play("had_disk_and_stop", &setup, plan, disk_and_stop);
}

fn plan(cluster: &Cluster) -> Plan {
    let group = Group::new(GROUP, &cluster.sides()).drbd(RESOURCE);
    let group = group.mount(DEVICE, "/mnt", "ext4").flag();
    Plan::of([group.line(&format!("migration_threshold = {FAILURES}"))])
}

fn write_some(side: &Side) -> Result<Writer> {
    let writer = Writer::start(side, RECORDS)?;
    writer.wait_more(20, LIMIT)?;
    Ok(writer)
}

fn disk_and_stop(cluster: &Cluster, had: &Had<'_>) -> Result<()> {
    let [alpha, beta] = cluster.sides();
    let sides = [alpha, beta];
    step("the group", || {
        flags::wait_placed(&sides, &[(GROUP, alpha)])
    })?;
    let writer = write_some(alpha)?;
    disk_detached(had, alpha, beta, &writer)?;
    Writer::check(beta, RECORDS, writer.acknowledged()?)?;
    step("its disk is good again", || -> Result<()> {
        alpha.drbdadm("attach")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;

    let writer = write_some(beta)?;
    step("a service that fails again moves", || -> Result<()> {
        for _ in 1..FAILURES {
            beta.sh(&format!("rm /run/flags/{GROUP}"))?;
            flags::wait_placed(&sides, &[(GROUP, beta)])?;
        }
        beta.sh(&format!("rm /run/flags/{GROUP}"))?;
        flags::wait_placed(&sides, &[(GROUP, alpha)])
    })?;
    Writer::check(alpha, RECORDS, writer.acknowledged()?)?;
    had.nobody_was_shot()?;

    let writer = write_some(alpha)?;
    step("it can't be stopped", || -> Result<()> {
        had.ctl(beta, &format!("cleanup {GROUP}"))?;
        alpha.sh(&format!("touch /run/flags/{GROUP}.stuck"))?;
        had.ctl(beta, &format!("move {GROUP} {}", beta.name()))?;
        alpha.node.wait_off(LIMIT)?;
        flags::wait_placed(&sides, &[(GROUP, beta)])
    })?;
    had.were_shot(&[alpha])?;
    let acknowledged = writer.acknowledged()?;
    Writer::check(beta, RECORDS, acknowledged)?;
    println!("  {acknowledged} records were acknowledged and are there");
    Ok(())
}

/// While there is no better place it stays on a node without a disk, and goes when there is.
fn disk_detached(had: &Had<'_>, alpha: &Side, beta: &Side, writer: &Writer) -> Result<()> {
    let sides = [alpha, beta];
    step("no disk, and no better place", || -> Result<()> {
        had.ctl(alpha, &format!("standby {}", beta.name()))?;
        alpha.drbdadm("detach")?;
        alpha.wait("a detached disk", LIMIT, |view| view.disk == "Diskless")?;
        writer.wait_more(20, LIMIT)?;
        let placed = [(GROUP, alpha)];
        flags::stay_placed(&sides, &placed, Duration::from_secs(15))?;
        writer.wait_more(20, LIMIT)
    })?;
    step("it goes where a disk is", || -> Result<()> {
        had.ctl(alpha, &format!("online {}", beta.name()))?;
        flags::wait_placed(&sides, &[(GROUP, beta)])
    })?;
    had.nobody_was_shot()
}
