// SPDX-License-Identifier: GPL-2.0-or-later
//! A pair that runs the distribution's driver is upgraded to ours, one node
//! after the other, and goes back, while the other node writes: on the same
//! v08 metadata, and each time only what was written meanwhile is
//! resynchronised.

use std::fmt;

use anyhow::{ensure, Result};
use drbd_qemu::Kind;
use drbd_tests::config::{Config, RESOURCE};
use drbd_tests::scenario::step;
use drbd_tests::side::{SOON, SYNC_LIMIT};
use drbd_tests::{scenario, wait, Cluster, Setup, Side, View};

/// Written while a node is away.
const CHANGE_KIB: u64 = 2048;

/// What the file system may write beside that, with room: inode tables that it
/// initialises when it finds the time, its journal. A full resync is thrice as
/// much.
const MORE_KIB: u64 = 24 * 1024;

const DISK_MIB: u64 = 96;

#[test]
#[ignore = "full: more than a minute"]
fn upgrade_and_back() {
    let setup = Setup::default().disk_mib(DISK_MIB);
    scenario("upgrade_and_back", &setup, story);
}

/// Whose driver a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Stock,
    Ours,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Stock => "8.4",
            Driver::Ours => "ours",
        })
    }
}

impl Driver {
    fn load(self) -> &'static str {
        match self {
            Driver::Stock => {
                "modprobe lru_cache && insmod \
                 $(find /lib/modules/$(uname -r)/kernel -name 'drbd.ko*' | head -1)"
            }
            Driver::Ours => "modprobe drbd",
        }
    }

    fn drbdadm(self) -> &'static str {
        match self {
            Driver::Stock => "/lib/drbd/drbdadm-84",
            Driver::Ours => "drbdadm",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Driver::Stock => Kind::Stock,
            Driver::Ours => Kind::Ours,
        }
    }
}

/// A node and the driver it runs at the moment.
struct Member<'a> {
    side: &'a Side,
    driver: Driver,
}

impl Member<'_> {
    fn drbdadm(&self, words: &str) -> Result<()> {
        let program = self.driver.drbdadm();
        self.side
            .sh(&format!("{program} {words} {RESOURCE}"))
            .map(drop)
    }

    fn view(&self) -> Result<View> {
        match self.driver {
            Driver::Stock => View::from_proc(&self.side.sh("cat /proc/drbd")?),
            Driver::Ours => self.side.view(),
        }
    }

    fn wait_healthy(&self) -> Result<View> {
        let what = format!("{} to be healthy", self.side.name());
        wait::until(&what, SYNC_LIMIT, || self.view(), View::is_healthy)
    }

    fn wait_alone(&self) -> Result<()> {
        let what = format!("{} to notice that it is alone", self.side.name());
        let alone = |view: &View| view.connection != "Connected";
        wait::until(&what, SOON, || self.view(), alone).map(drop)
    }

    /// Loads `driver` with its configuration.
    fn load(&mut self, cluster: &Cluster, driver: Driver) -> Result<()> {
        let hosts = cluster
            .sides()
            .map(|side| (side.name().to_owned(), side.node.ip(0).to_string()));
        let text = Config::default().text(driver.kind(), &hosts);
        self.side.node.put("/etc/drbd.conf", text.as_bytes())?;
        self.side.sh(driver.load())?;
        self.driver = driver;
        Ok(())
    }
}

fn story(cluster: &Cluster) -> Result<()> {
    let mut alpha = Member {
        side: &cluster.alpha,
        driver: Driver::Ours,
    };
    let mut beta = Member {
        side: &cluster.beta,
        driver: Driver::Ours,
    };
    step("up with 8.4", || -> Result<()> {
        for member in [&mut alpha, &mut beta] {
            member.side.sh("rmmod drbd")?;
            member.load(cluster, Driver::Stock)?;
            member.drbdadm("-- --force create-md")?;
            member.drbdadm("up")?;
        }
        wait::until(
            "a connection",
            SOON,
            || alpha.view(),
            |view| view.connection == "Connected",
        )?;
        alpha.drbdadm("-- --force primary")?;
        alpha.wait_healthy()?;
        alpha.side.mkfs_and_mount()
    })?;
    change(&mut beta, &alpha, cluster, Driver::Ours)?;
    switch_over(cluster, &alpha, &beta)?;
    change(&mut alpha, &beta, cluster, Driver::Ours)?;
    switch_over(cluster, &beta, &alpha)?;
    change(&mut beta, &alpha, cluster, Driver::Stock)?;
    switch_over(cluster, &alpha, &beta)?;
    change(&mut alpha, &beta, cluster, Driver::Stock)?;
    switch_over(cluster, &beta, &alpha)?;

    alpha.side.umount()?;
    for member in [&alpha, &beta] {
        member.drbdadm("down")?;
        member.side.sh("rmmod drbd")?;
    }
    Ok(cluster.lab.check_consoles()?)
}

/// The Secondary `away` gets another driver while the Primary `here` writes;
/// then only what was written is resynchronised.
fn change(away: &mut Member<'_>, here: &Member<'_>, cluster: &Cluster, to: Driver) -> Result<()> {
    let what = format!("{}, {} to {to}", away.side.name(), away.driver);
    step(&what, || {
        away.drbdadm("down")?;
        away.side.sh("rmmod drbd")?;
        here.wait_alone()?;
        here.side.sh(&format!(
            "dd if=/dev/urandom of=/mnt/while-{}-was-away bs=64k count={} conv=fsync 2>/dev/null",
            away.side.name(),
            CHANGE_KIB / 64
        ))?;
        away.load(cluster, to)?;
        away.drbdadm("up")?;
        here.wait_healthy()?;
        let view = away.wait_healthy()?;
        println!("  {} KiB were received", view.received_kib);
        ensure!(
            (CHANGE_KIB..CHANGE_KIB + MORE_KIB).contains(&view.received_kib),
            "{what}: {CHANGE_KIB} KiB were written, but {} KiB received",
            view.received_kib
        );
        Ok(())
    })
}

/// The Primary hands over: the other one has all its files, and the disks are
/// equal.
fn switch_over(cluster: &Cluster, from: &Member<'_>, to: &Member<'_>) -> Result<()> {
    const SUMS: &str = "cd /mnt && find . -type f | sort | xargs -d '\n' md5sum";
    let before = from.side.sh(SUMS)?;
    from.side.umount()?;
    from.drbdadm("secondary")?;
    cluster.compare_disks()?;
    to.drbdadm("primary")?;
    to.side.fsck()?;
    to.side.mount()?;
    let after = to.side.sh(SUMS)?;
    ensure!(before == after, "other files:\n{before}\n{after}");
    Ok(())
}
