// SPDX-License-Identifier: GPL-2.0-or-later
//! Views: sets of nodes that agreed to act together. Proposed by the lowest of them, accepted by each, committed when all did
//! (failover.md 6.4). What a member accepted it remembers over restarts; what it lost by a broken disk it says.

use std::collections::{BTreeMap, BTreeSet};

use super::clique::{best_clique, rank, Candidate, Rank};
use super::effect::{Effect, EventKind};
use super::id::{Incarnation, NodeId, ViewId};
use super::machine::Core;
use super::message::{Accept, Commit, Electorate, Message, NodeState, Propose};
use super::planted::{self, Bug};

/// Views that were accepted and not heard of again: of more the oldest are forgotten.
const CONSENTED_MAX: usize = 16;

/// A committed view.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) id: ViewId,
    pub(super) members: BTreeMap<NodeId, Incarnation>,
    /// Members whose votes don't count.
    pub(super) unsure: BTreeSet<NodeId>,
}

/// State of this part.
#[derive(Clone, Debug, Default)]
pub(super) struct Membership {
    /// The view this node is in.
    pub(super) view: Option<View>,
    /// A view that this node proposed and not all accepted yet.
    proposal: Option<Proposal>,
    /// What was committed by this node, for members that missed it.
    commit: Option<Commit>,
    /// When a member was told last.
    told_ms: u64,
    /// The best set of nodes, and since when.
    candidate: BTreeMap<NodeId, Incarnation>,
    since_ms: u64,
    /// Views of others that this node accepted since the one it is in: it may be in one of them and have missed the commit.
    consented: BTreeSet<ViewId>,
}

#[derive(Clone, Debug)]
struct Proposal {
    propose: Propose,
    accepts: BTreeMap<NodeId, Accept>,
    sent_ms: u64,
    deadline_ms: u64,
}

impl Core {
    /// What this node is doing.
    pub(super) fn state(&self) -> NodeState {
        if self.leaving.is_some() {
            NodeState::Leaving
        } else if !self.all_probed() {
            NodeState::Probing
        } else if self.membership.view.is_none() {
            NodeState::Joining
        } else if self.quorate() {
            NodeState::Member
        } else {
            NodeState::Isolated
        }
    }

    /// A view that this node proposed is not decided.
    pub(super) fn is_proposing(&self) -> bool {
        self.membership.proposal.is_some()
    }

    /// Who coordinates the view.
    pub(super) fn coordinator(&self) -> Option<NodeId> {
        self.membership.view.as_ref().map(|view| view.id.proposer)
    }

    /// Whether `node` is in this node's view, in any of its lives.
    pub(super) fn is_member(&self, node: NodeId) -> bool {
        let view = self.membership.view.as_ref();
        view.is_some_and(|view| view.members.contains_key(&node))
    }

    /// Whether `node` is in this node's view in the life in which it is heard.
    pub(super) fn is_live_member(&self, node: NodeId) -> bool {
        let view = self.membership.view.as_ref();
        let life = view.and_then(|view| view.members.get(&node));
        life.is_some_and(|life| *life == self.life(node) && self.hears(node))
    }

    /// Whether `node` could be in a view with this node or others.
    fn is_candidate(&self, node: NodeId) -> bool {
        if !self.is_live_member(node) && self.is_being_fenced(node) {
            return false;
        }
        if node == self.me {
            return self.leaving.is_none() && self.all_probed();
        }
        let Some(report) = self.report(node) else {
            return false;
        };
        let ready = match report.state {
            NodeState::Probing | NodeState::Leaving => false,
            NodeState::Joining | NodeState::Member | NodeState::Isolated => true,
        };
        ready && (report.config == self.cluster.hash || self.is_live_member(node))
    }

    /// Whether `a` and `b` hear each other in the lives in which this node knows them.
    fn mutual(&self, a: NodeId, b: NodeId) -> bool {
        let hears = |a: NodeId, b: NodeId| {
            if a == self.me {
                self.hears(b)
            } else {
                let heard = self.report(a).and_then(|report| report.hears.get(&b));
                heard == Some(&self.life(b))
            }
        };
        hears(a, b) && hears(b, a)
    }

    /// `node` as this node sees it.
    fn candidate(&self, node: NodeId) -> Candidate {
        Candidate {
            node,
            votes: self.cluster.nodes.get(&node).map_or(0, |node| node.votes),
            value: if node == self.me {
                self.value()
            } else {
                self.report(node).map_or(0, |report| report.value)
            },
        }
    }

    /// Members of the view, where it is one still: nobody is gone, or has gone on.
    fn incumbents(&self) -> BTreeSet<NodeId> {
        let view = self.membership.view.as_ref();
        let whole = |view: &&View| {
            let lives = |node: &NodeId| *node == self.me || self.is_live_member(*node);
            view.members.keys().all(lives) && !self.is_left_behind(view)
        };
        let members = view.filter(whole).map(|view| view.members.keys().copied());
        members.into_iter().flatten().collect()
    }

    /// The set of nodes that should be a view, as this node sees it, and what it is worth.
    fn best_view(&self) -> (BTreeSet<NodeId>, Rank) {
        let nodes = self.cluster.nodes.keys().copied();
        let candidates: Vec<Candidate> = nodes
            .filter(|node| self.is_candidate(*node))
            .map(|node| self.candidate(node))
            .collect();
        let incumbents = self.incumbents();
        let best = best_clique(&candidates, &incumbents, |a, b| self.mutual(a, b));
        let set = candidates.iter().filter(|other| best.contains(&other.node));
        let worth = rank(set, &incumbents);
        (best, worth)
    }

    /// Whether a view of `members` is one that this node wants, or at least the beginning of it. Where two nodes don't hear each
    /// other, each proposes a view without the other one: those who hear both have to stand by one of them.
    fn prefers(&self, members: &BTreeMap<NodeId, Incarnation>) -> bool {
        let doomed = |node: &NodeId| !self.is_live_member(*node) && self.is_being_fenced(*node);
        if members.keys().any(doomed) {
            return false;
        }
        let (best, worth) = self.best_view();
        if members.keys().all(|node| best.contains(node)) {
            return true;
        }
        let set: Vec<Candidate> = members.keys().map(|node| self.candidate(*node)).collect();
        rank(set.iter(), &self.incumbents()) >= worth
    }

    /// Proposes a view where that is this node's turn; repeats what got lost.
    pub(super) fn form_view(&mut self) {
        self.leave_excluded();
        self.repeat_commit();
        let (best, _) = self.best_view();
        let best: BTreeMap<NodeId, Incarnation> = best
            .into_iter()
            .map(|node| (node, self.life(node)))
            .collect();
        if best != self.membership.candidate {
            self.membership.candidate = best;
            self.membership.since_ms = self.now_ms;
        }
        self.renew_proposal();
        let best = &self.membership.candidate;
        let mine = best.keys().next() == Some(&self.me);
        let view = self.membership.view.as_ref();
        let same = view.is_some_and(|view| {
            view.members == *best && view.id.proposer == self.me && !self.is_left_behind(view)
        });
        if !mine || same || self.membership.proposal.is_some() || self.is_waiting() {
            return;
        }
        let members = best.clone();
        let electorate = self.memory.electorate.clone();
        self.propose(members, electorate);
    }

    /// A member has gone on to a later view, where this node is not.
    fn is_left_behind(&self, view: &View) -> bool {
        let mut reports = view.members.keys().filter_map(|node| self.report(*node));
        reports.any(|report| report.view != Some(view.id) && report.epoch > view.id.epoch)
    }

    /// It is too early to propose: the set has to be stable, nodes that come back are awaited, and so are, after a start,
    /// those that were never heard.
    fn is_waiting(&self) -> bool {
        let timing = &self.cluster.timing;
        let best = &self.membership.candidate;
        let stable_ms = self.now_ms.saturating_sub(self.membership.since_ms);
        if stable_ms < timing.keepalive_ms.min(timing.deadtime_ms / 8) {
            return true;
        }
        let started_ms = self.now_ms.saturating_sub(self.started_ms);
        let missing = self
            .cluster
            .nodes
            .keys()
            .filter(|node| !best.contains_key(node));
        for node in missing {
            let probing = self
                .report(*node)
                .is_some_and(|report| report.state == NodeState::Probing);
            if probing && self.is_member(*node) && stable_ms < timing.initdead_ms {
                return true;
            }
        }
        if self.membership.view.is_some() || started_ms >= timing.initdead_ms {
            return false;
        }
        let awaited = |node: &NodeId| {
            let never = self.life(*node) == Incarnation::NEVER;
            !best.contains_key(node) && never && !self.memory.facts.of(*node).is_inert()
        };
        let present = best.keys().copied().collect();
        let electorate = &self.memory.electorate;
        let pending = &self.memory.pending;
        let enough = !self.cluster.quorum.two_node
            && super::quorum::verdict(&self.cluster, electorate, pending, &present, true).quorate;
        !enough && self.cluster.nodes.keys().any(awaited)
    }

    /// Proposes `members` as a view.
    pub(super) fn propose(
        &mut self,
        members: BTreeMap<NodeId, Incarnation>,
        electorate: Electorate,
    ) {
        let heard = members.keys().filter_map(|node| self.report(*node));
        let highest = heard.map(|report| report.epoch).max().unwrap_or(0);
        let epoch = highest.max(self.accepted_epoch()).saturating_add(1);
        let view = ViewId {
            epoch,
            proposer: self.me,
            incarnation: self.incarnation,
        };
        let propose = Propose {
            view,
            members,
            electorate,
        };
        self.promise(&propose);
        self.membership.proposal = Some(Proposal {
            accepts: BTreeMap::from([(self.me, self.consent(view))]),
            sent_ms: self.now_ms,
            deadline_ms: self.now_ms + 2 * self.cluster.timing.keepalive_ms,
            propose,
        });
        self.send_proposal();
        self.commit_if_all();
    }

    fn send_proposal(&mut self) {
        let Some(proposal) = &self.membership.proposal else {
            return;
        };
        let propose = proposal.propose.clone();
        let missing: Vec<NodeId> = propose
            .members
            .keys()
            .filter(|node| !proposal.accepts.contains_key(node))
            .copied()
            .collect();
        for node in missing {
            self.send(node, Message::Propose(propose.clone()));
        }
    }

    /// Repeats a proposal that some did not accept yet; drops it when it takes too long or is not the best any more.
    fn renew_proposal(&mut self) {
        let keepalive_ms = self.cluster.timing.keepalive_ms;
        let Some(proposal) = &mut self.membership.proposal else {
            return;
        };
        let stale = proposal.propose.members != self.membership.candidate;
        if stale || self.now_ms >= proposal.deadline_ms {
            self.membership.proposal = None;
            self.membership.since_ms = self.now_ms;
        } else if self.now_ms.saturating_sub(proposal.sent_ms) >= keepalive_ms / 2 {
            proposal.sent_ms = self.now_ms;
            self.send_proposal();
        }
    }

    /// The highest epoch that this node accepted.
    pub(super) fn accepted_epoch(&self) -> u64 {
        self.memory.accepted.map_or(0, |view| view.epoch)
    }

    /// Remembers the promise: no lower view any more.
    fn promise(&mut self, propose: &Propose) {
        self.memory.accepted = Some(propose.view);
        let electorate = &propose.electorate;
        let known = *electorate == self.memory.electorate;
        if !known && !self.memory.pending.contains(electorate) {
            self.memory.pending.push(electorate.clone());
        }
        self.persist = true;
        self.urgent = true;
    }

    fn consent(&self, view: ViewId) -> Accept {
        Accept {
            view,
            facts: self.memory.facts.clone(),
            amnesia: self.memory.amnesia,
            seen_all: self.boot.seen_all,
            electorate: self.memory.electorate.clone(),
            pending: self.memory.pending.clone(),
        }
    }

    /// A view is proposed by `from`.
    pub(super) fn proposed(&mut self, from: NodeId, propose: Propose) {
        let view = propose.view;
        let again = self.memory.accepted == Some(view);
        let higher = view.epoch > self.accepted_epoch();
        let hears_all = propose
            .members
            .iter()
            .all(|(node, life)| self.hears(*node) && self.life(*node) == *life);
        let ready = self.leaving.is_none() && self.all_probed();
        let genuine = view.proposer == from && view.incarnation == self.life(from);
        let includes_me = propose.members.get(&self.me) == Some(&self.incarnation);
        if !genuine || !includes_me || !hears_all || !ready || !(again || higher) {
            return;
        }
        if !again && !self.prefers(&propose.members) {
            return;
        }
        if !again {
            // A lower proposal of this node can't be committed any more.
            self.membership.proposal = None;
            self.membership.consented.insert(view);
            if self.membership.consented.len() > CONSENTED_MAX {
                self.membership.consented.pop_first();
            }
            self.promise(&propose);
            // Once all have accepted, these lives may own something. Until then it is only the proposer's wish: one that
            // nobody follows makes nobody dangerous.
            for (node, life) in &propose.members {
                self.memory.facts.activate(*node, *life);
            }
        }
        let consent = self.consent(view);
        self.send(from, Message::Accept(Box::new(consent)));
    }

    /// `from` accepted.
    pub(super) fn accepted(&mut self, from: NodeId, accept: Accept) {
        let life = self.life(from);
        if let Some(proposal) = &mut self.membership.proposal {
            let member = proposal.propose.members.get(&from) == Some(&life);
            if proposal.propose.view == accept.view && member {
                proposal.accepts.insert(from, accept);
            }
        }
        self.commit_if_all();
    }

    fn commit_if_all(&mut self) {
        let Some(proposal) = &self.membership.proposal else {
            return;
        };
        let missing = proposal.propose.members.len() - proposal.accepts.len();
        let enough = missing == 0 || (missing == 1 && planted::is(Bug::CommitWithoutAll));
        if !enough {
            return;
        }
        let Some(proposal) = self.membership.proposal.take() else {
            return;
        };
        let commit = self.conclude(proposal);
        self.apply(&commit);
        for node in commit.members.keys().filter(|node| **node != self.me) {
            self.out.push(Effect::Send {
                to: *node,
                message: Message::Commit(Box::new(commit.clone())),
            });
        }
        self.membership.commit = Some(commit);
        self.membership.told_ms = self.now_ms;
    }

    /// What follows from what all members know together.
    fn conclude(&self, proposal: Proposal) -> Commit {
        let Propose {
            view,
            members,
            electorate,
        } = proposal.propose;
        let mut facts = self.memory.facts.clone();
        let accepts = proposal.accepts.values();
        for accept in accepts.clone() {
            facts.merge(&accept.facts);
        }
        let amnesia = accepts.clone().any(|accept| accept.amnesia);
        for node in self.cluster.nodes.keys() {
            match members.get(node) {
                Some(life) => {
                    facts.activate(*node, *life);
                    // It is here, so no other life of it is.
                    let doubt = facts.of(*node).doubt;
                    facts.settle(*node, view.epoch.max(doubt));
                }
                None if amnesia => facts.doubt(*node, view.epoch),
                None => {}
            }
        }
        let seen_all = accepts.clone().any(|accept| accept.seen_all);
        let unsure = proposal.accepts.iter().filter(|(_, accept)| accept.amnesia);
        let unsure = unsure.map(|(node, _)| *node).collect();
        let mut commit = Commit {
            view,
            members,
            facts,
            seen_all,
            electorate,
            unsure,
            pending: Vec::new(),
        };
        super::electorate::conclude(&self.cluster, &mut commit, accepts);
        commit
    }

    /// A view was committed.
    pub(super) fn committed(&mut self, from: NodeId, commit: Commit) {
        let current = self.membership.view.as_ref().map(|view| view.id);
        let mine = commit.members.get(&self.me) == Some(&self.incarnation);
        let consented = self.memory.accepted == Some(commit.view);
        if commit.view.proposer == from && mine && consented && current != Some(commit.view) {
            self.membership.commit = None;
            self.apply(&commit);
        }
    }

    fn apply(&mut self, commit: &Commit) {
        self.memory.facts.merge(&commit.facts);
        self.memory.electorate = commit.electorate.clone();
        self.memory.pending = commit.pending.clone();
        self.membership
            .consented
            .retain(|view| view.epoch > commit.view.epoch);
        self.membership.view = Some(View {
            id: commit.view,
            members: commit.members.clone(),
            unsure: self.unsure(commit),
        });
        let voters = self.cluster.nodes.iter().filter(|(_, node)| node.votes > 0);
        let all = voters
            .into_iter()
            .all(|(node, _)| commit.members.contains_key(node));
        let heard_of = commit.seen_all && !self.cluster.quorum.two_node;
        if (all || heard_of) && !self.boot.seen_all {
            self.boot.seen_all = true;
            self.out.push(Effect::PersistBoot(self.boot));
        }
        self.plan = None;
        self.judge();
        if self.quorate() {
            self.memory.amnesia = false;
        }
        self.persist = true;
        self.urgent = true;
        let names: Vec<&str> = commit.members.keys().map(|node| self.name(*node)).collect();
        let text = format!("view {} of {}", commit.view.epoch, names.join(", "));
        self.event(EventKind::View, Some(commit.view.proposer), None, || text);
    }

    /// Who has forgotten which votes count can't say that its own does, unless all are here.
    fn unsure(&self, commit: &Commit) -> BTreeSet<NodeId> {
        let all = self
            .cluster
            .nodes
            .keys()
            .all(|node| commit.members.contains_key(node));
        if all || !self.cluster.quorum.shrink_on_fence {
            BTreeSet::new()
        } else {
            commit.unsure.clone()
        }
    }

    /// Members whose heartbeat does not show the view have missed its commit.
    fn repeat_commit(&mut self) {
        let Some(commit) = &self.membership.commit else {
            return;
        };
        let id = commit.view;
        if self.membership.view.as_ref().map(|view| view.id) != Some(id) {
            self.membership.commit = None;
            return;
        }
        if self.now_ms.saturating_sub(self.membership.told_ms) < self.cluster.timing.keepalive_ms {
            return;
        }
        let behind = |node: &NodeId| {
            let report = self.report(*node);
            report.is_some_and(|report| report.view != Some(id) && report.epoch <= id.epoch)
        };
        let behind: Vec<NodeId> = commit
            .members
            .keys()
            .filter(|node| behind(node))
            .copied()
            .collect();
        let commit = commit.clone();
        self.membership.told_ms = self.now_ms;
        for node in behind {
            self.send(node, Message::Commit(Box::new(commit.clone())));
        }
    }

    /// A majority went on without this node: it must not act in its old view any more. Of two nodes each may be alone; there,
    /// only a fencing decides.
    fn leave_excluded(&mut self) {
        let Some(view) = &self.membership.view else {
            return;
        };
        if self.cluster.quorum.two_node {
            return;
        }
        let own = view.id;
        let consented = &self.membership.consented;
        let excluding = self.peers.keys().find(|node| {
            let report = self.report(**node).filter(|report| report.quorate);
            let other = report.and_then(|report| report.view);
            other.is_some_and(|other| other.epoch > own.epoch && !consented.contains(&other))
        });
        let Some(node) = excluding.copied() else {
            return;
        };
        let name = self.name(node).to_owned();
        self.membership.view = None;
        self.membership.commit = None;
        self.membership.proposal = None;
        self.plan = None;
        // No grace: what runs here is stopped at once.
        self.lost_ms = Some(0);
        self.urgent = true;
        self.event(EventKind::View, Some(node), None, || {
            format!("excluded: {name} is in a later view without this node")
        });
    }
}
