// SPDX-License-Identifier: GPL-2.0-or-later
//! Which nodes can form a view: the set in which everybody hears everybody, with the most votes (failover.md 6.4).

use std::collections::BTreeSet;

use super::id::NodeId;

/// A node that could be a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    pub(super) votes: u32,
    /// What runs there is worth.
    pub(super) value: i64,
}

/// What a set of nodes is worth as a view: votes; whether nobody has to go from the view that there is; the value of what runs
/// on them; their number; the lowest ids.
pub(super) type Rank = (u64, bool, i64, u32, u64);

/// The rank of a set of candidates, where `incumbents` are in a view that all of them still hear each other in.
pub(super) fn rank<'a>(
    set: impl Iterator<Item = &'a Candidate>,
    incumbents: &BTreeSet<NodeId>,
) -> Rank {
    let (mut votes, mut value, mut count, mut mask) = (0, 0, 0, 0u64);
    for candidate in set {
        votes += u64::from(candidate.votes);
        value += candidate.value;
        count += 1;
        mask |= 1 << (candidate.node.0 & 63);
    }
    let stays = |node: &NodeId| mask & (1 << (node.0 & 63)) != 0;
    let keeps = !incumbents.is_empty() && incumbents.iter().all(stays);
    // The mask read from its lowest bit.
    (votes, keeps, value, count, mask.reverse_bits())
}

/// The clique of the highest [`Rank`]. `candidates` are in ascending order and at most 32; `hears` is asked for each pair once.
pub(super) fn best_clique(
    candidates: &[Candidate],
    incumbents: &BTreeSet<NodeId>,
    mut hears: impl FnMut(NodeId, NodeId) -> bool,
) -> BTreeSet<NodeId> {
    let count = candidates.len().min(32);
    let mut edges = vec![0u32; count];
    for low in 0..count {
        for high in low + 1..count {
            if hears(candidates[low].node, candidates[high].node) {
                edges[low] |= 1 << high;
                edges[high] |= 1 << low;
            }
        }
    }
    let mut search = Search {
        candidates,
        incumbents,
        edges: &edges,
        best: 0,
    };
    let all = (0..count).fold(0u32, |mask, bit| mask | 1 << bit);
    search.extend(0, all, 0);
    let best = search.best;
    let chosen = candidates.iter().enumerate().take(count);
    chosen
        .filter(|(bit, _)| best & (1 << bit) != 0)
        .map(|(_, candidate)| candidate.node)
        .collect()
}

/// Bron and Kerbosch, with a pivot: every maximal clique once. Where all hear all, one.
struct Search<'a> {
    candidates: &'a [Candidate],
    incumbents: &'a BTreeSet<NodeId>,
    edges: &'a [u32],
    best: u32,
}

impl Search<'_> {
    fn extend(&mut self, clique: u32, mut open: u32, mut done: u32) {
        if open == 0 && done == 0 {
            if self.rank(clique) > self.rank(self.best) {
                self.best = clique;
            }
            return;
        }
        let pivot = bits(open | done).max_by_key(|bit| (self.edges[*bit] & open).count_ones());
        let skip = pivot.map_or(0, |bit| self.edges[bit]);
        for bit in bits(open & !skip) {
            let near = self.edges[bit];
            self.extend(clique | 1 << bit, open & near, done & near);
            open &= !(1 << bit);
            done |= 1 << bit;
        }
    }

    fn rank(&self, clique: u32) -> Rank {
        let set = bits(clique).map(|bit| &self.candidates[bit]);
        rank(set, self.incumbents)
    }
}

fn bits(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |bit| mask & (1 << bit) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(votes: &[u32]) -> Vec<Candidate> {
        let numbered = votes.iter().zip(1..);
        numbered
            .map(|(votes, id)| Candidate {
                node: NodeId(id),
                votes: *votes,
                value: 0,
            })
            .collect()
    }

    fn best(candidates: &[Candidate], cut: &[(u8, u8)]) -> Vec<u8> {
        let hears = |a: NodeId, b: NodeId| !cut.contains(&(a.0, b.0)) && !cut.contains(&(b.0, a.0));
        best_clique(candidates, &BTreeSet::new(), hears)
            .into_iter()
            .map(|node| node.0)
            .collect()
    }

    #[test]
    fn everybody_where_nothing_is_cut() {
        assert_eq!(best(&candidates(&[1; 16]), &[]).len(), 16);
        assert_eq!(best(&candidates(&[]), &[]), Vec::<u8>::new());
    }

    #[test]
    fn one_broken_pair_costs_one_node() {
        assert_eq!(best(&candidates(&[1, 1, 1]), &[(1, 3)]), [1, 2]);
        assert_eq!(best(&candidates(&[1, 1, 1]), &[(1, 2)]), [1, 3]);
    }

    #[test]
    fn votes_come_before_value_and_value_before_ids() {
        assert_eq!(best(&candidates(&[1, 1, 2]), &[(1, 3)]), [2, 3]);
        let mut valued = candidates(&[1, 1, 1]);
        valued[2].value = 10;
        assert_eq!(best(&valued, &[(1, 3)]), [2, 3]);
    }

    #[test]
    fn nobody_goes_for_a_set_of_as_many_votes() {
        let mut valued = candidates(&[1, 1, 1]);
        valued[0].value = 10;
        let hears = |a: NodeId, b: NodeId| (a.0, b.0) != (1, 2);
        let best = |incumbents: &[u8]| {
            let incumbents = incumbents.iter().map(|id| NodeId(*id)).collect();
            best_clique(&valued, &incumbents, hears)
        };
        assert_eq!(best(&[]), BTreeSet::from([NodeId(1), NodeId(3)]));
        assert_eq!(best(&[2, 3]), BTreeSet::from([NodeId(2), NodeId(3)]));
        // A view that is none any more holds nobody back.
        assert_eq!(best(&[1, 2, 3]), BTreeSet::from([NodeId(1), NodeId(3)]));
    }

    #[test]
    fn two_halves() {
        let cut: Vec<_> = [1, 2].iter().flat_map(|a| [(*a, 3), (*a, 4)]).collect();
        assert_eq!(best(&candidates(&[1; 4]), &cut), [1, 2]);
        assert_eq!(best(&candidates(&[1, 1, 1, 2]), &cut), [3, 4]);
    }

    #[test]
    fn finds_what_trying_all_sets_finds() {
        let mut chance = 0x2545_f491_4f6c_dd1du64;
        let mut next = || {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance
        };
        for _ in 0..300 {
            let count = 1 + next() % 7;
            let votes: Vec<u32> = (0..count).map(|_| (next() % 3) as u32).collect();
            let nodes = candidates(&votes);
            let mut cut = Vec::new();
            for low in 1..=count as u8 {
                for high in low + 1..=count as u8 {
                    if next() % 3 == 0 {
                        cut.push((low, high));
                    }
                }
            }
            let found = best(&nodes, &cut);
            let votes_of = |set: &[u8]| {
                set.iter()
                    .map(|id| votes[usize::from(*id) - 1])
                    .sum::<u32>()
            };
            let most = (0u32..1 << count)
                .map(|mask| {
                    (1..=count as u8)
                        .filter(|id| mask & (1 << (id - 1)) != 0)
                        .collect::<Vec<u8>>()
                })
                .filter(|set| !cut.iter().any(|(a, b)| set.contains(a) && set.contains(b)))
                .map(|set| votes_of(&set))
                .max();
            assert_eq!(Some(votes_of(&found)), most, "{votes:?} {cut:?}");
        }
    }
}
