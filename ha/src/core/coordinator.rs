// SPDX-License-Identifier: GPL-2.0-or-later
//! The coordinator of a view says who owns what, again and again until all know. Two of them do no harm: a plan belongs to a view,
//! and every start is guarded where it happens.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Failback;
use super::effect::EventKind;
use super::id::{GroupId, NodeId, OwnerEpoch};
use super::machine::Core;
use super::message::{Assignment, GroupBrief, Holding, Message, NodeState, Plan};
use super::overrides::{Key, Value};
use super::placement::{current, place, Place, Situation};

/// State of this part.
#[derive(Clone, Debug, Default)]
pub(super) struct Coordinator {
    /// Since when the first node of a group has been usable.
    usable_since_ms: BTreeMap<GroupId, u64>,
    told_ms: u64,
}

impl Core {
    /// Plans, if this node coordinates; tells those who don't know.
    pub(super) fn coordinate(&mut self) {
        let state = self.state();
        if self.coordinator() != Some(self.me) || state != NodeState::Member {
            self.coordinator.usable_since_ms.clear();
            return;
        }
        if !self.memory.overrides.is(Key::Maintenance) && self.same_configuration() {
            self.make_plan();
        }
        self.tell_plan();
    }

    fn same_configuration(&self) -> bool {
        let members = self
            .membership
            .view
            .iter()
            .flat_map(|view| view.members.keys());
        let mut reports = members.filter_map(|node| self.report(*node));
        reports.all(|report| report.config == self.cluster.hash)
    }

    fn make_plan(&mut self) {
        let own = self.briefs();
        let members = self.placeable(&own);
        let owners = self.owners();
        let ripe = self.ripe(&members);
        let situation = Situation {
            cluster: &self.cluster,
            members: &members,
            overrides: &self.memory.overrides,
            owners: &owners,
            ripe: &ripe,
        };
        let places = place(&situation);
        let arrived = self.arrived(&situation);
        self.adopt(places);
        for key in arrived {
            self.memory.overrides.set(key, Value::No, self.me);
            self.persist = true;
            self.urgent = true;
        }
    }

    /// Members that may own something and what they say, this node included.
    fn placeable<'a>(
        &'a self,
        own: &'a BTreeMap<GroupId, GroupBrief>,
    ) -> BTreeMap<NodeId, &'a BTreeMap<GroupId, GroupBrief>> {
        let nodes = self.cluster.nodes.iter().filter(|(_, node)| !node.arbiter);
        let members = nodes.filter_map(|(id, _)| {
            if *id == self.me {
                return (!self.state_lost).then_some((*id, own));
            }
            let report = self.report(*id).filter(|_| self.is_live_member(*id))?;
            (report.state != NodeState::Leaving).then_some((*id, &report.groups))
        });
        members.collect()
    }

    fn owners(&self) -> BTreeMap<GroupId, NodeId> {
        let plan = self.plan.iter().flat_map(|plan| &plan.groups);
        plan.filter_map(|(group, assignment)| Some((*group, assignment.owner?)))
            .collect()
    }

    /// Groups whose first node has been usable for `failback_delay_ms`.
    fn ripe(
        &self,
        members: &BTreeMap<NodeId, &BTreeMap<GroupId, GroupBrief>>,
    ) -> BTreeSet<GroupId> {
        let groups = self
            .cluster
            .groups
            .iter()
            .filter(|(_, group)| group.failback == Failback::Auto);
        let ripe = groups.filter(|(id, group)| {
            let home = group
                .nodes
                .first()
                .filter(|home| members.contains_key(home));
            let since = self.coordinator.usable_since_ms.get(id);
            let long = |since: &u64| self.now_ms.saturating_sub(*since) >= group.failback_delay_ms;
            home.is_some() && since.is_some_and(long)
        });
        ripe.map(|(id, _)| *id).collect()
    }

    /// Notes which first nodes are usable, and which wishes came true.
    fn arrived(&self, situation: &Situation<'_>) -> Vec<Key> {
        let mut done = Vec::new();
        for (id, group) in &self.cluster.groups {
            let Some(node) = current(situation, *id, group) else {
                continue;
            };
            let brief = situation
                .members
                .get(&node)
                .and_then(|groups| groups.get(id));
            if brief.is_none_or(|brief| brief.holding != Holding::Running) {
                continue;
            }
            let overrides = situation.overrides;
            if overrides.node(Key::Move(*id)) == Some(node) {
                done.push(Key::Move(*id));
            }
            if overrides.is(Key::Failback(*id)) && group.nodes.first() == Some(&node) {
                done.push(Key::Failback(*id));
            }
            if overrides.node(Key::AcceptData(*id)).is_some() {
                done.push(Key::AcceptData(*id));
            }
        }
        done
    }

    /// Numbers what is new; what stays keeps the decision that made it.
    fn adopt(&mut self, places: BTreeMap<GroupId, Place>) {
        let Some(view) = &self.membership.view else {
            return;
        };
        let (id, members) = (view.id, view.members.clone());
        self.note_usable();
        let previous = self.plan.as_ref().filter(|plan| plan.view == id);
        let number = previous.map_or(0, |plan| plan.number) + 1;
        let fresh = OwnerEpoch {
            view: id,
            plan: number,
        };
        let mut changes = Vec::new();
        let mut groups = BTreeMap::new();
        let mut same = previous.is_some_and(|plan| plan.groups.len() == places.len());
        for (group, Place { node, reason }) in places {
            let before = previous.and_then(|plan| plan.groups.get(&group));
            let kept = before.filter(|before| before.owner == node);
            same &= kept.is_some_and(|kept| kept.reason == reason);
            if kept.is_none() {
                changes.push((group, node, reason.clone()));
            }
            let assignment = Assignment {
                owner: node,
                epoch: kept.map_or(fresh, |kept| kept.epoch),
                reason,
            };
            groups.insert(group, assignment);
        }
        if same {
            return;
        }
        let plan = Plan {
            view: id,
            members,
            number,
            groups,
        };
        for (group, node, reason) in changes {
            self.event(EventKind::Placement, node, Some(group), || reason);
        }
        self.coordinator.told_ms = 0;
        self.follow(plan);
    }

    fn note_usable(&mut self) {
        let now_ms = self.now_ms;
        for (id, group) in &self.cluster.groups {
            let home = group.nodes.first();
            let usable = home.is_some_and(|home| self.home_is_usable(*id, *home));
            if usable {
                self.coordinator
                    .usable_since_ms
                    .entry(*id)
                    .or_insert(now_ms);
            } else {
                self.coordinator.usable_since_ms.remove(id);
            }
        }
    }

    fn home_is_usable(&self, group: GroupId, home: NodeId) -> bool {
        let up_to_date = |brief: &GroupBrief| {
            let good = |drbd: &super::drbd::DrbdBrief| drbd.disk == super::drbd::Disk::UpToDate;
            !brief.banned && brief.drbd.iter().all(good)
        };
        if home == self.me {
            return self.brief(group).is_some_and(|brief| up_to_date(&brief));
        }
        let report = self.report(home).filter(|_| self.is_live_member(home));
        let brief = report.and_then(|report| report.groups.get(&group));
        brief.is_some_and(up_to_date)
    }

    /// Whoever is heard and does not follow the plan gets it, at most once in a keepalive unless it is new.
    fn tell_plan(&mut self) {
        let keepalive_ms = self.cluster.timing.keepalive_ms;
        if self.coordinator.told_ms != 0
            && self.now_ms.saturating_sub(self.coordinator.told_ms) < keepalive_ms
        {
            return;
        }
        let Some(plan) = self.plan.clone() else {
            return;
        };
        let new = self.coordinator.told_ms == 0;
        self.coordinator.told_ms = self.now_ms.max(1);
        let behind = |node: &NodeId| {
            let report = self.report(*node)?;
            let known = |(group, assignment): (&GroupId, &Assignment)| {
                let brief = report.groups.get(group);
                brief.is_none_or(|brief| brief.epoch >= Some(assignment.epoch))
            };
            let member = self.is_live_member(*node);
            let follows = report.view == Some(plan.view) && report.plan >= plan.number;
            let knows = plan.groups.iter().all(known) && (follows || !member);
            (new || !knows).then_some(*node)
        };
        let nodes: Vec<NodeId> = self.peers.keys().filter_map(behind).collect();
        for node in nodes {
            self.send(node, Message::Plan(Box::new(plan.clone())));
        }
    }

    /// A plan came. It is followed by members of its view, and a promise to everybody. True when it is new.
    pub(super) fn planned(&mut self, from: NodeId, plan: Plan) -> bool {
        let newer = |mine: &Plan| (plan.view, plan.number) > (mine.view, mine.number);
        let known = self.plan.as_ref().is_some_and(|mine| !newer(mine));
        if plan.view.proposer != from || known && self.has_promised(&plan) {
            return false;
        }
        for (node, life) in &plan.members {
            self.persist |= self.memory.facts.activate(*node, *life);
        }
        self.follow(plan);
        true
    }

    fn has_promised(&self, plan: &Plan) -> bool {
        let promised = |(group, assignment): (&GroupId, &Assignment)| {
            self.promises.get(group) >= Some(&assignment.epoch)
        };
        plan.groups.iter().all(promised)
    }

    fn follow(&mut self, plan: Plan) {
        for (group, assignment) in &plan.groups {
            let promise = self.promises.entry(*group).or_insert(assignment.epoch);
            if assignment.epoch >= *promise {
                *promise = assignment.epoch;
            }
        }
        let view = self.membership.view.as_ref().map(|view| view.id);
        let later = self
            .plan
            .as_ref()
            .is_none_or(|mine| mine.view != plan.view || plan.number > mine.number);
        if view == Some(plan.view) && later {
            self.plan = Some(plan);
        }
        self.urgent = true;
    }
}
