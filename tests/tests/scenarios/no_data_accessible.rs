// SPDX-License-Identifier: GPL-2.0-or-later
//! A Primary that reaches neither its own data nor the peer's: with io-error
//! its writes fail, with suspend-io they wait and go on when the peer is back
//! or the disk is attached, and none is lost.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::recorder;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup};

#[test]
#[ignore = "full: takes two minutes"]
fn no_data_accessible() {
    let setup = Setup::default().option("on-no-data-accessible suspend-io");
    scenario("no_data_accessible", &setup, story);
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn no_data_accessible_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock).option("on-no-data-accessible suspend-io");
    scenario("no_data_accessible_with_stock", &setup, story);
}

const MINUTE: Duration = Duration::from_secs(60);

fn write(at: u32) -> String {
    format!("exec dd if=/dev/urandom of=/dev/drbd0 bs=16k count=32 seek={at} oflag=direct")
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    recorder::install(alpha)?;
    step("up", || cluster.up_and_synced())?;
    alpha.drbdadm("detach")?;
    let port = beta.node.port(0)?;
    step(
        "no disk, and the peer is gone: I/O waits for the peer",
        || {
            port.cut(true);
            let running = alpha.node.spawn(&write(0))?;
            alpha.wait("suspended I/O", MINUTE, |view| view.suspended == "no-data")?;
            recorder::wait_for(alpha, "pri-on-incon-degr r0")?;
            std::thread::sleep(Duration::from_secs(2));
            port.cut(false);
            let output = running.wait(MINUTE)?;
            ensure!(output.success(), "{output:?}");
            ensure!(alpha.view()?.suspended.is_empty(), "{:?}", alpha.view()?);
            Ok(())
        },
    )?;
    step("resume-io: it fails", || {
        port.cut(true);
        let running = alpha.node.spawn(&write(40))?;
        alpha.wait("suspended I/O", MINUTE, |view| view.suspended == "no-data")?;
        alpha.drbdadm("resume-io")?;
        let output = running.wait(MINUTE)?;
        ensure!(!output.success(), "it cannot have been written: {output:?}");
        port.cut(false);
        alpha.wait_connection("Connected").map(drop)
    })?;
    step("whole again", || {
        alpha.drbdadm("attach")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    step("io-error: it fails at once", || {
        if alpha.is_ours() {
            alpha.sh("drbdsetup resource-options r0 --on-no-data-accessible=io-error")?;
        }
        alpha.drbdadm("detach")?;
        port.cut(true);
        alpha.wait("the loss of beta", MINUTE, |view| {
            view.connection != "Connected"
        })?;
        let output = alpha.node.run(&write(80), MINUTE)?;
        ensure!(!output.success(), "it cannot have been written: {output:?}");
        ensure!(alpha.view()?.suspended.is_empty(), "{:?}", alpha.view()?);
        port.cut(false);
        alpha.wait_connection("Connected")?;
        alpha.drbdadm("attach")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
