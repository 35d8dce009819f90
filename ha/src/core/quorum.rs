// SPDX-License-Identifier: GPL-2.0-or-later
//! Who may act (failover.md 5).

use std::collections::BTreeSet;

use super::cluster::Cluster;
use super::effect::EventKind;
use super::id::NodeId;
use super::machine::Core;
use super::message::Electorate;
use super::planted::{self, Bug};

/// Whether a set of nodes has quorum, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    pub(super) quorate: bool,
    pub(super) reason: String,
}

impl Verdict {
    pub(super) fn no(reason: impl Into<String>) -> Self {
        Verdict {
            quorate: false,
            reason: reason.into(),
        }
    }

    fn yes(reason: String) -> Self {
        Verdict {
            quorate: true,
            reason,
        }
    }
}

/// Judges the nodes `present`, who know from some of them whether all were `seen_all`.
pub(super) fn verdict(
    cluster: &Cluster,
    electorate: &Electorate,
    pending: &[Electorate],
    present: &BTreeSet<NodeId>,
    seen_all: bool,
) -> Verdict {
    let rules = &cluster.quorum;
    if rules.two_node {
        let votes = votes_of(cluster, present, &Electorate::default());
        return match (votes, seen_all) {
            (0, _) => Verdict::no("no vote is present"),
            (_, false) => {
                Verdict::no("this node has not seen the other one since it booted; drbd-hactl quorum-override starts it alone")
            }
            (_, true) => Verdict::yes("one of two nodes is enough, both were seen together".to_owned()),
        };
    }
    if rules.wait_for_all && !seen_all {
        return Verdict::no("not all nodes were seen together yet (wait_for_all)");
    }
    let mut reason = String::new();
    for electorate in std::iter::once(electorate).chain(pending) {
        let all: BTreeSet<NodeId> = cluster.nodes.keys().copied().collect();
        let total = votes_of(cluster, &all, electorate);
        let votes = votes_of(cluster, present, electorate);
        reason = format!("{votes} of {total} votes are present");
        if votes * 2 <= total {
            return Verdict::no(format!("{reason}, more than half are needed"));
        }
    }
    Verdict::yes(reason)
}

fn votes_of(cluster: &Cluster, nodes: &BTreeSet<NodeId>, electorate: &Electorate) -> u64 {
    let voters = nodes
        .iter()
        .filter(|node| !electorate.without.contains(node));
    voters
        .filter_map(|node| cluster.nodes.get(node))
        .map(|node| u64::from(node.votes))
        .sum()
}

impl Core {
    /// Members of the view whose votes count: they are heard in the life in which they are members.
    pub(super) fn present(&self) -> BTreeSet<NodeId> {
        let Some(view) = &self.membership.view else {
            return BTreeSet::new();
        };
        let alive = |node, life| self.hears(node) && self.life(node) == life;
        let members = view.members.iter();
        let mut present: BTreeSet<NodeId> = members
            .filter(|(node, life)| alive(**node, **life) && !view.unsure.contains(node))
            .map(|(node, _)| *node)
            .collect();
        if planted::is(Bug::DeadVotes) {
            let dead = self
                .peers
                .keys()
                .filter(|node| !self.memory.facts.of(**node).is_inert());
            present.extend(dead);
        }
        present
    }

    /// Has quorum, in a view.
    pub(super) fn quorate(&self) -> bool {
        self.verdict.quorate
    }

    /// Looks again whether there is quorum.
    pub(super) fn judge(&mut self) {
        let verdict = if self.membership.view.is_none() {
            Verdict::no("this node is in no view")
        } else {
            verdict(
                &self.cluster,
                &self.memory.electorate,
                &self.memory.pending,
                &self.present(),
                self.boot.seen_all,
            )
        };
        if verdict.quorate != self.verdict.quorate {
            self.urgent = true;
            let (quorate, reason) = (verdict.quorate, verdict.reason.clone());
            self.event(EventKind::Quorum, None, None, || {
                let word = if quorate { "quorum" } else { "no quorum" };
                format!("{word}: {reason}")
            });
        }
        if verdict.quorate {
            self.lost_ms = None;
        } else if self.lost_ms.is_none() {
            self.lost_ms = Some(self.now_ms);
        }
        self.verdict = verdict;
    }

    /// The rules of quorum allow to act, and nothing speaks against it: the ping group answers, this node ran all the time.
    pub(super) fn may_act(&self) -> Result<(), String> {
        if !self.quorate() {
            return Err(format!("no quorum: {}", self.verdict.reason));
        }
        if self.leaving.is_some() {
            return Err("this daemon is about to leave".to_owned());
        }
        if self.cluster.quorum.ping_group && self.ping != Some(true) {
            return Err("no address of the ping group answers".to_owned());
        }
        if self.now_ms < self.stale_until_ms {
            return Err(
                "the daemon did not run for a while and has to hear the others first".to_owned(),
            );
        }
        Ok(())
    }
}
