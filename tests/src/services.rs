// SPDX-License-Identifier: GPL-2.0-or-later
//! The services that a cluster manager runs on the resource, whichever it is: a file system, an address and a service that is
//! a file. Looks go to the kernel and the file system of a guest, not to the cluster manager.

use std::time::Duration;

use anyhow::{ensure, Result};

use crate::cib::{ADDRESS, MOUNT, SERVICE};
use crate::cluster::Cluster;
use crate::config::{TWIN, TWIN_DEVICE};
use crate::side::{Side, SOON};
use crate::wait;

/// For what a cluster does: elect, fence, promote, mount.
pub const LIMIT: Duration = Duration::from_secs(150);

const ALL: [&str; 3] = ["mounted", "address", "service"];

/// Which of the services run on that node.
///
/// # Errors
///
/// If the node is gone.
pub fn active(side: &Side) -> Result<Vec<&'static str>> {
    let script = format!(
        "grep -q ' {MOUNT} ' /proc/mounts && echo mounted; ip -4 -o addr show dev eth1 | grep -qF {ADDRESS} && echo address
         [ -e {SERVICE} ] && echo service; true"
    );
    let said = side.sh(&script)?;
    Ok(ALL.into_iter().filter(|word| said.contains(word)).collect())
}

/// Waits until all services run on that node.
///
/// # Errors
///
/// After [`LIMIT`].
pub fn wait_active(side: &Side) -> Result<()> {
    wait_for(side, &ALL)
}

/// Waits until the services that both nodes can have run on that node: all but the address.
///
/// # Errors
///
/// After [`LIMIT`].
pub fn wait_serving(side: &Side) -> Result<()> {
    wait_for(side, &["mounted", "service"])
}

fn wait_for(side: &Side, wanted: &[&str]) -> Result<()> {
    let what = format!("the services on {}", side.name());
    let all = |seen: &Vec<&str>| wanted.iter().all(|word| seen.contains(word));
    wait::until(&what, LIMIT, || active(side), all).map(drop)
}

/// Waits until no service runs on that node any more.
///
/// # Errors
///
/// After [`LIMIT`].
pub fn wait_idle(side: &Side) -> Result<()> {
    let what = format!("no services on {}", side.name());
    wait::until(&what, LIMIT, || active(side), Vec::is_empty).map(drop)
}

/// The two nodes, the one with the services first.
///
/// # Errors
///
/// If none has them within [`LIMIT`].
pub fn wait_placed(cluster: &Cluster) -> Result<(&Side, &Side)> {
    let [alpha, beta] = cluster.sides();
    let look = || Ok((active(alpha)?, active(beta)?));
    let seen = wait::until("the services on a node", LIMIT, look, |(one, two)| {
        one.len() == ALL.len() || two.len() == ALL.len()
    })?;
    Ok(if seen.0.len() == ALL.len() {
        (alpha, beta)
    } else {
        (beta, alpha)
    })
}

/// Two good copies with an empty file system, and everything down: what a cluster takes over.
///
/// # Errors
///
/// If any of it fails.
pub fn make_file_system(cluster: &Cluster) -> Result<()> {
    make_file_system_by(cluster, "mkfs.ext4 -q /dev/drbd0")
}

/// The same with the file system that `mkfs` makes.
///
/// # Errors
///
/// If any of it fails.
pub fn make_file_system_by(cluster: &Cluster, mkfs: &str) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    if alpha.is_ours() && beta.is_ours() {
        cluster.up_without_sync()?;
        alpha.primary()?;
    } else {
        cluster.up_and_synced()?;
    }
    alpha.sh(&format!("{mkfs} && sync"))?;
    alpha.secondary()?;
    for side in [alpha, beta] {
        let view = side.wait_healthy()?;
        ensure!(view.role == "Secondary", "{}: {view:?}", side.name());
    }
    alpha.down()?;
    beta.down()
}

/// The same of [`TWIN`], for ours on both.
///
/// # Errors
///
/// If any of it fails.
pub fn make_twin(cluster: &Cluster) -> Result<()> {
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    for side in [alpha, beta] {
        side.sh(&format!(
            "drbdadm -- --force create-md {TWIN} && drbdadm up {TWIN}"
        ))?;
    }
    let look = || alpha.sh(&format!("drbdadm cstate {TWIN}"));
    wait::until("the twin's connection", SOON, look, |state| {
        state.trim() == "Connected"
    })?;
    alpha.sh(&format!(
        "set -e
         drbdadm new-current-uuid --clear-bitmap {TWIN}/0
         drbdadm primary {TWIN}
         mkfs.ext4 -q {TWIN_DEVICE}
         sync
         drbdadm secondary {TWIN}"
    ))?;
    for side in [alpha, beta] {
        side.sh(&format!("drbdadm down {TWIN}"))?;
    }
    Ok(())
}
