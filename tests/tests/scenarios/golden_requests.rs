// SPDX-License-Identifier: GPL-2.0-or-later
//! What drbd-utils sent to DRBD 9.3.3, byte by byte but for addresses, is sent to our module, in the recorded order and in
//! the states it was sent in: the same codes, and the same facts in replies and dumps.

use anyhow::Result;
use drbd_tests::replay::{Play, Refused, World};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Setup};

const WORLD: World = World {
    folder: "drbd9/nl",
    addresses: [[10, 9, 0, 1], [10, 9, 0, 2]],
    texts: &[],
    of_the_run: OF_THE_RUN,
    refused: REFUSED,
    silent: &["21-peer-lost-quorum-lost.txt"],
};

const REFUSED: &[Refused] = &[
    Refused {
        request: ("20-resource-options-quorum.txt", 0),
        code: 162,
        words: "quorum: only 'off' is implemented",
        reason: "quorum is not implemented; between two nodes it decides nothing",
    },
    Refused {
        request: ("36-rename.txt", 0),
        code: 162,
        words: "renaming a resource is not implemented",
        reason: "a resource is renamed by taking it down",
    },
    Refused {
        request: ("36-rename.txt", 1),
        code: 162,
        words: "renaming a resource is not implemented",
        reason: "a resource is renamed by taking it down",
    },
    Refused {
        request: ("43-teardown-steps.txt", 11),
        code: 162,
        words: "forget-peer is not implemented",
        reason: "drbdmeta does it on a disk that is not attached",
    },
    Refused {
        request: ("46-forget-peer.txt", 0),
        code: 162,
        words: "forget-peer is not implemented",
        reason: "drbdmeta does it on a disk that is not attached",
    },
];

/// Attributes that are not compared: another run of the same driver would have had other values, or they tell of what
/// this module does not have.
const OF_THE_RUN: &[(&str, &str)] = &[
    (
        "RESOURCE_OPTS.auto_promote",
        "there is none, and it is told as `no`",
    ),
    (
        "DEVICE_STATISTICS.dev_disk_flags",
        "0x400 tells of quorum, which there is not",
    ),
    (
        "PEER_DEVICE_STATISTICS.peer_dev_flags",
        "the sign bit marks peers that 9.3 has seen",
    ),
    (
        "PEER_DEVICE_STATISTICS.peer_dev_uuid_flags",
        "a handshake of protocol 110 and later",
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

#[test]
#[ignore = "full: a life of a resource in eight minutes; genl_golden decodes the same requests"]
fn golden_requests() {
    scenario("golden_requests", &Setup::default(), |cluster| {
        let mut play = Play::new(cluster, &WORLD, env!("CARGO_BIN_EXE_play"))?;
        story(&mut play)?;
        play.end()
    });
}

fn story(play: &mut Play<'_>) -> Result<()> {
    step("first connection", || first_connection(play))?;
    step("resync and verify", || resync_and_verify(play))?;
    step("disk and connection", || disk_and_connection(play))?;
    step("split brain", || split_brain(play))?;
    step("roles and data", || roles_and_data(play))?;
    step("dumps", || dumps(play))?;
    step("refusals", || refusals(play))?;
    step("the end", || the_end(play))
}

fn first_connection(play: &mut Play<'_>) -> Result<()> {
    for side in play.cluster().sides() {
        side.sh("drbdmeta --force 0 v09 /dev/vdb internal create-md 1")?;
    }
    configure(play, true)?;
    play.file("00-family-and-empty-dump.txt")?;
    play.file("01-new-resource.txt")?;
    play.file("02-new-minor.txt")?;
    play.file("03-new-peer.txt")?;
    play.file("04-new-path.txt")?;
    play.alpha()
        .sh("drbdmeta 0 v09 /dev/vdb internal apply-al")?;
    play.file("05-attach.txt")?;
    play.file("06-connect.txt")?;
    play.alpha().wait_connection("Connected").map(drop)
}

fn resync_and_verify(play: &mut Play<'_>) -> Result<()> {
    play.file("08-peer-device-options.txt")?;
    play.file("09-primary-force.txt")?;
    play.file("10-pause-sync.txt")?;
    play.file("11-resume-sync.txt")?;
    for (side, peer) in play.cluster().sides().into_iter().zip([1, 0]) {
        side.sh(&format!(
            "drbdsetup peer-device-options r0 {peer} 0 --set-defaults --c-max-rate=1G"
        ))?;
    }
    healthy(play)?;
    play.beta()
        .sh("drbdsetup net-options r0 0 --verify-alg=crc32c")?;
    play.file("13-verify.txt")?;
    healthy(play)?;
    play.file("13b-verify.txt")?;
    healthy(play)
}

fn disk_and_connection(play: &mut Play<'_>) -> Result<()> {
    play.file("14-suspend-io.txt")?;
    play.file("15-resume-io.txt")?;
    play.file("16-detach.txt")?;
    play.alpha()
        .sh("drbdmeta 0 v09 /dev/vdb internal apply-al")?;
    play.file("17-attach-while-connected.txt")?;
    healthy(play)?;
    play.file("18-disconnect.txt")?;
    play.file("19-reconnect.txt")?;
    healthy(play)?;
    play.file("20-resource-options-quorum.txt")?;
    play.file("21-disk-options.txt")
}

fn split_brain(play: &mut Play<'_>) -> Result<()> {
    let write = "dd if=/dev/urandom of=/dev/drbd0 bs=4k count=4 oflag=direct 2>/dev/null";
    play.alpha().sh(&format!(
        "set -e; drbdsetup disconnect r0 1; {write}; drbdsetup secondary r0"
    ))?;
    play.beta().sh(&format!(
        "set -e; drbdsetup disconnect r0 0; drbdsetup primary r0 --force; {write}
         drbdsetup secondary r0; drbdsetup connect r0 0"
    ))?;
    play.file("22-split-brain-detected.txt")?;
    play.alpha().wait_connection("StandAlone")?;
    play.beta().sh("drbdsetup disconnect r0 0")?;
    play.alpha().sh("drbdsetup connect r0 1")?;
    play.part("23-discard-my-data.txt", 0..1, play.beta(), "")?;
    healthy(play)
}

fn roles_and_data(play: &mut Play<'_>) -> Result<()> {
    play.alpha().sh("drbdsetup primary r0")?;
    play.file("32-secondary.txt")?;
    // That node had no disk when it was recorded.
    play.alpha().sh("drbdsetup detach 0")?;
    let file = "33-auto-promote.txt";
    play.part(file, 0..1, play.alpha(), "")?;
    // There is no automatic promotion: the option says so, and the administrator does it.
    play.alpha().sh("drbdsetup primary r0")?;
    play.part(file, 1..3, play.alpha(), "exec 9<>/dev/drbd0;")?;
    play.alpha().sh("drbdsetup secondary r0")?;
    play.part(file, 3..4, play.alpha(), "")?;
    play.alpha().sh(
        "drbdmeta 0 v09 /dev/vdb internal apply-al && drbdsetup attach 0 /dev/vdb /dev/vdb internal",
    )?;
    healthy(play)?;
    play.file("34-invalidate.txt")?;
    healthy(play)?;
    play.file("35-invalidate-remote.txt")?;
    healthy(play)?;
    play.file("36-rename.txt")
}

fn dumps(play: &mut Play<'_>) -> Result<()> {
    for side in play.cluster().sides() {
        side.sh("drbdsetup down r0")?;
    }
    configure(play, true)?;
    configure(play, false)?;
    healthy(play)?;
    play.alpha().sh("drbdsetup primary r0")?;
    play.file("37-get-timeout-type.txt")?;
    play.alpha().sh("drbdsetup secondary r0")?;
    play.file("38-initial-state.txt")?;
    play.file("39-dumps.txt")
}

fn refusals(play: &mut Play<'_>) -> Result<()> {
    play.file("44-error-reply.txt")?;
    play.file("45-new-current-uuid-refused.txt")?;
    play.file("46-forget-peer.txt")?;
    play.file("47-invalidate.txt")?;
    healthy(play)?;
    // As that connection was configured on the day.
    play.alpha().sh(
        "drbdsetup net-options r0 1 --connect-int=10 --ping-int=10 --ping-timeout=50 --timeout=60 \
         && drbdsetup primary r0",
    )?;
    let nobody = "setpriv --reuid=65534 --clear-groups --inh-caps=-all";
    play.part(
        "48-unprivileged-dump.txt",
        0..usize::MAX,
        play.alpha(),
        nobody,
    )?;
    play.alpha().sh("drbdsetup secondary r0").map(drop)
}

fn the_end(play: &mut Play<'_>) -> Result<()> {
    play.file("40-fence-peer.txt")?;
    play.alpha()
        .sh("drbdsetup resume-io 0; drbdsetup secondary r0; drbdsetup down r0")?;
    configure(play, false)?;
    healthy(play)?;
    play.file("42-down.txt")?;
    play.alpha()
        .sh("drbdmeta 0 v09 /dev/vdb internal apply-al")?;
    let file = "43-teardown-steps.txt";
    play.part(file, 0..8, play.alpha(), "")?;
    healthy(play)?;
    play.part(file, 8..usize::MAX, play.alpha(), "")?;
    play.beta().sh("drbdsetup down r0")?;
    for side in play.cluster().sides() {
        side.sh("rmmod drbd")?;
    }
    Ok(())
}

/// Configures a node as those of the recordings were, by hand.
fn configure(play: &Play<'_>, on_beta: bool) -> Result<()> {
    let (side, other) = match on_beta {
        true => (play.beta(), play.alpha()),
        false => (play.alpha(), play.beta()),
    };
    let (own, peer) = (u8::from(on_beta), u8::from(!on_beta));
    side.sh(&format!(
            "set -e; drbdsetup new-resource r0 {own}; drbdsetup new-minor r0 0 0
             drbdsetup new-peer r0 {peer} --_name=n{} --protocol=C --ping-timeout=200 --timeout=290 \
                --ping-int=30 --connect-int=30
             drbdsetup new-path r0 {peer} ipv4:{}:7788 ipv4:{}:7788
             drbdmeta 0 v09 /dev/vdb internal apply-al
             drbdsetup attach 0 /dev/vdb /dev/vdb internal; drbdsetup connect r0 {peer}",
            peer + 1,
            side.node.ip(0),
            other.node.ip(0)
        ))
        .map(drop)
}

/// Waits until both have the same good data.
fn healthy(play: &Play<'_>) -> Result<()> {
    play.alpha().wait_healthy()?;
    play.beta().wait_healthy().map(drop)
}
