// SPDX-License-Identifier: GPL-2.0-or-later
//! A disk that hangs, on either node, is given up after disk-timeout: what it
//! had ends by the peer's copy, what it does late harms nobody, and no command
//! waits for it for ever.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_tests::mapper::{self, Target, MIB_SECTORS};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: waits for time-outs"]
fn disk_timeout() {
    let setup = Setup::default().mapped().disk_option("disk-timeout 20");
    scenario("disk_timeout", &setup, story);
}

#[test]
#[ignore = "full: the same with the stock driver as the peer"]
fn disk_timeout_with_stock() {
    let setup = Setup::pairing(Pairing::OursStock)
        .mapped()
        .disk_option("disk-timeout 20");
    scenario("disk_timeout_with_stock", &setup, story);
}

const MINUTE: Duration = Duration::from_secs(60);
/// For what disk-timeout, 2 s, ends; a hang would last for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// The metadata.
const TAIL: &str = "tail";

/// The metadata behind a device mapper of its own, so that it can hang alone.
fn part_the_metadata(side: &Side) -> Result<()> {
    let data = mapper::disk_sectors(side)? - MIB_SECTORS;
    mapper::create_part(side, TAIL, data, MIB_SECTORS)?;
    let stretches = [(data, Target::Disk), (MIB_SECTORS, Target::Part(TAIL))];
    mapper::reload(side, &stretches)
}

/// Writes a block of `A` when it is told to, then overwrites the memory with `B` at once, as an
/// application may.
const REUSE: &str = "
import mmap, os, time
memory = mmap.mmap(-1, 65536)
memory.write(b'A' * 65536)
device = os.open('/dev/drbd0', os.O_RDWR | os.O_DIRECT)
while not os.path.exists('/run/go'):
    time.sleep(0.01)
os.pwritev(device, [memory], 4 << 20)
memory.seek(0)
memory.write(b'B' * 65536)
time.sleep(600)
";

fn write(at_mib: u32) -> String {
    format!(
        "exec dd if=/dev/urandom of=/dev/drbd0 bs=64k count=32 seek={} oflag=direct",
        at_mib * 16
    )
}

fn lost(side: &Side) -> Result<()> {
    side.wait("no disk", MINUTE, |view| view.disk == "Diskless")
        .map(drop)
}

fn back(cluster: &Cluster, side: &Side, device: &str) -> Result<()> {
    let from = side.node.console_position();
    mapper::go_on(side, device)?;
    side.node.wait_console("has answered", from, MINUTE)?;
    side.drbdadm("attach")?;
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    Ok(())
}

fn the_primarys(cluster: &Cluster) -> Result<()> {
    let alpha = &cluster.alpha;
    alpha.node.put("/run/reuse.py", REUSE.as_bytes())?;
    alpha.node.sh_within(&write(8), MINUTE)?;
    let read = "dd if=/dev/drbd0 bs=64k count=32 skip=128 iflag=direct 2>/dev/null | md5sum";
    let good = alpha.sh(read)?;
    // Its extent is in the activity log then: the write goes to the disk.
    alpha.node.sh_within(&write(4), MINUTE)?;
    let writer = alpha.node.spawn("exec python3 /run/reuse.py")?;
    std::thread::sleep(Duration::from_secs(3));
    mapper::hang(alpha, mapper::NAME)?;
    alpha.sh("touch /run/go; sleep 0.3")?;
    let reader = alpha.node.spawn(read)?;
    let output = reader.wait(PATIENCE)?;
    ensure!(output.stdout == good, "other data was read: {output:?}");
    lost(alpha)?;
    alpha.node.sh_within(&write(16), PATIENCE)?;
    ensure!(!writer.is_over(), "{:?}", writer.so_far());
    // Not by drbdadm: drbdmeta would read the disk before, which hangs.
    let said = alpha.refused(&format!(
        "drbdsetup attach 0 {0} {0} internal",
        mapper::PATH
    ))?;
    ensure!(said.stderr.contains("has not answered yet"), "{said:?}");
    // What was given up arrives late, and is what was written, not what is in that memory by now.
    let from = alpha.node.console_position();
    mapper::go_on(alpha, mapper::NAME)?;
    alpha.node.wait_console("has answered", from, MINUTE)?;
    let late = alpha
        .sh("dd if=/dev/vdb bs=64k count=1 skip=64 iflag=direct 2>/dev/null | tr -d A | wc -c")?;
    ensure!(late.trim() == "0", "{} bytes of it are others", late.trim());
    writer.kill()?;
    writer.wait(PATIENCE)?;
    alpha.drbdadm("attach")?;
    for side in cluster.sides() {
        side.wait_healthy()?;
    }
    Ok(())
}

fn the_metadatas(cluster: &Cluster, side: &Side) -> Result<()> {
    mapper::hang(side, TAIL)?;
    // Extents that are not in the activity log yet; of a Secondary, something to mark.
    let begun = Instant::now();
    cluster.alpha.node.sh_within(
        "exec dd if=/dev/urandom of=/dev/drbd0 bs=64k count=640 oflag=direct",
        MINUTE,
    )?;
    println!("    written after {:.1} s", begun.elapsed().as_secs_f64());
    if side.name() == cluster.beta.name() {
        // A Secondary writes none of its own accord.
        let _ = side.drbdadm("-- --force detach");
    }
    lost(side)?;
    cluster.alpha.node.sh_within(&write(20), PATIENCE)?;
    back(cluster, side, TAIL)
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        part_the_metadata(side)?;
    }
    step("up", || cluster.up_and_synced())?;
    let shown = alpha.sh("drbdsetup show r0")?;
    ensure!(shown.contains("disk-timeout    \t20;"), "{shown}");
    step("the Primary's disk hangs", || the_primarys(cluster))?;
    step("its metadata hangs", || the_metadatas(cluster, alpha))?;
    if beta.is_ours() {
        step("the Secondary's disk hangs", || {
            mapper::hang(beta, mapper::NAME)?;
            alpha.node.sh_within(&write(24), PATIENCE)?;
            lost(beta)?;
            alpha.node.sh_within(&write(28), PATIENCE)?;
            back(cluster, beta, mapper::NAME)
        })?;
        step("its metadata hangs", || the_metadatas(cluster, beta))?;
    }
    step("at run time", || {
        alpha.sh("drbdsetup disk-options 0 --disk-timeout=0")?;
        // So that the activity log has its extent: a write of metadata that waits already, waits on.
        alpha.node.sh_within(&write(32), MINUTE)?;
        mapper::hang(alpha, mapper::NAME)?;
        let writer = alpha.node.spawn(&write(32))?;
        std::thread::sleep(Duration::from_secs(6));
        ensure!(!writer.is_over(), "it was written: {:?}", writer.so_far());
        ensure!(alpha.view()?.disk == "UpToDate", "{:?}", alpha.view()?);
        alpha.sh("drbdsetup disk-options 0 --disk-timeout=15")?;
        lost(alpha)?;
        // Its memory is the application's: it ends with the disk's answer, others do not wait.
        alpha.node.sh_within(&write(40), PATIENCE)?;
        back(cluster, alpha, mapper::NAME)?;
        ensure!(writer.wait(PATIENCE)?.success(), "the first write failed");
        Ok(())
    })?;
    step("down with a disk that hangs", || {
        alpha.sh("drbdsetup disk-options 0 --disk-timeout=20")?;
        mapper::hang(alpha, mapper::NAME)?;
        alpha.node.sh_within(&write(44), PATIENCE)?;
        lost(alpha)?;
        alpha.secondary()?;
        let said = alpha.node.run("drbdadm down r0", PATIENCE)?;
        ensure!(
            !said.success() && said.stderr.contains("has not answered yet"),
            "{said:?}"
        );
        let said = alpha.node.run("rmmod drbd", PATIENCE)?;
        ensure!(
            !said.success() && said.stderr.contains("in use"),
            "{said:?}"
        );
        let from = alpha.node.console_position();
        mapper::go_on(alpha, mapper::NAME)?;
        alpha.node.wait_console("has answered", from, MINUTE)?;
        alpha.drbdadm("down")?;
        alpha.drbdadm("up")?;
        alpha.wait_healthy().map(drop)
    })?;
    cluster.compare_disks()?;
    cluster.finish()
}
