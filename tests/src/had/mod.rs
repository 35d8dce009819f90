// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had on two nodes or more, with the lab's power switch: started, watched, and its events read.
//!
//! The guests have no systemd; a loop of the shell starts the daemon again, as the unit would.

mod events;
mod plan;

use std::time::Instant;

use anyhow::{ensure, Context, Result};
use drbd_qemu::PowerSwitch;
use serde_json::Value;

pub use events::{Action, Event, Events, TakeOver};
pub use plan::{Group, Plan};

use crate::cluster::{Cluster, Pairing, Setup};
use crate::flags;
use crate::scenario::{last_words, scenario, step};
use crate::services::{self, LIMIT};
use crate::side::Side;
use crate::wait;

/// The group of services.
pub const GROUP: &str = "services";

/// Silence in milliseconds after which a node is dead.
pub const DEADTIME_MS: u64 = 5000;

/// Lines of each log that are shown when a scenario fails.
const LOG_LINES: u32 = 80;

const LOG: &str = "/run/drbd-had.log";

/// While it is there, the daemon is not started again.
const HALT: &str = "/run/drbd-had.halt";

const LOOP: &str = "#!/bin/sh
while :; do
    until [ ! -e /run/drbd-had.halt ]; do sleep 0.1; done
    drbd-had </dev/null >>/run/drbd-had.log 2>&1
    echo \"drbd-had ended with $?\" >>/run/drbd-had.log
    sleep 0.1
done
";

const START: &str = "
mkdir -p /run/resource-agents
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
setsid /run/drbd-had.loop </dev/null >/dev/null 2>&1 &
";

/// drbd-had on some nodes.
pub struct Had<'a> {
    sides: Vec<&'a Side>,
    power: PowerSwitch,
    plan: Plan,
}

/// What the scenarios with drbd-had boot.
#[must_use]
pub fn setup(pairing: Pairing) -> Setup {
    let base = Setup {
        nics: 2,
        power_switch: true,
        ..Setup::pairing(pairing)
    };
    base.net("fencing resource-and-stonith")
        // An emulated peer that is busy is not lost.
        .net("ping-timeout 50")
        .net("ping-int 10")
        .net("timeout 60")
        .handler("fence-peer \"/usr/sbin/drbd-hactl fence-peer\"")
}

/// Boots a pair with two good copies of a file system, starts drbd-had with the plan for it, and plays `story`.
///
/// # Panics
///
/// As [`crate::scenario()`].
pub fn play(
    name: &str,
    setup: &Setup,
    plan: impl FnOnce(&Cluster) -> Plan,
    story: impl FnOnce(&Cluster, &Had<'_>) -> Result<()>,
) {
    scenario(name, setup, |cluster| {
        step("two good copies", || services::make_file_system(cluster))?;
        if setup.config.twin {
            step("and of the twin", || services::make_twin(cluster))?;
        }
        let plan = plan(cluster);
        let had = step("programs and configuration", || {
            Had::with_plan(cluster, plan)
        })?;
        had.play(|had| {
            had.start_all()?;
            story(cluster, had)
        })
    });
}

impl<'a> Had<'a> {
    /// Gives the nodes of a cluster the programs, the key and the configuration, with the usual services; nothing is started.
    ///
    /// # Errors
    ///
    /// If a node is gone, the machines have no power switch, or the programs were not built.
    pub fn new(cluster: &'a Cluster) -> Result<Had<'a>> {
        Had::with_plan(cluster, Plan::services(&cluster.sides()))
    }

    /// The same with another plan.
    ///
    /// # Errors
    ///
    /// As [`Had::new`].
    pub fn with_plan(cluster: &'a Cluster, plan: Plan) -> Result<Had<'a>> {
        let power = cluster.power.as_ref().context("no power switch")?;
        Had::on(&cluster.sides(), power, plan)
    }

    /// The same on any nodes of a lab with that power switch.
    ///
    /// # Errors
    ///
    /// As [`Had::new`].
    pub fn on(sides: &[&'a Side], power: &PowerSwitch, plan: Plan) -> Result<Had<'a>> {
        let had = Had {
            sides: sides.to_vec(),
            power: power.clone(),
            plan,
        };
        for side in sides {
            had.prepare(side)?;
        }
        Ok(had)
    }

    /// Does that for one node, which has booted.
    ///
    /// # Errors
    ///
    /// If the node is gone, or the programs were not built.
    pub fn prepare(&self, side: &Side) -> Result<()> {
        for name in ["drbd-had", "drbd-hactl"] {
            let program = drbd_qemu::dist_dir().join(name);
            side.node.put_file(&program, &format!("/usr/sbin/{name}"))?;
        }
        flags::install(side)?;
        let node = &side.node;
        node.put_mode("/etc/drbd-ha.key", &[0x5a; 48], 0o600)?;
        let toml = self.plan.toml(&self.sides);
        node.put("/etc/drbd-ha.toml", toml.as_bytes())?;
        node.put_mode("/run/drbd-had.loop", LOOP.as_bytes(), 0o755)?;
        side.sh("drbd-hactl check").map(drop)
    }

    /// Starts the daemon on a node.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn start(&self, side: &Side) -> Result<()> {
        side.sh(START).map(drop)
    }

    /// Starts the daemons on all nodes.
    ///
    /// # Errors
    ///
    /// If a node is gone.
    pub fn start_all(&self) -> Result<()> {
        for side in &self.sides {
            self.start(side)?;
        }
        Ok(())
    }

    /// Kills the daemon of a node without a warning. It is started again at once, or never.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn kill(&self, side: &Side, for_good: bool) -> Result<()> {
        let halt = if for_good { HALT } else { "/dev/null" };
        side.sh(&format!(": >{halt}; pkill -KILL -x drbd-had"))
            .map(drop)
    }

    /// Asks the daemon of a node for something that has to be done.
    ///
    /// # Errors
    ///
    /// If it refuses.
    pub fn ctl(&self, side: &Side, words: &str) -> Result<String> {
        side.sh(&format!("drbd-hactl {words}"))
    }

    /// All that the daemon of a node knows, as it tells it; null while it does not answer.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn report(&self, side: &Side) -> Result<Value> {
        let said = side.node.run("drbd-hactl status --json", LIMIT)?.stdout;
        Ok(serde_json::from_str(&said).unwrap_or(Value::Null))
    }

    /// Waits until the daemon of that node sees all nodes in a view with quorum.
    ///
    /// # Errors
    ///
    /// After [`LIMIT`].
    pub fn wait_members(&self, side: &Side) -> Result<()> {
        let all = |report: &Value| {
            let nodes = report
                .pointer("/core/nodes")
                .and_then(|nodes| nodes.as_array());
            let member = |node: &Value| node["member"] == true;
            report["core"]["quorate"] == true
                && nodes.is_some_and(|it| it.len() == self.sides.len() && it.iter().all(member))
        };
        let what = format!("all nodes in the view of {}", side.name());
        wait::until(&what, LIMIT, || self.report(side), all).map(drop)
    }

    /// Follows the events of a node from here on.
    ///
    /// # Errors
    ///
    /// If its daemon does not answer.
    pub fn events(&self, side: &Side) -> Result<Events> {
        Events::of(side)
    }

    /// What a node told of taking the services over, once it is done, since `cause`.
    ///
    /// # Errors
    ///
    /// If a part of it was never told.
    pub fn take_over(&self, events: &Events, lost: &Side, cause: Instant) -> Result<TakeOver> {
        let zero_ms = events.clock_ms(cause);
        let last = |all: &Vec<Event>| all.iter().any(|event| event.is_start("service"));
        let all = wait::until("the service's start", LIMIT, || events.all(), last)?;
        TakeOver::of(&all, lost, zero_ms)
    }

    /// The nodes.
    #[must_use]
    pub fn sides(&self) -> &[&'a Side] {
        &self.sides
    }

    /// Names of the nodes that were shot so far.
    #[must_use]
    pub fn shot(&self) -> Vec<String> {
        let done = self.power.history().into_iter().filter(|entry| entry.done);
        done.map(|entry| entry.target).collect()
    }

    /// Fails unless these were shot, and nobody else.
    ///
    /// # Errors
    ///
    /// With who was.
    pub fn were_shot(&self, sides: &[&Side]) -> Result<()> {
        let (shot, wanted) = (self.shot(), sides.iter().map(|side| side.name()));
        ensure!(
            shot.iter().map(String::as_str).eq(wanted),
            "{shot:?} were shot"
        );
        Ok(())
    }

    /// Fails if anybody was shot.
    ///
    /// # Errors
    ///
    /// With who was.
    pub fn nobody_was_shot(&self) -> Result<()> {
        self.were_shot(&[])
    }

    /// Ends the daemon of a node in good order: it stops its services first.
    ///
    /// # Errors
    ///
    /// If it does not end.
    pub fn stop(&self, side: &Side) -> Result<()> {
        let script = format!(
            ": >{HALT}; pkill -TERM -x drbd-had; while pgrep -x drbd-had >/dev/null; do sleep 0.1; done"
        );
        side.node.sh_within(&script, LIMIT).map(drop)?;
        Ok(())
    }

    /// What the daemons last said, for the reader of a failure.
    #[must_use]
    pub fn logs(&self) -> String {
        let script = format!("timeout 10 drbd-hactl status 2>&1; tail -n {LOG_LINES} {LOG}");
        last_words(self.sides.iter().copied(), &script)
    }

    /// Plays `story`; when it fails, the reason comes with the daemons' logs.
    ///
    /// # Errors
    ///
    /// The story's.
    pub fn play(&self, story: impl FnOnce(&Had<'a>) -> Result<()>) -> Result<()> {
        let told = story(self);
        if told.is_err() {
            eprintln!("{}", self.logs());
        }
        told
    }
}
