// SPDX-License-Identifier: GPL-2.0-or-later
//! Options as the dice say, another set in every round and other disk options on each node, under load and whatever else
//! happens to a pair meanwhile: it finds itself again without help, what was written is what is read, and the disks are equal.
//!
//! `DRBD_SEED` repeats a run, `DRBD_ROUNDS` sets how many rounds there are.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_tests::config::Config;
use drbd_tests::dice::dice;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

/// How many rounds there are unless the environment says otherwise.
const ROUNDS: u32 = 5;

#[test]
#[ignore = "full: rounds of half a minute"]
fn options_at_random() {
    scenario("options_at_random", &Setup::default(), story);
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn options_at_random_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock);
    scenario("options_at_random_with_stock", &setup, story);
}

#[test]
#[ignore = "full: the same with the stock driver as Primary"]
fn options_at_random_from_stock() {
    let setup = Setup::pairing(Pairing::StockOurs);
    scenario("options_at_random_from_stock", &setup, story);
}

const MINUTE: Duration = Duration::from_secs(60);
/// For the load and its verification on two busy machines.
const LOAD_LIMIT: Duration = Duration::from_secs(240);

/// Of each row one is picked; what is empty is left out.
const NET: [&[&str]; 14] = [
    &["protocol A", "protocol B", "protocol C"],
    &[
        "",
        "max-epoch-size 1",
        "max-epoch-size 30",
        "max-epoch-size 20000",
    ],
    &["", "max-buffers 32", "max-buffers 256", "max-buffers 20000"],
    &["", "unplug-watermark 1", "unplug-watermark 4000"],
    &["", "sndbuf-size 64k", "sndbuf-size 4M"],
    &["", "rcvbuf-size 64k", "rcvbuf-size 4M"],
    &["", "tcp-cork no"],
    &["", "use-rle no"],
    &[
        "",
        "data-integrity-alg crc32c",
        "data-integrity-alg sha1",
        "data-integrity-alg md5",
    ],
    // fio begins a block with its CRC: to crc32c all of them are equal.
    &["", "csums-alg sha1", "csums-alg md5"],
    &["verify-alg crc32c", "verify-alg sha1", "verify-alg md5"],
    &[
        "",
        "cram-hmac-alg sha1; shared-secret word",
        "cram-hmac-alg sha256; shared-secret word",
    ],
    &["", "always-asbp yes"],
    &["ping-int 2", "ping-int 10"],
];

/// Only with protocol A.
const CONGESTION: [&str; 3] = [
    "",
    "on-congestion pull-ahead; congestion-fill 256k",
    "on-congestion pull-ahead; congestion-extents 67",
];

/// As [`NET`], for each node.
const DISK: [&[&str]; 12] = [
    &["", "disk-barrier yes"],
    &["", "disk-flushes no"],
    &["", "disk-drain no"],
    &["", "md-flushes no"],
    &["", "al-extents 67", "al-extents 257"],
    &["", "al-updates no"],
    &[
        "",
        "c-plan-ahead 0; resync-rate 8M",
        "c-plan-ahead 5; c-fill-target 1M",
        "c-delay-target 30",
    ],
    &["c-min-rate 4M", "c-min-rate 0"],
    &[
        "",
        "rs-discard-granularity 64k",
        "rs-discard-granularity 1M",
    ],
    &["", "discard-zeroes-if-aligned no"],
    &["", "disable-write-same yes"],
    &["", "disk-timeout 300"],
];

/// What happens to the pair, and what ends it; a node may have its reasons to refuse a command.
const EVENTS: [(&str, &str); 7] = [
    ("the link is cut", "the link is back"),
    ("drbdadm disconnect r0", "drbdadm connect r0"),
    ("drbdadm detach r0", "drbdadm attach r0"),
    ("drbdadm pause-sync r0", "drbdadm resume-sync r0"),
    ("drbdadm verify r0", "true"),
    ("drbdadm invalidate r0", "true"),
    (
        "blkdiscard -o 32M -l 8M /dev/drbd0",
        "dd if=/dev/urandom of=/dev/drbd0 bs=64k seek=520 count=9 oflag=direct",
    ),
];

/// Lines of a section: `;` parts those that belong together.
fn picked(dice: &mut fastrand::Rng, rows: &[&[&str]]) -> Vec<String> {
    let rows = rows.iter().filter_map(|row| dice.choice(row.iter()));
    let lines = rows.flat_map(|row| row.split("; "));
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Another configuration for both nodes, in effect.
fn configure(cluster: &Cluster, dice: &mut fastrand::Rng) -> Result<()> {
    let mut net = picked(dice, &NET);
    if net.iter().any(|line| line == "protocol A") {
        net.extend(picked(dice, &[&CONGESTION]));
    }
    println!("    net: {}", net.join("; "));
    for side in cluster.sides() {
        let disk = picked(dice, &DISK);
        println!("    {}: {}", side.name(), disk.join("; "));
        let config = Config {
            net: net.clone(),
            disk,
            options: vec!["on-no-data-accessible suspend-io".to_owned()],
            ..Config::default()
        };
        cluster.configure(side, &config)?;
    }
    Ok(())
}

/// Writes all over a part of the device for some ten seconds, then reads it back.
fn load(dice: &mut fastrand::Rng) -> String {
    let smallest = if dice.bool() { "512" } else { "4k" };
    let depth = 1 << dice.u32(0..6);
    format!(
        "fio --thread --name=load --filename=/dev/drbd0 --size=24m --offset=4m --rate=,2m \
         --rw=randwrite --bsrange={smallest}-64k --ioengine=libaio --direct=1 --iodepth={depth} \
         --verify=crc32c --verify_fatal=1 --do_verify=1 --output=/run/fio.log || \
         {{ cat /run/fio.log; exit 1; }}"
    )
}

fn command(side: &Side, command: &str) -> Result<()> {
    let said = side.node.run(command, MINUTE)?;
    if !said.success() {
        let why = said.stderr.lines().next().unwrap_or_default();
        println!("      {command}: {why}");
    }
    Ok(())
}

/// One thing that happens, on a node that the dice pick.
fn event(cluster: &Cluster, dice: &mut fastrand::Rng) -> Result<()> {
    let (begins, ends) = EVENTS[dice.usize(..EVENTS.len())];
    let on_beta = dice.bool() || begins.contains("invalidate");
    let side = match begins.starts_with("blk") || !on_beta {
        true => &cluster.alpha,
        false => &cluster.beta,
    };
    let pause = Duration::from_millis(dice.u64(100..5000));
    println!("    {} on {}, for {pause:?}", begins, side.name());
    if begins == "the link is cut" {
        side.node.port(0)?.cut(true);
        std::thread::sleep(pause);
        side.node.port(0)?.cut(false);
        return Ok(());
    }
    command(side, begins)?;
    std::thread::sleep(pause);
    command(side, ends)
}

fn round(cluster: &Cluster, dice: &mut fastrand::Rng) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        side.down()?;
    }
    configure(cluster, dice)?;
    for side in cluster.sides() {
        side.drbdadm("up")?;
    }
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    alpha.primary()?;
    let running = alpha.node.spawn(&load(dice))?;
    for _ in 0..dice.u32(1..5) {
        std::thread::sleep(Duration::from_millis(dice.u64(0..4000)));
        event(cluster, dice)?;
    }
    let output = running.wait(LOAD_LIMIT)?;
    ensure!(output.success(), "{output:?}");
    for side in cluster.sides() {
        // It was refused if the other one was not there just then.
        if side.view()?.disk == "Diskless" {
            side.drbdadm("attach")?;
        }
    }
    for side in [alpha, beta] {
        side.wait_healthy()?;
        let view = side.view()?;
        ensure!(view.out_of_sync_kib == 0, "bits are left: {view:?}");
    }
    alpha.secondary()?;
    cluster.compare_disks()
}

fn story(cluster: &Cluster) -> Result<()> {
    let rounds = match std::env::var("DRBD_ROUNDS") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("DRBD_ROUNDS={text}"))?,
        Err(_) => ROUNDS,
    };
    let mut dice = dice()?;
    step("up", || cluster.up_and_synced())?;
    cluster.alpha.secondary()?;
    for number in 1..=rounds {
        step(&format!("round {number}"), || round(cluster, &mut dice))?;
    }
    cluster.finish()
}
