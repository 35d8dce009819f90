// SPDX-License-Identifier: GPL-2.0-or-later
//! The network between nodes: several links, each direction of each pair with a fate of its own.

use std::collections::BTreeSet;

use super::chance::Chance;
use crate::core::id::NodeId;

/// What is broken.
#[derive(Clone, Debug, Default)]
pub(super) struct Net {
    /// From, to, link.
    cut: BTreeSet<(NodeId, NodeId, u8)>,
    /// Of 100 packets so many get lost.
    pub(super) loss_percent: u64,
    /// The slowest takes so long.
    pub(super) delay_max_ms: u64,
    /// Of 100 packets so many come twice.
    pub(super) twice_percent: u64,
}

impl Net {
    /// Nothing gets from `from` to `to` over `link` any more.
    pub(super) fn cut(&mut self, from: NodeId, to: NodeId, link: u8) {
        self.cut.insert((from, to, link));
    }

    /// Everything works.
    pub(super) fn heal(&mut self) {
        *self = Net {
            delay_max_ms: 5,
            ..Net::default()
        };
    }

    /// Whether `link` is open.
    pub(super) fn is_open(&self, from: NodeId, to: NodeId, link: u8) -> bool {
        !self.cut.contains(&(from, to, link))
    }

    /// When copies of a packet arrive, counted from now.
    pub(super) fn send(&self, from: NodeId, to: NodeId, link: u8, chance: &mut Chance) -> Vec<u64> {
        if !self.is_open(from, to, link) {
            return Vec::new();
        }
        let copies = 1 + u64::from(chance.percent(self.twice_percent));
        let lost = |chance: &mut Chance| chance.percent(self.loss_percent);
        let arrive = |chance: &mut Chance| 1 + chance.range(0, self.delay_max_ms.max(1));
        let mut arrivals = Vec::new();
        for _ in 0..copies {
            if !lost(chance) {
                arrivals.push(arrive(chance));
            }
        }
        arrivals
    }
}
