// SPDX-License-Identifier: GPL-2.0-or-later
//! The distribution's own drbdsetup, drbdadm and drbdmeta 9.22 drive our module.

use anyhow::{ensure, Context, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup};

/// Where the harness keeps what our tools lie over.
const THEIRS: &str = "export PATH=/usr/lib/drbd-lab/stock:$PATH; ";

#[test]
fn debian_tools() {
    scenario("debian_tools", &Setup::default(), story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let alpha = &cluster.alpha;
    let peer_ip = cluster.beta.node.ip(0);
    let own_ip = alpha.node.ip(0);
    let run = |script: &str| alpha.sh(&format!("{THEIRS}{script}"));
    ensure!(
        run("drbdadm --version")?.contains("DRBDADM_VERSION=9.22"),
        "these are not the distribution's tools"
    );
    step("drbdsetup by hand", || -> Result<()> {
        run("yes yes | drbdmeta --force 0 v09 /dev/vdb internal create-md 1")?;
        run("drbdmeta 0 v09 /dev/vdb internal apply-al")?;
        run("drbdsetup new-resource r0 0")?;
        run("drbdsetup new-minor r0 0 0")?;
        run("drbdsetup new-peer r0 1 --_name=beta --protocol=C")?;
        run(&format!(
            "drbdsetup new-path r0 1 ipv4:{own_ip}:7789 ipv4:{peer_ip}:7789"
        ))?;
        run("drbdsetup attach 0 /dev/vdb /dev/vdb internal")?;
        run("drbdsetup connect r0 1").map(drop)
    })?;
    let status: serde_json::Value =
        serde_json::from_str(&run("drbdsetup status --json")?).context("status --json")?;
    let resource = &status[0];
    ensure!(
        resource["name"] == "r0" && resource["role"] == "Secondary",
        "{status}"
    );
    ensure!(
        resource["devices"][0]["disk-state"] == "Inconsistent",
        "{status}"
    );
    ensure!(
        resource["connections"][0]["connection-state"] == "Connecting",
        "{status}"
    );
    run("drbdsetup primary r0 --force")?;
    let events = run("drbdsetup events2 --now")?;
    for object in ["resource", "connection", "device", "peer-device", "path"] {
        ensure!(events.contains(&format!("exists {object} ")), "{events}");
    }
    ensure!(events.contains("promotion_score:10101"), "{events}");
    ensure!(
        run("drbdsetup show r0")?.contains("_peer_node_id 1;"),
        "show"
    );
    ensure!(run("drbdsetup role r0")?.trim() == "Primary", "role");
    ensure!(
        run("drbdsetup dstate 0")?.trim() == "UpToDate/DUnknown",
        "dstate"
    );
    step("options", || -> Result<()> {
        run("drbdsetup net-options r0 1 --ping-int=5")?;
        run("drbdsetup disk-options 0 --al-extents=1000")?;
        run("drbdsetup peer-device-options r0 1 0 --c-max-rate=200M")?;
        let refused = alpha.refused(&format!(
            "{THEIRS}drbdsetup resource-options r0 --quorum=majority"
        ))?;
        ensure!(
            refused.status == 10 && refused.stderr.contains("quorum"),
            "{}",
            refused.stderr
        );
        Ok(())
    })?;
    let shown = run("drbdsetup show r0")?;
    for option in ["ping-int", "al-extents", "c-max-rate"] {
        ensure!(shown.contains(option), "{option} is not shown: {shown}");
    }
    step("down", || -> Result<()> {
        run("drbdsetup secondary r0")?;
        run("drbdsetup detach 0")?;
        run("drbdsetup down r0").map(drop)
    })?;
    ensure!(
        run("drbdsetup status")?.contains("No currently configured DRBD found"),
        "left"
    );

    step("drbdadm", || -> Result<()> {
        for side in cluster.sides() {
            side.sh(&format!(
                "{THEIRS}drbdadm -- --force create-md r0 && drbdadm up r0"
            ))?;
        }
        for side in cluster.sides() {
            side.wait_connection("Connected")?;
        }
        run("drbdadm primary --force r0")?;
        alpha.wait_healthy()?;
        run("drbdadm adjust r0")?;
        run("drbdadm secondary r0").map(drop)
    })?;
    for side in cluster.sides() {
        side.sh(&format!("{THEIRS}drbdadm down r0"))?;
        side.sh("rmmod drbd")?;
    }
    Ok(cluster.lab.check_consoles()?)
}
