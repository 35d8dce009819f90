// SPDX-License-Identifier: GPL-2.0-or-later
//! Every kind of tools with every kind of driver: which commands do what they say. The table in
//! docs/tools-and-drivers.md is what this scenario saw.
//!
//! The peer always runs our tools with our module. What a command did is looked at with our `drbdsetup status` and on the
//! peer, whatever tools gave the command.

use std::path::Path;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, wait, Cluster, Setup, Side};

mod rows;
mod table;

use rows::{Row, ROWS};
use table::Table;

/// Long enough for a resync of the small disk.
const EFFECT_LIMIT: Duration = Duration::from_secs(90);

/// Below the volume of both nodes, made larger for `resize`.
const BACKING: &str = "/dev/mapper/b0";
const SIZES_MIB: [u64; 2] = [24, 32];

/// Whose programs are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tools {
    Ours,
    /// drbd-utils 9.22 of Debian 13; for a driver of 8.4 it calls its drbdadm-84 and drbdsetup-84.
    Debian,
}

impl Tools {
    fn path(self) -> &'static str {
        match self {
            Tools::Ours => "",
            Tools::Debian => "export PATH=/usr/lib/drbd-lab/stock:$PATH; ",
        }
    }
}

/// Which driver is loaded, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Ours,
    OursAsOld,
    InTree,
}

impl Driver {
    fn load(self) -> &'static str {
        match self {
            Driver::Ours => "modprobe drbd",
            Driver::OursAsOld => "modprobe drbd api_version=1",
            Driver::InTree => {
                "modprobe lru_cache && insmod $(find /lib/modules/$(uname -r)/kernel -name 'drbd.ko*' | head -1)"
            }
        }
    }

    fn is_old(self) -> bool {
        self != Driver::Ours
    }
}

/// The columns: what it says above them, the tools, the driver.
const COLUMNS: [(&str, Tools, Driver); 6] = [
    ("ours, our module", Tools::Ours, Driver::Ours),
    ("Debian 9.22, our module", Tools::Debian, Driver::Ours),
    (
        "ours, our module with `api_version=1`",
        Tools::Ours,
        Driver::OursAsOld,
    ),
    (
        "Debian's 8.4, our module with `api_version=1`",
        Tools::Debian,
        Driver::OursAsOld,
    ),
    ("ours, in-tree 8.4.11", Tools::Ours, Driver::InTree),
    (
        "Debian's 8.4, in-tree 8.4.11",
        Tools::Debian,
        Driver::InTree,
    ),
];

#[test]
#[ignore = "full: six lives of a resource, minutes without acceleration"]
fn command_table() {
    scenario("command_table", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    for side in cluster.sides() {
        side.sh("modprobe -q dm-mod; lsmod | grep -q '^drbd ' && rmmod drbd; true")?;
        let lines = linear(SIZES_MIB[0]);
        side.sh(&format!(
            "dmsetup create b0 --table '{lines}' && dmsetup mknodes"
        ))?;
    }
    let mut table = Table::new(COLUMNS.map(|(title, ..)| title));
    for (title, tools, driver) in COLUMNS {
        let cells =
            step(title, || column(cluster, tools, driver)).with_context(|| title.to_owned())?;
        table.add(cells);
    }
    table.compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tools-and-drivers.md"))?;
    Ok(cluster.lab.check_consoles()?)
}

fn linear(mib: u64) -> String {
    format!("0 {} linear /dev/vdb 0", mib * 2048)
}

fn set_size(side: &Side, mib: u64) -> Result<()> {
    let lines = linear(mib);
    side.sh(&format!(
        "dmsetup suspend b0 && dmsetup load b0 --table '{lines}' && dmsetup resume b0"
    ))
    .map(drop)
}

/// What the resource looks like in the language of a generation; 8.4 has no node ids.
fn config(cluster: &Cluster, old: bool) -> String {
    let hosts: String = cluster
        .sides()
        .iter()
        .enumerate()
        .map(|(id, side)| {
            let node_id = if old {
                String::new()
            } else {
                format!("node-id {id}; ")
            };
            let (name, ip) = (side.name(), side.node.ip(0));
            format!("  on {name} {{ {node_id}address {ip}:7789; }}\n")
        })
        .collect();
    format!(
        "global {{ usage-count no; }}\nresource r0 {{\n  \
         volume 0 {{ device /dev/drbd0 minor 0; disk {BACKING}; meta-disk internal; }}\n{hosts}  \
         net {{ protocol C; verify-alg crc32c; }}\n  \
         disk {{ c-plan-ahead 0; resync-rate 40M; }}\n}}\n"
    )
}

/// All commands, from nothing to nothing, with one kind of tools and driver.
fn column(cluster: &Cluster, tools: Tools, driver: Driver) -> Result<Vec<String>> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for (side, old) in [(alpha, driver.is_old()), (beta, false)] {
        set_size(side, SIZES_MIB[0])?;
        // What the disks hold is not the same.
        side.sh("dd if=/dev/urandom of=/dev/mapper/b0 bs=1M count=24 2>/dev/null")?;
        side.node
            .put("/etc/drbd.conf", config(cluster, old).as_bytes())?;
    }
    alpha.sh(driver.load())?;
    beta.sh("modprobe drbd && drbdadm -- --force create-md r0 && drbdadm up r0")?;
    let mut cells = Vec::new();
    for row in ROWS {
        for (side, script) in [(beta, row.on_peer), (alpha, row.before)] {
            if !script.is_empty() {
                side.sh(script)?;
            }
        }
        if row.name == "resize" {
            for side in cluster.sides() {
                set_size(side, SIZES_MIB[1])?;
            }
        }
        cells.push(cell(alpha, tools, driver, row)?);
    }
    beta.sh("drbdadm down r0; rmmod drbd")?;
    alpha.sh("rmmod drbd")?;
    Ok(cells)
}

/// Gives one command and looks at what it did.
fn cell(side: &Side, tools: Tools, driver: Driver, row: &Row) -> Result<String> {
    let script = format!("{}{}", tools.path(), row.command);
    let output = side.node.run(&script, drbd_qemu::SH_LIMIT)?;
    let expected = row.lacking.iter().find(|lack| lack.is_for(tools, driver));
    if let Some(lack) = expected {
        ensure!(
            output.status == lack.status,
            "`{}` should have ended with {}: {output:?}",
            row.command,
            lack.status
        );
        return Ok(format!("no: {}", lack.reason));
    }
    if !output.success() {
        bail!(
            "`{}`: {output:?}\n{}",
            row.command,
            side.node.console_tail()
        );
    }
    if !row.effect.is_empty() {
        let look = || Ok(side.node.run(row.effect, drbd_qemu::SH_LIMIT)?);
        wait::until(row.effect, EFFECT_LIMIT, look, drbd_qemu::Output::success).with_context(
            || {
                let status = side.sh("drbdsetup status --verbose; cat /proc/drbd");
                format!(
                    "after `{}`: {status:?}\n{}",
                    row.command,
                    side.node.console_tail()
                )
            },
        )?;
    }
    Ok("yes".to_owned())
}
