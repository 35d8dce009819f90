// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had with two nodes that serve crosswise: each stands in for the other one, and what it did for it goes home as soon as home
//! has the data again, and not before.

use anyhow::{ensure, Result};
use drbd_tests::config::{DEVICE, RESOURCE, TWIN, TWIN_DEVICE};
use drbd_tests::flags;
use drbd_tests::had::{self, Group, Plan};
use drbd_tests::scenario::step;
use drbd_tests::services::LIMIT;
use drbd_tests::wait::until;
use drbd_tests::{Cluster, Had, Pairing, Setup, Side, Writer};

/// Where the group of the first node is mounted.
const BLUE: &str = "/mnt";

/// Where that of the second is.
const RED: &str = "/media";

/// What the first node has to get before it is good again.
const MISSED_MIB: u32 = 24;

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_failback() {
    let base = had::setup(Pairing::OursOurs).disk_option("c-max-rate 2M");
    let mut setup = Setup {
        disks_mib: vec![64, 64],
        ..base
    };
    setup.config.twin = true;
    had::play("had_failback", &setup, plan, failback);
}

fn plan(cluster: &Cluster) -> Plan {
    let [alpha, beta] = cluster.sides();
    let home = |group: Group| {
        let group = group.line("failback = \"auto\"");
        group.line("failback_delay = 5")
    };
    let blue = Group::new("blue", &[alpha, beta]).drbd(RESOURCE);
    let red = Group::new("red", &[beta, alpha]).drbd(TWIN);
    Plan::of([
        home(blue.mount(DEVICE, BLUE, "ext4").flag()),
        home(red.mount(TWIN_DEVICE, RED, "ext4").flag()),
    ])
}

fn write_some(side: &Side, directory: &str) -> Result<Writer> {
    let writer = Writer::start(side, &format!("{directory}/records"))?;
    writer.wait_more(20, LIMIT)?;
    Ok(writer)
}

fn failback(cluster: &Cluster, had: &Had<'_>) -> Result<()> {
    let [alpha, beta] = cluster.sides();
    let sides = [alpha, beta];
    let home = [("blue", alpha), ("red", beta)];
    step("each at home", || flags::wait_placed(&sides, &home))?;
    let (blue, red) = (write_some(alpha, BLUE)?, write_some(beta, RED)?);
    step("one dies, the other one has both", || -> Result<()> {
        alpha.node.power_cut()?;
        flags::wait_placed(&sides, &[("blue", beta), ("red", beta)])?;
        red.wait_more(20, LIMIT)
    })?;
    Writer::check(beta, blue.path(), blue.acknowledged()?)?;
    had.were_shot(&[alpha])?;
    let blue = write_some(beta, BLUE)?;
    beta.sh(&format!(
        "dd if=/dev/urandom of={BLUE}/missed bs=1M count={MISSED_MIB} conv=fsync 2>/dev/null"
    ))?;
    step("it comes back", || -> Result<()> {
        cluster.power_on(alpha)?;
        had.prepare(alpha)?;
        had.start(alpha)
    })?;
    step("all goes home, after the resync", || {
        goes_home(&sides, &home)
    })?;
    let acknowledged = blue.acknowledged()?;
    Writer::check(alpha, blue.path(), acknowledged)?;
    println!("  {acknowledged} records were acknowledged and are there");
    red.wait_more(20, LIMIT)?;
    let (path, acknowledged) = (red.path().to_owned(), red.stop()?);
    Writer::check(beta, &path, acknowledged)?;
    had.were_shot(&[alpha])
}

fn goes_home(sides: &[&Side; 2], home: &[(&str, &Side); 2]) -> Result<()> {
    let [alpha, beta] = *sides;
    let mut resyncing = 0;
    let look = || {
        // The disk first: what is there when its group is there was there before.
        let disk = alpha.view().map(|view| view.disk).unwrap_or_default();
        Ok((disk, flags::placed(sides)?))
    };
    let seen = until("blue at home", LIMIT, look, |(disk, placed)| {
        let away = placed.get("blue").is_none_or(|node| node == beta.name());
        resyncing += u32::from(disk == "Inconsistent" && away);
        !away
    })?;
    ensure!(
        seen.0 == "UpToDate" && resyncing > 0,
        "{seen:?}, after {resyncing} looks at a resync"
    );
    flags::wait_placed(sides, home)
}
