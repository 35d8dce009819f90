// SPDX-License-Identifier: GPL-2.0-or-later
//! The agent for Pacemaker, called as Pacemaker calls it: what each action does and how it ends, on both nodes of a
//! promotable clone. The cluster is played: `crm_master` writes down what it is told.

use anyhow::{ensure, Result};
use drbd_qemu::Output;
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Setup, Side};

#[test]
#[ignore = "full: pacemaker_ocf_tester and pacemaker_power_cut call the same actions"]
fn ocf_agent() {
    scenario("ocf_agent", &Setup::default(), story);
}

const AGENT: &str = "/usr/lib/ocf/resource.d/linbit/drbd";

/// What Pacemaker sets for an instance of the clone.
const CLUSTER: &str = "export OCF_ROOT=/usr/lib/ocf OCF_RESKEY_drbd_resource=r0 OCF_RESKEY_CRM_meta_timeout=60000 \
     OCF_RESKEY_CRM_meta_clone_max=2 OCF_RESKEY_CRM_meta_clone_node_max=1 OCF_RESKEY_CRM_meta_notify=true \
     OCF_RESKEY_CRM_meta_interval=10000; ";

fn call(side: &Side, action: &str, more: &str) -> Result<Output> {
    let script = format!("{CLUSTER}{more} {AGENT} {action}");
    Ok(side.node.run(&script, drbd_qemu::SH_LIMIT)?)
}

/// An action that has to end with `code`.
fn ends(side: &Side, action: &str, more: &str, code: i32) -> Result<Output> {
    let output = call(side, action, more)?;
    ensure!(
        output.status == code,
        "{}: {action} ended with {}, not {code}\n{}{}",
        side.name(),
        output.status,
        output.stdout,
        output.stderr
    );
    Ok(output)
}

fn score(side: &Side) -> Result<String> {
    Ok(side
        .sh("cat /run/score 2>/dev/null || true")?
        .trim()
        .to_owned())
}

fn story(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in cluster.sides() {
        side.create_md()?;
        side.sh("printf '#!/bin/sh\\necho \"$*\" >/run/score\\n' >/usr/sbin/crm_master; chmod +x /usr/sbin/crm_master")?;
    }
    step("what is not there", || -> Result<()> {
        let document = ends(alpha, "meta-data", "", 0)?.stdout;
        ensure!(
            document.contains("<resource-agent name=\"drbd\""),
            "{document}"
        );
        ends(alpha, "dance", "", 3)?;
        ends(alpha, "monitor", "OCF_RESKEY_drbd_resource=", 6)?;
        ends(alpha, "start", "OCF_RESKEY_drbd_resource=other", 5)?;
        ends(alpha, "start", "OCF_RESKEY_CRM_meta_notify=false", 6)?;
        ends(
            alpha,
            "start",
            "OCF_RESKEY_require_drbd_module_version_lt=9.0.0",
            5,
        )?;
        ends(alpha, "monitor", "OCF_RESKEY_CRM_meta_interval=0", 7)?;
        ends(alpha, "stop", "", 0).map(drop)
    })?;
    step("start", || -> Result<()> {
        ends(alpha, "start", "OCF_RESKEY_wfc_timeout=1", 0)?;
        ends(beta, "start", "", 0)?;
        ends(alpha, "monitor", "", 0)?;
        // Nobody has good data yet.
        ensure!(score(alpha)?.contains("-D"), "{}", score(alpha)?);
        let refused = ends(alpha, "promote", "OCF_RESKEY_CRM_meta_timeout=30000", 1)?;
        ensure!(
            refused.stderr.contains("ocf-exit-reason:no UpToDate data"),
            "{}",
            refused.stderr
        );
        alpha.primary_force()?;
        for side in cluster.sides() {
            side.wait_healthy()?;
        }
        alpha.secondary()
    })?;
    step("promote", || -> Result<()> {
        ends(alpha, "monitor", "", 0)?;
        ensure!(score(alpha)?.contains("-v 10000"), "{}", score(alpha)?);
        ends(alpha, "promote", "", 0)?;
        ends(alpha, "monitor", "", 8)?;
        ends(beta, "monitor", "", 0)?;
        // The other node is Primary: it is tried for as long as the cluster allows.
        let refused = ends(beta, "promote", "OCF_RESKEY_CRM_meta_timeout=20000", 1)?;
        ensure!(
            refused.stderr.contains("promote did not work within 18 s"),
            "{}",
            refused.stderr
        );
        alpha
            .sh("dd if=/dev/urandom of=/dev/drbd0 bs=1M count=8 oflag=direct 2>/dev/null")
            .map(drop)
    })?;
    step("move", || -> Result<()> {
        ends(alpha, "demote", "", 0)?;
        ends(beta, "promote", "", 0)?;
        ends(beta, "monitor", "", 8)?;
        let told =
            "OCF_RESKEY_CRM_meta_notify_type=post OCF_RESKEY_CRM_meta_notify_operation=promote";
        ends(alpha, "notify", told, 0)?;
        ends(beta, "demote", "", 0).map(drop)
    })?;
    cluster.compare_disks()?;
    step("a peer that is left behind", || -> Result<()> {
        ends(alpha, "promote", "", 0)?;
        let elsewhere = "OCF_RESKEY_stop_outdates_secondary=true OCF_RESKEY_CRM_meta_notify_promoted_uname=alpha";
        ends(beta, "stop", elsewhere, 0)?;
        ends(beta, "monitor", "OCF_RESKEY_CRM_meta_interval=0", 7)?;
        ensure!(score(beta)?.contains("-D"), "{}", score(beta)?);
        ends(alpha, "stop", "", 0)?;
        ends(alpha, "stop", "", 0)?;
        ends(alpha, "demote", "", 7)?;
        beta.drbdadm("up")?;
        let left_behind = beta.view()?;
        ensure!(left_behind.disk == "Outdated", "{left_behind:?}");
        beta.down()
    })?;
    cluster.finish()
}
