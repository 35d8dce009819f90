// SPDX-License-Identifier: GPL-2.0-or-later
//! With `api_version=1`, Debian's drbdadm-84 and drbdsetup-84 drive our module, and do not notice.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_qemu::Kind;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, wait, Cluster, Pairing, Setup};

/// Where the harness keeps what our tools lie over.
const THEIRS: &str = "export PATH=/usr/lib/drbd-lab/stock:$PATH; ";

/// A resync of the whole small disk.
const SYNC_LIMIT: Duration = Duration::from_secs(120);

#[test]
#[ignore = "full: a minute; genl_v1_golden decodes the same requests"]
fn tools_of_84() {
    scenario("tools_of_84", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: the same with the in-tree driver as the peer"]
fn tools_of_84_with_stock() {
    scenario("tools_of_84_with_stock", &setup(Pairing::OursStock), story);
}

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).net("verify-alg crc32c")
}

fn story(cluster: &Cluster) -> Result<()> {
    for side in cluster.sides().into_iter().filter(|side| side.is_ours()) {
        old_dialect(cluster, side)?;
    }
    let run = |script: &str| cluster.alpha.sh(&format!("{THEIRS}{script}"));
    let there = |script: &str| cluster.beta.sh(&format!("{THEIRS}{script}"));
    step("up", || -> Result<()> {
        for side in cluster.sides() {
            side.sh(&format!("{THEIRS}drbdadm -- --force create-md r0"))?;
            side.sh(&format!("{THEIRS}drbdadm up r0"))?;
        }
        run("drbdadm wait-connect r0").map(drop)
    })?;
    ensure!(run("drbdadm cstate r0")?.trim() == "Connected", "cstate");
    ensure!(
        run("drbdadm role r0")?.trim() == "Secondary/Secondary",
        "role"
    );
    step("initial sync", || -> Result<()> {
        run("drbdadm primary --force r0")?;
        wait::until(
            "both disks to be UpToDate",
            SYNC_LIMIT,
            || run("drbdadm dstate r0"),
            |seen| seen.trim() == "UpToDate/UpToDate",
        )?;
        run("drbdsetup wait-sync 0").map(drop)
    })?;
    shown(&run)?;
    step("a file system", || -> Result<()> {
        run("mkfs.ext4 -q /dev/drbd0 && mount /dev/drbd0 /mnt")?;
        run("dd if=/dev/urandom of=/mnt/file bs=64k count=64 conv=fsync status=none")?;
        run("sha256sum /mnt/file >/run/sum; umount /mnt").map(drop)
    })?;
    step("commands while it runs", || commands(&run, cluster))?;
    step("the other side has it", || -> Result<()> {
        run("drbdadm secondary r0")?;
        there("drbdadm primary r0 && mount -o ro /dev/drbd0 /mnt")?;
        let own = run("cut -d' ' -f1 /run/sum")?;
        let other = there("sha256sum /mnt/file | cut -d' ' -f1; umount /mnt")?;
        ensure!(own == other, "{own} is not {other}");
        there("drbdadm secondary r0").map(drop)
    })?;
    step("down", || -> Result<()> {
        run("drbdadm down r0")?;
        let proc = run("cat /proc/drbd")?;
        ensure!(!proc.contains("cs:"), "{proc}");
        run("drbdadm down r0").map(drop)?;
        there("drbdadm down r0").map(drop)
    })
}

/// Loads our module for the old tools, with a configuration that they know.
fn old_dialect(cluster: &Cluster, side: &drbd_tests::Side) -> Result<()> {
    side.sh("rmmod drbd && modprobe drbd api_version=1")?;
    let hosts = cluster
        .sides()
        .map(|side| (side.name().to_owned(), side.node.ip(0).to_string()));
    let setup = setup(Pairing::OursOurs);
    let text = setup.config.text(Kind::Stock, &hosts);
    side.node.put("/etc/drbd.conf", text.as_bytes())?;
    let version = side.sh(&format!("{THEIRS}drbdadm --version"))?;
    ensure!(version.contains("DRBDADM_API_VERSION=1"), "{version}");
    ensure!(
        version.contains("DRBD_KERNEL_VERSION_CODE=0x08040b"),
        "{version}"
    );
    Ok(())
}

/// What the old tools print.
fn shown(run: &dyn Fn(&str) -> Result<String>) -> Result<()> {
    let status = run("drbdsetup status r0 --verbose --statistics")?;
    for words in [
        "r0 role:Primary suspended:no",
        "write-ordering:flush",
        "volume:0 minor:0 disk:UpToDate",
        "connection:Connected role:Secondary",
        "replication:Established peer-disk:UpToDate",
    ] {
        ensure!(status.contains(words), "no `{words}` in\n{status}");
    }
    let proc = run("cat /proc/drbd")?;
    let line = " 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----";
    ensure!(
        proc.starts_with("version: 8.4.11 (api:1/") && proc.contains(line),
        "{proc}"
    );
    let events = run("drbdsetup events2 --now")?;
    for object in ["resource", "connection", "device", "peer-device"] {
        let line = format!("exists {object} name:r0");
        ensure!(events.contains(&line), "{events}");
    }
    let show = run("drbdsetup show r0")?;
    for words in [
        "verify-alg",
        "minor 0;",
        "\"/dev/vdb\";",
        "internal;",
        "_remote_host",
    ] {
        ensure!(show.contains(words), "no `{words}` in\n{show}");
    }
    let generation = run("drbdsetup get-gi 0")?;
    ensure!(
        generation.trim().split(':').count() == 11 && generation.trim().ends_with(":1:1:1:1:0:0:0"),
        "{generation}"
    );
    Ok(())
}

/// Every command that changes something and is taken back, or leaves a mark.
fn commands(run: &dyn Fn(&str) -> Result<String>, cluster: &Cluster) -> Result<()> {
    run("drbdadm adjust r0")?;
    ensure!(
        run("drbdadm -d adjust r0")?.trim().is_empty(),
        "adjust finds something to do when nothing changed"
    );
    run("drbdsetup disk-options 0 --c-max-rate=50M --al-extents=1000")?;
    let show = run("drbdsetup show r0")?;
    ensure!(show.contains("51200k") && show.contains("1000;"), "{show}");
    run("drbdadm adjust r0")?;
    let show = run("drbdsetup show r0")?;
    ensure!(!show.contains("51200k"), "{show}");
    run("drbdadm pause-sync r0")?;
    let proc = run("cat /proc/drbd")?;
    ensure!(proc.contains("r--u--"), "{proc}");
    let again = cluster
        .alpha
        .refused(&format!("{THEIRS}drbdadm pause-sync r0"))?;
    ensure!(again.status == 10, "{} {}", again.status, again.stderr);
    run("drbdadm resume-sync r0")?;
    run("drbdadm verify r0")?;
    let connected = |seen: &String| seen.trim() == "Connected";
    let look = || run("drbdadm cstate r0");
    wait::until("the verify to end", SYNC_LIMIT, look, connected)?;
    run("drbdadm disconnect r0")?;
    ensure!(
        run("drbdadm cstate r0")?.trim() == "StandAlone",
        "disconnect"
    );
    run("drbdadm connect r0")?;
    wait::until("the connection", SYNC_LIMIT, look, connected)?;
    run("drbdadm detach r0")?;
    ensure!(
        run("drbdadm dstate r0")?.trim() == "Diskless/UpToDate",
        "detach"
    );
    run("drbdadm attach r0")?;
    let healthy = |seen: &String| seen.trim() == "UpToDate/UpToDate";
    let look = || run("drbdadm dstate r0");
    wait::until("the disk to be good again", SYNC_LIMIT, look, healthy)?;
    let unknown = cluster
        .alpha
        .refused(&format!("{THEIRS}drbdsetup detach 7"))?;
    ensure!(
        unknown.status == 10 && unknown.stderr.contains("(127)"),
        "{} {}",
        unknown.status,
        unknown.stderr
    );
    Ok(())
}
