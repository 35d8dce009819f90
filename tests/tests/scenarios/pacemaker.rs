// SPDX-License-Identifier: GPL-2.0-or-later
//! The real Pacemaker runs the resource, a file system, an address and a service on it. Whatever becomes of a node, what
//! a writer was told is durable is there after the take-over, and never do two nodes have the services.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_tests::cib::{GROUP, SERVICE};
use drbd_tests::pacemaker::{self, AGENT};
use drbd_tests::scenario::step;
use drbd_tests::services::{self, LIMIT};
use drbd_tests::wait::until;
use drbd_tests::{scenario, Cib, Cluster, Pacemaker, Pairing, Side, Writer};

const RECORDS: &str = "/mnt/records";

type Story = fn(&Cluster, &Pacemaker<'_>) -> Result<()>;

fn play(name: &str, pairing: Pairing, cib: Cib, story: Story) {
    scenario(name, &pacemaker::setup(pairing), |cluster| {
        let pacemaker = Pacemaker::new(cluster, cib)?;
        pacemaker.play(|pacemaker| {
            step("two good copies", || services::make_file_system(cluster))?;
            step("a cluster", || pacemaker.start_all())?;
            story(cluster, pacemaker)
        })
    });
}

#[test]
fn pacemaker_power_cut() {
    let cib = Cib::default();
    play("pacemaker_power_cut", Pairing::OursOurs, cib, power_cut);
}

#[test]
#[ignore = "full: pacemaker_power_cut with the in-tree driver under our agent"]
fn pacemaker_power_cut_of_stock() {
    let cib = Cib::default();
    play(
        "pacemaker_power_cut_of_stock",
        Pairing::StockStock,
        cib,
        power_cut,
    );
}

#[test]
#[ignore = "full: four minutes of waiting for what was cut"]
fn pacemaker_links_lost() {
    let cib = Cib {
        fencing_delay_s: 10,
        ..Cib::default()
    };
    play("pacemaker_links_lost", Pairing::OursOurs, cib, links_lost);
}

#[test]
#[ignore = "full: more than 150 s where the processors are busy"]
fn pacemaker_move_and_failed_service() {
    let cib = Cib {
        failures: 2,
        ..Cib::default()
    };
    play(
        "pacemaker_move_and_failed_service",
        Pairing::OursOurs,
        cib,
        moves,
    );
}

#[test]
#[ignore = "full: what a power switch that does not work prevents takes minutes"]
fn pacemaker_broken_switch() {
    let cib = Cib::default();
    play(
        "pacemaker_broken_switch",
        Pairing::OursOurs,
        cib,
        broken_switch,
    );
}

#[test]
fn pacemaker_ocf_tester() {
    let setup = pacemaker::setup(Pairing::OursOurs);
    scenario("pacemaker_ocf_tester", &setup, ocf_tester);
}

fn write_some(side: &Side) -> Result<Writer> {
    let writer = Writer::start(side, RECORDS)?;
    writer.wait_more(20, Duration::from_secs(60))?;
    Ok(writer)
}

/// Waits for the take-over by `other`, and says when which part of it was done.
fn take_over(pacemaker: &Pacemaker<'_>, other: &Side, begun: Instant) -> Result<()> {
    let since = |what: &str| println!("  {:>6.1} s: {what}", begun.elapsed().as_secs_f64());
    until(
        "a shot",
        LIMIT,
        || pacemaker.shot(),
        |shot| !shot.is_empty(),
    )?;
    since("fenced");
    other.wait("a promotion", LIMIT, |view| view.role == "Primary")?;
    since("promoted");
    services::wait_active(other)?;
    since("file system, address and service");
    Ok(())
}

fn check(side: &Side, acknowledged: u64) -> Result<()> {
    Writer::check(side, RECORDS, acknowledged)?;
    println!("  {acknowledged} records were acknowledged and are there");
    Ok(())
}

fn power_cut(cluster: &Cluster, pacemaker: &Pacemaker<'_>) -> Result<()> {
    let (active, other) = step("services", || services::wait_placed(cluster))?;
    let writer = write_some(active)?;
    let begun = Instant::now();
    active.node.power_cut()?;
    let acknowledged = writer.acknowledged()?;
    take_over(pacemaker, other, begun)?;
    ensure!(
        pacemaker.shot()? == [active.name()],
        "{:?}",
        pacemaker.shot()?
    );
    check(other, acknowledged)
}

/// First the replication's network, which costs the peer its promotion and nobody the power; then both.
fn links_lost(cluster: &Cluster, pacemaker: &Pacemaker<'_>) -> Result<()> {
    let (active, other) = step("services", || services::wait_placed(cluster))?;
    let writer = write_some(active)?;
    step("the replication's network is lost", || -> Result<()> {
        other.node.port(0)?.cut(true);
        let look = || pacemaker.constraint(active);
        let seen = until("a constraint", LIMIT, look, |seen| !seen.is_empty())?;
        let wanted = format!("operation=\"ne\" value=\"{}\"", active.name());
        ensure!(seen.contains(&wanted), "{seen}");
        active.wait("an outdated peer", LIMIT, |view| {
            view.peer_disk == "Outdated" && view.suspended.is_empty()
        })?;
        writer.wait_more(20, LIMIT)?;
        ensure!(
            services::active(active)?.len() == 3,
            "the services are gone"
        );
        ensure!(
            pacemaker.shot()?.is_empty(),
            "{:?} was shot",
            pacemaker.shot()?
        );
        Ok(())
    })?;
    step("it is back", || -> Result<()> {
        other.node.port(0)?.cut(false);
        active.wait_healthy()?;
        other.wait_healthy()?;
        let look = || pacemaker.constraint(active);
        until("no constraint", LIMIT, look, String::is_empty)?;
        writer.wait_more(20, LIMIT)
    })?;
    step("both networks are lost", || -> Result<()> {
        for nic in 0..2 {
            other.node.port(nic)?.cut(true);
        }
        until(
            "a shot",
            LIMIT,
            || pacemaker.shot(),
            |shot| !shot.is_empty(),
        )?;
        // The other one would shoot soon, if it were to.
        std::thread::sleep(Duration::from_secs(15));
        let alive: Vec<&Side> = cluster
            .sides()
            .into_iter()
            .filter(|side| side.node.is_running())
            .collect();
        let [survivor] = alive[..] else {
            anyhow::bail!(
                "{} of two nodes live, {:?} were shot",
                alive.len(),
                pacemaker.shot()?
            );
        };
        // The delay is for the node with the services.
        ensure!(
            survivor.name() == active.name(),
            "the node with the services was shot"
        );
        services::wait_active(survivor)?;
        survivor.wait("I/O that goes on", LIMIT, |view| view.suspended.is_empty())?;
        writer.wait_more(20, LIMIT)
    })?;
    let acknowledged = writer.stop()?;
    check(active, acknowledged)
}

fn moves(cluster: &Cluster, pacemaker: &Pacemaker<'_>) -> Result<()> {
    let (active, other) = step("services", || services::wait_placed(cluster))?;
    let writer = write_some(active)?;
    step("a planned move", || -> Result<()> {
        active.sh(&format!(
            "crm_resource --move --resource {GROUP} --node {}",
            other.name()
        ))?;
        services::wait_active(other)?;
        services::wait_idle(active)
    })?;
    check(other, writer.acknowledged()?)?;
    other.sh(&format!("crm_resource --clear --resource {GROUP}"))?;
    let (active, other) = (other, active);
    let writer = write_some(active)?;
    step(
        "a service that failed is started again where it was",
        || -> Result<()> {
            active.sh(&format!("rm {SERVICE}"))?;
            services::wait_active(active)?;
            writer.wait_more(20, LIMIT)
        },
    )?;
    step("one that failed twice moves", || -> Result<()> {
        active.sh(&format!("rm {SERVICE}"))?;
        services::wait_active(other)?;
        services::wait_idle(active)
    })?;
    check(other, writer.acknowledged()?)?;
    ensure!(
        pacemaker.shot()?.is_empty(),
        "{:?} was shot",
        pacemaker.shot()?
    );
    let view = other.view()?;
    ensure!(
        view.is_healthy() && view.peer_role == "Secondary",
        "{view:?}"
    );
    Ok(())
}

/// A node that nobody can switch off may be writing: its services do not start elsewhere.
fn broken_switch(cluster: &Cluster, pacemaker: &Pacemaker<'_>) -> Result<()> {
    let (active, other) = step("services", || services::wait_placed(cluster))?;
    let power = cluster.power.as_ref().context("no power switch")?;
    let writer = write_some(active)?;
    power.refuse(true);
    active.node.freeze()?;
    let acknowledged = writer.acknowledged()?;
    let tried = || Ok(power.history().len());
    until("two attempts", LIMIT, tried, |tried| *tried >= 2)?;
    for _ in 0..20 {
        ensure!(
            other.view()?.role == "Secondary",
            "promoted beside a node that may be alive"
        );
        std::thread::sleep(Duration::from_secs(1));
    }
    let begun = Instant::now();
    power.refuse(false);
    take_over(pacemaker, other, begun)?;
    check(other, acknowledged)
}

/// The test program of resource-agents finds nothing wrong with the agent.
fn ocf_tester(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    Pacemaker::new(cluster, Cib::default())?;
    step("two good copies", || services::make_file_system(cluster))?;
    beta.drbdadm("up")?;
    let said = alpha.node.run(
        &format!("ocf-tester -v -n p_r0 -o drbd_resource=r0 {AGENT} 2>&1"),
        LIMIT,
    )?;
    println!("{}", said.stdout);
    ensure!(
        said.success(),
        "ocf-tester: exit {}\n{}",
        said.status,
        said.stdout
    );
    ensure!(!said.stdout.contains("failed"), "{}", said.stdout);
    Ok(())
}
