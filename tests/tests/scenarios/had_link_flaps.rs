// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had on a bad network, and on one with somebody who wants to be taken for a node: it goes on as if nothing were, and counts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_tests::had::{Group, Plan, DEADTIME_MS};
use drbd_tests::heartbeats::{self, How};
use drbd_tests::nodes::{self, cut_off};
use drbd_tests::scenario::step;
use drbd_tests::services::LIMIT;
use drbd_tests::wait::until;
use drbd_tests::{flags, Had, Heartbeats, Nodes, Side};

const SILENCE: Duration = Duration::from_millis(2 * DEADTIME_MS);

/// How long a link comes and goes.
const FLAPPING: Duration = Duration::from_secs(60);

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_link_flaps() {
    nodes::scenario("had_link_flaps", &["alpha", "beta"], link_flaps);
}

fn link_flaps(nodes: &Nodes) -> Result<()> {
    let all = nodes.all();
    let [alpha, beta] = all[..] else {
        anyhow::bail!("two nodes");
    };
    let plan = Plan::of([Group::new("blue", &all).flag()]);
    let had = Had::on(&all, &nodes.power, plan)?;
    had.play(|had| {
        had.start_all()?;
        let placed = [("blue", alpha)];
        step("a group", || flags::wait_placed(&all, &placed))?;
        step("one link is cut for good", || -> Result<()> {
            beta.node.port(1)?.cut(true);
            flags::stay_placed(&all, &placed, SILENCE)?;
            let links = had.ctl(alpha, "links")?;
            ensure!(links.contains("DOWN") && links.contains(" up "), "{links}");
            Ok(())
        })?;
        step("the other one comes and goes", || -> Result<()> {
            let port = beta.node.port(0)?;
            let before = flags::story(alpha)?;
            let started = Instant::now();
            while started.elapsed() < FLAPPING {
                port.cut(true);
                sleep(Duration::from_secs(1));
                port.cut(false);
                sleep(Duration::from_secs(2));
            }
            let after = flags::story(alpha)?;
            ensure!(before == after, "{after}");
            unmoved(had, alpha)
        })?;
        beta.node.port(1)?.cut(false);
        let heard = step("what a node says is recorded", || Heartbeats::record(beta))?;
        for how in [How::Again, How::Forged, How::WrongKey, How::Garbage] {
            let what = format!("it is sent {how:?}, and counts as {}", how.reason());
            step(&what, || ignored(had, &heard, how, alpha))?;
        }
        dead_although_repeated(had, &heard, alpha, beta)
    })
}

/// The group runs where it did, both nodes are members, and nobody was shot.
fn unmoved(had: &Had<'_>, alpha: &Side) -> Result<()> {
    flags::wait_placed(had.sides(), &[("blue", alpha)])?;
    had.wait_members(alpha)?;
    had.nobody_was_shot()
}

fn ignored(had: &Had<'_>, heard: &Heartbeats<'_>, how: How, alpha: &Side) -> Result<()> {
    let reason = how.reason();
    let count = || -> Result<u64> {
        let counters = heartbeats::thrown_away(had, alpha)?;
        Ok(counters.get(reason).copied().unwrap_or(0))
    };
    let (before, story) = (count()?, flags::story(alpha)?);
    let sent = heard.send(how)?;
    ensure!(sent > 0, "nothing was sent");
    // Greetings that are repeated are answered, and so not counted.
    let wanted = before + if how == How::Again { 6 } else { sent };
    let seen = until("the counter", LIMIT, count, |seen| *seen >= wanted)?;
    println!("  {sent} were sent, {} counted as {reason}", seen - before);
    let metric = heartbeats::metric(alpha, reason)?;
    ensure!(metric >= wanted, "{metric} in the metrics, {wanted} wanted");
    let links = had.ctl(alpha, "links")?;
    ensure!(links.contains(&format!("{reason} ")), "{links}");
    let after = flags::story(alpha)?;
    ensure!(story == after, "{after}");
    unmoved(had, alpha)
}

/// What a daemon said while it lived does not keep it alive.
fn dead_although_repeated(
    had: &Had<'_>,
    heard: &Heartbeats<'_>,
    alpha: &Side,
    beta: &Side,
) -> Result<()> {
    let repeated = heard.repeat(LIMIT)?;
    had.kill(beta, true)?;
    step("it is repeated for a daemon that is dead", || {
        Ok(beta.node.wait_off(LIMIT)?)
    })?;
    ensure!(repeated.so_far().1.is_empty(), "{}", repeated.so_far().1);
    had.were_shot(&[beta])?;
    cut_off(beta, true)?;
    flags::stay_placed(had.sides(), &[("blue", alpha)], SILENCE)
}
