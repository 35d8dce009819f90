// SPDX-License-Identifier: GPL-2.0-or-later
//! A resync with rs-discard-granularity: what is all zeroes at the source does not travel, and is discarded at the
//! target, whatever was there.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup};

#[test]
fn thin_resync() {
    scenario("thin_resync", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: repeats thin_resync with another driver"]
fn thin_resync_with_stock() {
    // As slowly as it begins otherwise, that target asks for less than the granularity at a time, and so for data.
    let setup = setup(Pairing::OursStock)
        .disk_option("c-plan-ahead 0")
        .disk_option("resync-rate 100M");
    scenario("thin_resync_with_stock", &setup, story);
}

#[test]
#[ignore = "full: repeats thin_resync with another driver"]
fn thin_resync_from_stock() {
    scenario("thin_resync_from_stock", &setup(Pairing::StockOurs), story);
}

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).disk_option("rs-discard-granularity 65536")
}

/// Data in the middle of nothing, no multiple of the granularity.
const DATA_MIB: u64 = 4;
const DATA: &str = "dd if=/dev/urandom of=/dev/vdb bs=4k seek=5123 count=1024 2>/dev/null";

/// The blocks at the edges of the data, requests, acknowledgements and TCP.
const REST: u64 = 2 << 20;

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.sh(DATA)?;
    beta.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=62 2>/dev/null")?;
    let before = alpha.bytes_sent()?;
    step("initial sync", || cluster.up_and_synced())?;
    let sent = alpha.bytes_sent()? - before;
    println!("{} KiB were sent", sent >> 10);
    let limit = (DATA_MIB << 20) + REST;
    ensure!(sent < limit, "{sent} bytes were sent, more than {limit}");
    let allocated = beta.allocated_mib()?;
    ensure!(
        allocated < 2 * DATA_MIB,
        "what was discarded still takes room: {allocated} MiB"
    );
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
