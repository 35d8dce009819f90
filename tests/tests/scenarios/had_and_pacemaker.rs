// SPDX-License-Identifier: GPL-2.0-or-later
//! How long a power cut interrupts the same services on the same machines, with drbd-had and with Pacemaker, one after the
//! other. Both declare a node dead after five seconds, and the one with less to lose waits three more before it fences.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{
    had, pacemaker, scenario, services, Cib, Cluster, Had, Pacemaker, Pairing, Setup,
};
use drbd_tests::{Side, Writer};

const RECORDS: &str = "/mnt/records";

#[test]
#[ignore = "full: a measurement of several minutes"]
fn had_is_not_slower_than_pacemaker() {
    let setup = Setup {
        config: had::setup(Pairing::OursOurs).config,
        ..pacemaker::setup(Pairing::OursOurs)
    };
    scenario("had_is_not_slower_than_pacemaker", &setup, compare);
}

/// Cuts the power of the node with the services under a writer; how long it takes until they run on the other one.
fn interrupt(cluster: &Cluster) -> Result<(Duration, &Side, &Side)> {
    let (active, other) = services::wait_placed(cluster)?;
    let writer = Writer::start(active, RECORDS)?;
    writer.wait_more(20, Duration::from_secs(60))?;
    let cut = Instant::now();
    active.node.power_cut()?;
    let acknowledged = writer.acknowledged()?;
    services::wait_active(other)?;
    let took = cut.elapsed();
    Writer::check(other, RECORDS, acknowledged)?;
    Ok((took, active, other))
}

fn compare(cluster: &Cluster) -> Result<()> {
    services::make_file_system(cluster)?;
    let ours = Had::new(cluster)?;
    let mut first = None;
    ours.play(|had| {
        had.start_all()?;
        first = Some(step("power cut with drbd-had", || interrupt(cluster))?);
        Ok(())
    })?;
    let Some((with_had, lost, other)) = first else {
        anyhow::bail!("nothing was measured");
    };
    step("both nodes are good again", || -> Result<()> {
        ours.stop(other)?;
        cluster.power_on(lost)?;
        lost.drbdadm("up")?;
        other.wait_healthy()?;
        lost.wait_healthy()?;
        for side in cluster.sides() {
            side.down()?;
            let theirs = pacemaker::setup(Pairing::OursOurs).config;
            cluster.configure(side, &theirs)?;
        }
        Ok(())
    })?;
    let cib = Cib {
        fencing_delay_s: 3,
        ..Cib::default()
    };
    let theirs = Pacemaker::new(cluster, cib)?;
    theirs.play(|pacemaker| {
        step("a cluster of Pacemaker", || pacemaker.start_all())?;
        let (with_pacemaker, ..) = step("power cut with Pacemaker", || interrupt(cluster))?;
        let (had_s, pacemaker_s) = (with_had.as_secs_f64(), with_pacemaker.as_secs_f64());
        println!("  interrupted for {had_s:.1} s with drbd-had, {pacemaker_s:.1} s with Pacemaker");
        ensure!(had_s <= pacemaker_s, "{had_s:.1} s, {pacemaker_s:.1} s");
        Ok(())
    })
}
