// SPDX-License-Identifier: GPL-2.0-or-later
//! suspend-io holds what is submitted and lets end what has begun; resume-io
//! lets it go on, and nothing is lost, whatever became of the connection.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup};

#[test]
#[ignore = "full: more than a minute"]
fn suspend_io() {
    scenario("suspend_io", &Setup::default(), story);
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn suspend_io_with_stock() {
    scenario(
        "suspend_io_with_stock",
        &Setup::pairing(Pairing::OursStock),
        story,
    );
}

const WRITE: &str = "exec dd if=/dev/urandom of=/dev/drbd0 bs=64k count=64 oflag=direct";

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    let minute = Duration::from_secs(60);
    step("up", || cluster.up_and_synced())?;
    step("a write waits for resume-io", || {
        alpha.drbdadm("suspend-io")?;
        ensure!(alpha.view()?.suspended == "user", "{:?}", alpha.view()?);
        let status = alpha.sh("drbdsetup status r0")?;
        ensure!(status.contains("suspended:user"), "{status}");
        let written = alpha.view()?.written_kib;
        let running = alpha.node.spawn(WRITE)?;
        std::thread::sleep(Duration::from_secs(3));
        let view = alpha.view()?;
        ensure!(view.written_kib == written, "it was written: {view:?}");
        alpha.drbdadm("resume-io")?;
        let output = running.wait(minute)?;
        ensure!(output.success(), "{output:?}");
        let view = alpha.view()?;
        ensure!(view.suspended.is_empty(), "{view:?}");
        ensure!(view.written_kib >= written + 4096, "{view:?}");
        Ok(())
    })?;
    step("a mounted file system rests, and goes on", || {
        alpha.mkfs_and_mount()?;
        alpha.sh("echo before >/mnt/file")?;
        alpha.drbdadm("suspend-io")?;
        // It was written out before: the peer has all of it.
        let running = alpha
            .node
            .spawn("exec dd if=/dev/urandom of=/mnt/data bs=64k count=16 conv=fsync")?;
        std::thread::sleep(Duration::from_secs(2));
        alpha.drbdadm("resume-io")?;
        ensure!(running.wait(minute)?.success(), "the write failed");
        alpha.umount()
    })?;
    step("the peer goes and comes back meanwhile", || {
        let running = alpha.node.spawn(WRITE)?;
        alpha.drbdadm("suspend-io")?;
        beta.node.port(0)?.cut(true);
        alpha.wait("the loss of beta", minute, |view| {
            view.connection != "Connected"
        })?;
        ensure!(alpha.view()?.suspended == "user", "{:?}", alpha.view()?);
        beta.node.port(0)?.cut(false);
        alpha.wait_healthy()?;
        ensure!(alpha.view()?.suspended == "user", "{:?}", alpha.view()?);
        alpha.drbdadm("resume-io")?;
        ensure!(running.wait(minute)?.success(), "the write failed");
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}
