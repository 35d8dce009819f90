// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known for ever about the lives of nodes. A life that was active stays one that was, a life that is over stays over:
//! so two tables are merged by taking the greater of each, in any order, as often as one likes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::{Incarnation, NodeId};

/// How a life ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Ending {
    /// It stopped its groups and said so.
    Left,
    /// A fence device, or the operator, confirmed it.
    Fenced,
}

/// The facts about one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Lives {
    /// The latest that may own something: it was in a view, or said that it holds a group.
    pub active: Incarnation,
    /// The latest that is over, with all before it.
    pub over: Option<(Incarnation, Ending)>,
    /// Epoch of the last view in which somebody had lost their memory, so that there may be lives that nobody remembers.
    pub doubt: u64,
    /// Doubts up to this epoch were settled: by a fencing, or because the node itself was in a view.
    pub settled: u64,
}

impl Lives {
    /// Every life that may own something is over. A node of which nothing is known may own something.
    #[must_use]
    pub fn is_inert(&self) -> bool {
        let over = self.over.is_some_and(|(life, _)| life >= self.active);
        over && self.settled >= self.doubt
    }

    /// The same, by a fencing.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.is_inert() && matches!(self.over, Some((_, Ending::Fenced)))
    }

    /// Whether `life` is over.
    #[must_use]
    pub fn is_over(&self, life: Incarnation) -> bool {
        self.over.is_some_and(|(over, _)| over >= life)
    }
}

/// The facts about all nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(pub BTreeMap<NodeId, Lives>);

impl Facts {
    /// What is known of `node`.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Lives {
        self.0.get(&node).copied().unwrap_or_default()
    }

    /// `life` of `node` may own something. True when that is new.
    pub fn activate(&mut self, node: NodeId, life: Incarnation) -> bool {
        let lives = self.0.entry(node).or_default();
        let new = life > lives.active;
        lives.active = lives.active.max(life);
        new
    }

    /// `life` of `node` is over, and all before it. True when that is new.
    pub fn end(&mut self, node: NodeId, life: Incarnation, ending: Ending) -> bool {
        let lives = self.0.entry(node).or_default();
        // Fenced says more than left.
        let new = lives.over.is_none_or(|over| (life, ending) > over);
        if new {
            lives.over = Some((life, ending));
        }
        new
    }

    /// Takes over what `other` knows. True when something is new.
    pub fn merge(&mut self, other: &Facts) -> bool {
        let mut new = false;
        for (node, lives) in &other.0 {
            new |= lives.active != Incarnation::NEVER && self.activate(*node, lives.active);
            if let Some((life, ending)) = lives.over {
                new |= self.end(*node, life, ending);
            }
            new |= lives.settled > 0 && self.settle(*node, lives.settled);
            if lives.doubt > self.of(*node).doubt {
                self.doubt(*node, lives.doubt);
                new = true;
            }
        }
        new
    }

    /// A member of the view of `epoch` lost its memory: lives of `node`, which is not in it, may have been active that nobody
    /// remembers.
    pub fn doubt(&mut self, node: NodeId, epoch: u64) {
        let lives = self.0.entry(node).or_default();
        lives.doubt = lives.doubt.max(epoch);
    }

    /// No doubt up to `epoch` is left about `node`. True when that is new.
    pub fn settle(&mut self, node: NodeId, epoch: u64) -> bool {
        let lives = self.0.entry(node).or_default();
        let new = epoch > lives.settled;
        lives.settled = lives.settled.max(epoch);
        new
    }
}
