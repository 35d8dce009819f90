// SPDX-License-Identifier: GPL-2.0-or-later
//! A machine that swaps to one replicated device and writes a mapped file back
//! to another, with more of both than it has memory: everything goes on, and
//! every page comes back as it was.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_tests::scenario::step;
use drbd_tests::{disks, scenario, wait, Cluster, Setup};

#[test]
#[ignore = "full: takes more than five minutes"]
fn memory_pressure() {
    let setup = Setup {
        disks_mib: vec![320, 128],
        mem_mb: 256,
        ..Setup::default()
    };
    scenario("memory_pressure", &setup, story);
}

/// In a machine with 256 MiB, some 100 of which are the kernel's and the root file system's.
const ANONYMOUS_MIB: u32 = 160;
const FILE_MIB: u32 = 64;
const ROUNDS: u32 = 2;
const LIMIT: Duration = Duration::from_secs(400);

/// Adds the resource r1, minor 1, for the file system.
fn second_resource(cluster: &Cluster) -> Result<()> {
    let mut hosts = String::new();
    for (id, side) in cluster.sides().into_iter().enumerate() {
        let (name, ip) = (side.name(), side.node.ip(0));
        hosts += &format!("on {name} {{ node-id {id}; address {ip}:7790; }} ");
    }
    let text = format!(
        "resource r1 {{ volume 0 {{ device /dev/drbd1 minor 1; disk /dev/vdc; meta-disk internal; }} \
         {hosts} net {{ protocol C; }} }}"
    );
    for side in cluster.sides() {
        side.sh(&format!("cat >>/etc/drbd.conf <<'END'\n{text}\nEND"))?;
        side.sh("drbdadm -- --force create-md r1 && drbdadm up r1")?;
    }
    Ok(())
}

fn healthy(cluster: &Cluster, resource: &str) -> Result<()> {
    let words = [
        "disk:UpToDate",
        "peer-disk:UpToDate",
        "replication:Established",
    ];
    for side in cluster.sides() {
        let status = || side.sh(&format!("drbdsetup status {resource} --verbose"));
        let good = |text: &String| words.iter().all(|word| text.contains(word));
        wait::until(&format!("{resource} in sync"), LIMIT, status, good)?;
    }
    Ok(())
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || {
        cluster.up_without_sync()?;
        second_resource(cluster)?;
        alpha.sh("drbdadm -- --force primary r1")?;
        alpha.primary()?;
        healthy(cluster, "r1")
    })?;
    alpha.node.put(
        "/run/pressure.py",
        include_bytes!("../../guest/pressure.py"),
    )?;
    alpha.sh("set -e; mkswap /dev/drbd0 >/dev/null; swapon /dev/drbd0
         mkfs.ext4 -q /dev/drbd1; mount /dev/drbd1 /mnt")?;
    let before = alpha.view()?;
    step("more than there is", || {
        let command =
            format!("exec python3 /run/pressure.py {ANONYMOUS_MIB} /mnt/file {FILE_MIB} {ROUNDS}");
        let said = alpha.node.sh_within(&command, LIMIT)?;
        ensure!(said.contains("all is as it was written"), "{said}");
        Ok(())
    })?;
    let (sent, written) = alpha.view()?.sent_and_written_since(&before);
    println!("    {written} KiB were swapped out, {sent} KiB sent");
    let swapped = u64::from(ANONYMOUS_MIB) << 10;
    ensure!(written > swapped / 4, "only {written} KiB were swapped out");
    ensure!(sent >= written, "{sent} KiB of {written} were sent");
    step("the peer's copy", || {
        alpha.sh("sha256sum </mnt/file >/run/sum; umount /mnt; swapoff /dev/drbd0")?;
        let sum = alpha.sh("cat /run/sum")?;
        alpha.sh("drbdadm secondary all")?;
        cluster.compare_disks()?;
        let bytes: u64 = beta.sh("cat /sys/block/drbd1/size")?.trim().parse()?;
        let file = |side: &drbd_tests::Side| side.node.disk_file(1).map(ToOwned::to_owned);
        let (one, two) = (file(alpha)?, file(beta)?);
        disks::compare(&one, &two, bytes * 512).context("the file system's disk")?;
        beta.sh("drbdadm primary r1; mount /dev/drbd1 /mnt")?;
        let there = beta.sh("sha256sum </mnt/file; umount /mnt; drbdadm secondary r1")?;
        ensure!(there == sum, "{there} instead of {sum}");
        Ok(())
    })?;
    for side in cluster.sides() {
        side.sh("drbdadm down r1")?;
    }
    cluster.finish()
}
