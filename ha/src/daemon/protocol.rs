// SPDX-License-Identifier: GPL-2.0-or-later
//! What goes over the control socket: one JSON document a line in each direction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::drbd::DrbdBrief;
use crate::core::status::Status;
use crate::fence::Entry;

/// Where the socket is.
pub const SOCKET: &str = "/run/drbd-ha.sock";

/// What somebody asks. Nodes and groups by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
pub enum Request {
    /// How is it?
    Status,
    /// Everything that happens from here on.
    Watch,
    /// Who was fenced from here?
    History,
    /// Leave everything alone, or no longer.
    Maintenance {
        /// On.
        on: bool,
    },
    /// That node shall own nothing, or may again.
    Standby {
        /// The node.
        node: String,
        /// In standby.
        on: bool,
    },
    /// A group stays stopped, or no longer.
    Disable {
        /// The group.
        group: String,
        /// It does.
        on: bool,
    },
    /// Move a group; without a node the wish is taken back.
    Move {
        /// The group.
        group: String,
        /// Where to.
        node: Option<String>,
    },
    /// Move a group home.
    Failback {
        /// The group.
        group: String,
    },
    /// Forget failures of a group.
    Cleanup {
        /// The group.
        group: String,
    },
    /// The data of that node is the group's.
    AcceptData {
        /// The group.
        group: String,
        /// The node.
        node: String,
    },
    /// Fence a node.
    Fence {
        /// The node.
        node: String,
    },
    /// Switch a node on again.
    Unfence {
        /// The node.
        node: String,
    },
    /// Somebody saw that the node is off.
    ConfirmFenced {
        /// The node.
        node: String,
    },
    /// Somebody saw that no other node runs.
    QuorumOverride,
    /// DRBD's handler asks.
    FencePeer {
        /// The resource.
        resource: String,
        /// The peer, where the handler knows.
        peer: Option<String>,
        /// Milliseconds it may take.
        within_ms: u64,
    },
    /// Do the fence devices answer?
    Devices,
    /// Read the configuration again.
    Reload,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To `Status`.
    Status(Box<Report>),
    /// To `Watch`, again and again.
    Event(Told),
    /// To `History`.
    History {
        /// The oldest first.
        entries: Vec<Entry>,
    },
    /// To `Devices`.
    Devices {
        /// By device: `null`, or what is wrong.
        devices: BTreeMap<String, Option<String>>,
    },
    /// Done, or on its way.
    Done {
        /// What.
        text: String,
    },
    /// Not done.
    Refused {
        /// Why.
        text: String,
    },
    /// To `FencePeer`.
    FencePeer {
        /// Exit code of the handler.
        code: u8,
        /// Why.
        reason: String,
    },
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Milliseconds since 1970.
    pub when_ms: u64,
    /// Kind, as hooks select it.
    pub kind: String,
    /// The node it is about.
    pub node: Option<String>,
    /// The group it is about.
    pub group: Option<String>,
    /// One sentence.
    pub text: String,
    /// For the kind `action`, which is not among those that hooks are called for: what was done here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Acted>,
}

/// An action on a resource that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Name of the resource.
    pub resource: String,
    /// `probe`, `start`, `stop` or another operation; a monitor is told only when it fails.
    pub operation: String,
    /// It ended as it should.
    pub good: bool,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// Everything at one moment (failover.md section 7). Fields are added, and never change their meaning within a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of this document.
    pub version: u32,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of this node.
    pub node: String,
    /// What the core says.
    pub core: Status,
    /// Links by node.
    pub links: BTreeMap<String, Vec<LinkReport>>,
    /// Links of this node that are open.
    pub links_open: usize,
    /// Datagrams that were thrown away, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Kind of the watchdog.
    pub watchdog: Option<String>,
    /// The longest time that the loop was late, in milliseconds.
    pub stall_max_ms: u64,
    /// DRBD's resources here.
    pub drbd: BTreeMap<String, DrbdBrief>,
    /// How the last action on each resource ended: `group/resource`.
    pub actions: BTreeMap<String, ActionReport>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// Address of the other node.
    pub address: String,
    /// Something came within deadtime.
    pub up: bool,
    /// Milliseconds since something came.
    pub age_ms: Option<u64>,
    /// Round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// Messages that did not come, in per mille of the last ones.
    pub loss_permille: u32,
    /// Datagrams sent.
    pub sent: u64,
    /// Authentic datagrams received.
    pub received: u64,
}

/// An action that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// What was done.
    pub operation: String,
    /// How it ended.
    pub outcome: String,
    /// Exit code and last words.
    pub story: String,
    /// Seconds since 1970.
    pub when: u64,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_people_type_by_hand() {
        let read = |text: &str| serde_json::from_str::<Request>(text).unwrap();
        assert_eq!(read(r#"{"cmd":"status"}"#), Request::Status);
        let wanted = Request::Move {
            group: "db".to_owned(),
            node: None,
        };
        assert_eq!(read(r#"{"cmd":"move","group":"db","node":null}"#), wanted);
        assert!(serde_json::from_str::<Request>(r#"{"cmd":"dance"}"#).is_err());
    }
}
