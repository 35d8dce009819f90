// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-had on both nodes, with the lab's power switch: started, watched, and its events read.
//!
//! The guests have no systemd; a loop of the shell starts the daemon again, as the unit would.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_qemu::Running;
use serde::Deserialize;

use crate::cib::{ADDRESS, MOUNT, SERVICE};
use crate::cluster::{Cluster, Pairing, Setup};
use crate::config::{DEVICE, RESOURCE};
use crate::services::LIMIT;
use crate::side::Side;
use crate::wait;

/// The group of services.
pub const GROUP: &str = "services";

/// Silence in milliseconds after which a node is dead.
pub const DEADTIME_MS: u64 = 5000;

/// What the node that has less to lose waits before it fences, in milliseconds.
const DELAY_MS: u64 = 3000;

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

/// drbd-had on the nodes of a [`Cluster`].
pub struct Had<'a> {
    cluster: &'a Cluster,
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

/// Something that a daemon told.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// By the guest's clock, in milliseconds.
    pub when_ms: u64,
    /// Kind.
    pub kind: String,
    /// The node it is about.
    pub node: Option<String>,
    /// One sentence.
    pub text: String,
    /// What was done, for the kind `action`.
    pub action: Option<Action>,
}

/// An action on a resource that ended.
#[derive(Clone, Debug, Deserialize)]
pub struct Action {
    /// Name of the resource.
    pub resource: String,
    /// `start`, `stop` or another operation.
    pub operation: String,
    /// It ended as it should.
    pub good: bool,
}

/// The event stream of one node.
pub struct Events {
    running: Running,
    /// A moment on both clocks: the guest's in milliseconds, and this one's.
    moment: (u64, Instant),
}

impl Events {
    /// What was told so far.
    ///
    /// # Errors
    ///
    /// If a line can't be read.
    pub fn all(&self) -> Result<Vec<Event>> {
        let (said, _) = self.running.so_far();
        // The last line may be on its way.
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        let read = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
        whole.lines().map(read).collect()
    }

    /// The guest's clock at that moment here, in milliseconds.
    #[must_use]
    pub fn clock_ms(&self, at: Instant) -> u64 {
        let (guest_ms, here) = self.moment;
        guest_ms + u64::try_from((at - here).as_millis()).unwrap_or(0)
    }
}

/// When the parts of a take-over were done, in milliseconds since its cause, by the clock of the node that took over.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver {
    /// The other node counted as dead.
    pub detected_ms: u64,
    /// It was switched off.
    pub fenced_ms: u64,
    /// DRBD was Primary.
    pub promoted_ms: u64,
    /// The file system was mounted.
    pub mounted_ms: u64,
    /// The address was there.
    pub address_ms: u64,
    /// The service was started.
    pub served_ms: u64,
}

impl TakeOver {
    /// What was done when, in order.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 6] {
        [
            ("the other node counted as dead", self.detected_ms),
            ("it was fenced: its power is off", self.fenced_ms),
            ("DRBD is Primary", self.promoted_ms),
            ("the file system is mounted", self.mounted_ms),
            ("the address is there", self.address_ms),
            ("the service runs", self.served_ms),
        ]
    }

    /// Prints them.
    pub fn print(&self) {
        for (what, ms) in self.parts() {
            println!(
                "  {:>6.2} s: {what}",
                Duration::from_millis(ms).as_secs_f64()
            );
        }
    }
}

impl<'a> Had<'a> {
    /// Gives both nodes the programs, the key and the configuration; nothing is started.
    ///
    /// # Errors
    ///
    /// If a node is gone, or the programs were not built.
    pub fn new(cluster: &'a Cluster) -> Result<Had<'a>> {
        let had = Had { cluster };
        for side in cluster.sides() {
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
        let node = &side.node;
        node.put_mode("/etc/drbd-ha.key", &[0x5a; 48], 0o600)?;
        node.put("/etc/drbd-ha.toml", self.toml().as_bytes())?;
        node.put_mode("/run/drbd-had.loop", LOOP.as_bytes(), 0o755)?;
        side.sh("drbd-hactl check").map(drop)
    }

    fn toml(&self) -> String {
        let mut text = format!(
            "[cluster]\nname = \"lab\"\nkeyfile = \"/etc/drbd-ha.key\"\n\
             [timing]\nkeepalive = 500\nwarntime = 2500\ndeadtime = {DEADTIME_MS}\ninitdead = 15000\n\
             [watchdog]\ntimeout = 30\n\
             [fencing]\ndelay_priority = {DELAY_MS}\ndelay_random = 500\n"
        );
        let sides = self.cluster.sides();
        for (side, id) in sides.into_iter().zip(1..) {
            let (name, one, two) = (side.name(), side.node.ip(0), side.node.ip(1));
            let _ = writeln!(
                text,
                "[[node]]\nname = \"{name}\"\nid = {id}\nlinks = [\"{one}:7700\", \"{two}:7700\"]"
            );
        }
        let [one, two] = sides.map(Side::name);
        let _ = write!(
            text,
            r#"
[[fence_device]]
name = "switch"
agent = "fence_lab"
targets = {{ {one} = "{one}", {two} = "{two}" }}

[[group]]
name = "{GROUP}"
nodes = ["{one}", "{two}"]
priority = 10

[[group.resource]]
drbd = "{RESOURCE}"
monitor = 10
timeout = {{ start = 120 }}

[[group.resource]]
ocf = "heartbeat:Filesystem"
params = {{ device = "{DEVICE}", directory = "{MOUNT}", fstype = "ext4" }}
timeout = {{ start = 120, stop = 120, monitor = 60 }}

[[group.resource]]
ocf = "heartbeat:IPaddr2"
params = {{ ip = "{ADDRESS}", cidr_netmask = 24, nic = "eth1" }}
timeout = {{ start = 120, stop = 120, monitor = 60 }}

[[group.resource]]
ocf = "pacemaker:Dummy"
name = "service"
params = {{ state = "{SERVICE}" }}
monitor = 5
timeout = {{ start = 120, stop = 120, monitor = 60 }}
"#
        );
        text
    }

    /// Starts the daemon on a node.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn start(&self, side: &Side) -> Result<()> {
        side.sh(START).map(drop)
    }

    /// Starts the daemons on both nodes.
    ///
    /// # Errors
    ///
    /// If a node is gone.
    pub fn start_all(&self) -> Result<()> {
        for side in self.cluster.sides() {
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

    /// Waits until the daemon of that node sees both nodes in a view with quorum.
    ///
    /// # Errors
    ///
    /// After [`LIMIT`].
    pub fn wait_members(&self, side: &Side) -> Result<()> {
        let look = || Ok(side.node.run("drbd-hactl status --json", LIMIT)?.stdout);
        let both = |said: &String| {
            let Ok(report) = serde_json::from_str::<serde_json::Value>(said) else {
                return false;
            };
            let nodes = report.pointer("/core/nodes").and_then(|it| it.as_array());
            let member = |node: &serde_json::Value| node["member"] == true;
            report["core"]["quorate"] == true
                && nodes.is_some_and(|nodes| nodes.len() == 2 && nodes.iter().all(member))
        };
        let what = format!("both nodes in the view of {}", side.name());
        wait::until(&what, LIMIT, look, both).map(drop)
    }

    /// Follows the events of a node from here on.
    ///
    /// # Errors
    ///
    /// If its daemon does not answer.
    pub fn events(&self, side: &Side) -> Result<Events> {
        let running = side.node.spawn("exec drbd-hactl watch --json")?;
        let before = Instant::now();
        let guest_ms = side.sh("date +%s%3N")?.trim().parse()?;
        // Halfway between question and answer.
        let moment = (guest_ms, before + before.elapsed() / 2);
        Ok(Events { running, moment })
    }

    /// What a node told of taking the services over, once it is done, since `cause`.
    ///
    /// # Errors
    ///
    /// If a part of it was never told.
    pub fn take_over(&self, events: &Events, lost: &Side, cause: Instant) -> Result<TakeOver> {
        let zero_ms = events.clock_ms(cause);
        let last = |all: &Vec<Event>| all.iter().any(|event| is_start(event, "service"));
        let all = wait::until("the service's start", LIMIT, || events.all(), last)?;
        let first = |what: &str, is: &dyn Fn(&Event) -> bool| -> Result<u64> {
            let found = all
                .iter()
                .find(|event| event.when_ms >= zero_ms && is(event));
            let found = found.with_context(|| format!("never told: {what}\n{all:#?}"))?;
            Ok(found.when_ms - zero_ms)
        };
        let about = |event: &Event, kind: &str, part: &str| {
            event.kind == kind
                && event.node.as_deref() == Some(lost.name())
                && event.text.contains(part)
        };
        Ok(TakeOver {
            detected_ms: first("death", &|event| about(event, "node", " is Dead"))?,
            fenced_ms: first("fencing", &|event| about(event, "fencing", " is fenced"))?,
            promoted_ms: first("promotion", &|event| is_start(event, RESOURCE))?,
            mounted_ms: first("mount", &|event| is_start(event, "Filesystem"))?,
            address_ms: first("address", &|event| is_start(event, "IPaddr2"))?,
            served_ms: first("service", &|event| is_start(event, "service"))?,
        })
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

    /// Fails if anybody was shot.
    ///
    /// # Errors
    ///
    /// With who was.
    pub fn nobody_was_shot(&self) -> Result<()> {
        let shot = self.shot()?;
        ensure!(shot.is_empty(), "{shot:?} was shot");
        Ok(())
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
        let mut text = String::new();
        for side in self.cluster.sides() {
            let script = format!("timeout 10 drbd-hactl status 2>&1; tail -n {LOG_LINES} {LOG}");
            let said = match side.node.run(&script, drbd_qemu::SH_LIMIT) {
                Ok(output) => output.stdout + &output.stderr,
                Err(error) => error.to_string(),
            };
            let _ = writeln!(text, "--- {}\n{said}", side.name());
        }
        text
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

/// A resource whose name has that part was started.
fn is_start(event: &Event, part: &str) -> bool {
    let action = event.action.as_ref();
    action.is_some_and(|action| {
        action.operation == "start" && action.good && action.resource.contains(part)
    })
}
