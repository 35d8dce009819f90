// SPDX-License-Identifier: GPL-2.0-or-later
//! What nodes say to each other. There are no requests with answers that could get lost: everything is repeated until the
//! other's heartbeat shows that it arrived, so loss, duplicates and reordering do no harm (failover.md 6.2).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::drbd::{DrbdBrief, Outdated};
use super::facts::Facts;
use super::id::{ConfigHash, GroupId, Incarnation, NodeId, OwnerEpoch, ViewId};
use super::overrides::Overrides;

/// One message. The transport adds the sender and its incarnation, and vouches for both.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Every keepalive, to everybody.
    Heartbeat(Box<Heartbeat>),
    /// A view is proposed.
    Propose(Propose),
    /// It is accepted.
    Accept(Box<Accept>),
    /// All accepted it.
    Commit(Box<Commit>),
    /// Who owns what.
    Plan(Box<Plan>),
    /// The peer's replica of a resource shall not become Primary.
    Outdate {
        /// Group of the resource.
        group: GroupId,
        /// Its place in the group.
        resource: u16,
    },
    /// Answers that.
    OutdateReply {
        /// Group of the resource.
        group: GroupId,
        /// Its place in the group.
        resource: u16,
        /// What became of it.
        outcome: Outdated,
    },
    /// All groups are released and this life of the daemon ends.
    Leave,
}

/// What a node is doing (failover.md 6.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NodeState {
    /// Looks what runs here.
    Probing,
    /// Knows what runs here, is in no view.
    Joining,
    /// Is in a view that has quorum.
    Member,
    /// Is in a view without quorum.
    Isolated,
    /// Stops its groups and goes.
    Leaving,
}

/// What a node says all the time: enough for anybody to place groups.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// What it is doing.
    pub state: NodeState,
    /// Its configuration.
    pub config: ConfigHash,
    /// The view it is in.
    pub view: Option<ViewId>,
    /// Number of the plan it follows in that view; 0 is none.
    pub plan: u64,
    /// The highest epoch of a view it accepted.
    pub epoch: u64,
    /// Whom it hears, and in which of their lives.
    pub hears: BTreeMap<NodeId, Incarnation>,
    /// Its view has quorum.
    pub quorate: bool,
    /// It was in a view with all others since it booted, or knows one who was.
    pub seen_all: bool,
    /// What its running groups are worth: the sum of their priorities, and one for each Primary.
    pub value: i64,
    /// A watchdog resets the node when the daemon fails.
    pub watchdog: bool,
    /// All groups that it is configured for.
    pub groups: BTreeMap<GroupId, GroupBrief>,
    /// Whom it tried to fence, how often.
    pub fencing: BTreeMap<NodeId, FenceBrief>,
    /// What it knows of the lives of nodes.
    pub facts: Facts,
    /// What operators decided.
    pub overrides: Overrides,
}

/// Whether a node has a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Holding {
    /// Nothing of it is active, and no action is under way.
    Released,
    /// Some of it may be active.
    Held,
    /// All of it is active.
    Running,
    /// A failed stop: some of it may be active for ever.
    Stuck,
}

/// A node's report about a group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupBrief {
    /// The latest decision about its owner that this node knows. It never acts on an earlier one: a promise.
    pub epoch: Option<OwnerEpoch>,
    /// Whether it has it.
    pub holding: Holding,
    /// Failures here that are not forgotten.
    pub fails: u32,
    /// It must not run here, for a reason that does not go away by itself or not soon.
    pub banned: bool,
    /// Its DRBD resources, in the group's order.
    pub drbd: Vec<DrbdBrief>,
}

/// A node's attempts to fence another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FenceBrief {
    /// Attempts that failed.
    pub failed: u32,
    /// One is under way.
    pub running: bool,
}

/// A view: first phase.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Propose {
    /// Its identity.
    pub view: ViewId,
    /// Its members, in the lives that shall be members.
    pub members: BTreeMap<NodeId, Incarnation>,
    /// Whose votes count when it has been committed; differs from now only to shrink or to grow again.
    pub electorate: Electorate,
}

/// A view: consent of one member.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Accept {
    /// The view.
    pub view: ViewId,
    /// What the member knows.
    pub facts: Facts,
    /// It lost what it knew and has not been in a view with quorum since.
    pub amnesia: bool,
    /// It has seen all nodes together, or knows one who has.
    pub seen_all: bool,
    /// Whose votes count, as far as the member knows.
    pub electorate: Electorate,
    /// The same of views that the member accepted, and that may have been committed.
    pub pending: Vec<Electorate>,
}

/// A view: second phase.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The view.
    pub view: ViewId,
    /// Its members.
    pub members: BTreeMap<NodeId, Incarnation>,
    /// What any of its members knew.
    pub facts: Facts,
    /// Some member has seen all nodes together.
    pub seen_all: bool,
    /// Whose votes count.
    pub electorate: Electorate,
    /// Members that lost their memory: where votes can leave the total, theirs don't count in this view.
    pub unsure: BTreeSet<NodeId>,
    /// Other electorates that may be the one: quorum is needed among each of them as well.
    pub pending: Vec<Electorate>,
}

/// Whose votes count. Without shrinking, all nodes' for ever.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Electorate {
    /// How often it changed: the highest one is the truth.
    pub epoch: u64,
    /// Nodes that were fenced and don't count.
    pub without: BTreeSet<NodeId>,
}

/// Who owns what, by the coordinator of a view.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The view.
    pub view: ViewId,
    /// Its members, for those who are not among them.
    pub members: BTreeMap<NodeId, Incarnation>,
    /// Counts the plans of the view, from 1.
    pub number: u64,
    /// Every group of the configuration.
    pub groups: BTreeMap<GroupId, Assignment>,
}

/// Who owns a group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Nobody, or that node.
    pub owner: Option<NodeId>,
    /// The decision that made it so.
    pub epoch: OwnerEpoch,
    /// Why, for people.
    pub reason: String,
}
