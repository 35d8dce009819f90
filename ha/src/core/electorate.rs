// SPDX-License-Identifier: GPL-2.0-or-later
//! Whose votes count: nodes that were fenced, with confirmation, may leave the total, and come back with the next view they
//! are in (failover.md 5, `shrink_on_fence`).
//!
//! A change is proposed as a view of the same members. Whoever accepted it remembers it as pending, and from then on needs quorum
//! among the old and the new voters, until a commit says which is true: so no two sets can be quorate that have no node in
//! common, whatever gets lost.

use std::collections::BTreeSet;

use super::cluster::Cluster;
use super::facts::Ending;
use super::id::NodeId;
use super::machine::Core;
use super::message::{Accept, Commit, Electorate};
use super::quorum::verdict;

/// Sets the electorate of `commit`: the proposed one, when its members have quorum among the voters of every other one that may
/// be true.
pub(super) fn conclude<'a>(
    cluster: &Cluster,
    commit: &mut Commit,
    accepts: impl Iterator<Item = &'a Accept> + Clone,
) {
    // What somebody knows to be decided ends what was before it.
    let sure = accepts.clone().filter(|accept| accept.pending.is_empty());
    let decided = sure
        .map(|accept| &accept.electorate)
        .max_by_key(|electorate| electorate.epoch);
    let from = decided.map_or(0, |electorate| electorate.epoch);
    if let Some(decided) = decided.filter(|decided| decided.epoch > commit.electorate.epoch) {
        commit.electorate = decided.clone();
    }
    let chosen = commit.electorate.clone();
    let mut others: Vec<Electorate> = accepts
        .flat_map(|accept| std::iter::once(&accept.electorate).chain(&accept.pending))
        .filter(|other| other.epoch >= from && **other != chosen)
        .cloned()
        .collect();
    others.sort_by(|a, b| (a.epoch, &a.without).cmp(&(b.epoch, &b.without)));
    others.dedup();
    let highest = others.iter().all(|other| other.epoch < chosen.epoch);
    let present: BTreeSet<NodeId> = commit.members.keys().copied().collect();
    let agreed = verdict(cluster, &chosen, &others, &present, true).quorate;
    if !(agreed && highest) {
        // All of them are kept until a view with quorum in each decides.
        commit.pending = others;
    }
}

impl Core {
    /// The coordinator of a view with quorum proposes who votes from now on, where that changed.
    pub(super) fn shrink_or_grow(&mut self) {
        let rules = &self.cluster.quorum;
        if !rules.shrink_on_fence || rules.two_node || !self.quorate() {
            return;
        }
        let Some(view) = &self.membership.view else {
            return;
        };
        if view.id.proposer != self.me
            || self.is_proposing()
            || self.memory.accepted != Some(view.id)
        {
            return;
        }
        let members = view.members.clone();
        let wanted = self.wanted_absent();
        let known = self.memory.pending.iter().chain([&self.memory.electorate]);
        let highest = known.map(|electorate| electorate.epoch).max().unwrap_or(0);
        if self.memory.pending.is_empty() && wanted == self.memory.electorate.without {
            return;
        }
        let electorate = Electorate {
            epoch: highest + 1,
            without: wanted,
        };
        self.propose(members, electorate);
    }

    /// Nodes that should not count: fenced and away. Of those that count at the moment less than half may go at once.
    fn wanted_absent(&self) -> BTreeSet<NodeId> {
        let current = &self.memory.electorate.without;
        let votes = |nodes: &BTreeSet<NodeId>| -> u64 {
            let votes = nodes.iter().filter_map(|node| self.cluster.nodes.get(node));
            votes.map(|node| u64::from(node.votes)).sum()
        };
        let counting: BTreeSet<NodeId> = self
            .cluster
            .nodes
            .keys()
            .filter(|node| !current.contains(node))
            .copied()
            .collect();
        let mut wanted: BTreeSet<NodeId> = current
            .iter()
            .filter(|node| !self.is_member(**node))
            .copied()
            .collect();
        let mut leaving = BTreeSet::new();
        for node in self.cluster.nodes.keys() {
            let lives = self.memory.facts.of(*node);
            let fenced = lives.is_inert() && matches!(lives.over, Some((_, Ending::Fenced)));
            if fenced && !self.is_member(*node) && !wanted.contains(node) && !self.hears(*node) {
                leaving.insert(*node);
                if votes(&leaving) * 2 >= votes(&counting) {
                    leaving.remove(node);
                }
            }
        }
        wanted.append(&mut leaving);
        wanted
    }
}
