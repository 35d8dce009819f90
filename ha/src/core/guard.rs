// SPDX-License-Identifier: GPL-2.0-or-later
//! The one predicate on which safety hangs: may something of a group be started here (failover.md 6.7). It is asked right
//! before each start, and every refusal has the name of its rule and a sentence.
//!
//! Why two nodes can't both be allowed: a node that acknowledged a decision about the owner never acts on an earlier one, and
//! decisions are totally ordered. So of two owners the later one had the earlier one's promise and its word that nothing runs, or
//! proof that its life is over. Lives that began afterwards need the same of this one. Nothing in it depends on a clock.

use std::fmt;

use super::drbd::{Disk, DrbdBrief, Role};
use super::facts::Lives;
use super::id::{GroupId, Incarnation, NodeId, OwnerEpoch};
use super::machine::Core;
use super::message::{GroupBrief, Holding, NodeState};
use super::overrides::Key;
use super::planted::{self, Bug};

/// The rules, as failover.md names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// In a view with quorum, and allowed to act.
    G1,
    /// The plan of this view names this node.
    G2,
    /// Every other node of the group released it or is proven to be gone.
    G3,
    /// The data is usable here, and nobody else's is in use.
    G4,
    /// No maintenance, no failed stop, not disabled.
    G5,
    /// Groups that have to be there first are.
    G6,
}

/// Why something is not started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) rule: Rule,
    pub(super) reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.reason, self.rule)
    }
}

fn refuse<T>(rule: Rule, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        rule,
        reason: reason.into(),
    })
}

/// What is known of another node of the group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other<'a> {
    pub(super) lives: Lives,
    /// The latest life it was heard in.
    pub(super) life: Incarnation,
    /// It is heard at the moment.
    pub(super) heard: bool,
    /// What it said last about the group in that life, and what it was doing.
    pub(super) said: Option<(NodeState, &'a GroupBrief)>,
}

/// G3 for one other node and the decision `epoch`: it can't have the group, and can't get it without this node's consent.
pub(super) fn yields(other: &Other<'_>, epoch: OwnerEpoch) -> Result<(), String> {
    if planted::is(Bug::SkipFenceCheck) && !other.heard {
        return Ok(());
    }
    let inert = other.lives.is_inert();
    let current = other.life >= other.lives.active;
    let Some((state, brief)) = other.said.filter(|_| current) else {
        return match (inert, other.heard) {
            (true, false) => Ok(()),
            (_, true) => Err("has not said yet what runs there".to_owned()),
            (false, false) => Err("is silent and was not fenced".to_owned()),
        };
    };
    if inert && (!other.heard || other.lives.is_over(other.life)) {
        return Ok(());
    }
    match brief.holding {
        Holding::Released if state != NodeState::Probing => {}
        Holding::Released => return Err("looks what runs there".to_owned()),
        Holding::Stuck => return Err("could not stop it and has to be fenced".to_owned()),
        Holding::Held | Holding::Running => {
            return Err(if other.heard {
                "has not released it".to_owned()
            } else {
                "had it, is silent and was not fenced".to_owned()
            })
        }
    }
    // A new life of a node whose lives before are over has nothing, and gets nothing without this node.
    let promised = brief.epoch.is_some_and(|promise| promise >= epoch);
    if promised || inert || planted::is(Bug::SkipPromise) {
        Ok(())
    } else if other.heard {
        Err("has not acknowledged the decision".to_owned())
    } else {
        Err("is silent and was not fenced".to_owned())
    }
}

/// G4 for one DRBD resource: `here` may be promoted, where `there` is what the other node says of its own replica, if it does.
pub(super) fn promotable(
    here: &DrbdBrief,
    there: Option<&DrbdBrief>,
    accepted: bool,
) -> Result<(), String> {
    if here.peer_role == Role::Primary || there.is_some_and(|there| there.role == Role::Primary) {
        return Err("the peer is Primary".to_owned());
    }
    if here.role == Role::Primary {
        return Ok(());
    }
    match here.disk {
        Disk::UpToDate => Ok(()),
        Disk::Consistent if accepted || planted::is(Bug::PromoteConsistent) => Ok(()),
        Disk::Consistent => {
            // With equal generations the peer can't be newer.
            let equal = there.is_some_and(|there| {
                there.generation == here.generation
                    && here.generation != 0
                    && there.disk >= Disk::Outdated
            });
            if equal {
                Ok(())
            } else {
                Err("the disk is Consistent, the peer's may be newer".to_owned())
            }
        }
        disk => Err(format!("the disk is {disk:?}")),
    }
}

impl Core {
    /// What is known of `node` about `group`.
    pub(super) fn other(&self, node: NodeId, group: GroupId) -> Other<'_> {
        let report = self
            .peers
            .get(&node)
            .and_then(|peer| peer.report.as_deref());
        Other {
            lives: self.memory.facts.of(node),
            life: self.life(node),
            heard: self.hears(node),
            said: report.and_then(|report| Some((report.state, report.groups.get(&group)?))),
        }
    }

    /// Whether something of `group` may be started here, now.
    pub(super) fn may_start(&self, group: GroupId) -> Result<(), Refusal> {
        self.guard_view()?;
        let epoch = self.guard_plan(group)?;
        self.guard_others(group, epoch)?;
        self.guard_data(group)?;
        self.guard_wishes(group)?;
        self.guard_order(group)
    }

    fn guard_view(&self) -> Result<(), Refusal> {
        if self.state_lost {
            return refuse(Rule::G1, "the state directory can't be written");
        }
        if self.state() != NodeState::Member {
            return refuse(
                Rule::G1,
                format!("this node is {:?}: {}", self.state(), self.verdict.reason),
            );
        }
        self.may_act().or_else(|reason| refuse(Rule::G1, reason))
    }

    fn guard_plan(&self, group: GroupId) -> Result<OwnerEpoch, Refusal> {
        let Some(assignment) = self.assignment(group) else {
            return refuse(Rule::G2, "there is no plan for this view yet");
        };
        if assignment.owner != Some(self.me) {
            return refuse(Rule::G2, "the plan does not name this node");
        }
        if self.promises.get(&group) != Some(&assignment.epoch) {
            return refuse(Rule::G2, "a later decision about the owner is known");
        }
        Ok(assignment.epoch)
    }

    fn guard_others(&self, group: GroupId, epoch: OwnerEpoch) -> Result<(), Refusal> {
        let nodes = self
            .cluster
            .groups
            .get(&group)
            .map_or(&[][..], |group| &group.nodes);
        for node in nodes.iter().filter(|node| **node != self.me) {
            if let Err(why) = yields(&self.other(*node, group), epoch) {
                return refuse(Rule::G3, format!("{} {why}", self.name(*node)));
            }
            let same = self
                .report(*node)
                .is_none_or(|report| report.config == self.cluster.hash);
            if !same {
                return refuse(
                    Rule::G3,
                    format!("{} has another configuration", self.name(*node)),
                );
            }
        }
        Ok(())
    }

    fn guard_data(&self, group: GroupId) -> Result<(), Refusal> {
        let Some((local, config)) = self.groups.get(&group).zip(self.cluster.groups.get(&group))
        else {
            return refuse(Rule::G2, "the group is not configured for this node");
        };
        if self.handler.is_outdating(group) {
            return refuse(Rule::G4, "a disk of it is being outdated for a peer");
        }
        let accepted = self.memory.overrides.node(Key::AcceptData(group)) == Some(self.me);
        for (at, brief) in local.drbd().iter().enumerate() {
            let others = config.nodes.iter().filter(|node| **node != self.me);
            let mut heard =
                others.filter_map(|node| self.report(*node)?.groups.get(&group)?.drbd.get(at));
            let there = heard.next();
            if let Err(why) = promotable(brief, there, accepted) {
                let name = config.drbd_name(at);
                return refuse(Rule::G4, format!("{name} can't be promoted here: {why}"));
            }
        }
        Ok(())
    }

    fn guard_wishes(&self, group: GroupId) -> Result<(), Refusal> {
        let overrides = &self.memory.overrides;
        if overrides.is(Key::Maintenance) {
            return refuse(Rule::G5, "maintenance is on");
        }
        if overrides.is(Key::Disabled(group)) {
            return refuse(Rule::G5, "the operator stopped it");
        }
        if overrides.is(Key::Standby(self.me)) {
            return refuse(Rule::G5, "this node is in standby");
        }
        match self
            .groups
            .get(&group)
            .and_then(|group| group.ban(self.now_ms))
        {
            Some(why) => refuse(Rule::G5, why),
            None => Ok(()),
        }
    }

    fn guard_order(&self, group: GroupId) -> Result<(), Refusal> {
        let after = self
            .cluster
            .groups
            .get(&group)
            .map_or(&[][..], |group| &group.after);
        for before in after {
            if !self.runs_somewhere(*before) {
                let name = self
                    .cluster
                    .groups
                    .get(before)
                    .map_or("a group", |group| group.name.as_str());
                return refuse(Rule::G6, format!("{name} has to run first"));
            }
        }
        Ok(())
    }

    fn runs_somewhere(&self, group: GroupId) -> bool {
        let here = self
            .groups
            .get(&group)
            .map(super::group::LocalGroup::holding);
        let there = self
            .peers
            .keys()
            .filter_map(|node| self.report(*node)?.groups.get(&group));
        here == Some(Holding::Running)
            || there
                .into_iter()
                .any(|brief| brief.holding == Holding::Running)
    }
}
