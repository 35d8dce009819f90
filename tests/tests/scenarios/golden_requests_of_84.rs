// SPDX-License-Identifier: GPL-2.0-or-later
//! What drbdsetup-84 sent to the in-tree driver is sent to our module with `api_version=1`, in the recorded order and in the
//! states it was sent in: the same codes, and the same facts in replies, dumps and the state of a volume.

use std::time::Duration;

use anyhow::Result;
use drbd_tests::replay::{Play, World};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, wait, Setup, View};

const WORLD: World = World {
    folder: "control-plane/netlink",
    addresses: [[10, 7, 0, 1], [10, 7, 0, 2]],
    texts: &[("/dev/vda", "/dev/vdb")],
    of_the_run: OF_THE_RUN,
    refused: &[],
    silent: &[],
};

/// Attributes whose values another run of the same driver would have had otherwise.
const OF_THE_RUN: &[(&str, &str)] = &[
    ("STATE_INFO.uuids", "random"),
    ("STATE_INFO.ed_uuid", "random"),
    ("STATE_INFO.send_cnt", "counts I/O"),
    ("STATE_INFO.recv_cnt", "counts I/O"),
    ("STATE_INFO.read_cnt", "counts I/O"),
    ("STATE_INFO.writ_cnt", "counts I/O"),
    ("STATE_INFO.al_writ_cnt", "counts I/O"),
    ("STATE_INFO.bm_writ_cnt", "counts I/O"),
    (
        "STATE_INFO.rs_pending_cnt",
        "as many as fit into the window",
    ),
    ("DEVICE_STATISTICS.dev_read", "counts I/O"),
    ("DEVICE_STATISTICS.dev_write", "counts I/O"),
    ("DEVICE_STATISTICS.dev_al_writes", "counts I/O"),
    ("DEVICE_STATISTICS.dev_bm_writes", "counts I/O"),
    ("DEVICE_STATISTICS.dev_exposed_data_uuid", "random"),
    ("DEVICE_STATISTICS.dev_current_uuid", "random"),
    ("DEVICE_STATISTICS.history_uuids", "random"),
    ("PEER_DEVICE_STATISTICS.peer_dev_received", "counts I/O"),
    ("PEER_DEVICE_STATISTICS.peer_dev_sent", "counts I/O"),
    ("PEER_DEVICE_STATISTICS.peer_dev_bitmap_uuid", "random"),
];

/// Where the distribution keeps the tools of that generation.
const THEIRS: &str = "export PATH=/usr/lib/drbd-lab/stock:/lib/drbd:$PATH; ";

const LIMIT: Duration = Duration::from_secs(120);

#[test]
#[ignore = "full: as golden_requests, in the dialect of 8.4; genl_v1_golden decodes the same requests"]
fn golden_requests_of_84() {
    let setup = Setup::default().disk_mib(40);
    scenario("golden_requests_of_84", &setup, |cluster| {
        // The driver calls drbdadm, which refuses words of DRBD 9 then.
        cluster.alpha.sh(
            "rmmod drbd && modprobe drbd api_version=1 && sed -i 's/node-id [01]; //' /etc/drbd.conf",
        )?;
        let mut play = Play::new(cluster, &WORLD, env!("CARGO_BIN_EXE_play"))?;
        step("alone", || alone(&mut play))?;
        step("connected", || connected(&mut play))?;
        step("verify", || verify(&mut play))?;
        step("the end", || the_end(&mut play))?;
        for side in cluster.sides() {
            side.sh("rmmod drbd")?;
        }
        play.end()
    });
}

/// Runs their tools on alpha.
fn theirs(play: &Play<'_>, script: &str) -> Result<String> {
    play.alpha().sh(&format!("{THEIRS}{script}"))
}

/// Waits until /proc/drbd of alpha says so.
fn until(play: &Play<'_>, what: &str, good: impl FnMut(&View) -> bool) -> Result<()> {
    let look = || View::from_proc(&play.alpha().sh("cat /proc/drbd")?);
    wait::until(what, LIMIT, look, good).map(drop)
}

fn alone(play: &mut Play<'_>) -> Result<()> {
    play.file("90-multicast-events2.txt")?;
    play.file("01-new-resource.txt")?;
    play.file("02-new-minor.txt")?;
    play.file("03-attach-unknown-minor.txt")?;
    let metadata = "drbdmeta --force 0 v08 /dev/vdb internal";
    theirs(
        play,
        &format!("yes yes | {metadata} create-md && {metadata} apply-al"),
    )?;
    play.file("04-attach.txt")?;
    play.file("05-connect.txt")?;
    play.file("06-wait-connect-timeout.txt")?;
    play.file("10-primary-refused.txt")?;
    play.file("11-primary-force.txt")
}

fn connected(play: &mut Play<'_>) -> Result<()> {
    let (own, peer) = (play.beta().node.ip(0), play.alpha().node.ip(0));
    play.beta().sh(&format!(
        "set -e; drbdmeta --force 0 v09 /dev/vdb internal create-md 1
         drbdsetup new-resource r0 1; drbdsetup new-minor r0 0 0
         drbdsetup new-peer r0 0 --_name=n1 --protocol=C --cram-hmac-alg=sha1 --shared-secret=geheim \
            --verify-alg=sha1
         drbdsetup new-path r0 0 ipv4:{own}:7788 ipv4:{peer}:7788
         drbdmeta 0 v09 /dev/vdb internal apply-al
         drbdsetup attach 0 /dev/vdb /dev/vdb internal; drbdsetup connect r0 0"
    ))?;
    until(play, "the first resync", View::is_healthy)?;
    play.file("13-status.txt")?;
    play.file("14-show.txt")?;
    play.file("15-role.txt")?;
    play.file("16-events2-now.txt")?;
    play.file("17-disk-options.txt")?;
    play.file("18-disk-options-set-defaults.txt")?;
    play.file("19-net-options.txt")?;
    play.file("20-resource-options.txt")?;
    play.file("21-pause-sync.txt")?;
    play.file("22-resume-sync.txt")?;
    play.file("23-suspend-io.txt")?;
    play.file("24-resume-io.txt")
}

fn verify(play: &mut Play<'_>) -> Result<()> {
    // What is refused is so because the verify runs.
    play.files(&[
        "25-verify.txt",
        "26-invalidate-remote-refused.txt",
        "27-new-current-uuid-refused.txt",
        "28-resize-refused.txt",
        "29-get-gi.txt",
    ])?;
    until(play, "the end of the verify", View::is_healthy)?;
    play.file("30-net-options-unknown.txt")?;
    play.file("31-show-nosuch.txt")?;
    play.file("32-down-nosuch.txt")
}

fn the_end(play: &mut Play<'_>) -> Result<()> {
    let ends = format!(
        "ipv4:{}:7788 ipv4:{}:7788",
        play.alpha().node.ip(0),
        play.beta().node.ip(0)
    );
    theirs(play, &format!("drbdsetup-84 disconnect {ends}"))?;
    // The peer has to have what comes with the recorded request.
    play.beta()
        .sh("drbdsetup net-options r0 0 --csums-alg=sha1")?;
    play.file("41-connect.txt")?;
    until(play, "a connection", View::is_healthy)?;
    let open = "exec 9<>/dev/drbd0;";
    play.part("51-secondary-busy.txt", 0..1, play.alpha(), open)?;
    // The last copy of the data of a Primary.
    theirs(play, &format!("drbdsetup-84 disconnect {ends}"))?;
    play.file("55-detach.txt")?;
    play.file("52-secondary.txt")?;
    theirs(play, "drbdsetup-84 detach 0")?;
    play.file("56-detach.txt")?;
    play.file("57-del-minor.txt")?;
    play.file("58-del-resource.txt")?;
    // Recorded on a node that had crashed as Primary, knows that the peer is Outdated, and is alone: its metadata says so.
    play.beta().sh("drbdsetup down r0")?;
    play.alpha().sh(
        "set -e; drbdmeta 0 v08 /dev/vdb internal apply-al; drbdmeta --force 0 v08 /dev/vdb internal dump-md >/run/md
         grep -q 'flags 0x' /run/md; sed -i 's/flags 0x[0-9a-f]*;/flags 0x00000071;/' /run/md
         yes yes | drbdmeta --force 0 v08 /dev/vdb internal restore-md /run/md",
    )?;
    theirs(
        play,
        &format!(
            "set -e; drbdsetup-84 new-resource r0; drbdsetup-84 new-minor r0 0 0
             drbdmeta 0 v08 /dev/vdb internal apply-al
             drbdsetup-84 attach 0 /dev/vdb /dev/vdb internal --resync-rate=10240 --c-plan-ahead=0
             drbdsetup-84 connect r0 {ends} --protocol=C --max-buffers=4000 \
                --cram-hmac-alg=sha1 --shared-secret=geheim --verify-alg=sha1"
        ),
    )?;
    play.file("60-down.txt")
}
