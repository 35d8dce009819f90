// SPDX-License-Identifier: GPL-2.0-or-later
//! After a disconnect exactly the blocks written meanwhile are copied.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup};

#[test]
fn reconnect_resyncs_only_changed_blocks() {
    scenario(
        "reconnect_resyncs_only_changed_blocks",
        &Setup::default(),
        story,
    );
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.drbdadm("disconnect")?;
    alpha.wait_connection("StandAlone")?;
    beta.wait_connection("Connecting")?;
    // 300 blocks all over the disk, in runs of one, two and three.
    alpha.sh(
        "for i in $(seq 0 149); do dd if=/dev/urandom of=/dev/drbd0 bs=4k seek=$((i*107)) \
         count=$((i%3+1)) oflag=direct conv=notrunc 2>/dev/null || exit 1; done",
    )?;
    let written_kib = 300 * 4;
    let marked = alpha.view()?.out_of_sync_kib;
    ensure!(
        marked == written_kib,
        "{marked} KiB marked, {written_kib} KiB written"
    );

    let port = alpha.node.port(0)?;
    let bytes = || port.counters(drbd_qemu::switch::Direction::FromGuest).bytes;
    let (before, bytes_before) = (beta.view()?, bytes());
    alpha.drbdadm("connect")?;
    step("resync", || {
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    let received = beta.view()?.received_kib - before.received_kib;
    ensure!(
        received == written_kib,
        "{received} KiB came, {written_kib} KiB were written"
    );
    let on_the_wire = (bytes() - bytes_before) / 1024;
    println!("  {received} KiB of data, {on_the_wire} KiB on the wire");
    ensure!(
        on_the_wire < written_kib * 3 / 2 + 64,
        "{on_the_wire} KiB on the wire for {written_kib} KiB of data"
    );
    ensure!(alpha.view()?.out_of_sync_kib == 0, "bits are left");
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
