// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had without DRBD: a file system on a disk that both nodes reach, one that they share or one that a third machine exports
//! by iSCSI. Two nodes that mount it destroy it, so a node that may be alive is fenced first.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::flags;
use drbd_tests::had::{Group, Plan, DEADTIME_MS};
use drbd_tests::iscsi::Target;
use drbd_tests::nodes::{self, Storage};
use drbd_tests::scenario::step;
use drbd_tests::services::LIMIT;
use drbd_tests::wait::until;
use drbd_tests::{Had, Nodes, Side, Writer};

const DISK_MIB: u64 = 64;

/// The disk on the machines that have one.
const DISK: &str = "/dev/vdb";

const RECORDS: &str = "/mnt/records";

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_shared_storage() {
    let storage = Storage::SharedMib(DISK_MIB);
    let names = ["alpha", "beta"];
    nodes::scenario_with("had_shared_storage", &names, storage, |nodes| {
        let [alpha, beta] = nodes.all()[..] else {
            anyhow::bail!("two nodes");
        };
        fenced_before_mounted(nodes, alpha, beta, DISK)
    });
}

#[test]
#[ignore = "full: three machines, and more than 100 s where the processors are busy"]
fn had_iscsi_storage() {
    let storage = Storage::OfLastMib(DISK_MIB);
    let names = ["alpha", "beta", "store"];
    nodes::scenario_with("had_iscsi_storage", &names, storage, |nodes| {
        let [alpha, beta, store] = nodes.all()[..] else {
            anyhow::bail!("three nodes");
        };
        let disk = step("both are logged in", || log_in(alpha, beta, store))?;
        fenced_before_mounted(nodes, alpha, beta, &disk)
    });
}

/// Exports the disk of `store` to both; their name of it.
fn log_in(alpha: &Side, beta: &Side, store: &Side) -> Result<String> {
    let target = Target::export(store, 2, DISK, &[alpha, beta])?;
    let disks = [target.log_in(alpha)?, target.log_in(beta)?];
    for side in [alpha, beta] {
        let session = Target::session(store, side)?;
        ensure!(session.contains("LOGGED_IN"), "{}: {session}", side.name());
    }
    let [disk, other] = disks;
    ensure!(disk == other, "{disk} and {other} in one configuration");
    Ok(disk)
}

/// Alpha has the file system of `disk` mounted and freezes: beta mounts it when alpha is off, not before, and has every record
/// that was acknowledged.
fn fenced_before_mounted(nodes: &Nodes, alpha: &Side, beta: &Side, disk: &str) -> Result<()> {
    let both = [alpha, beta];
    alpha.sh(&format!("mkfs.ext4 -q {disk} && sync"))?;
    let plan = Plan::of([Group::new("blue", &both).mount(disk, "/mnt", "ext4").flag()]);
    let had = Had::on(&both, &nodes.power, plan)?;
    had.play(|had| {
        had.start_all()?;
        step("the group", || {
            flags::wait_placed(&both, &[("blue", alpha)])
        })?;
        had.wait_members(beta)?;
        let writer = Writer::start(alpha, RECORDS)?;
        writer.wait_more(20, LIMIT)?;
        nodes.power.refuse(true);
        step(
            "it is frozen, and the switch is broken",
            || -> Result<()> {
                alpha.node.freeze()?;
                let tried = || Ok(nodes.power.history().len());
                until("two attempts", LIMIT, tried, |tried| *tried >= 2)?;
                sleep(Duration::from_millis(2 * DEADTIME_MS));
                let mounts = beta.sh("cat /proc/mounts")?;
                ensure!(
                    !mounts.contains(disk),
                    "mounted beside a node that may be alive: {mounts}"
                );
                had.nobody_was_shot()
            },
        )?;
        nodes.power.refuse(false);
        step("it is shot, and the other one mounts", || -> Result<()> {
            let flag = || beta.sh("ls /run/flags; grep /mnt /proc/mounts; true");
            until("the group", LIMIT, flag, |said| {
                said.contains("blue") && said.contains(disk)
            })?;
            ensure!(!alpha.node.is_running(), "alpha is on");
            had.were_shot(&[alpha])
        })?;
        let acknowledged = writer.acknowledged()?;
        Writer::check(beta, RECORDS, acknowledged)?;
        println!("  {acknowledged} records were acknowledged and are there");
        Ok(())
    })
}
