// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had without DRBD: a file system on a disk that both nodes reach, as of a storage network. Two nodes that mount it destroy
//! it, so a node that may be alive is fenced first.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::flags;
use drbd_tests::had::{Group, Plan, DEADTIME_MS};
use drbd_tests::nodes;
use drbd_tests::scenario::step;
use drbd_tests::services::LIMIT;
use drbd_tests::wait::until;
use drbd_tests::{Had, Nodes, Writer};

const DISK: &str = "/dev/vdb";

const RECORDS: &str = "/mnt/records";

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_shared_storage() {
    nodes::scenario_with_disk("had_shared_storage", &["alpha", "beta"], 64, shared_storage);
}

fn shared_storage(nodes: &Nodes) -> Result<()> {
    let all = nodes.all();
    let [alpha, beta] = all[..] else {
        anyhow::bail!("two nodes");
    };
    alpha.sh(&format!("mkfs.ext4 -q {DISK} && sync"))?;
    let plan = Plan::of([Group::new("blue", &all).mount(DISK, "/mnt", "ext4").flag()]);
    let had = Had::on(&all, &nodes.power, plan)?;
    had.play(|had| {
        had.start_all()?;
        step("the group", || flags::wait_placed(&all, &[("blue", alpha)]))?;
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
                    !mounts.contains(DISK),
                    "mounted beside a node that may be alive: {mounts}"
                );
                had.nobody_was_shot()
            },
        )?;
        nodes.power.refuse(false);
        step("it is shot, and the other one mounts", || -> Result<()> {
            let flag = || beta.sh("ls /run/flags; grep /mnt /proc/mounts; true");
            until("the group", LIMIT, flag, |said| {
                said.contains("blue") && said.contains(DISK)
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
