// SPDX-License-Identifier: GPL-2.0-or-later
//! The options of a connection do what they say: how often a peer is looked
//! for and asked for a sign of life, how large the buffers are, and how long a
//! peer that has stopped may hold up this node.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_qemu::switch::Direction;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side, Writer};

#[test]
#[ignore = "full: waits for time-outs"]
fn network_options() {
    let setup = Setup::default()
        .net("ping-timeout 60")
        .net("max-buffers 32")
        .net("max-epoch-size 1")
        .net("sndbuf-size 128k")
        .net("rcvbuf-size 96k");
    scenario("network_options", &setup, options);
}

/// Frames that beta got and sent in six seconds.
fn frames_in_six_seconds(cluster: &Cluster) -> Result<u64> {
    let port = cluster.beta.node.port(0)?;
    let count = || {
        [Direction::ToGuest, Direction::FromGuest]
            .iter()
            .map(|way| port.counters(*way).packets)
            .sum::<u64>()
    };
    let before = count();
    std::thread::sleep(Duration::from_secs(6));
    Ok(count() - before)
}

/// The CPUs that each thread of the resource may run on.
fn cpus_of_threads(side: &Side) -> Result<Vec<String>> {
    let said = side.sh("for comm in /proc/[0-9]*/comm; do
             if grep -qE '^drbd_(r_|w_|m_|sender|acker|ack_rcv)' $comm; then grep Cpus_allowed_list: ${comm%/comm}/status; fi
         done")?;
    let lists = said
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    Ok(lists.map(str::to_owned).collect())
}

/// Threads that run move, those that begin begin there, and back.
fn cpu_mask(side: &Side) -> Result<()> {
    let all_on = |wanted: &str| -> Result<()> {
        let lists = cpus_of_threads(side)?;
        // Four of the connection, two of the volume.
        ensure!(lists.len() == 6, "{lists:?}");
        ensure!(lists.iter().all(|list| list == wanted), "{lists:?}");
        Ok(())
    };
    all_on("0-1")?;
    side.sh("drbdsetup resource-options r0 --cpu-mask=2")?;
    all_on("1")?;
    side.drbdadm("disconnect")?;
    side.drbdadm("connect")?;
    side.wait_healthy()?;
    all_on("1")?;
    for bad in ["zz", "100"] {
        let refused = side.refused(&format!("drbdsetup resource-options r0 --cpu-mask={bad}"))?;
        ensure!(refused.stderr.contains("(143)"), "{refused:?}");
    }
    all_on("1")?;
    side.sh("drbdsetup resource-options r0 --set-defaults")?;
    all_on("0-1")
}

fn options(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up, with hardly a buffer", || cluster.up_and_synced())?;
    for side in cluster.sides() {
        // TCP doubles neither: they are what was asked for.
        let said = side.sh("ss -tnmH state established '( sport = 7789 or dport = 7789 )'")?;
        let with = |mark: &str| said.matches(mark).count();
        ensure!(with("tb131072") == 2 && with("rb98304") == 2, "{said}");
    }
    step("load", || -> Result<String> {
        Ok(alpha.node.sh_within(
            "fio --thread --name=x --filename=/dev/drbd0 --size=16m --rw=randwrite --bs=16k \
             --ioengine=libaio --direct=1 --iodepth=64 --verify=crc32c --do_verify=1",
            Duration::from_secs(150),
        )?)
    })?;
    cluster.compare_disks()?;

    step("cpu-mask", || cpu_mask(alpha))?;
    step("ping-int", || -> Result<()> {
        let set = |seconds: u32| -> Result<()> {
            for (side, peer) in [(alpha, 1), (beta, 0)] {
                side.sh(&format!(
                    "drbdsetup net-options r0 {peer} --ping-int={seconds}"
                ))?;
            }
            // What began with the old one ends.
            std::thread::sleep(Duration::from_secs(11));
            Ok(())
        };
        set(1)?;
        let often = frames_in_six_seconds(cluster)?;
        set(100)?;
        let seldom = frames_in_six_seconds(cluster)?;
        ensure!(
            often >= 12 && seldom + 8 < often,
            "{often} frames, then {seldom}"
        );
        Ok(())
    })?;

    step("connect-int", || -> Result<()> {
        beta.down()?;
        // Nobody answers at all.
        beta.node
            .port(0)?
            .set(Direction::ToGuest, drbd_qemu::switch::Faults::CUT);
        let set = |seconds: u32| -> Result<u64> {
            alpha.drbdadm("disconnect")?;
            alpha.sh(&format!(
                "drbdsetup net-options r0 1 --connect-int={seconds}"
            ))?;
            alpha.drbdadm("connect")?;
            let port = alpha.node.port(0)?;
            let before = port.counters(Direction::FromGuest).packets;
            std::thread::sleep(Duration::from_secs(12));
            Ok(port.counters(Direction::FromGuest).packets - before)
        };
        let (often, seldom) = (set(1)?, set(60)?);
        beta.node.port(0)?.cut(false);
        ensure!(often > seldom, "{often} frames, then {seldom}");
        Ok(())
    })?;
    cluster.finish()
}

#[test]
#[ignore = "full: waits for time-outs"]
fn frozen_peer() {
    scenario("frozen_peer", &frozen_setup(Pairing::OursOurs), frozen);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn frozen_stock_peer() {
    scenario(
        "frozen_stock_peer",
        &frozen_setup(Pairing::OursStock),
        frozen,
    );
}

/// Pings alone would take longer to find out.
fn frozen_setup(pairing: Pairing) -> Setup {
    Setup::pairing(pairing)
        .net("ping-int 120")
        .net("ping-timeout 60")
        .net("timeout 20")
        .net("ko-count 3")
}

fn frozen(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    alpha.mkfs_and_mount()?;
    let writer = Writer::start(alpha, "/mnt/records")?;
    writer.wait_more(20, Duration::from_secs(60))?;
    step("the peer freezes", || -> Result<()> {
        let began = Instant::now();
        beta.node.freeze()?;
        // 3 times 2 s, and a second to notice.
        writer.wait_more(20, Duration::from_secs(40))?;
        let took = began.elapsed();
        ensure!(
            took < Duration::from_secs(25),
            "it held up the writer for {took:?}"
        );
        ensure!(took > Duration::from_secs(4), "given up after {took:?}");
        Ok(())
    })?;
    // Nor do commands hang that would ask it.
    step("disconnect and connect", || -> Result<()> {
        alpha.drbdadm("disconnect")?;
        alpha.drbdadm("connect").map(drop)
    })?;
    beta.node.thaw()?;
    step("it goes on", || {
        beta.wait_healthy()?;
        alpha.wait_healthy().map(drop)
    })?;
    let acknowledged = writer.stop()?;
    cluster.hand_over(acknowledged)?;
    cluster.finish()
}

#[test]
#[ignore = "full: waits for time-outs"]
fn silent_primary() {
    let setup = Setup::default().net("ping-int 20").net("ping-timeout 20");
    scenario("silent_primary", &setup, silent);
}

/// What came on the data socket begins ping-int anew; it does not put another one behind the one that runs.
fn silent(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || cluster.up_and_synced())?;
    // beta hears alpha on the other socket for the last time when alpha asks whether it may.
    alpha.secondary()?;
    alpha.primary()?;
    std::thread::sleep(Duration::from_secs(5));
    alpha.sh("dd if=/dev/urandom of=/dev/drbd0 bs=4k count=1 oflag=direct 2>/dev/null")?;
    alpha.node.freeze()?;
    let began = Instant::now();
    step("the other one notices", || {
        beta.wait_connection("Connecting").map(drop)
    })?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(29), "20 s and 2 s were {took:?}");
    ensure!(took > Duration::from_secs(10), "given up after {took:?}");
    alpha.node.thaw()?;
    step("it goes on", || {
        beta.wait_healthy()?;
        alpha.wait_healthy().map(drop)
    })?;
    cluster.finish()
}
