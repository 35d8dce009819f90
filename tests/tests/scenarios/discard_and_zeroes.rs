// SPDX-License-Identifier: GPL-2.0-or-later
//! Discards and write-zeroes reach both disks, connected or by resync, and
//! nothing beside them is touched.

use anyhow::{ensure, Context, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Config, Setup, Side};

#[test]
#[ignore = "full: takes two minutes"]
fn discard_and_zeroes() {
    scenario("discard_and_zeroes", &Setup::default(), story);
}

#[test]
#[ignore = "full: an option that few use"]
fn discard_zeroes_if_aligned() {
    scenario("discard_zeroes_if_aligned", &Setup::default(), no_trust);
}

/// A range of the device, in sectors.
#[derive(Clone, Copy)]
struct Range {
    start: u64,
    count: u64,
}

impl Range {
    fn blkdiscard(self, side: &Side, how: &str) -> Result<()> {
        let (offset, length) = (self.start * 512, self.count * 512);
        side.sh(&format!(
            "blkdiscard {how} -o {offset} -l {length} /dev/drbd0"
        ))
        .map(drop)
    }

    /// Checks that it reads as zeros, and the sectors at either side do not.
    fn check_zero(self, side: &Side) -> Result<()> {
        let Range { start, count } = self;
        let read = |skip: u64, count: u64| {
            format!("dd if=/dev/drbd0 skip={skip} count={count} iflag=direct 2>/dev/null")
        };
        let zero = |skip, count, bytes: u64| {
            side.sh(&format!(
                "{} | cmp -n {bytes} - /dev/zero",
                read(skip, count)
            ))
        };
        zero(start, count, count * 512)
            .with_context(|| format!("sectors {start}+{count} are not zero"))?;
        for beside in [start - 1, start + count] {
            ensure!(
                zero(beside, 1, 512).is_err(),
                "sector {beside}, beside {start}+{count}, is zero too"
            );
        }
        Ok(())
    }
}

fn story(cluster: &Cluster) -> Result<()> {
    let alpha = &cluster.alpha;
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=63 2>/dev/null")?;
    step("up", || cluster.up_and_synced())?;
    cluster.compare_disks()?;
    let full = allocated_mib(cluster)?;
    ensure!(
        full.iter().all(|mib| *mib >= 60),
        "{full:?} MiB on the disks"
    );

    let aligned = Range {
        start: 8 << 11,
        count: 16 << 11,
    };
    let odd = Range {
        start: (30 << 11) + 3,
        count: (2 << 11) + 9,
    };
    let tiny = Range {
        start: (33 << 11) + 5,
        count: 1,
    };
    let zeroed = Range {
        start: (36 << 11) + 1,
        count: (4 << 11) + 2,
    };
    step("discard", || {
        aligned.blkdiscard(alpha, "")?;
        odd.blkdiscard(alpha, "")
    })?;
    let thin = allocated_mib(cluster)?;
    ensure!(
        thin.iter().zip(full).all(|(thin, full)| thin + 15 <= full),
        "{full:?} MiB were on the disks, and after a discard of 16 MiB there are {thin:?}"
    );
    step("write zeroes", || {
        tiny.blkdiscard(alpha, "-z")?;
        zeroed.blkdiscard(alpha, "-z")
    })?;
    for range in [aligned, tiny, zeroed] {
        range.check_zero(alpha)?;
    }
    cluster.compare_disks()?;
    ensure!(alpha.view()?.is_healthy(), "the connection did not survive");

    alpha.drbdadm("disconnect")?;
    let (apart, apart_zeroed) = (
        Range {
            start: 44 << 11,
            count: 4 << 11,
        },
        Range {
            start: (52 << 11) + 7,
            count: 2 << 11,
        },
    );
    apart.blkdiscard(alpha, "")?;
    apart_zeroed.blkdiscard(alpha, "-z")?;
    let marked = alpha.view()?.out_of_sync_kib;
    ensure!(
        (6 * 1024..=6 * 1024 + 8).contains(&marked),
        "{marked} KiB are marked for 6 MiB of discarded and zeroed blocks"
    );
    step("resync", || {
        alpha.drbdadm("connect")?;
        cluster.beta.wait_healthy()?;
        alpha.wait_healthy().map(drop)
    })?;
    apart.check_zero(alpha)?;
    apart_zeroed.check_zero(alpha)?;
    cluster.compare_disks()?;

    step("a file system that trims", || {
        alpha.mkfs_and_mount()?;
        alpha.sh("cp -a /etc /mnt/ && sync && rm -r /mnt/etc && sync && fstrim /mnt")?;
        alpha.umount()
    })?;
    alpha.sh("blkdiscard /dev/drbd0")?;
    let empty = allocated_mib(cluster)?;
    ensure!(
        empty.iter().all(|mib| *mib <= 2),
        "{empty:?} MiB are left after a discard of everything"
    );
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}

/// Discards that the backing disk was asked for since it is there.
fn discards(side: &Side) -> Result<u64> {
    let count = side.sh("awk '{ print $12 }' /sys/block/vdb/stat")?;
    Ok(count.trim().parse()?)
}

/// A disk whose discards are not trusted to leave zeroes gets none: what the peer discards it zeroes, and the device above it
/// offers none.
fn no_trust(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        side.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=63 2>/dev/null")?;
    }
    step("up", || cluster.up_and_synced())?;
    let range = |mib: u64| Range {
        start: mib << 11,
        count: 2 << 11,
    };
    let asked = |range: Range| -> Result<[u64; 2]> {
        let before = [discards(alpha)?, discards(beta)?];
        range.blkdiscard(alpha, "")?;
        range.check_zero(alpha)?;
        Ok([discards(alpha)? - before[0], discards(beta)? - before[1]])
    };
    let set = |side: &Side, trusted: &str| {
        side.sh(&format!(
            "drbdsetup disk-options 0 --discard-zeroes-if-aligned={trusted}"
        ))
    };
    let both = asked(range(4))?;
    ensure!(
        both[0] > 0 && both[1] > 0,
        "discards of the disks: {both:?}"
    );
    set(beta, "no")?;
    let one = asked(range(8))?;
    ensure!(one[0] > 0 && one[1] == 0, "discards of the disks: {one:?}");
    cluster.compare_disks()?;

    set(alpha, "no")?;
    let refused = alpha.refused("blkdiscard -o 12M -l 2M /dev/drbd0")?;
    ensure!(refused.stderr.contains("not supported"), "{refused:?}");
    alpha.sh("blkdiscard -z -o 12M -l 2M /dev/drbd0")?;
    range(12).check_zero(alpha)?;
    for side in cluster.sides() {
        set(side, "yes")?;
    }
    let both = asked(range(16))?;
    ensure!(
        both[0] > 0 && both[1] > 0,
        "discards of the disks: {both:?}"
    );
    // As a part of what an attach knows.
    alpha.secondary()?;
    alpha.down()?;
    let config = Config {
        disk: vec!["discard-zeroes-if-aligned no".to_owned()],
        ..Config::default()
    };
    cluster.configure(alpha, &config)?;
    alpha.drbdadm("up")?;
    alpha.wait_healthy()?;
    let offered = alpha.sh("cat /sys/block/drbd0/queue/discard_max_bytes")?;
    ensure!(offered.trim() == "0", "{offered}");
    cluster.compare_disks()?;
    cluster.finish()
}

/// MiB that each backing disk takes on the host.
fn allocated_mib(cluster: &Cluster) -> Result<[u64; 2]> {
    Ok([
        cluster.alpha.allocated_mib()?,
        cluster.beta.allocated_mib()?,
    ])
}
