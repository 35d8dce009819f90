// SPDX-License-Identifier: GPL-2.0-or-later
//! Pacemaker and corosync on both nodes, with our agent, our handlers and the lab's power switch.
//!
//! The guests have no init system: the daemons are started by hand. Waits look at `/proc` and at what `drbdsetup` says;
//! Pacemaker's own programs cost an emulated machine half a second each.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use drbd_qemu::Kind;

use crate::cib::{both, Cib};
use crate::cluster::{Cluster, Pairing, Setup};
use crate::scenario::last_words;
use crate::services::LIMIT;
use crate::side::Side;
use crate::wait;

/// Where the agent for Pacemaker lies.
pub const AGENT: &str = "/usr/lib/ocf/resource.d/linbit/drbd";

/// Names of the handlers in configurations.
const HANDLERS: [&str; 4] = [
    "crm-fence-peer.9.sh",
    "crm-unfence-peer.9.sh",
    "crm-fence-peer.sh",
    "crm-unfence-peer.sh",
];

/// Lines of each log that are shown when a scenario fails.
const LOG_LINES: u32 = 60;

const START: &str = r"
mkdir -p /run/crm /run/resource-agents /run/lock /var/log/pacemaker /var/log/cluster /var/lib/corosync
chown hacluster:haclient /run/crm /var/log/pacemaker
chmod 750 /run/crm
ulimit -l unlimited
corosync </dev/null >/run/corosync.out 2>&1 || { cat /run/corosync.out; exit 1; }
# pacemakerd gives up early when corosync does not answer.
for try in $(seq 300); do
    corosync-cmapctl -g totem.cluster_name >/dev/null 2>&1 && break
    sleep 0.2
done
PCMK_logfile=/var/log/pacemaker/pacemaker.log setsid pacemakerd </dev/null >/run/pacemakerd.out 2>&1 &
";

/// `corosync.conf` up to the nodes. An emulated machine may be deaf for seconds.
const COROSYNC: &str = "totem {
    version: 2
    cluster_name: lab
    transport: knet
    crypto_cipher: aes256
    crypto_hash: sha256
    token: 5000
    token_retransmits_before_loss_const: 10
    join: 500
    consensus: 6000
    ip_version: ipv4
}
quorum {
    provider: corosync_votequorum
    expected_votes: 2
    two_node: 1
    wait_for_all: 1
}
logging {
    to_logfile: yes
    logfile: /var/log/cluster/corosync.log
    to_syslog: no
    timestamp: hires
}
nodelist {
";

/// A cluster of a [`Cluster`].
pub struct Pacemaker<'a> {
    cluster: &'a Cluster,
    cib: Cib,
}

/// What the scenarios with Pacemaker boot.
#[must_use]
pub fn setup(pairing: Pairing) -> Setup {
    let base = Setup {
        // corosync locks 190 MB of it.
        mem_mb: 512,
        nics: 2,
        power_switch: true,
        ..Setup::pairing(pairing)
    };
    base.net("fencing resource-and-stonith")
        // An emulated peer that is busy is not lost.
        .net("ping-timeout 50")
        .net("ping-int 10")
        .net("timeout 60")
        .handler("fence-peer \"/usr/lib/drbd/crm-fence-peer.9.sh\"")
        .handler("unfence-peer \"/usr/lib/drbd/crm-unfence-peer.9.sh\"")
}

impl<'a> Pacemaker<'a> {
    /// Gives both nodes the cluster's configuration, the agent and the handlers; nothing is started.
    ///
    /// # Errors
    ///
    /// If a node is gone.
    pub fn new(cluster: &'a Cluster, cib: Cib) -> Result<Pacemaker<'a>> {
        let pacemaker = Pacemaker { cluster, cib };
        for side in cluster.sides() {
            pacemaker.prepare(side)?;
        }
        Ok(pacemaker)
    }

    /// Does that for one node, which has booted.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn prepare(&self, side: &Side) -> Result<()> {
        if side.kind() != Kind::Ours {
            side.node
                .put_file(&drbd_qemu::dist_dir().join("drbd-ocf"), AGENT)?;
        }
        let links = HANDLERS.map(|name| format!("ln -sf {AGENT} /usr/lib/drbd/{name}"));
        side.sh(&links.join("; "))?;
        side.node.put(
            "/etc/corosync/corosync.conf",
            self.corosync_conf().as_bytes(),
        )?;
        side.node
            .put_mode("/etc/corosync/authkey", &[0x5a; 256], 0o400)?;
        let names = self.cluster.sides().map(Side::name);
        side.node.put(
            "/var/lib/pacemaker/cib/cib.xml",
            self.cib.text(&names).as_bytes(),
        )?;
        side.sh("chown hacluster:haclient /var/lib/pacemaker/cib/cib.xml; chmod 600 /var/lib/pacemaker/cib/cib.xml")?;
        if self.cib.on_both {
            side.node
                .put("/etc/dlm/dlm.conf", both::dlm_conf().as_bytes())?;
            let agent = both::fence_agent(&names);
            side.node
                .put_mode(both::FENCE_AGENT, agent.as_bytes(), 0o755)?;
            side.sh(both::PREPARE)?;
        }
        Ok(())
    }

    /// The cluster's own messages go over the second network.
    fn corosync_conf(&self) -> String {
        let mut text = COROSYNC.to_owned();
        for (side, id) in self.cluster.sides().into_iter().zip(1..) {
            let (name, ip) = (side.name(), side.node.ip(1));
            let _ = writeln!(
                text,
                " node {{\n name: {name}\n nodeid: {id}\n ring0_addr: {ip}\n }}"
            );
        }
        text + "}\n"
    }

    /// Starts the daemons on one node; the cluster needs both.
    ///
    /// # Errors
    ///
    /// If corosync does not start.
    pub fn start(&self, side: &Side) -> Result<()> {
        side.node.sh_within(START, LIMIT).map(drop)?;
        Ok(())
    }

    /// Starts the daemons on both nodes and waits until both are in the cluster.
    ///
    /// # Errors
    ///
    /// If they do not find each other.
    pub fn start_all(&self) -> Result<()> {
        let sides = self.cluster.sides();
        let starting = sides.map(|side| side.node.spawn(START));
        for starting in starting {
            starting?.wait_success(LIMIT)?;
        }
        for side in sides {
            let look = || {
                Ok(side
                    .node
                    .run("crmadmin -N 2>&1; crmadmin -D 2>&1", drbd_qemu::SH_LIMIT)?
                    .stdout)
            };
            wait::until("a coordinator", LIMIT, look, |said| {
                said.contains("Designated Controller is")
            })
            .with_context(|| side.name().to_owned())?;
        }
        Ok(())
    }

    /// The constraint of the fence-peer handler as one line; empty if there is none.
    ///
    /// # Errors
    ///
    /// If the cluster does not answer.
    pub fn constraint(&self, side: &Side) -> Result<String> {
        let script = "cibadmin --query --scope constraints | grep -A4 drbd-fence-by-handler | tr -s ' \\n' ' ' || true";
        Ok(side.sh(script)?.trim().to_owned())
    }

    /// Names of the nodes that were shot so far.
    ///
    /// # Errors
    ///
    /// If the machines have no power switch.
    pub fn shot(&self) -> Result<Vec<String>> {
        let power = self.cluster.power.as_ref().context("no power switch")?;
        let done = power.history().into_iter().filter(|entry| entry.done);
        Ok(done.map(|entry| entry.target).collect())
    }

    /// Stops the cluster on both nodes, in order; services and resource are stopped with it.
    ///
    /// # Errors
    ///
    /// If a daemon does not end.
    pub fn stop_all(&self) -> Result<()> {
        let sides = self.cluster.sides();
        let running = sides.into_iter().filter(|side| side.node.is_running());
        // All at once, or the services would move to the last one first.
        let script =
            "pkill -TERM -x pacemakerd; while pgrep -x pacemakerd >/dev/null; do sleep 0.2; done
            pkill -TERM -x corosync; while pgrep -x corosync >/dev/null; do sleep 0.2; done";
        let stopping: Vec<_> = running.map(|side| side.node.spawn(script)).collect();
        for stopping in stopping {
            stopping?.wait_success(LIMIT)?;
        }
        Ok(())
    }

    /// What the daemons last said, for the reader of a failure.
    #[must_use]
    pub fn logs(&self) -> String {
        let script = format!(
            "timeout 20 crm_mon -1 2>&1; tail -n {LOG_LINES} /var/log/pacemaker/pacemaker.log; tail -n 15 /var/log/cluster/corosync.log
            tail -n {LOG_LINES} /var/log/dlm_controld/dlm_controld.log /run/dlm_fence.log 2>/dev/null"
        );
        last_words(self.cluster.sides(), &script)
    }

    /// Plays `story`; when it fails, the reason comes with the daemons' logs.
    ///
    /// # Errors
    ///
    /// The story's.
    pub fn play(&self, story: impl FnOnce(&Pacemaker<'a>) -> Result<()>) -> Result<()> {
        let told = story(self);
        if told.is_err() {
            eprintln!("{}", self.logs());
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_made_for_this_cluster() {
        let line = format!("cluster_name: {}\n", both::CLUSTER);
        assert!(COROSYNC.contains(&line), "{line}");
    }
}
