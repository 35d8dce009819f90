// SPDX-License-Identifier: GPL-2.0-or-later
//! Names that never change their meaning: of nodes, of their lives, of groups, of views and of ownership.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node of the cluster, 1..=63, as `id` in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u8);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// One life of a node's daemon: a counter on disk plus one at every start, or the time of day in milliseconds where the counter
/// was lost (which is above any counter). Zero: never seen.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// No life of that node has been seen.
    pub const NEVER: Incarnation = Incarnation(0);
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "incarnation {}", self.0)
    }
}

/// A view, unique for ever: later ones of one node are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ViewId {
    /// Greater than that of every view that any of its members accepted before.
    pub epoch: u64,
    /// Who proposed it, and coordinates it.
    pub proposer: NodeId,
    /// The proposer's life, so that one that lost its memory can't use an identity twice.
    pub incarnation: Incarnation,
}

/// Which decision gave a group its owner: each is made by one coordinator in one view, so equal epochs mean the same owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OwnerEpoch {
    /// View of the plan.
    pub view: ViewId,
    /// Number of the plan in its view, from 1.
    pub plan: u64,
}

/// A group, by a hash of its name: it stays the same when the configuration gains or loses other groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The identity of the group called `name` (FNV-1a). A configuration with two names of one identity has to be refused.
    #[must_use]
    pub fn of(name: &str) -> GroupId {
        GroupId(name.bytes().fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        }))
    }
}

/// Which configuration a node runs with: the first eight bytes of the SHA-256 of its canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigHash(pub u64);

/// One action on one resource, unique in the life of a daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub u64);

/// One attempt to fence, unique in the life of a daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FenceId(pub u64);

/// A request on the control socket, chosen by the host, returned with the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);
