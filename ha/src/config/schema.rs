// SPDX-License-Identifier: GPL-2.0-or-later
//! The tables of `drbd-ha.toml` as they are written (failover.md section 4). Unknown keys are refused; what has a place is
//! kept with it, so that a check across tables can point at the line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// A whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What the cluster is.
    pub cluster: Cluster,
    /// How fast it notices.
    pub timing: Option<Spanned<Timing>>,
    /// Which part of it may act.
    #[serde(default)]
    pub quorum: Quorum,
    /// What resets a node that does not act any more.
    pub watchdog: Option<Spanned<Watchdog>>,
    /// Its nodes.
    pub node: Vec<Spanned<Node>>,
    /// What can switch a node off.
    #[serde(default)]
    pub fence_device: Vec<Spanned<FenceDevice>>,
    /// How that is done.
    pub fencing: Option<Spanned<Fencing>>,
    /// What runs.
    #[serde(default)]
    pub group: Vec<Spanned<Group>>,
    /// Programs that are told of events.
    #[serde(default)]
    pub hook: Vec<Spanned<Hook>>,
    /// Where metrics are served.
    #[serde(default)]
    pub metrics: Metrics,
}

impl File {
    /// `[timing]`, or what goes without saying.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.timing
            .as_ref()
            .map_or_else(Timing::default, |timing| *timing.as_ref())
    }

    /// `[watchdog]`, or what goes without saying.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        self.watchdog
            .as_ref()
            .map_or_else(Watchdog::default, |watchdog| watchdog.as_ref().clone())
    }

    /// `[fencing]`, or what goes without saying.
    #[must_use]
    pub fn fencing(&self) -> Fencing {
        self.fencing
            .as_ref()
            .map_or_else(Fencing::default, |fencing| fencing.as_ref().clone())
    }
}

/// `[cluster]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name; part of the derivation of keys, so that two clusters never hear each other.
    pub name: Spanned<String>,
    /// File with 32 to 64 random bytes, readable by its owner only.
    pub keyfile: String,
    /// The key that comes next, while keys change.
    pub keyfile_next: Option<String>,
    /// Who fails over.
    #[serde(default)]
    pub engine: Engine,
    /// Accept a configuration that can lose data: groups without fencing, no watchdog.
    #[serde(default)]
    pub allow_unsafe: bool,
}

/// Who fails over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// drbd-had.
    #[default]
    Embedded,
    /// Pacemaker: drbd-had shows metrics, and the fence-peer handler is Pacemaker's.
    Pacemaker,
}

/// `[timing]`, all in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Pause between two heartbeats.
    pub keepalive: u64,
    /// Silence that is worth a warning.
    pub warntime: u64,
    /// Silence after which a node counts as dead.
    pub deadtime: u64,
    /// The same after the start of this node, when others may still be booting.
    pub initdead: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            keepalive: 500,
            warntime: 2000,
            deadtime: 5000,
            initdead: 30_000,
        }
    }
}

/// `[quorum]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quorum {
    /// One of two nodes may act alone, after it fenced the other. Unset: with exactly two votes.
    pub two_node: Option<Spanned<bool>>,
    /// Nothing is done before all nodes were seen once.
    pub wait_for_all: bool,
    /// Nodes that were fenced with proof leave the count of votes.
    pub shrink_on_fence: bool,
    /// Addresses of which one has to answer before a node is fenced.
    pub ping_group: Vec<Spanned<String>>,
}

impl Default for Quorum {
    fn default() -> Self {
        Quorum {
            two_node: None,
            wait_for_all: true,
            shrink_on_fence: false,
            ping_group: Vec::new(),
        }
    }
}

/// `[watchdog]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watchdog {
    /// Its device, or `none`.
    pub device: String,
    /// Seconds without a sign of life after which it resets the node.
    pub timeout: u64,
}

impl Default for Watchdog {
    fn default() -> Self {
        Watchdog {
            device: "/dev/watchdog".to_owned(),
            timeout: 10,
        }
    }
}

/// What a node is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It can run groups.
    #[default]
    Member,
    /// It votes and owns nothing.
    Arbiter,
}

/// `[[node]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name, as `uname -n` gives it.
    pub name: Spanned<String>,
    /// Number, 1 to 63.
    pub id: Spanned<u8>,
    /// Votes.
    #[serde(default = "one")]
    pub votes: u8,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// Addresses with ports; the first of one node talks with the first of the others, and so on.
    pub links: Vec<Spanned<String>>,
    /// How much of what it has room for.
    #[serde(default)]
    pub capacity: BTreeMap<String, u64>,
}

fn one() -> u8 {
    1
}

/// `[[fence_device]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FenceDevice {
    /// Name.
    pub name: Spanned<String>,
    /// Program, looked up in /usr/sbin unless it is a path.
    pub agent: Spanned<String>,
    /// Node to plug.
    pub targets: BTreeMap<Spanned<String>, String>,
    /// Given to the agent as they are; `password_file` is read and given as `password`.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Seconds that one call may take.
    #[serde(default = "sixty")]
    pub timeout: u64,
    /// After `off`, the device has to report the plug as off.
    #[serde(default = "yes")]
    pub verify: bool,
    /// Calls after the first before the device counts as failed.
    #[serde(default = "two")]
    pub retries: u8,
}

fn sixty() -> u64 {
    60
}

fn two() -> u8 {
    2
}

fn yes() -> bool {
    true
}

/// A parameter: agents get text, whatever it is here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
    /// yes or no; written as `1` or `0`.
    Switch(bool),
}

impl Value {
    /// As an agent reads it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Switch(on) => u8::from(*on).to_string(),
        }
    }
}

/// How a node is fenced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceAction {
    /// It stays off until somebody switches it on: can be verified.
    #[default]
    Off,
    /// It comes back by itself.
    Reboot,
}

/// `[fencing]`, delays in milliseconds.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fencing {
    /// How.
    pub action: FenceAction,
    /// Wait before every fencing.
    pub delay_base: u64,
    /// Wait longer when the other side is worth more.
    pub delay_priority: u64,
    /// Wait up to so much longer, by chance.
    pub delay_random: u64,
    /// Per node: devices of the first level (all of them have to succeed), of the second, and so on.
    pub levels: BTreeMap<Spanned<String>, Vec<Vec<Spanned<String>>>>,
    /// Attempts before an operator has to look.
    pub max_attempts: u8,
}

impl Default for Fencing {
    fn default() -> Self {
        Fencing {
            action: FenceAction::Off,
            delay_base: 0,
            delay_priority: 5000,
            delay_random: 1000,
            levels: BTreeMap::new(),
            max_attempts: 10,
        }
    }
}

/// When a group goes home.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failback {
    /// It stays where it is.
    #[default]
    Never,
    /// As soon as its first node has been good for `failback_delay`.
    Auto,
    /// When `drbd-hactl failback` says so.
    Manual,
}

/// What a group does on a node that lost quorum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnQuorumLoss {
    /// It stops.
    #[default]
    Stop,
    /// It stays, with its I/O frozen by the driver.
    Freeze,
}

/// `[[group]]`, times in seconds.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name.
    pub name: Spanned<String>,
    /// Nodes that can run it, the best first; with DRBD those of the resource.
    pub nodes: Vec<Spanned<String>>,
    /// The higher, the earlier it is placed.
    #[serde(default)]
    pub priority: i32,
    /// What it takes of a node's capacity.
    #[serde(default)]
    pub uses: BTreeMap<Spanned<String>, u64>,
    /// May push out groups of lower priority.
    #[serde(default)]
    pub preempt: bool,
    /// How much it prefers to stay, 0 to 1000.
    #[serde(default = "hundred")]
    pub stickiness: u16,
    /// When it goes home.
    #[serde(default)]
    pub failback: Failback,
    /// How long home has to be good before.
    #[serde(default = "sixty")]
    pub failback_delay: u64,
    /// Failures on a node after which it moves away.
    #[serde(default = "three")]
    pub migration_threshold: u32,
    /// After which a failure is forgotten.
    #[serde(default = "ten_minutes")]
    pub failure_timeout: u64,
    /// What it does without quorum.
    #[serde(default)]
    pub on_quorum_loss: OnQuorumLoss,
    /// Groups that have to be up before.
    #[serde(default)]
    pub after: Vec<Spanned<String>>,
    /// Groups that it does not like beside it.
    #[serde(default)]
    pub avoid: Vec<Spanned<String>>,
    /// It would rather not run than run beside them.
    #[serde(default)]
    pub avoid_hard: bool,
    /// What it consists of, in the order of starting.
    #[serde(default)]
    pub resource: Vec<Spanned<Resource>>,
}

fn hundred() -> u16 {
    100
}

fn three() -> u32 {
    3
}

fn ten_minutes() -> u64 {
    600
}

/// `[[group.resource]]`: exactly one of `drbd`, `ocf` and `systemd`; times in seconds.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Name of a DRBD resource, which is brought up and promoted.
    pub drbd: Option<Spanned<String>>,
    /// `PROVIDER:TYPE` of an OCF agent.
    pub ocf: Option<Spanned<String>>,
    /// A unit of systemd.
    pub systemd: Option<Spanned<String>>,
    /// Its name in messages; unset: made of what it is.
    pub name: Option<Spanned<String>>,
    /// Parameters of an OCF agent.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Pause between two looks at it; 0 looks only when it starts.
    #[serde(default = "twenty")]
    pub monitor: u64,
    /// How long its actions may take.
    #[serde(default)]
    pub timeout: Timeouts,
}

fn twenty() -> u64 {
    20
}

/// How long actions may take, in seconds.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// start, and promote.
    pub start: u64,
    /// stop, and demote.
    pub stop: u64,
    /// monitor.
    pub monitor: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            start: 60,
            stop: 60,
            monitor: 30,
        }
    }
}

/// `[[hook]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Program and arguments; the event is in its environment and, as JSON, on its standard input.
    pub run: Vec<String>,
    /// Kinds of events, all of them when empty.
    #[serde(default)]
    pub events: Vec<String>,
    /// Seconds it may take.
    #[serde(default = "thirty")]
    pub timeout: u64,
}

fn thirty() -> u64 {
    30
}

/// `[metrics]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Address and port, or `none`.
    pub listen: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            listen: "127.0.0.1:9943".to_owned(),
        }
    }
}
