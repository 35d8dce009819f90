// SPDX-License-Identifier: GPL-2.0-or-later
//! What must hold at each moment (failover.md 9). It looks at what is, never at what a core believes.

use std::collections::BTreeSet;

use super::devices::Fenced;
use super::node::SimNode;
use super::world::World;
use crate::core::id::NodeId;

impl World {
    /// Of each group something may be active on one machine at most. A frozen one counts: it may thaw.
    pub(super) fn check_owners(&mut self) {
        let mut found = None;
        for (id, group) in &self.scene.cluster.groups {
            let has = |node: &&NodeId| {
                self.nodes
                    .get(node)
                    .is_some_and(|sim| sim.on && sim.has(*id))
            };
            let mut owners = group.nodes.iter().filter(has);
            if let (Some(a), Some(b)) = (owners.next(), owners.next()) {
                found = Some(format!(
                    "two owners: {} is active on {a} and on {b}",
                    group.name
                ));
            }
        }
        if let Some(text) = found {
            self.fail(text);
        }
    }

    /// At most one machine gets acknowledgements for its writes.
    pub(super) fn check_writers(&mut self) {
        let running = |node: NodeId| self.nodes.get(&node).is_some_and(SimNode::runs);
        let two = self.replicas.iter().find(|replicas| {
            let writes = |at: usize| replicas.can_write(at) && running(replicas.both[at].node);
            writes(0) && writes(1)
        });
        if let Some(text) = two.map(|replicas| format!("two writers of {}", replicas.name)) {
            self.fail(text);
        }
    }

    /// Who fences hears a majority; of two nodes, has met the other one since it booted, or was told to go on alone.
    pub(super) fn check_right_to_fence(&mut self, by: NodeId, target: NodeId) {
        let rules = &self.scene.cluster.quorum;
        let Some(sim) = self.nodes.get(&by) else {
            return;
        };
        let text = if rules.two_node {
            let met = sim.met.contains(&target) || sim.overridden;
            (!met).then(|| format!("{by} fences {target}, whom it has not met since it booted"))
        } else if rules.shrink_on_fence {
            // Its majority is of those who were not fenced: what is checked is that no two are at it.
            None
        } else {
            let window_ms = self.scene.cluster.timing.deadtime_ms * 3;
            let recent =
                |(_, heard): &(&NodeId, &u64)| self.now_ms.saturating_sub(**heard) < window_ms;
            let heard: BTreeSet<NodeId> = sim
                .heard_ms
                .iter()
                .filter(recent)
                .map(|(node, _)| *node)
                .collect();
            let votes = heard.len() + 1;
            let total = self.nodes.len();
            (votes * 2 <= total)
                .then(|| format!("{by} fences {target} and hears only {votes} of {total} votes"))
        };
        if let Some(text) = text {
            self.fail(text);
        }
    }

    /// No node is fenced again and again, none once the faults are over and it was fenced since, none at all in a gentle story.
    pub(super) fn check_fencings(&mut self, target: NodeId) {
        let recent = |fenced: &&Fenced| {
            fenced.target == target && self.now_ms.saturating_sub(fenced.off_ms) < 120_000
        };
        let count = self.fenced.iter().filter(recent).count();
        // A device that switches off and denies it is asked again.
        let denies = self.devices.get(&target) == Some(&super::fault::Device::Denies);
        let count_max = if denies { 24 } else { 12 };
        let text = if self.scene.gentle && !self.calm {
            Some(format!("{target} is fenced in a story without a reason to"))
        } else if count > count_max {
            Some(format!("{target} was fenced {count} times in two minutes"))
        } else {
            None
        };
        if let Some(text) = text {
            self.fail(text);
        }
    }

    /// A view that `node` came to be in was accepted by each of its members, who remember it.
    pub(super) fn check_view(&mut self, node: NodeId) {
        let Some(sim) = self.nodes.get_mut(&node) else {
            return;
        };
        let view = sim.core.as_ref().and_then(|core| core.view());
        let id = view.map(|(id, _)| id);
        if id == sim.view {
            return;
        }
        let members = view.map(|(_, members)| members.clone());
        sim.view = id;
        for (member, life) in members.unwrap_or_default() {
            let sim = self
                .nodes
                .get(&member)
                .filter(|sim| sim.incarnation == life);
            let memory = sim.and_then(|sim| sim.memory.as_ref());
            if memory.is_some_and(|memory| memory.accepted < id) {
                self.fail(format!("{node} is in a view that {member} never accepted"));
                return;
            }
        }
    }

    /// Nothing piles up.
    pub(super) fn check_bounds(&mut self, node: NodeId, in_flight: usize, effects: usize) {
        let cluster = &self.scene.cluster;
        let (nodes, groups) = (cluster.nodes.len(), cluster.groups.len());
        let in_flight_max = groups * 3 + nodes * 2;
        let effects_max = 40 + 8 * nodes + 8 * groups;
        if in_flight > in_flight_max || effects > effects_max {
            self.fail(format!(
                "{node} has {in_flight} requests under way and {effects} effects of one input"
            ));
        }
    }

    /// Who left has nothing, and nobody has a reason to fence it, if somebody heard it.
    pub(super) fn check_left(&mut self, node: NodeId) {
        if self
            .nodes
            .get(&node)
            .is_some_and(|sim| !sim.active.is_empty())
        {
            self.fail(format!("{node} left and something is active there"));
        }
        // Who left when nobody was there to hear it is silent to those who come back: they may fence it.
        let heard = self
            .nodes
            .iter()
            .any(|(other, sim)| *other != node && sim.core.is_some());
        self.scene.gentle &= heard;
    }
}
