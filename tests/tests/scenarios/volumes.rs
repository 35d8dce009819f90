// SPDX-License-Identifier: GPL-2.0-or-later
//! Two volumes of one resource: both are replicated, each has its own disk and resync, and writes to them have one order.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_tests::config::Config;
use drbd_tests::dice::dice;
use drbd_tests::scenario::step;
use drbd_tests::side::{SOON, SYNC_LIMIT};
use drbd_tests::view::View;
use drbd_tests::{disks, scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: takes more than two minutes"]
fn two_volumes() {
    scenario("two_volumes", &setup(Pairing::OursOurs), |cluster| {
        together(cluster)?;
        come_and_go(cluster)?;
        end(cluster)
    });
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn two_volumes_with_stock() {
    scenario(
        "two_volumes_with_stock",
        &setup(Pairing::OursStock),
        |cluster| {
            together(cluster)?;
            end(cluster)
        },
    );
}

#[test]
#[ignore = "full: the same with the stock driver as Primary"]
fn two_volumes_from_stock() {
    scenario(
        "two_volumes_from_stock",
        &setup(Pairing::StockOurs),
        |cluster| {
            together(cluster)?;
            end(cluster)
        },
    );
}

#[test]
#[ignore = "full: power cuts"]
fn two_volumes_have_one_order() {
    let setup = volatile(Pairing::OursOurs);
    scenario("two_volumes_have_one_order", &setup, one_order);
}

#[test]
#[ignore = "full: the same with the stock driver as Primary"]
fn two_volumes_have_one_order_from_stock() {
    let setup = volatile(Pairing::StockOurs);
    scenario("two_volumes_have_one_order_from_stock", &setup, one_order);
}

const VOLUMES: [u16; 2] = [0, 1];

fn setup(pairing: Pairing) -> Setup {
    let mut setup = Setup::pairing(pairing)
        .net("verify-alg crc32c")
        .net("ping-int 2")
        .net("ping-timeout 30");
    setup.disks_mib = vec![48, 40];
    setup.config.second_volume = true;
    setup
}

/// Protocol A has the most on its way.
fn volatile(pairing: Pairing) -> Setup {
    let mut setup = setup(pairing).net("protocol A");
    setup.volatile = true;
    setup
}

fn wait_healthy(cluster: &Cluster) -> Result<()> {
    for side in cluster.sides() {
        for volume in VOLUMES {
            let healthy = View::is_healthy;
            side.wait_of(volume, "both disks UpToDate", SYNC_LIMIT, healthy)
                .with_context(|| format!("volume {volume}"))?;
        }
    }
    Ok(())
}

fn up(cluster: &Cluster) -> Result<()> {
    step("up", || {
        cluster.up()?;
        cluster.alpha.primary_force()?;
        wait_healthy(cluster)
    })
}

fn compare(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha.node, &cluster.beta.node);
    for volume in VOLUMES {
        let sectors: u64 = cluster
            .alpha
            .sh(&format!("cat /sys/block/drbd{volume}/size"))?
            .trim()
            .parse()?;
        let disk = usize::from(volume);
        disks::compare(alpha.disk_file(disk)?, beta.disk_file(disk)?, sectors * 512)
            .with_context(|| format!("volume {volume}"))?;
    }
    Ok(())
}

/// Writes all over a volume, and reads it back.
fn load(volume: u16) -> String {
    format!(
        "fio --thread --name=v{volume} --filename=/dev/drbd{volume} --size=24m --offset=2m --rate=,2m --rw=randwrite \
         --bsrange=512-64k --blockalign=512 --ioengine=libaio --direct=1 --iodepth=8 --verify=crc32c --verify_fatal=1 \
         --do_verify=1 --output=/run/fio{volume}.log || {{ cat /run/fio{volume}.log; exit 1; }}"
    )
}

fn under_load(cluster: &Cluster, what: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    step(what, || {
        let mut running = Vec::new();
        for volume in VOLUMES {
            running.push(cluster.alpha.node.spawn(&load(volume))?);
        }
        std::thread::sleep(Duration::from_secs(2));
        act()?;
        for load in running {
            let output = load.wait(Duration::from_secs(240))?;
            ensure!(output.success(), "{output:?}");
        }
        wait_healthy(cluster)?;
        compare(cluster)
    })
}

/// What happens to one volume leaves the other alone.
fn together(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    up(cluster)?;
    compare(cluster)?;
    under_load(cluster, "the link is cut", || {
        let port = beta.node.port(0)?;
        port.cut(true);
        std::thread::sleep(Duration::from_secs(8));
        port.cut(false);
        Ok(())
    })?;
    for side in [alpha, beta] {
        let what = format!("{} loses the disk of volume 1", side.name());
        under_load(cluster, &what, || {
            side.sh("drbdadm detach r0/1")?;
            side.wait_of(1, "no disk", SOON, |view| view.disk == "Diskless")?;
            let other = side.view()?;
            ensure!(other.is_healthy(), "volume 0: {other:?}");
            std::thread::sleep(Duration::from_secs(1));
            side.sh("drbdadm attach r0/1").map(drop)
        })?;
    }
    under_load(cluster, "volume 0 is copied anew", || {
        beta.sh("drbdadm invalidate r0/0")?;
        let other = alpha.view_of(1)?;
        ensure!(other.is_healthy(), "volume 1: {other:?}");
        Ok(())
    })?;
    step("volume 1 is verified", || {
        alpha.sh("drbdadm verify r0/1")?;
        alpha.wait_of(1, "the end of it", SYNC_LIMIT, |view| {
            view.replication == "Established"
        })?;
        ensure!(
            alpha.view_of(1)?.out_of_sync_kib == 0,
            "{:?}",
            alpha.view_of(1)?
        );
        Ok(())
    })
}

fn adjusted(cluster: &Cluster, second_volume: bool) -> Result<()> {
    let config = Config {
        second_volume,
        ..cluster.config().clone()
    };
    for side in cluster.sides() {
        cluster.configure(side, &config)?;
        if second_volume {
            side.sh("drbdadm -- --force create-md r0/1")?;
        }
        side.drbdadm("adjust")?;
    }
    Ok(())
}

/// A volume leaves the resource, which only one that is Secondary may, and another comes while the first is in use.
fn come_and_go(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("volume 1 comes and goes", || {
        alpha.secondary()?;
        let from = [alpha, beta].map(|side| side.node.console_position());
        adjusted(cluster, false)?;
        for (side, from) in [alpha, beta].into_iter().zip(from) {
            let said = side.node.console_text();
            let said = said.get(from..).unwrap_or_default();
            ensure!(!said.contains("connection ends"), "{}: {said}", side.name());
        }
        alpha.primary()?;
        let running = alpha.node.spawn(&load(0))?;
        std::thread::sleep(Duration::from_secs(1));
        ensure!(alpha
            .sh("ls /sys/block")?
            .split_whitespace()
            .all(|name| name != "drbd1"));
        alpha.wait_healthy()?;
        adjusted(cluster, true)?;
        // The nodes speak of it when they meet. The Primary has no good data in it, which it would not let go of.
        beta.drbdadm("disconnect --force")?;
        beta.drbdadm("connect")?;
        for side in cluster.sides() {
            side.wait_of(1, "a disk that nobody knows", SOON, |view| {
                view.replication == "Established" && view.disk == "Inconsistent"
            })?;
        }
        alpha.sh("drbdadm -- --clear-bitmap new-current-uuid r0/1")?;
        let output = running.wait(Duration::from_secs(240))?;
        ensure!(output.success(), "{output:?}");
        wait_healthy(cluster)?;
        // It is Secondary yet, as a volume of its own.
        alpha.primary()?;
        alpha.sh("dd if=/dev/urandom of=/dev/drbd1 bs=64k count=64 oflag=direct")?;
        wait_healthy(cluster)
    })
}

fn end(cluster: &Cluster) -> Result<()> {
    cluster.alpha.secondary()?;
    cluster.finish()
}

/// Writes record after record: each to volume 1 first, and when it is there to volume 0. Neither is flushed.
const JOURNAL: &str = "
import mmap, os, sys
devices = [os.open('/dev/drbd%d' % n, os.O_RDWR | os.O_DIRECT) for n in (1, 0)]
block = mmap.mmap(-1, 4096)
for number in range(1, 8000):
    block.seek(0)
    block.write(b'%d:%08d\\n' % (int(sys.argv[1]), number) * 256)
    for device in devices:
        os.pwritev(device, [block], number * 4096)
    if number % 10 == 0:
        print(number, flush=True)
";

/// Whether a disk has record `number` of `round`.
fn has(disk: &File, round: u32, number: u64) -> Result<bool> {
    let wanted = format!("{round}:{number:08}\n");
    let mut found = vec![0; wanted.len()];
    disk.read_exact_at(&mut found, number * 4096)?;
    Ok(found == wanted.as_bytes())
}

/// How many records a disk has, none of which may be missing before the last.
fn records(disk: &Path, round: u32) -> Result<u64> {
    let file = File::open(disk)?;
    let mut last = 0;
    let mut missing = None;
    for number in 1..8000 {
        if has(&file, round, number)? {
            ensure!(
                missing.is_none(),
                "record {number} is there, and {missing:?} is not: {}",
                disk.display()
            );
            last = number;
        } else if missing.is_none() {
            missing = Some(number);
        }
    }
    Ok(last)
}

fn power_cut(cluster: &Cluster, side: &Side, round: u32, after: Duration) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.primary()?;
    let running = alpha
        .node
        .spawn(&format!("exec python3 /run/journal.py {round}"))?;
    running.wait_for("\n", Duration::from_secs(30))?;
    std::thread::sleep(after);
    side.node.power_cut()?;
    let seen = (
        records(beta.node.disk_file(1)?, round)?,
        records(beta.node.disk_file(0)?, round)?,
    );
    println!(
        "    volume 1 has {} records, volume 0 has {}",
        seen.0, seen.1
    );
    ensure!(
        seen.0 >= seen.1,
        "volume 0 has what comes after volume 1's: {seen:?}"
    );
    running.kill()?;
    running.wait(Duration::from_secs(30))?;
    cluster.power_on(side)?;
    side.drbdadm("up")?;
    wait_healthy(cluster)?;
    alpha.secondary()?;
    for side in cluster.sides() {
        side.flush_disks()?;
    }
    compare(cluster)
}

/// The Secondary loses its power, and what its disks' caches have: what is on the disks is a beginning of what was written.
fn one_order(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.node.put("/run/journal.py", JOURNAL.as_bytes())?;
    up(cluster)?;
    alpha.secondary()?;
    let mut dice = dice()?;
    for round in 1..=5 {
        let after = Duration::from_millis(dice.u64(0..4000));
        step(&format!("power cut {round}, after {after:?}"), || {
            power_cut(cluster, beta, round, after)
        })?;
    }
    cluster.finish()
}
