// SPDX-License-Identifier: GPL-2.0-or-later
//! What can happen to a core. What it is not told does not exist for it.

use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::drbd::DrbdBrief;
use super::id::{ActionId, FenceId, GroupId, Incarnation, NodeId, RequestId};
use super::message::Message;

/// One thing that happened. Times are milliseconds of a clock that never goes back, given with each input.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The time that `Core::wake_at_ms` named has come. Harmless at any other.
    Tick,
    /// A message came: authenticated, not a replay. Duplicates over several links are harmless.
    Received {
        /// Who sent it.
        from: NodeId,
        /// In which of its lives.
        incarnation: Incarnation,
        /// The link it came over, from 0.
        link: u8,
        /// What it says.
        message: Message,
    },
    /// A DRBD resource of this node changed, or is reported for the first time.
    Drbd {
        /// Its name in drbd.conf.
        resource: String,
        /// What it is like now.
        brief: DrbdBrief,
    },
    /// An action that `Effect::Act` asked for ended. Each is answered exactly once, a kill included.
    ActionDone {
        /// Which.
        id: ActionId,
        /// How.
        outcome: Outcome,
    },
    /// A fencing that `Effect::Fence` asked for ended. Each is answered at most once; none after `Effect::CancelFence` is
    /// fine, one as well.
    FenceDone {
        /// Which.
        id: FenceId,
        /// `Ok` only when the device confirmed that the node was off (or off in between); else why not.
        result: Result<(), String>,
    },
    /// Whether some address of the ping group answers. Not sent where there is no ping group.
    Ping {
        /// At least one does.
        answers: bool,
    },
    /// The operator, or a helper of DRBD, asks.
    Control {
        /// Comes back in `Effect::Reply`, once.
        id: RequestId,
        /// What is wanted.
        request: Control,
    },
    /// Who asked is not there any more; no reply is needed.
    ControlGone {
        /// The request.
        id: RequestId,
    },
    /// The configuration was read again and is good.
    Reload(Box<Cluster>),
    /// The host of the core did not run for so long.
    Stalled {
        /// Milliseconds.
        lost_ms: u64,
    },
    /// A member of the state directory could not be written: this node shall own nothing any more.
    StateLost,
    /// The daemon was asked to end: groups are stopped, then `Effect::Left` follows.
    Leave,
}

/// How an action ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Done; for a monitor or probe: it is active (OCF 0, 8, 190, 191).
    Ok,
    /// For a monitor or probe: it is cleanly not active (OCF 7). As the outcome of anything else a failure.
    NotRunning,
    /// It failed, and may work the next time (OCF 1, 9).
    Failed,
    /// It failed and won't work on this node (OCF 2, 4, 5).
    FailedHere,
    /// It failed and won't work anywhere (OCF 3, 6).
    FailedEverywhere,
    /// It did not end in time; its processes were killed.
    TimedOut,
}

/// What operators and helpers want.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Control {
    /// Leave everything alone, or no longer.
    Maintenance(bool),
    /// That node shall own nothing, or may again.
    Standby(NodeId, bool),
    /// The group stays stopped, or no longer.
    Disable(GroupId, bool),
    /// Move the group; `None` takes the wish back.
    Move(GroupId, Option<NodeId>),
    /// Move the group to the first of its nodes.
    Failback(GroupId),
    /// Forget failures of the group.
    Cleanup(GroupId),
    /// Take the data of that node as the group's, even though another's may be newer.
    AcceptData(GroupId, NodeId),
    /// Fence a node. Answered when it is known how it went.
    Fence(NodeId),
    /// The operator vouches that a node is off.
    ConfirmFenced(NodeId),
    /// The operator vouches that nobody else runs: this node has quorum although it has not seen the others.
    QuorumOverride,
    /// DRBD's fence-peer handler: answered with an exit code (failover.md 3).
    FencePeer {
        /// The resource in drbd.conf.
        resource: String,
        /// The peer, where the handler knows; else the other node of the resource's group.
        peer: Option<NodeId>,
        /// Answer by then with 1, counted from now.
        within_ms: u64,
    },
}
