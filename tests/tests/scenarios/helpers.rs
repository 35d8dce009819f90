// SPDX-License-Identifier: GPL-2.0-or-later
//! The driver calls the helper program for each event, with the arguments and
//! the environment of DRBD 9, tells it to whoever listens, and heeds what the
//! program says where it has a say.

use anyhow::{ensure, Context, Result};
use drbd_tests::recorder::{self, Call};
use drbd_tests::scenario::step;
use drbd_tests::side::SOON;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

fn setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing).net("verify-alg crc32c")
}

#[test]
#[ignore = "full: takes two minutes"]
fn helpers() {
    scenario("helpers", &setup(Pairing::OursOurs), story);
}

/// Environment of a call that belongs to volume and connection.
fn check(call: &Call, side: &Side, peer: &Side, peer_id: &str) -> Result<()> {
    let (own_ip, peer_ip) = (side.node.ip(0).to_string(), peer.node.ip(0).to_string());
    for (name, value) in [
        ("HOME", "/"),
        ("TERM", "linux"),
        ("PATH", "/sbin:/usr/sbin:/bin:/usr/bin"),
        ("DRBD_MINOR", "0"),
        ("DRBD_VOLUME", "0"),
        ("DRBD_BACKING_DEV", "/dev/vdb"),
        ("DRBD_MY_AF", "ipv4"),
        ("DRBD_MY_ADDRESS", &own_ip),
        ("DRBD_PEER_AF", "ipv4"),
        ("DRBD_PEER_ADDRESS", &peer_ip),
        ("DRBD_PEER_NODE_ID", peer_id),
    ] {
        ensure!(call.variable(name) == Some(value), "{name}: {call:?}");
    }
    ensure!(call.variable("DRBD_CSTATE").is_some(), "{call:?}");
    ensure!(call.environment.len() == 12, "{call:?}");
    Ok(())
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        recorder::install(side)?;
    }
    beta.sh("drbdsetup events2 --timestamps >/run/events 2>&1 & echo $! >/run/events.pid")?;
    step("an initial sync", || {
        cluster.up_and_synced()?;
        let before = recorder::wait_for(alpha, "before-resync-source r0")?;
        check(&before, alpha, beta, "1")?;
        let before = recorder::wait_for(beta, "before-resync-target r0")?;
        check(&before, beta, alpha, "0")?;
        let after = recorder::wait_for(beta, "after-resync-target r0")?;
        check(&after, beta, alpha, "0")
    })?;
    step("events are told", || {
        let told = beta.sh("kill $(cat /run/events.pid); cat /run/events")?;
        for words in [
            "call helper name:r0 peer-node-id:0 conn-name:alpha volume:0 minor:0 helper:before-resync-target",
            "response helper name:r0 peer-node-id:0 conn-name:alpha volume:0 minor:0 helper:before-resync-target status:0",
            "call helper name:r0 peer-node-id:0 conn-name:alpha volume:0 minor:0 helper:after-resync-target",
        ] {
            ensure!(told.contains(words), "`{words}` is not in\n{told}");
        }
        Ok(())
    })?;
    step("a verify that finds something", || {
        beta.sh("dd if=/dev/urandom of=/dev/vdb bs=4k seek=77 count=1 oflag=direct conv=notrunc 2>/dev/null")?;
        alpha.drbdadm("verify")?;
        recorder::wait_for(alpha, "out-of-sync r0")?;
        recorder::wait_for(beta, "out-of-sync r0").map(drop)
    })?;
    step("a target that does not want to", || refusal(cluster))?;
    step("split brain", || split_brain(cluster))?;
    step("a program that is not there, and none at all", || {
        let parameter = "/sys/module/drbd/parameters/usermode_helper";
        for program in ["/nowhere", "disabled"] {
            beta.sh(&format!("echo -n {program} >{parameter}"))?;
            beta.drbdadm("disconnect")?;
            alpha.sh("dd if=/dev/urandom of=/dev/drbd0 bs=4k count=8 oflag=direct 2>/dev/null")?;
            beta.drbdadm("connect")?;
            beta.wait_healthy()?;
        }
        alpha.wait_healthy().map(drop)
    })?;
    step("drbdadm runs the handlers of the configuration", || {
        beta.sh(
            "sed -i 's|^}|  handlers { after-resync-target \"env >/run/handler\"; }\\n}|' /etc/drbd.conf
             echo -n /usr/sbin/drbdadm >/sys/module/drbd/parameters/usermode_helper
             drbdadm disconnect r0",
        )?;
        alpha.sh("dd if=/dev/urandom of=/dev/drbd0 bs=4k count=8 oflag=direct 2>/dev/null")?;
        beta.drbdadm("connect")?;
        beta.wait_healthy()?;
        let env = drbd_tests::wait::until(
            "the handler",
            SOON,
            || beta.sh("cat /run/handler 2>/dev/null || true"),
            |text| text.contains("DRBD_RESOURCE=r0"),
        )?;
        ensure!(env.contains("DRBD_MINOR=0"), "{env}");
        Ok(())
    })?;
    alpha.wait_healthy()?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}

fn refusal(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    beta.drbdadm("disconnect")?;
    alpha.sh("dd if=/dev/urandom of=/dev/drbd0 bs=64k count=16 oflag=direct 2>/dev/null")?;
    // It looks at the resource, and takes its time.
    recorder::answer(
        beta,
        "before-resync-target",
        "drbdsetup status r0 >/run/seen 2>&1; sleep 1; exit 1",
    )?;
    beta.drbdadm("connect")?;
    beta.wait_connection("StandAlone")?;
    let seen = beta.sh("cat /run/seen")?;
    ensure!(seen.contains("r0 role:Secondary"), "{seen}");
    recorder::answer(beta, "before-resync-target", "sleep 1; exit 0")?;
    if alpha.view()?.connection == "StandAlone" {
        alpha.drbdadm("connect")?;
    }
    beta.drbdadm("connect")?;
    beta.wait_healthy()?;
    alpha.wait_healthy()?;
    Ok(())
}

fn split_brain(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.secondary()?;
    for side in cluster.sides() {
        let _ = side.drbdadm("disconnect");
        side.wait_connection("StandAlone")?;
    }
    for side in cluster.sides() {
        side.sh("drbdadm primary r0 && dd if=/dev/urandom of=/dev/drbd0 bs=4k count=1 oflag=direct 2>/dev/null && drbdadm secondary r0")?;
    }
    for side in cluster.sides() {
        side.sh(": >/run/helper.log")?;
        side.drbdadm("connect")?;
    }
    let found = drbd_tests::wait::until(
        "helper split-brain",
        SOON,
        || {
            let mut words = Vec::new();
            for side in cluster.sides() {
                words.extend(recorder::calls(side)?.into_iter().map(|call| call.words));
            }
            Ok(words)
        },
        |words| words.contains(&"split-brain r0".to_owned()),
    )?;
    ensure!(
        found.contains(&"initial-split-brain r0".to_owned()),
        "{found:?}"
    );
    for side in cluster.sides() {
        let _ = side.drbdadm("disconnect");
        side.wait_connection("StandAlone")?;
    }
    beta.drbdadm("-- --discard-my-data connect")?;
    alpha.drbdadm("connect")?;
    alpha.wait_healthy()?;
    beta.wait_healthy()?;
    alpha.primary().context("alpha after the split brain")
}
