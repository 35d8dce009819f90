// SPDX-License-Identifier: GPL-2.0-or-later
//! What a core tells about itself: for `drbd-hactl status` and the metrics (failover.md 7).

use serde::{Deserialize, Serialize};

use super::drbd::DrbdBrief;
use super::id::{ConfigHash, GroupId, Incarnation, NodeId, ViewId};
use super::message::{Holding, NodeState};

/// Everything at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// What it is doing.
    pub state: NodeState,
    /// The view it is in.
    pub view: Option<ViewId>,
    /// Its members.
    pub members: Vec<NodeId>,
    /// Who coordinates.
    pub coordinator: Option<NodeId>,
    /// The view has quorum.
    pub quorate: bool,
    /// Why not, or by which rule.
    pub quorum_reason: String,
    /// All were seen together since boot.
    pub seen_all: bool,
    /// Maintenance is on.
    pub maintenance: bool,
    /// Configuration in use.
    pub config: ConfigHash,
    /// The watchdog may be petted.
    pub watchdog_pet: bool,
    /// Every configured node.
    pub nodes: Vec<NodeStatus>,
    /// Every configured group.
    pub groups: Vec<GroupStatus>,
    /// Fencings that are not done, and the last ones that are.
    pub fencing: Vec<FenceStatus>,
}

/// How a node looks from here (failover.md 6.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum PeerState {
    /// This node.
    Myself,
    /// Never heard since this daemon started.
    Unknown,
    /// Heard.
    Up,
    /// Silent for longer than warntime.
    Late,
    /// Silent for longer than deadtime.
    Dead,
    /// It is being fenced from here.
    Fencing,
    /// It was fenced, with confirmation.
    FencedSafe,
    /// It left.
    Left,
}

/// A node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Which.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Seen from here.
    pub peer: PeerState,
    /// What it says of itself.
    pub state: Option<NodeState>,
    /// The life it was heard in last.
    pub incarnation: Incarnation,
    /// Milliseconds since it was heard.
    pub age_ms: Option<u64>,
    /// Milliseconds since it was heard, by link.
    pub links_age_ms: Vec<(u8, u64)>,
    /// In our view.
    pub member: bool,
    /// In standby.
    pub standby: bool,
    /// Has a watchdog.
    pub watchdog: bool,
    /// Its configuration is the same.
    pub same_config: bool,
}

/// A group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Which.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Who has it, as far as known here.
    pub holders: Vec<(NodeId, Holding)>,
    /// Who shall have it.
    pub owner: Option<NodeId>,
    /// Why: of the plan, or what the guard of this node says.
    pub reason: String,
    /// Its resources on this node.
    pub resources: Vec<ResourceStatus>,
}

/// What is known of a resource here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ResourceState {
    /// Not looked at.
    Unknown,
    /// Not active.
    Stopped,
    /// Active.
    Running,
    /// Failed; may be active.
    Failed,
}

/// A resource on this node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Its name.
    pub name: String,
    /// Whether it is active.
    pub state: ResourceState,
    /// Failures here.
    pub fails: u32,
    /// DRBD's state.
    pub drbd: Option<DrbdBrief>,
}

/// A fencing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FenceStatus {
    /// Whom.
    pub target: NodeId,
    /// Core time it began, in milliseconds.
    pub began_ms: u64,
    /// Attempts so far that failed.
    pub failed: u32,
    /// Where it stands.
    pub phase: FencePhase,
    /// Why it is wanted, and what the device said last.
    pub detail: String,
}

/// Where a fencing stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FencePhase {
    /// Waits for its delay, or for another node's attempt.
    Waiting,
    /// The device is at work.
    Running,
    /// Failed, and will be tried again.
    Backoff,
    /// Confirmed.
    Done,
    /// Not needed any more.
    Cancelled,
}
