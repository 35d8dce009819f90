// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had runs the resource, a file system, an address and a service on it. Whatever becomes of a node or of a daemon, what a
//! writer was told is durable is there after the take-over, and never do two nodes have the services.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_tests::cib::SERVICE;
use drbd_tests::had::{self, Plan, DEADTIME_MS, GROUP};
use drbd_tests::scenario::step;
use drbd_tests::services::{self, LIMIT};
use drbd_tests::wait::until;
use drbd_tests::{Cluster, Had, Pairing, Side, Writer};

const RECORDS: &str = "/mnt/records";

/// Longer than a node may be silent.
const SILENCE: Duration = Duration::from_millis(2 * DEADTIME_MS);

type Story = fn(&Cluster, &Had<'_>, &Side, &Side) -> Result<()>;

/// Plays `story` with the node that has the services, and the other one.
fn play(name: &str, pairing: Pairing, story: Story) {
    let plan = |cluster: &Cluster| Plan::services(&cluster.sides());
    had::play(name, &had::setup(pairing), plan, |cluster, had| {
        let (active, other) = step("services", || services::wait_placed(cluster))?;
        ensure!(
            services::active(other)?.is_empty(),
            "services on both nodes"
        );
        story(cluster, had, active, other)
    });
}

#[test]
fn had_power_cut() {
    play("had_power_cut", Pairing::OursOurs, power_cut);
}

#[test]
#[ignore = "full: had_power_cut with the in-tree driver under drbd-had"]
fn had_power_cut_of_stock() {
    play("had_power_cut_of_stock", Pairing::StockStock, power_cut);
}

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_move() {
    play("had_move", Pairing::OursOurs, moves);
}

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_killed_daemon() {
    play("had_killed_daemon", Pairing::OursOurs, killed_daemon);
}

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_links_cut() {
    play("had_links_cut", Pairing::OursOurs, links_cut);
}

#[test]
#[ignore = "full: more than 100 s where the processors are busy"]
fn had_frozen_node() {
    play("had_frozen_node", Pairing::OursOurs, frozen_node);
}

fn write_some(side: &Side) -> Result<Writer> {
    let writer = Writer::start(side, RECORDS)?;
    writer.wait_more(20, Duration::from_secs(60))?;
    Ok(writer)
}

fn check(side: &Side, acknowledged: u64) -> Result<()> {
    Writer::check(side, RECORDS, acknowledged)?;
    println!("  {acknowledged} records were acknowledged and are there");
    Ok(())
}

/// The services run on `side` and nowhere else, and it writes.
fn goes_on(side: &Side, other: &Side, writer: &Writer) -> Result<()> {
    let seen = services::active(side)?;
    ensure!(seen.len() == 3, "only {seen:?} on {}", side.name());
    let seen = services::active(other)?;
    ensure!(seen.is_empty(), "{seen:?} on {}", other.name());
    writer.wait_more(20, LIMIT)
}

fn power_cut(_: &Cluster, had: &Had<'_>, active: &Side, other: &Side) -> Result<()> {
    let writer = write_some(active)?;
    let events = had.events(other)?;
    let cut = Instant::now();
    active.node.power_cut()?;
    let acknowledged = writer.acknowledged()?;
    services::wait_active(other)?;
    println!(
        "  {:>6.2} s: seen from outside",
        cut.elapsed().as_secs_f64()
    );
    had.take_over(&events, active, cut)?.print();
    had.were_shot(&[active])?;
    check(other, acknowledged)
}

fn moves(_: &Cluster, had: &Had<'_>, active: &Side, other: &Side) -> Result<()> {
    let writer = write_some(active)?;
    step("a planned move", || -> Result<()> {
        had.ctl(active, &format!("move {GROUP} {}", other.name()))?;
        services::wait_active(other)?;
        services::wait_idle(active)
    })?;
    check(other, writer.acknowledged()?)?;
    let writer = write_some(other)?;
    step(
        "a service that failed is started again where it was",
        || -> Result<()> {
            other.sh(&format!("rm {SERVICE}"))?;
            services::wait_active(other)?;
            goes_on(other, active, &writer)
        },
    )?;
    step("a node that leaves hands over", || -> Result<()> {
        had.stop(other)?;
        ensure!(services::active(other)?.is_empty(), "services were left");
        services::wait_active(active)
    })?;
    check(active, writer.acknowledged()?)?;
    had.nobody_was_shot()
}

/// What a restart of the service, the mount or the promotion would change.
fn marks(side: &Side) -> Result<String> {
    side.sh(&format!(
        "stat -c %i.%Z {SERVICE}; grep ' /mnt ' /proc/self/mountinfo; grep -c 'start of' /run/drbd-had.log"
    ))
}

fn killed_daemon(_: &Cluster, had: &Had<'_>, active: &Side, other: &Side) -> Result<()> {
    let writer = write_some(active)?;
    let before = marks(active)?;
    for (side, whose) in [
        (other, "the idle node"),
        (active, "the node with the services"),
    ] {
        step(
            &format!("the daemon of {whose} is killed"),
            || -> Result<()> {
                had.kill(side, false)?;
                had.wait_members(side)?;
                sleep(SILENCE);
                had.wait_members(active)?;
                goes_on(active, other, &writer)
            },
        )?;
    }
    ensure!(marks(active)? == before, "{before}\n{}", marks(active)?);
    had.nobody_was_shot()?;
    let events = had.events(other)?;
    let killed = Instant::now();
    step("it is killed and does not come back", || -> Result<()> {
        had.kill(active, true)?;
        services::wait_active(other)
    })?;
    had.take_over(&events, active, killed)?.print();
    had.were_shot(&[active])?;
    check(other, writer.acknowledged()?)
}

fn links_cut(cluster: &Cluster, had: &Had<'_>, active: &Side, other: &Side) -> Result<()> {
    let writer = write_some(active)?;
    step("the second link is cut", || -> Result<()> {
        other.node.port(1)?.cut(true);
        sleep(SILENCE);
        goes_on(active, other, &writer)?;
        let view = active.view()?;
        ensure!(view.is_healthy(), "{view:?}");
        other.node.port(1)?.cut(false);
        Ok(())
    })?;
    step("the replication's link is cut", || -> Result<()> {
        other.node.port(0)?.cut(true);
        active.wait("an outdated peer", LIMIT, |view| {
            view.peer_disk == "Outdated" && view.suspended.is_empty()
        })?;
        goes_on(active, other, &writer)?;
        other.node.port(0)?.cut(false);
        active.wait_healthy()?;
        other.wait_healthy()?;
        had.nobody_was_shot()
    })?;
    step("it flaps", || -> Result<()> {
        for _ in 0..5 {
            other.node.port(0)?.cut(true);
            sleep(Duration::from_secs(1));
            other.node.port(0)?.cut(false);
            sleep(Duration::from_secs(1));
        }
        active.wait_healthy()?;
        goes_on(active, other, &writer)?;
        had.nobody_was_shot()
    })?;
    step("both links are cut", || -> Result<()> {
        for nic in 0..2 {
            other.node.port(nic)?.cut(true);
        }
        until("a shot", LIMIT, || Ok(had.shot()), |shot| !shot.is_empty())?;
        // The other one would shoot soon, if it were to.
        sleep(SILENCE);
        let alive = cluster.sides().into_iter();
        let alive: Vec<&str> = alive
            .filter(|side| side.node.is_running())
            .map(Side::name)
            .collect();
        // The delay is for the node with the services.
        ensure!(
            alive == [active.name()],
            "{alive:?} live, {:?} were shot",
            had.shot()
        );
        services::wait_active(active)?;
        active.wait("I/O that goes on", LIMIT, |view| view.suspended.is_empty())?;
        writer.wait_more(20, LIMIT)
    })?;
    let acknowledged = writer.stop()?;
    check(active, acknowledged)
}

/// First nobody can fence it, and it thaws; then somebody says falsely that it is off, and it thaws when the other one has the
/// services: it must not go on.
fn frozen_node(cluster: &Cluster, had: &Had<'_>, active: &Side, other: &Side) -> Result<()> {
    let writer = write_some(active)?;
    let power = cluster.power.as_ref().context("no power switch")?;
    power.refuse(true);
    step(
        "it is frozen, and the switch is broken",
        || -> Result<()> {
            active.node.freeze()?;
            let tried = || Ok(power.history().len());
            until("two attempts", LIMIT, tried, |tried| *tried >= 2)?;
            for _ in 0..10 {
                let role = other.view()?.role;
                ensure!(
                    role == "Secondary",
                    "{role} beside a node that may be alive"
                );
                sleep(Duration::from_secs(1));
            }
            Ok(())
        },
    )?;
    step("it thaws and goes on", || -> Result<()> {
        active.node.thaw()?;
        had.wait_members(active)?;
        had.wait_members(other)?;
        active.wait_healthy()?;
        goes_on(active, other, &writer)
    })?;
    had.nobody_was_shot()?;
    active.node.freeze()?;
    step(
        "it is frozen again, and said to be off",
        || -> Result<()> {
            let silent = |said: &String| said.contains("Dead") || said.contains("Fencing");
            let look = || had.ctl(other, "status");
            until("its death", LIMIT, look, silent)?;
            let words = format!("confirm-fenced {} --i-have-seen-it-off", active.name());
            had.ctl(other, &words)?;
            services::wait_active(other)
        },
    )?;
    let size: u64 = other.sh(&format!("stat -c %s {RECORDS}"))?.trim().parse()?;
    let taken_over = size / 4096;
    let after = write_some(other)?;
    step("it thaws, and ends itself", || -> Result<()> {
        active.node.thaw()?;
        active.node.wait_off(LIMIT)?;
        Ok(())
    })?;
    // All that it ever acknowledged, also after it thawed, was there when the other one took over.
    let theirs = writer.acknowledged()?;
    ensure!(
        theirs <= taken_over,
        "{theirs} were acknowledged, {taken_over} taken over"
    );
    check(other, after.stop()?)?;
    had.nobody_was_shot()
}
