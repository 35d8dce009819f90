// SPDX-License-Identifier: GPL-2.0-or-later
//! Who does not know the secret gets no connection, and data that carries a
//! digest arrives as it was sent.

use anyhow::{ensure, Result};
use drbd_qemu::switch::{Direction, Faults};
use drbd_tests::config::Config;
use drbd_tests::scenario::step;
use drbd_tests::side::{SOON, SYNC_LIMIT};
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

const SECRET: [&str; 2] = ["cram-hmac-alg sha256", "shared-secret abc"];
const OTHER_SECRET: [&str; 2] = ["cram-hmac-alg sha256", "shared-secret abd"];

#[test]
fn authentication() {
    let setup = setup(Pairing::OursOurs, &SECRET);
    scenario("authentication", &setup, authenticated);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn authentication_with_stock() {
    let setup = setup(Pairing::OursStock, &SECRET);
    scenario("authentication_with_stock", &setup, authenticated);
}

#[test]
#[ignore = "full: damage_on_the_way meets digests too"]
fn integrity() {
    let setup = setup(Pairing::OursOurs, &["data-integrity-alg sha1"]);
    scenario("integrity", &setup, intact);
}

#[test]
#[ignore = "full: damage_on_the_way meets digests too"]
fn integrity_ours_to_stock() {
    let setup = setup(Pairing::OursStock, &["data-integrity-alg crc32c"]);
    scenario("integrity_ours_to_stock", &setup, intact);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn integrity_stock_to_ours() {
    let setup = setup(Pairing::StockOurs, &["data-integrity-alg sha1"]);
    scenario("integrity_stock_to_ours", &setup, intact);
}

#[test]
fn damage_on_the_way() {
    let setup = setup(Pairing::OursOurs, &["data-integrity-alg crc32c"]);
    scenario("damage_on_the_way", &setup, damaged);
}

#[test]
#[ignore = "full: the other pairings show it"]
fn damage_on_the_way_from_stock() {
    let setup = setup(Pairing::StockOurs, &["data-integrity-alg sha1"]);
    scenario("damage_on_the_way_from_stock", &setup, damaged);
}

fn setup(pairing: Pairing, net: &[&str]) -> Setup {
    net.iter().fold(Setup::pairing(pairing), |setup, line| {
        setup.net(line).net("ping-timeout 20")
    })
}

/// Another `net` section for one node, in effect from here on.
fn reconfigure(cluster: &Cluster, side: &Side, net: &[&str]) -> Result<()> {
    let mut lines: Vec<String> = net.iter().map(|line| (*line).to_owned()).collect();
    lines.push("ping-timeout 20".to_owned());
    let config = Config {
        net: lines,
        ..Config::default()
    };
    side.down()?;
    cluster.configure(side, &config)?;
    side.drbdadm("up").map(drop)
}

fn authenticated(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("the same secret", || cluster.up())?;
    ensure!(
        alpha.node.console_text().contains("peer authenticated"),
        "nobody was authenticated"
    );
    // The secret is for root only.
    ensure!(alpha.sh("drbdsetup show r0")?.contains("abc"), "no secret");
    let shown = alpha
        .sh("setpriv --reuid 65534 --regid 65534 --clear-groups drbdsetup show r0 2>&1 || true")?;
    ensure!(!shown.contains("abc"), "{shown}");
    // What does not exist is refused, and changes nothing.
    for option in [
        "--cram-hmac-alg=nonsense",
        "--data-integrity-alg=nonsense",
        "--data-integrity-alg='hmac(sha1)'",
    ] {
        let said = alpha.refused(&format!("drbdsetup net-options r0 1 {option}"))?;
        ensure!(said.stderr.contains("-alg"), "{said:?}");
    }
    alpha.wait_connection("Connected")?;

    step("another secret", || {
        reconfigure(cluster, alpha, &OTHER_SECRET)?;
        // Whoever was left connecting gives up as well.
        beta.drbdadm("connect").or_else(|_| beta.sh("true"))?;
        alpha.wait_connection("StandAlone")?;
        beta.wait_connection("StandAlone")
    })?;

    step("no secret on alpha", || {
        reconfigure(cluster, alpha, &[])?;
        beta.drbdadm("connect")?;
        beta.wait_connection("StandAlone")
    })?;
    ensure!(
        alpha.view()?.connection != "Connected",
        "connected without a secret"
    );

    step("the same secret again", || {
        reconfigure(cluster, alpha, &SECRET)?;
        beta.drbdadm("connect")?;
        alpha.wait_connection("Connected")
    })?;
    cluster.finish()
}

/// The line changes data so that no checksum of TCP sees it.
fn damaged(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("initial sync", || cluster.up_and_synced())?;
    let bad = Faults {
        corrupt_hidden_ppm: 30_000,
        ..Faults::default()
    };
    let port = beta.node.port(0)?;
    port.set(Direction::ToGuest, bad);
    let load = alpha.node.spawn(
        "exec fio --thread --name=load --filename=/dev/drbd0 --size=16m --rw=randwrite \
         --bs=64k --ioengine=libaio --direct=1 --iodepth=4 --time_based --runtime=900",
    )?;
    let caught = step("caught", || {
        let said = "the data was changed on its way";
        Ok(beta.node.wait_console(said, 0, SYNC_LIMIT)?)
    });
    port.set(Direction::ToGuest, Faults::default());
    caught?;
    ensure!(!load.is_over(), "the application saw it");
    load.kill()?;
    load.wait(SOON)?;
    step("healed", || {
        beta.wait_healthy()?;
        alpha.wait_healthy()
    })?;
    alpha.secondary()?;
    cluster.compare_disks()?;
    cluster.finish()
}

fn intact(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    alpha.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=60 2>/dev/null")?;
    step("initial sync", || cluster.up_and_synced())?;
    cluster.compare_disks()?;
    for side in [alpha, beta] {
        if side.view()?.role != "Primary" {
            side.primary()?;
        }
        // mkfs writes zeroes, which a stock peer must not be told as such.
        side.mkfs_and_mount()?;
        side.sh("cp -a /etc /mnt/ && sync")?;
        side.sh("dd if=/dev/urandom of=/mnt/d bs=64k count=40 oflag=direct 2>/dev/null")?;
        side.umount()?;
        side.sh("blkdiscard -f -z -o 40M -l 4M /dev/drbd0")?;
        side.sh("cmp -n 4194304 -i 0:41943040 /dev/zero /dev/drbd0")?;
        side.secondary()?;
        side.wait_healthy()?;
        cluster.compare_disks()?;
    }
    for side in [alpha, beta].into_iter().filter(|side| side.is_ours()) {
        let text = side.node.console_text();
        ensure!(
            !text.contains("(ProtocolError)") && !text.contains("(NetworkFailure)"),
            "the connection was lost: {text}"
        );
    }
    cluster.finish()
}
