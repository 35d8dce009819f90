// SPDX-License-Identifier: GPL-2.0-or-later
//! Both nodes are Primary and write to the same blocks at once, in all sizes,
//! with discards and zeroes among them: the disks are equal afterwards. When
//! the cable breaks under both writers, both say that it is a split brain, and
//! the administrator's word ends it.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_tests::config::Config;
use drbd_tests::mapper;
use drbd_tests::scenario::step;
use drbd_tests::side::SOON;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

#[test]
#[ignore = "full: takes more than two minutes"]
fn two_primaries() {
    scenario("two_primaries", &setup(Pairing::OursOurs), story);
}

#[test]
#[ignore = "full: repeats two_primaries with another driver"]
fn two_primaries_with_stock() {
    scenario(
        "two_primaries_with_stock",
        &setup(Pairing::OursStock),
        story,
    );
}

#[test]
#[ignore = "full: repeats two_primaries with another driver"]
fn two_primaries_from_stock() {
    scenario(
        "two_primaries_from_stock",
        &setup(Pairing::StockOurs),
        story,
    );
}

#[test]
#[ignore = "full: takes more than two minutes"]
fn two_primaries_without_disks() {
    scenario(
        "two_primaries_without_disks",
        &setup(Pairing::OursOurs).mapped(),
        disks_come_and_go,
    );
}

const NET: [&str; 3] = ["allow-two-primaries yes", "ping-timeout 60", "ping-int 2"];

fn setup(pairing: Pairing) -> Setup {
    NET.iter()
        .fold(Setup::pairing(pairing), |setup, line| setup.net(line))
}

/// The in-tree driver starts a write of its that overlaps two of the peer's at once again twice (its log says "ASSERTION
/// req->rq_state & RQ_NET_PENDING FAILED"), after which the device hangs. With it, all that is written is of one grid of
/// blocks of this many bytes.
const GRID_BYTES: u32 = 16 << 10;

fn on_one_grid(cluster: &Cluster) -> bool {
    !cluster.sides().iter().all(|side| side.is_ours())
}

/// Writes all over the first MiB, whatever the other node does there.
fn writer(cluster: &Cluster, seconds: u32) -> String {
    let sizes = if on_one_grid(cluster) {
        format!("--bs={GRID_BYTES}")
    } else {
        "--bsrange=512-32k --blockalign=512".to_owned()
    };
    format!(
        "fio --thread --name=w --filename=/dev/drbd0 --size=1m --rw=randwrite --norandommap \
         --randrepeat=0 {sizes} --ioengine=libaio --direct=1 \
         --iodepth=8 --time_based --runtime={seconds} --output=/run/fio.log || \
         {{ cat /run/fio.log; exit 1; }}"
    )
}

/// Zeroes and discards parts of the same MiB.
fn zeroes(cluster: &Cluster) -> String {
    let at = |factor: u32, shift_bytes: u32, len_bytes: u32| {
        if on_one_grid(cluster) {
            format!("-o $((i * {factor} % 64 * {GRID_BYTES})) -l {GRID_BYTES}")
        } else {
            format!("-o $((i * {factor} % 15 * 65536 + {shift_bytes})) -l {len_bytes}")
        }
    };
    format!(
        "for i in $(seq 40); do blkdiscard -f -z {} /dev/drbd0 && blkdiscard -f {} /dev/drbd0 || exit 1; done",
        at(7, 0, 98304),
        at(11, 4096, 65536)
    )
}

fn write_on_both(cluster: &Cluster, seconds: u32, with_zeroes: bool) -> Result<()> {
    let limit = Duration::from_secs(240);
    let mut running = Vec::new();
    for side in cluster.sides() {
        running.push(side.node.spawn(&writer(cluster, seconds))?);
    }
    if with_zeroes {
        running.push(cluster.beta.node.spawn(&zeroes(cluster))?);
    }
    for writer in running {
        let output = writer.wait(limit)?;
        ensure!(output.success(), "{output:?}");
    }
    Ok(())
}

fn still_connected(cluster: &Cluster) -> Result<()> {
    for side in cluster.sides() {
        let view = side.view()?;
        ensure!(view.is_healthy(), "{}: {view:?}", side.name());
    }
    Ok(())
}

/// Our driver does not let the option go while it is needed.
fn option_stays(cluster: &Cluster, side: &Side) -> Result<()> {
    let config = Config {
        net: vec!["allow-two-primaries no".to_owned()],
        ..Config::default()
    };
    cluster.configure(side, &config)?;
    let said = side.refused("drbdadm net-options r0")?;
    let text = format!("{}{}", said.stdout, said.stderr);
    ensure!(text.contains("two"), "unhelpful: {text}");
    let config = Config {
        net: NET.map(str::to_owned).to_vec(),
        ..Config::default()
    };
    cluster.configure(side, &config)
}

fn both_primary(cluster: &Cluster) -> Result<()> {
    step("up", || cluster.up_and_synced())?;
    cluster.beta.primary()?;
    for side in cluster.sides() {
        side.wait("two Primaries", SOON, |view| {
            view.role == "Primary" && view.peer_role == "Primary"
        })?;
    }
    Ok(())
}

/// Each has its disk taken away and given back, loses it by errors, or has all of it sent again, while both write to the
/// same blocks.
fn disks_come_and_go(cluster: &Cluster) -> Result<()> {
    both_primary(cluster)?;
    for target in cluster.sides() {
        let mut writers = Vec::new();
        for side in cluster.sides() {
            writers.push(side.node.spawn(&writer(cluster, 60))?);
        }
        for side in cluster.sides() {
            step(&format!("{} without its disk", side.name()), || {
                side.drbdadm("detach")?;
                side.wait("no disk", SOON, |view| view.disk == "Diskless")?;
                std::thread::sleep(Duration::from_secs(2));
                side.drbdadm("attach")?;
                side.wait_healthy()
            })?;
        }
        step(&format!("the disk of {} fails", target.name()), || {
            mapper::spoil(target)?;
            target.wait("no disk", SOON, |view| view.disk == "Diskless")?;
            std::thread::sleep(Duration::from_secs(2));
            let view = target.view()?;
            ensure!(view.connection == "Connected", "they are parted: {view:?}");
            mapper::heal(target)?;
            target.drbdadm("attach")?;
            target.wait_healthy()
        })?;
        step(&format!("{} gets everything again", target.name()), || {
            target.drbdadm("invalidate")?;
            for writer in writers {
                let output = writer.wait(Duration::from_secs(300))?;
                ensure!(output.success(), "{output:?}");
            }
            target.wait_healthy()?;
            still_connected(cluster)?;
            cluster.compare_disks()
        })?;
    }
    cluster.beta.secondary()?;
    cluster.finish()
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    both_primary(cluster)?;
    for round in 1..=3 {
        step(&format!("both write, round {round}"), || {
            write_on_both(cluster, 8, round == 2)?;
            still_connected(cluster)
        })?;
        cluster.compare_disks()?;
        // Who decides conflicts may change.
        if round == 1 {
            step("apart and together again", || {
                beta.secondary()?;
                beta.drbdadm("disconnect")?;
                beta.wait_connection("StandAlone")?;
                beta.drbdadm("connect")?;
                for side in cluster.sides() {
                    side.wait_healthy()?;
                }
                beta.primary()
            })?;
        }
    }
    if let Some(side) = cluster.sides().into_iter().find(|side| side.is_ours()) {
        option_stays(cluster, side)?;
    }

    step("the cable breaks under both", || {
        let port = beta.node.port(0)?;
        let mut writers = Vec::new();
        for side in cluster.sides() {
            writers.push(side.node.spawn(&writer(cluster, 40))?);
        }
        std::thread::sleep(Duration::from_secs(3));
        port.cut(true);
        for side in cluster.sides() {
            side.wait("the loss of the other", Duration::from_secs(60), |view| {
                view.connection != "Connected"
            })?;
        }
        for writer in writers {
            let output = writer.wait(Duration::from_secs(240))?;
            ensure!(output.success(), "{output:?}");
        }
        port.cut(false);
        for side in cluster.sides() {
            side.wait_connection("StandAlone")?;
            let text = side.node.console_text().to_lowercase();
            ensure!(
                text.contains("split brain") || text.contains("split-brain"),
                "{} does not say why",
                side.name()
            );
        }
        Ok(())
    })?;
    step("beta gives up its data", || {
        beta.secondary()?;
        beta.drbdadm("-- --discard-my-data connect")?;
        alpha.drbdadm("connect")?;
        for side in cluster.sides() {
            side.wait_healthy()?;
        }
        cluster.compare_disks()
    })?;
    step("and both go on", || {
        beta.primary()?;
        write_on_both(cluster, 6, true)?;
        still_connected(cluster)?;
        cluster.compare_disks()
    })?;
    beta.secondary()?;
    cluster.finish()
}
