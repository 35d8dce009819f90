// SPDX-License-Identifier: GPL-2.0-or-later
//! The same power cut, with drbd-had on both machines: nobody types anything, and the services come back.

use std::time::{Duration, Instant};

use anyhow::Result;
use drbd_tests::had::{self, GROUP};
use drbd_tests::{services, Cluster, Had, Pairing, Side, Writer};

use crate::narrator::Narrator;
use crate::Options;

const RECORDS: &str = "/mnt/records";

/// Records to wait for before the power is cut.
const RECORDS_MIN: u64 = 100;

pub(crate) fn tell(options: &Options, narrator: &mut Narrator) -> Result<()> {
    narrator.chapter("Two virtual machines boot, with two networks and a power switch");
    let setup = had::setup(Pairing::OursOurs).disk_mib(options.disk_mib);
    let cluster = narrator.timed("boot two machines", |_| {
        let cluster = Cluster::boot("demo-ha", &setup)?;
        let remark = format!("{:?}", cluster.lab.accel());
        Ok((cluster, remark))
    })?;
    narrator.chapter("They get a replicated disk with an empty file system");
    narrator.timed("two good copies", |_| {
        Ok((services::make_file_system(&cluster)?, String::new()))
    })?;
    let had = Had::new(&cluster)?;
    had.play(|had| fail_over(options, narrator, &cluster, had))?;
    for side in cluster.sides().into_iter().filter(|s| s.node.is_running()) {
        had.stop(side)?;
    }
    cluster.finish()?;
    narrator.note("no kernel has complained on its console");
    Ok(())
}

fn fail_over(
    options: &Options,
    narrator: &mut Narrator,
    cluster: &Cluster,
    had: &Had<'_>,
) -> Result<()> {
    narrator.chapter("drbd-had starts on both: they meet, and one gets the services");
    narrator.run(&cluster.alpha, "cat /etc/drbd-ha.toml")?;
    let (active, other) = narrator.timed("meet and start the services", |_| {
        had.start_all()?;
        let (active, other) = services::wait_placed(cluster)?;
        Ok(((active, other), format!("on {}", active.name())))
    })?;
    narrator.run(active, "drbd-hactl status; drbdadm status r0")?;

    narrator.chapter("A writer records every fsync that returned; then the power is cut");
    let writer = Writer::start(active, RECORDS)?;
    writer.wait_more(RECORDS_MIN, Duration::from_secs(120))?;
    let events = had.events(other)?;
    let cut = Instant::now();
    active.node.power_cut()?;
    let acknowledged = writer.acknowledged()?;
    narrator.note(&format!(
        "{} is off; {acknowledged} records were acknowledged to the writer",
        active.name()
    ));

    narrator.chapter(&format!("{} notices, fences and takes over", other.name()));
    services::wait_active(other)?;
    let parts = had.take_over(&events, active, cut)?.parts();
    let mut before_ms = 0;
    for (what, ms) in parts {
        let at = Duration::from_millis(ms);
        let took = Duration::from_millis(ms.saturating_sub(before_ms));
        narrator.note(&format!("{:6.2} s after the cut: {what}", at.as_secs_f64()));
        let remark = format!("{:.2} s after the cut", at.as_secs_f64());
        narrator.record(what, took, &remark);
        before_ms = ms;
    }
    had.were_shot(&[active])?;
    narrator.run(other, "drbd-hactl history; drbd-hactl status")?;
    check(options, narrator, other, acknowledged)?;
    narrator.run(other, &format!("drbd-hactl disable {GROUP}"))?;
    services::wait_idle(other)
}

fn check(options: &Options, narrator: &mut Narrator, side: &Side, last: u64) -> Result<()> {
    if options.break_a_byte {
        side.sh(&format!(
            "printf x | dd of={RECORDS} bs=1 seek=5000 conv=notrunc 2>/dev/null"
        ))?;
        narrator.note("a byte of a record is changed, as asked for");
    }
    narrator.timed("check every promise", |_| {
        Writer::check(side, RECORDS, last)?;
        Ok(((), format!("{last} records")))
    })?;
    narrator.note(&format!("all {last} acknowledged records are there"));
    Ok(())
}
