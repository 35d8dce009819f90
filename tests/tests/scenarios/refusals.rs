// SPDX-License-Identifier: GPL-2.0-or-later
//! What bad input gets: a named refusal, an exit code, and nothing changed.

use anyhow::{ensure, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup, Side};

#[test]
fn refusals() {
    scenario("refusals", &Setup::default(), story);
}

fn expect(side: &Side, script: &str, status: i32, words: &[&str]) -> Result<()> {
    let output = side.refused(script)?;
    let said = format!("{}{}", output.stdout, output.stderr);
    ensure!(
        output.status == status && words.iter().all(|word| said.contains(word)),
        "`{script}`: status {}, wanted {status} and {words:?} in:\n{said}",
        output.status
    );
    Ok(())
}

/// Of the two drivers the one that came first stays.
fn one_driver_at_a_time(side: &Side) -> Result<()> {
    let in_tree = "$(find /lib/modules/$(uname -r)/kernel -name 'drbd.ko*' | head -1)";
    let is_loaded = |version: &str| side.sh(&format!("grep -F {version} /proc/drbd"));
    side.refused(&format!("modprobe lru_cache; insmod {in_tree}"))?;
    is_loaded("9.90.")?;
    side.sh(&format!("rmmod drbd && insmod {in_tree}"))?;
    is_loaded("8.4.")?;
    side.refused("insmod /lib/modules/$(uname -r)/updates/drbd.ko")?;
    is_loaded("8.4.")?;
    side.sh("rmmod drbd && modprobe drbd").map(drop)
}

fn story(cluster: &Cluster) -> Result<()> {
    let alpha = &cluster.alpha;
    step("beside the in-tree driver", || one_driver_at_a_time(alpha))?;
    step("configuration errors", || -> Result<()> {
        alpha.sh("cp /etc/drbd.conf /etc/good.conf; sed 's/protocol C/protocol Q/' /etc/good.conf > /etc/drbd.conf")?;
        expect(alpha, "drbdadm up r0", 10, &["/etc/drbd.conf:", "Q"])?;
        alpha
            .sh("sed 's/meta-disk internal/meta-dsk internal/' /etc/good.conf > /etc/drbd.conf")?;
        expect(
            alpha,
            "drbdadm dump r0",
            10,
            &["/etc/drbd.conf:", "meta-dsk"],
        )?;
        alpha.sh("sed 's/ping-int//; s/net {/net { cram-hmac-alg sha1; frobnicate yes;/' /etc/good.conf > /etc/drbd.conf")?;
        expect(
            alpha,
            "drbdadm up r0",
            10,
            &["/etc/drbd.conf:", "frobnicate"],
        )?;
        alpha.sh("cp /etc/good.conf /etc/drbd.conf")?;
        ensure!(
            alpha
                .sh("drbdsetup status")?
                .contains("No currently configured"),
            "changed"
        );
        Ok(())
    })?;
    step("disks that are not ours to take", || -> Result<()> {
        let sum = alpha.sh("mkfs.ext4 -q -F /dev/vdb && md5sum < /dev/vdb")?;
        // Not forced and nobody at the terminal: what is recognised stays.
        ensure!(
            !alpha
                .node
                .run("drbdadm create-md r0 < /dev/null", drbd_qemu::SH_LIMIT)?
                .success(),
            "create-md"
        );
        ensure!(
            alpha.sh("md5sum < /dev/vdb")? == sum,
            "the file system was touched"
        );
        alpha.refused("drbdadm up r0")?;
        alpha.sh("drbdsetup down r0 || true")?;
        alpha.sh("wipefs -q -a /dev/vdb; mkfs.ext4 -q -F /dev/vdb; mount /dev/vdb /mnt")?;
        alpha.refused("drbdadm -- --force create-md r0")?;
        alpha.sh("umount /mnt; wipefs -q -a /dev/vdb")?;
        alpha.create_md()?;
        alpha.sh("drbdsetup new-resource r0 0 && drbdsetup new-minor r0 0 0")?;
        alpha.sh("drbdmeta 0 v09 /dev/vdb internal apply-al")?;
        expect(
            alpha,
            "drbdsetup attach 0 /dev/nonesuch /dev/nonesuch internal",
            10,
            &["(104)"],
        )?;
        alpha.sh("modprobe loop; truncate -s 64K /tmp/small; losetup /dev/loop0 /tmp/small")?;
        alpha.refused("drbdsetup attach 0 /dev/loop0 /dev/loop0 internal")?;
        alpha.sh(
            "losetup -d /dev/loop0; truncate -s 32M /tmp/blank; losetup /dev/loop0 /tmp/blank",
        )?;
        expect(
            alpha,
            "drbdsetup attach 0 /dev/loop0 /dev/loop0 internal",
            10,
            &["(119)"],
        )?;
        alpha.sh("mkfs.ext4 -q /dev/loop0; mount /dev/loop0 /mnt")?;
        expect(
            alpha,
            "drbdsetup attach 0 /dev/loop0 /dev/loop0 internal",
            10,
            &["(114)"],
        )?;
        alpha
            .sh("umount /mnt; losetup -d /dev/loop0; drbdsetup attach 0 /dev/vdb /dev/vdb internal")
            .map(drop)
    })?;
    step("roles", || -> Result<()> {
        expect(alpha, "drbdsetup primary r0", 17, &["(-2)"])?;
        alpha.refused("dd if=/dev/zero of=/dev/drbd0 bs=4k count=1")?;
        expect(alpha, "drbdsetup primary nosuch", 10, &["(158)"])?;
        alpha.sh("drbdsetup primary r0 --force")?;
        alpha.mkfs_and_mount()?;
        expect(alpha, "drbdsetup secondary r0", 11, &["(-12)"])?;
        expect(alpha, "drbdsetup detach 0", 17, &["(-2)"])?;
        alpha.refused("rmmod drbd")?;
        alpha.umount()
    })?;
    step("objects", || -> Result<()> {
        expect(alpha, "drbdsetup new-minor r0 1 0", 10, &["(161)"])?;
        expect(alpha, "drbdsetup del-minor 0", 10, &["(160)"])?;
        expect(alpha, "drbdsetup del-resource r0", 10, &["(159)"])?;
        expect(alpha, "drbdsetup new-peer r0 0 --_name=me", 10, &["(162)"])?;
        alpha.sh("drbdsetup new-peer r0 1 --_name=beta")?;
        expect(
            alpha,
            "drbdsetup new-peer r0 2 --_name=gamma",
            10,
            &["(162)", "one peer"],
        )?;
        expect(alpha, "drbdsetup connect r0 1", 10, &["(162)", "endpoint"])?;
        expect(
            alpha,
            "drbdsetup net-options r0 1 --on-congestion=disconnect",
            10,
            &["(155)"],
        )?;
        expect(
            alpha,
            "drbdsetup disk-options 0 --al-extents=1",
            20,
            &["al-extents"],
        )
    })?;
    alpha.sh("drbdsetup down r0")?;
    for side in cluster.sides() {
        side.sh("rmmod drbd")?;
    }
    Ok(cluster.lab.check_consoles()?)
}
