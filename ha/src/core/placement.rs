// SPDX-License-Identifier: GPL-2.0-or-later
//! Where groups should run (failover.md 6.6): a pure function of the configuration, what members report and what operators want.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Cluster, Failback, Group};
use super::drbd::Role;
use super::guard::promotable;
use super::id::{GroupId, NodeId};
use super::message::{GroupBrief, Holding};
use super::overrides::{Key, Overrides};

/// What placement depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) cluster: &'a Cluster,
    /// Members that may own something, with what they say of their groups.
    pub(super) members: &'a BTreeMap<NodeId, &'a BTreeMap<GroupId, GroupBrief>>,
    pub(super) overrides: &'a Overrides,
    /// Who owns what at the moment.
    pub(super) owners: &'a BTreeMap<GroupId, NodeId>,
    /// Groups whose first node has been usable for long enough to go back.
    pub(super) ripe: &'a BTreeSet<GroupId>,
}

/// A node for a group, or none, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) node: Option<NodeId>,
    pub(super) reason: String,
}

/// What being moved by an operator is worth.
const MOVE: i64 = 1_000_000;

/// Places every group.
pub(super) fn place(situation: &Situation<'_>) -> BTreeMap<GroupId, Place> {
    let mut order: Vec<(&GroupId, &Group)> = situation.cluster.groups.iter().collect();
    order.sort_by(|(_, a), (_, b)| {
        (Reverse(a.priority), &a.name).cmp(&(Reverse(b.priority), &b.name))
    });
    let mut places = BTreeMap::new();
    // A group may name a later one in `after`: rounds, until nothing new is placed.
    loop {
        let before = places.len();
        for (id, group) in &order {
            if !places.contains_key(*id) {
                if let Some(place) = place_one(situation, &places, **id, group) {
                    places.insert(**id, place);
                }
            }
        }
        if places.len() == before {
            break;
        }
    }
    for (id, group) in order {
        let waits = || format!("waits for {}", names(situation.cluster, &group.after));
        places.entry(*id).or_insert_with(|| Place {
            node: None,
            reason: waits(),
        });
    }
    places
}

/// None while a group that has to be first has no place yet.
fn place_one(
    situation: &Situation<'_>,
    places: &BTreeMap<GroupId, Place>,
    id: GroupId,
    group: &Group,
) -> Option<Place> {
    if situation.overrides.is(Key::Disabled(id)) {
        return Some(nowhere("stopped by the operator"));
    }
    let first = group
        .after
        .iter()
        .filter(|before| situation.cluster.groups.contains_key(before));
    for before in first {
        match places.get(before) {
            None => return None,
            Some(place) if place.node.is_none() => {
                let waits = names(situation.cluster, &[*before]);
                return Some(nowhere(format!("waits for {waits}, which has no place")));
            }
            Some(_) => {}
        }
    }
    let current = current(situation, id, group);
    let mut refusals = Vec::new();
    let mut candidates = Vec::new();
    for (index, node) in group.nodes.iter().enumerate() {
        match may_host(situation, places, id, group, *node) {
            Ok(()) => candidates.push(score(situation, places, id, group, index, *node, current)),
            Err(why) => refusals.push(format!("{} {why}", situation.cluster.name(*node))),
        }
    }
    candidates.sort();
    if let Some(candidate) = candidates.last() {
        return Some(Place {
            node: Some(candidate.node),
            reason: candidate.reason(situation.cluster, current),
        });
    }
    // Better a copy over the network than none at all.
    if let Some(node) = current.filter(|node| may_stay(situation, places, id, group, *node)) {
        return Some(Place {
            node: Some(node),
            reason: format!("stays, for want of a better place: {}", refusals.join("; ")),
        });
    }
    Some(nowhere(refusals.join("; ")))
}

fn nowhere(reason: impl Into<String>) -> Place {
    Place {
        node: None,
        reason: reason.into(),
    }
}

fn names(cluster: &Cluster, groups: &[GroupId]) -> String {
    let named = groups.iter().filter_map(|group| cluster.groups.get(group));
    let names: Vec<&str> = named.map(|group| group.name.as_str()).collect();
    names.join(", ")
}

fn brief<'a>(situation: &Situation<'a>, id: GroupId, node: NodeId) -> Option<&'a GroupBrief> {
    situation.members.get(&node)?.get(&id)
}

/// Where the group is: whoever has it, else who shall have it.
pub(super) fn current(situation: &Situation<'_>, id: GroupId, group: &Group) -> Option<NodeId> {
    let owner = situation.owners.get(&id).copied();
    let holders = group.nodes.iter().filter_map(|node| {
        let holding = brief(situation, id, *node)?.holding;
        (holding != Holding::Released).then_some((
            holding == Holding::Running,
            owner == Some(*node),
            Reverse(*node),
        ))
    });
    let holder = holders.max().map(|(_, _, node)| node.0);
    // An owner that is about to stop is not where it is.
    holder.or(owner.filter(|node| situation.members.contains_key(node)))
}

/// A group that runs on Primary data keeps running where its disk is not usable any more, if no other is.
fn may_stay(
    situation: &Situation<'_>,
    places: &BTreeMap<GroupId, Place>,
    id: GroupId,
    group: &Group,
    node: NodeId,
) -> bool {
    let standby = situation.overrides.is(Key::Standby(node));
    let Some(brief) = brief(situation, id, node).filter(|_| !standby) else {
        return false;
    };
    let only_data = data(situation, id, group, node, brief).is_err();
    let running = brief.holding == Holding::Running && !brief.banned;
    only_data && running && room(situation, places, id, group, node).is_ok()
}

fn may_host(
    situation: &Situation<'_>,
    places: &BTreeMap<GroupId, Place>,
    id: GroupId,
    group: &Group,
    node: NodeId,
) -> Result<(), String> {
    let Some(brief) = brief(situation, id, node) else {
        return Err("is not a member".to_owned());
    };
    if situation.overrides.is(Key::Standby(node)) {
        return Err("is in standby".to_owned());
    }
    if brief.banned {
        return Err(format!("is banned after {} failures", brief.fails));
    }
    data(situation, id, group, node, brief)?;
    if let Some(avoided) = avoided(situation, places, id, group, node).filter(|_| group.avoid_hard)
    {
        return Err(format!("has {}", names(situation.cluster, &[avoided])));
    }
    room(situation, places, id, group, node).map(|_| ())
}

/// Its data is good enough to be promoted there.
fn data(
    situation: &Situation<'_>,
    id: GroupId,
    group: &Group,
    node: NodeId,
    brief: &GroupBrief,
) -> Result<(), String> {
    let accepted = situation.overrides.node(Key::AcceptData(id)) == Some(node);
    let count = group
        .resources
        .iter()
        .filter(|resource| resource.is_drbd())
        .count();
    for at in 0..count {
        let name = group.drbd_name(at);
        let Some(here) = brief.drbd.get(at) else {
            return Err(format!("does not say how {name} is"));
        };
        let mut here = *here;
        // Whoever is Primary will be demoted before anybody is promoted; of a Primary, only the disk counts.
        here.role = Role::Secondary;
        here.peer_role = Role::Secondary;
        let others = group.nodes.iter().filter(|other| **other != node);
        let there = others
            .filter_map(|other| situation.members.get(other)?.get(&id)?.drbd.get(at))
            .next();
        let there = there.map(|there| super::drbd::DrbdBrief {
            role: Role::Secondary,
            ..*there
        });
        promotable(&here, there.as_ref(), accepted)
            .map_err(|why| format!("can't have {name}: {why}"))?;
    }
    Ok(())
}

/// A group on `node` that `group` should not be with, or the other way round.
fn avoided(
    situation: &Situation<'_>,
    places: &BTreeMap<GroupId, Place>,
    id: GroupId,
    group: &Group,
    node: NodeId,
) -> Option<GroupId> {
    let mut there = places
        .iter()
        .filter(|(_, place)| place.node == Some(node))
        .map(|(other, _)| other);
    let both = |other: &&GroupId| {
        let configured = situation.cluster.groups.get(other);
        group.avoid.contains(other) || configured.is_some_and(|other| other.avoid.contains(&id))
    };
    there.find(both).copied()
}

/// What is left on `node` of what `group` uses, at least; None is no limit.
fn room(
    situation: &Situation<'_>,
    places: &BTreeMap<GroupId, Place>,
    id: GroupId,
    group: &Group,
    node: NodeId,
) -> Result<Option<u64>, String> {
    let Some(configured) = situation.cluster.nodes.get(&node) else {
        return Err("is not configured".to_owned());
    };
    let mut least: Option<u64> = None;
    for (quantity, wanted) in &group.uses {
        let Some(capacity) = configured.capacity.get(quantity) else {
            continue;
        };
        let groups = situation
            .cluster
            .groups
            .iter()
            .filter(|(other, _)| **other != id);
        let taken = groups.filter(|(other, _)| match places.get(other) {
            Some(place) => place.node == Some(node),
            // Not placed yet: what runs is only evicted by who may.
            None => !group.preempt && runs_on(situation, **other, node),
        });
        let used: u64 = taken
            .filter_map(|(_, other)| other.uses.get(quantity))
            .sum();
        match capacity
            .checked_sub(used)
            .and_then(|left| left.checked_sub(*wanted))
        {
            Some(left) => least = Some(least.map_or(left, |least| least.min(left))),
            None => {
                return Err(format!(
                    "has no room: {used} of {capacity} {quantity} are used, {wanted} wanted"
                ))
            }
        }
    }
    Ok(least)
}

fn runs_on(situation: &Situation<'_>, id: GroupId, node: NodeId) -> bool {
    let group = situation.cluster.groups.get(&id);
    let healthy = brief(situation, id, node).is_some_and(|brief| !brief.banned);
    let standby =
        situation.overrides.is(Key::Standby(node)) || situation.overrides.is(Key::Disabled(id));
    healthy && !standby && group.and_then(|group| current(situation, id, group)) == Some(node)
}

/// How good a node is for a group: compared in the order of the fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Candidate {
    score: i64,
    /// No limit is the most.
    room: u64,
    /// Groups placed there.
    load: Reverse<usize>,
    low_id: Reverse<NodeId>,
    node: NodeId,
}

impl Candidate {
    fn reason(&self, cluster: &Cluster, current: Option<NodeId>) -> String {
        let name = cluster.name(self.node);
        match current {
            Some(node) if node == self.node => format!("stays on {name} (score {})", self.score),
            Some(_) => format!("{name} is better (score {})", self.score),
            None => format!("{name} is the best (score {})", self.score),
        }
    }
}

fn score(
    situation: &Situation<'_>,
    places: &BTreeMap<GroupId, Place>,
    id: GroupId,
    group: &Group,
    index: usize,
    node: NodeId,
    current: Option<NodeId>,
) -> Candidate {
    let mut score = 100 * i64::try_from(group.nodes.len() - index).unwrap_or(0);
    let goes_home = situation.ripe.contains(&id) && group.failback == Failback::Auto;
    if current == Some(node) && !goes_home {
        score += 10 * i64::from(group.stickiness);
    }
    let told = situation.overrides.is(Key::Failback(id)) && index == 0;
    if told || situation.overrides.node(Key::Move(id)) == Some(node) {
        score += MOVE;
    }
    if let Some(brief) = brief(situation, id, node) {
        let known = !brief.drbd.is_empty() && brief.drbd.iter().all(|drbd| drbd.connected);
        score += if known { 50 } else { 0 };
    }
    if avoided(situation, places, id, group, node).is_some() {
        score -= 200;
    }
    let room = room(situation, places, id, group, node)
        .ok()
        .flatten()
        .unwrap_or(u64::MAX);
    let load = places
        .values()
        .filter(|place| place.node == Some(node))
        .count();
    Candidate {
        score,
        room,
        load: Reverse(load),
        low_id: Reverse(node),
        node,
    }
}
