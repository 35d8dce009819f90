// SPDX-License-Identifier: GPL-2.0-or-later
//! What was flushed is durable on both nodes: their disks forget what was not
//! flushed, both lose power at the same moment, and each has every record that
//! was acknowledged.

use std::time::Duration;

use anyhow::Result;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Load, Setup, Writer};

/// Writes with O_DSYNC (FUA), with fdatasync (flush) and without, and reads all
/// of it back.
const VERIFY: &str = "fio --thread --directory=/mnt --size=4m --ioengine=libaio --direct=1 \
    --verify=crc32c --do_verify=1 --verify_fatal=1 --output=/run/verify.log \
    --name=fua --rw=randwrite --bs=4k --iodepth=4 --sync=dsync --io_size=1m \
    --name=flush --rw=randwrite --bs=8k --iodepth=8 --fdatasync=8 \
    --name=large --rw=write --bs=1m --iodepth=2 || { cat /run/verify.log; exit 1; }";

#[test]
#[ignore = "full: takes two minutes"]
fn flush_and_fua() {
    let setup = Setup {
        volatile: true,
        ..Setup::default()
    };
    scenario("flush_and_fua", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.mkfs_and_mount()?;
    step("fio with verify", || alpha.sh(VERIFY))?;
    alpha.sh("rm /mnt/fua.* /mnt/flush.* /mnt/large.*; sync")?;
    // Other writes, never flushed by themselves, keep the caches dirty.
    let load = Load::start(alpha, 4, 8)?;
    let writer = Writer::start(alpha, "/mnt/records")?;
    writer.wait_more(50, Duration::from_secs(60))?;
    load.check()?;
    beta.node.power_cut()?;
    alpha.node.power_cut()?;
    let acknowledged = writer.acknowledged()?;

    step("both boot", || {
        cluster.power_on(alpha)?;
        cluster.power_on(beta)
    })?;
    // Alpha's disk is looked at in a copy: opening the file system writes to it.
    step("alpha has all records", || {
        alpha.sh("dd if=/dev/vdb of=/tmp/copy bs=1M 2>/dev/null")?;
        // The debug kernel has it built in, and no such module.
        alpha.sh(
            "modprobe -q loop; losetup /dev/loop0 /tmp/copy && mount -t ext4 /dev/loop0 /mnt",
        )?;
        Writer::check(alpha, "/mnt/records", acknowledged)?;
        alpha
            .sh("umount /mnt && losetup -d /dev/loop0 && rm /tmp/copy")
            .map(drop)
    })?;
    step("beta has all records", || {
        beta.drbdadm("up")?;
        beta.primary()?;
        beta.fsck()?;
        beta.mount()?;
        Writer::check(beta, "/mnt/records", acknowledged)
    })?;
    step("alpha comes back", || {
        alpha.drbdadm("up")?;
        alpha.wait_healthy()?;
        beta.wait_healthy().map(drop)
    })?;
    beta.umount()?;
    beta.secondary()?;
    beta.sh("blockdev --flushbufs /dev/vdb; sync")?;
    let bytes = beta.device_bytes()?;
    // The harness's caches reach the files when the guests have let go.
    for side in cluster.sides() {
        side.down()?;
        side.flush_disks()?;
    }
    cluster.compare_disks_of(bytes)?;
    for side in cluster.sides() {
        side.sh("rmmod drbd")?;
    }
    Ok(())
}
