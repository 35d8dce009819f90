// SPDX-License-Identifier: GPL-2.0-or-later
//! What operators decided at run time. Each entry has a stamp, the greater stamp wins: so tables merge in any order.

use serde::{Deserialize, Serialize};

use super::id::{GroupId, NodeId};

/// What is decided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Key {
    /// The cluster is left alone: nothing is started, stopped, monitored or fenced.
    Maintenance,
    /// The node owns nothing.
    Standby(NodeId),
    /// The group stays stopped.
    Disabled(GroupId),
    /// The group goes to a node once; cleared on arrival.
    Move(GroupId),
    /// The group goes back to its first node once; cleared on arrival.
    Failback(GroupId),
    /// Failures of the group are forgotten; the stamp says when.
    Cleanup(GroupId),
    /// The data of a node is the group's, even if another's may be newer; cleared when the group runs.
    AcceptData(GroupId),
}

/// How it is decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Value {
    /// Not, or no longer.
    No,
    /// Yes.
    Yes,
    /// That node.
    Node(NodeId),
}

/// When, by a counter that every node carries on, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// One more than any known one.
    pub version: u64,
    /// Number of the node that decided.
    pub by: u8,
}

/// All of it: bounded by the number of nodes and groups.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Overrides {
    entries: Vec<(Key, Stamp, Value)>,
}

impl Overrides {
    fn find(&self, key: Key) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&key, |entry| entry.0)
    }

    /// What is decided about `key`.
    #[must_use]
    pub fn get(&self, key: Key) -> Value {
        self.find(key)
            .ok()
            .and_then(|at| self.entries.get(at))
            .map_or(Value::No, |entry| entry.2)
    }

    /// When it was decided.
    #[must_use]
    pub fn stamp(&self, key: Key) -> Stamp {
        self.find(key)
            .ok()
            .and_then(|at| self.entries.get(at))
            .map_or(Stamp::default(), |entry| entry.1)
    }

    /// Whether `key` is decided with a yes.
    #[must_use]
    pub fn is(&self, key: Key) -> bool {
        self.get(key) == Value::Yes
    }

    /// The node that `key` names.
    #[must_use]
    pub fn node(&self, key: Key) -> Option<NodeId> {
        match self.get(key) {
            Value::Node(node) => Some(node),
            Value::No | Value::Yes => None,
        }
    }

    /// Everything, in order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Stamp, Value)> + '_ {
        self.entries.iter().copied()
    }

    /// The greatest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| entry.1.version)
            .max()
            .unwrap_or(0)
    }

    /// Decides, on `by`.
    pub fn set(&mut self, key: Key, value: Value, by: NodeId) {
        let stamp = Stamp {
            version: self.version().saturating_add(1),
            by: by.0,
        };
        self.put(key, stamp, value);
    }

    fn put(&mut self, key: Key, stamp: Stamp, value: Value) -> bool {
        match self.find(key) {
            Ok(at) => match self.entries.get_mut(at) {
                Some(entry) if entry.1 < stamp => {
                    *entry = (key, stamp, value);
                    true
                }
                Some(_) | None => false,
            },
            Err(at) => {
                self.entries.insert(at, (key, stamp, value));
                true
            }
        }
    }

    /// Takes over what is newer in `other`. True when something was.
    pub fn merge(&mut self, other: &Overrides) -> bool {
        if self.entries == other.entries {
            return false;
        }
        let mut new = false;
        for (key, stamp, value) in &other.entries {
            new |= self.put(*key, *stamp, *value);
        }
        new
    }
}
