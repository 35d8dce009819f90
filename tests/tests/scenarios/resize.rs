// SPDX-License-Identifier: GPL-2.0-or-later
//! A volume grows while it is in use: with its peer under a running writer, asked on either node,
//! and alone; what does not fit is refused.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::cluster::Pairing;
use drbd_tests::config::{Config, MetaDisk};
use drbd_tests::mapper;
use drbd_tests::scenario::step;
use drbd_tests::writer::Writer;
use drbd_tests::{scenario, Cluster, Setup, Side};

/// Long enough for two guests on busy cores.
const LIMIT: Duration = Duration::from_secs(60);

fn setup(pairing: Pairing, config: Config) -> Setup {
    Setup {
        pairing,
        disks_mib: vec![160, 8],
        config,
        ..Setup::default()
    }
    .mapped()
    // At the default pace beside the writer, its records would fill the file system before the resync of what is new is over.
    .disk_option("c-min-rate 4M")
}

#[test]
#[ignore = "full: as resize_from_stock, with ours on both nodes"]
fn resize() {
    let setup = setup(Pairing::OursOurs, Config::default());
    scenario("resize", &setup, with_peer);
}

#[test]
#[ignore = "full: more than a minute, and the simulator resizes all the time"]
fn resize_from_stock() {
    let setup = setup(Pairing::StockOurs, Config::default());
    scenario("resize_from_stock", &setup, with_peer);
}

#[test]
#[ignore = "full: as resize_from_stock, with the in-tree driver as the Secondary"]
fn resize_with_stock() {
    let setup = setup(Pairing::OursStock, Config::default());
    scenario("resize_with_stock", &setup, with_peer);
}

#[test]
#[ignore = "full: takes more than two minutes"]
fn resize_alone_external() {
    let config = Config {
        meta_disk: MetaDisk::Flexible,
        ..Config::default()
    };
    scenario(
        "resize_alone_external",
        &setup(Pairing::OursOurs, config),
        alone,
    );
}

#[test]
#[ignore = "full: as resize_alone_external, with metadata that moves"]
fn resize_alone() {
    let setup = setup(Pairing::OursOurs, Config::default());
    scenario("resize_alone", &setup, alone);
}

#[test]
#[ignore = "full: a part of what resize_from_stock shows"]
fn disk_size_option() {
    let setup = Setup::default().disk_option("size 40M");
    scenario("disk_size_option", &setup, |cluster| {
        let (alpha, beta) = (&cluster.alpha, &cluster.beta);
        step("40 MiB", || cluster.up_and_synced())?;
        ensure!(
            alpha.device_bytes()? == 40 << 20,
            "{}",
            alpha.device_bytes()?
        );
        alpha.sh("drbdsetup resize 0 --size=48M")?;
        for side in [alpha, beta] {
            wait_size(side, 48)?;
            ensure!(side.device_bytes()? == 48 << 20, "{}", side.device_bytes()?);
            side.wait_healthy()?;
        }
        alpha.secondary()?;
        cluster.compare_disks()?;
        cluster.finish()
    });
}

fn begin(cluster: &Cluster) -> Result<()> {
    for side in cluster.sides() {
        // What the disks hold is not the same.
        side.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=160 2>/dev/null")?;
        mapper::set_size(side, 48)?;
    }
    step("initial sync", || cluster.up_and_synced())
}

fn wait_size(side: &Side, mib: u64) -> Result<()> {
    let wanted = (mib - 1) << 20;
    drbd_tests::wait::until(
        &format!("{} has {mib} MiB", side.name()),
        LIMIT,
        || side.device_bytes(),
        |bytes| *bytes >= wanted,
    )
    .map(drop)
}

fn with_peer(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    begin(cluster)?;
    alpha.mkfs_and_mount()?;
    let writer = Writer::start(alpha, "/mnt/records")?;
    for (asked, mib) in [(alpha, 80), (beta, 112)] {
        let what = format!("{mib} MiB, asked on {}", asked.name());
        step(&what, || {
            for side in cluster.sides() {
                mapper::set_size(side, mib)?;
            }
            asked.drbdadm("resize")?;
            for side in cluster.sides() {
                wait_size(side, mib)?;
                side.wait_healthy()?;
            }
            alpha.sh("resize2fs /dev/drbd0 2>&1")?;
            writer.wait_more(5, LIMIT)
        })?;
    }
    // What is new is used.
    alpha.sh("dd if=/dev/urandom of=/mnt/large bs=1M count=60 conv=fsync status=none")?;
    if alpha.is_ours() {
        let refused = alpha.refused("drbdadm resize --size=20M r0")?;
        let text = format!("{}{}", refused.stdout, refused.stderr);
        ensure!(text.contains("smaller"), "shrinking: {text}");
    }
    let acknowledged = writer.stop()?;
    step("hand over", || cluster.hand_over(acknowledged))?;
    // Attached again it is what it was.
    for side in cluster.sides() {
        side.down()?;
        side.drbdadm("up")?;
    }
    for side in cluster.sides() {
        side.wait_healthy()?;
        wait_size(side, 112)?;
    }
    cluster.finish()
}

fn alone(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    begin(cluster)?;
    let refused = beta.refused("drbdadm disconnect r0; drbdadm resize --size=200M r0")?;
    ensure!(
        format!("{}{}", refused.stdout, refused.stderr).contains("111"),
        "a size that the disk does not have: {refused:?}"
    );
    alpha
        .wait_connection("StandAlone")
        .or_else(|_| alpha.wait_connection("Connecting"))?;
    step("alone", || {
        for side in cluster.sides() {
            mapper::set_size(side, 80)?;
        }
        // The peer's disk has room, but nobody knows: nothing happens but that metadata moves.
        beta.drbdadm("resize")?;
        alpha.drbdadm("resize --assume-peer-has-space")?;
        wait_size(alpha, 80)?;
        alpha.sh("dd if=/dev/urandom of=/dev/drbd0 bs=1M seek=60 count=15 oflag=direct 2>/dev/null")
    })?;
    step("the peer follows when it connects", || {
        beta.drbdadm("connect")?;
        for side in cluster.sides() {
            side.wait_healthy()?;
            wait_size(side, 80)?;
        }
        alpha.secondary()?;
        cluster.compare_disks()
    })?;
    cluster.finish()
}
