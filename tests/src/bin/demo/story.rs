// SPDX-License-Identifier: GPL-2.0-or-later
//! The story itself.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_tests::{disks, Cluster, Setup, Side, Writer};

use crate::narrator::Narrator;
use crate::Options;

/// What is copied into the file system.
const TREE: &str = "/etc /usr/share/zoneinfo /usr/lib/modules";

/// Says a sum for every file, in one order on every node.
const SUMS: &str = "cd /mnt/tree && find . -type f -print0 | sort -z | xargs -0 sha256sum";

const RECORDS: &str = "/mnt/records";

/// Records to wait for before the power is cut.
const RECORDS_MIN: u64 = 200;

/// On a busy host without hardware virtualisation.
const SYNC_LIMIT: Duration = Duration::from_secs(900);

/// What alpha promised before it died.
struct Promises {
    records: u64,
    sums: String,
}

pub(crate) fn tell(options: &Options, narrator: &mut Narrator) -> Result<()> {
    let cluster = boot(options, narrator)?;
    replicate(&cluster, narrator)?;
    let promises = fill_and_crash(&cluster, narrator)?;
    go_on(&cluster, narrator, &promises)?;
    come_back(&cluster, narrator)?;
    compare(options, &cluster, narrator)?;
    cluster.finish()?;
    narrator.note("the modules are unloaded; no kernel has complained on its console");
    Ok(())
}

fn boot(options: &Options, narrator: &mut Narrator) -> Result<Cluster> {
    narrator.chapter("Two virtual machines boot: alpha and beta");
    let mib = options.disk_mib;
    let setup = Setup::default().disk_mib(mib);
    let cluster = narrator.timed("boot two machines", |_| {
        let cluster = Cluster::boot("demo", &setup)?;
        let remark = format!("{:?}, {mib} MiB of disk each", cluster.lab.accel());
        Ok((cluster, remark))
    })?;
    for side in cluster.sides() {
        narrator.run(side, "uname -sr; head -1 /proc/drbd")?;
    }
    narrator.run(&cluster.alpha, "cat /etc/drbd.conf")?;
    Ok(cluster)
}

fn replicate(cluster: &Cluster, narrator: &mut Narrator) -> Result<()> {
    narrator.chapter("The disks become one replicated device");
    for side in cluster.sides() {
        narrator.run(side, "drbdadm create-md r0 2>&1")?;
        narrator.run(side, "drbdadm up r0")?;
    }
    cluster.alpha.wait_connection("Connected")?;
    narrator.run(&cluster.alpha, "drbdadm status r0")?;
    narrator.note("both disks are new; alpha's data is declared the good one");
    narrator.run(&cluster.alpha, "drbdadm primary --force r0")?;
    narrator.timed("initial sync", |narrator| {
        let started = Instant::now();
        narrator.follow_sync(&cluster.alpha, SYNC_LIMIT)?;
        cluster.beta.wait_healthy()?;
        let mib = cluster.alpha.device_bytes()? as f64 / 1_048_576.0;
        let rate = mib / started.elapsed().as_secs_f64();
        Ok(((), format!("{mib:.0} MiB, {rate:.1} MiB/s")))
    })?;
    narrator.run(&cluster.alpha, "drbdadm status r0").map(drop)
}

fn fill_and_crash(cluster: &Cluster, narrator: &mut Narrator) -> Result<Promises> {
    let alpha = &cluster.alpha;
    narrator.chapter("alpha makes a file system on /dev/drbd0 and fills it");
    // A discard of the whole device would make all of it recently changed,
    // and the return of alpha would show nothing.
    let mkfs = "mkfs.ext4 -q -E nodiscard /dev/drbd0 && mount /dev/drbd0 /mnt";
    narrator.timed("mkfs and mount", |narrator| {
        Ok((narrator.run(alpha, mkfs)?, String::new()))
    })?;
    narrator.timed("copy a directory tree", |narrator| {
        let copy = format!("mkdir /mnt/tree && cp -a {TREE} /mnt/tree/ && sync");
        narrator.run(alpha, &copy)?;
        let size = alpha.sh("find /mnt/tree -type f | wc -l; du -sh /mnt/tree | cut -f1")?;
        let remark = size.trim().replace('\n', " files, ");
        narrator.note(&remark);
        Ok(((), remark))
    })?;
    let sums = alpha.sh(SUMS)?;

    narrator.chapter("A writer records every fsync that returned; then alpha's power is cut");
    let started = Instant::now();
    let writer = Writer::start(alpha, RECORDS)?;
    writer.wait_more(RECORDS_MIN, Duration::from_secs(120))?;
    alpha.node.power_cut()?;
    let took = started.elapsed();
    let records = writer.acknowledged()?;
    let remark = format!(
        "{records} records, {:.1} ms each",
        took.as_secs_f64() * 1000.0 / records as f64
    );
    narrator.record("writer on alpha", took, &remark);
    narrator.note(&format!(
        "alpha is off; {records} records were acknowledged to the writer"
    ));
    Ok(Promises { records, sums })
}

fn go_on(cluster: &Cluster, narrator: &mut Narrator, promises: &Promises) -> Result<()> {
    let beta = &cluster.beta;
    narrator.chapter("beta takes over");
    let cut = Instant::now();
    narrator.timed("beta notices", |_| {
        beta.wait_connection("Connecting")?;
        Ok((
            (),
            "ping-int 10 s and ping-timeout 0.5 s at most".to_owned(),
        ))
    })?;
    narrator.run(beta, "drbdadm status r0")?;
    narrator.timed("beta takes over", |narrator| {
        narrator.run(beta, "drbdadm primary r0")?;
        beta.fsck()?;
        narrator.note("the file system is whole");
        narrator.run(beta, "mount /dev/drbd0 /mnt")?;
        Ok(((), "primary, fsck, mount".to_owned()))
    })?;
    let outage = cut.elapsed().as_secs_f64();
    narrator.note(&format!(
        "{outage:.1} s after the power cut the files are there again"
    ));

    narrator.timed("check every promise", |narrator| {
        Writer::check(beta, RECORDS, promises.records)?;
        narrator.note(&format!(
            "all {} acknowledged records are there",
            promises.records
        ));
        let sums = beta.sh(SUMS)?;
        let files = promises.sums.lines().count();
        let different: Vec<&str> = promises
            .sums
            .lines()
            .zip(sums.lines().chain(std::iter::repeat("")))
            .filter(|(before, after)| before != after)
            .map(|(before, _)| before)
            .collect();
        ensure!(
            different.is_empty() && sums.lines().count() == files,
            "of {files} files {} are not what they were, the first: {}",
            different.len(),
            different.first().copied().unwrap_or("one too many")
        );
        narrator.note(&format!("all {files} files are what they were"));
        let remark = format!("{} records, {files} files", promises.records);
        Ok(((), remark))
    })
}

fn come_back(cluster: &Cluster, narrator: &mut Narrator) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    narrator.chapter("beta works on alone, and alpha comes back");
    narrator.run(
        beta,
        "dd if=/dev/urandom of=/mnt/alone bs=64k count=64 conv=fsync 2>/dev/null; sync",
    )?;
    narrator.timed("alpha boots", |_| {
        cluster.power_on(alpha)?;
        Ok(((), String::new()))
    })?;
    let logged_kib = apply_activity_log(narrator, alpha)?;
    // The file system writes on its own, so all is read at one moment.
    let before = beta.view()?;
    let changed_kib = before.out_of_sync_kib;
    narrator.note(&format!("{changed_kib} KiB have changed on beta alone"));
    narrator.run(alpha, "drbdadm up r0")?;
    let (sent_kib, written_kib) = narrator.timed("resync of what changed", |narrator| {
        alpha.wait_connection("Connected")?;
        narrator.follow_sync(beta, SYNC_LIMIT)?;
        alpha.wait_healthy()?;
        let (sent_kib, written_kib) = beta.view()?.sent_and_written_since(&before);
        Ok(((sent_kib, written_kib), format!("{sent_kib} KiB")))
    })?;
    narrator.note(&format!(
        "{sent_kib} KiB were sent: {changed_kib} KiB had changed, {logged_kib} KiB more were \
         in the activity log, {written_kib} KiB were written meanwhile"
    ));
    ensure!(
        sent_kib <= changed_kib + logged_kib + written_kib,
        "more was sent than had changed, was in the activity log or was written meanwhile"
    );
    narrator.run(beta, "drbdadm status r0").map(drop)
}

/// KiB that alpha's activity log names.
fn apply_activity_log(narrator: &Narrator, alpha: &Side) -> Result<u64> {
    let said = narrator.run(alpha, "drbdmeta -v 0 v09 /dev/vdb internal apply-al 2>&1")?;
    let mut words = said
        .split_whitespace()
        .skip_while(|word| *word != "additional");
    words
        .nth(1)
        .and_then(|number| number.parse().ok())
        .context("the activity log of a Primary that crashed names nothing")
}

fn compare(options: &Options, cluster: &Cluster, narrator: &mut Narrator) -> Result<()> {
    narrator.chapter("Both disks are compared, byte for byte");
    narrator.run(&cluster.beta, "umount /mnt && drbdadm secondary r0")?;
    let bytes = cluster.beta.device_bytes()?;
    for side in cluster.sides() {
        side.down()?;
    }
    if options.break_a_byte {
        let offset = bytes / 3;
        disks::flip_byte(cluster.beta.node.disk_file(0)?, offset)?;
        narrator.note(&format!(
            "byte {offset} of beta's disk is flipped, as asked for"
        ));
    }
    narrator.timed("compare the disks", |_| {
        cluster.compare_disks_of(bytes)?;
        let remark = format!("{} MiB, equal outside the metadata", bytes >> 20);
        Ok(((), remark))
    })?;
    narrator.note("they are equal outside the metadata");
    for side in cluster.sides() {
        side.drbdadm("up")?;
    }
    Ok(())
}
