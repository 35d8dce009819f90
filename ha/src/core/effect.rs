// SPDX-License-Identifier: GPL-2.0-or-later
//! What a core wants done. The host carries effects out in their order; a `Persist` has to be on stable storage before any
//! effect after it is carried out.

use serde::{Deserialize, Serialize};

use super::id::{ActionId, FenceId, GroupId, NodeId, RequestId};
use super::memory::{BootMemory, Memory};
use super::message::Message;

/// One wish.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send, over every link. It may get lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// The same to every other node of the configuration.
    Broadcast {
        /// What.
        message: Message,
    },
    /// Act on a resource of this node; at most one per group is under way, but for a kill.
    Act {
        /// Comes back in `Input::ActionDone`.
        id: ActionId,
        /// Which.
        action: Action,
    },
    /// Switch a node off and make sure that it is.
    Fence {
        /// Comes back in `Input::FenceDone`.
        id: FenceId,
        /// Whom.
        target: NodeId,
        /// With which level of its devices, from 0.
        level: u8,
    },
    /// That is not needed any more: don't start it if it has not been started.
    CancelFence {
        /// Which.
        id: FenceId,
    },
    /// Whether the watchdog may be petted, until this is said again.
    Watchdog {
        /// It may.
        pet: bool,
    },
    /// This node must not go on: stop petting the watchdog, reset the machine at once.
    SelfFence {
        /// Why, for the last line of the log.
        reason: String,
    },
    /// Keep this over reboots.
    Persist(Memory),
    /// Keep this until the next boot (in /run).
    PersistBoot(BootMemory),
    /// Answers `Input::Control`.
    Reply {
        /// Which.
        id: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Tell whoever listens: log, event stream, hooks.
    Event(Event),
    /// All groups are released, others were told: the process ends, with the watchdog disarmed.
    Left,
    /// This life was declared over by others, who believe that this node was fenced, and nothing runs here: end the process and
    /// start a new life.
    Restart {
        /// Why.
        reason: String,
    },
}

/// One action on one resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Action {
    /// The group.
    pub group: GroupId,
    /// Place of the resource in it.
    pub resource: u16,
    /// What to do.
    pub operation: Operation,
    /// After this its processes are killed and the outcome is `TimedOut`.
    pub timeout_ms: u64,
}

/// What to do with a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// See whether it is active, without changing it; a DRBD resource that is down is brought up, Secondary, first. The host makes
    /// sure beforehand that no action of an earlier life of the daemon is still under way: it could start something afterwards.
    Probe,
    /// Start; promote. Never with force.
    Start,
    /// Stop; demote.
    Stop,
    /// Stop, after all processes that it left were killed.
    KillAndStop,
    /// See whether it is active.
    Monitor,
    /// `drbdsetup outdate`. DRBD only, may run beside another action of the group.
    Outdate,
}

/// An answer to the operator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Done, or on its way.
    Done(String),
    /// Not done: what, why, and what to do instead.
    Refused(String),
    /// Exit code of the fence-peer handler, and why.
    FencePeer {
        /// 1, 3, 4, 5, 6 or 7.
        code: u8,
        /// For the log.
        reason: String,
    },
}

/// Something worth telling.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// What kind.
    pub kind: EventKind,
    /// The node it is about.
    pub node: Option<NodeId>,
    /// The group it is about.
    pub group: Option<GroupId>,
    /// One sentence.
    pub text: String,
}

/// Kinds of events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum EventKind {
    /// A node was heard again, is late, or is dead.
    Node,
    /// A view was committed.
    View,
    /// Quorum was won or lost.
    Quorum,
    /// The coordinator changed an owner.
    Placement,
    /// A group started, stopped or failed here.
    Group,
    /// The guard refused to start something.
    Refused,
    /// A fencing began, succeeded or failed.
    Fencing,
    /// Configurations differ, memory was lost, and other things to look at.
    Alarm,
}
