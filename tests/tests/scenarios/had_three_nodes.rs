// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had on three nodes: two that serve, and a spare for both of them that has room for one. Whatever the network does, nothing
//! runs twice, and nobody who is alone shoots.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_tests::had::{Group, Plan, DEADTIME_MS};
use drbd_tests::nodes::{self, cut_off};
use drbd_tests::scenario::step;
use drbd_tests::services::LIMIT;
use drbd_tests::wait::until;
use drbd_tests::{flags, Had, Nodes, Side};
use serde_json::Value;

const SILENCE: Duration = Duration::from_millis(2 * DEADTIME_MS);

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_three_nodes() {
    nodes::scenario("had_three_nodes", &["alpha", "beta", "gamma"], three_nodes);
}

/// Two groups, each with its own home and the same spare.
fn plan(alpha: &Side, beta: &Side, spare: &Side) -> Plan {
    let group = |name: &str, home: &Side, priority: &str| {
        let group = Group::new(name, &[home, spare]).flag();
        let group = group.line(priority).line("uses = { slots = 1 }");
        group.line("failback = \"auto\"").line("failback_delay = 5")
    };
    Plan {
        slots: Some(1),
        ..Plan::of([
            group("blue", alpha, "priority = 20"),
            group("red", beta, "priority = 10"),
        ])
    }
}

fn three_nodes(nodes: &Nodes) -> Result<()> {
    let all = nodes.all();
    let [alpha, beta, gamma] = all[..] else {
        anyhow::bail!("three nodes");
    };
    let had = Had::on(&all, &nodes.power, plan(alpha, beta, gamma))?;
    had.play(|had| {
        had.start_all()?;
        let home = [("blue", alpha), ("red", beta)];
        step("each at home", || flags::wait_placed(&all, &home))?;
        full_partition(had, &all, &home)?;
        one_cut_off(had, alpha, beta, gamma)?;
        no_room(had, beta, gamma)?;
        step("the first node is there again", || -> Result<()> {
            cut_off(alpha, false)?;
            nodes.rejoin(had, alpha)?;
            flags::wait_placed(&all, &home)?;
            had.wait_members(gamma)
        })?;
        had.were_shot(&[alpha])
    })
}

fn full_partition(had: &Had<'_>, all: &[&Side], home: &[(&str, &Side)]) -> Result<()> {
    let cut = Instant::now();
    for side in all {
        cut_off(side, true)?;
    }
    step("everybody is alone: everything stops", || -> Result<()> {
        flags::wait_placed(all, &[])?;
        println!(
            "  {:>6.2} s: seen from outside",
            cut.elapsed().as_secs_f64()
        );
        sleep(SILENCE);
        flags::stay_placed(all, &[], SILENCE)?;
        for side in all {
            let report = had.report(side)?;
            ensure!(
                report["core"]["quorate"] == false,
                "{} alone has quorum: {report}",
                side.name()
            );
        }
        had.nobody_was_shot()
    })?;
    for side in all {
        cut_off(side, false)?;
    }
    step("together again: everything runs", || -> Result<()> {
        flags::wait_placed(all, home)?;
        for side in all {
            had.wait_members(side)?;
        }
        flags::stay_placed(all, home, SILENCE)?;
        for (flag, side) in home {
            let story = flags::story(side)?;
            let wanted = format!("{flag} start\n{flag} stop\n{flag} start\n");
            ensure!(story == wanted, "on {}: {story}", side.name());
        }
        had.nobody_was_shot()
    })
}

fn one_cut_off(had: &Had<'_>, alpha: &Side, beta: &Side, gamma: &Side) -> Result<()> {
    let before = flags::story(beta)?;
    cut_off(alpha, true)?;
    step("one is cut off: the spare takes over", || -> Result<()> {
        let all = [alpha, beta, gamma];
        flags::wait_placed(&all, &[("blue", gamma), ("red", beta)])?;
        alpha.node.wait_off(LIMIT)?;
        had.were_shot(&[alpha])?;
        let after = flags::story(beta)?;
        ensure!(before == after, "red did not stay: {after}");
        Ok(())
    })
}

/// The reason that a node gives for where a group is.
fn reason(report: &Value, group: &str) -> String {
    let groups = report.pointer("/core/groups").and_then(Value::as_array);
    let mut groups = groups.into_iter().flatten();
    let found = groups.find(|it| it["name"] == group);
    let reason = found.and_then(|group| group["reason"].as_str());
    reason.unwrap_or_default().to_owned()
}

fn no_room(had: &Had<'_>, beta: &Side, gamma: &Side) -> Result<()> {
    let both = [beta, gamma];
    step("the spare has no room for a second", || -> Result<()> {
        had.ctl(gamma, &format!("standby {}", beta.name()))?;
        let look = || Ok(reason(&had.report(gamma)?, "red"));
        until("the reason", LIMIT, look, |said| {
            said.contains("has no room")
        })?;
        flags::wait_placed(&both, &[("blue", gamma)])?;
        flags::stay_placed(&both, &[("blue", gamma)], SILENCE)
    })?;
    step("its own node has", || -> Result<()> {
        had.ctl(gamma, &format!("online {}", beta.name()))?;
        flags::wait_placed(&both, &[("blue", gamma), ("red", beta)])
    })
}
