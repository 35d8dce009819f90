// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults happen.

use super::fault::Fault;
use super::node::Asked;
use super::world::{Happening, World};
use crate::core::id::{NodeId, RequestId};
use crate::core::input::{Control, Input};

impl World {
    pub(super) fn fault(&mut self, number: usize) {
        let kept = self.keep.as_ref().is_none_or(|keep| keep.contains(&number));
        let Some((_, fault)) = self
            .faults
            .get(number)
            .cloned()
            .filter(|_| kept && !self.calm)
        else {
            return;
        };
        self.tell(|| format!("-- fault {number}: {fault:?}"));
        self.happens(&fault);
    }

    /// This happens, now.
    pub(super) fn happens(&mut self, fault: &Fault) {
        match *fault {
            Fault::CutLink { .. }
            | Fault::CutPair { .. }
            | Fault::Isolate { .. }
            | Fault::Partition { .. }
            | Fault::Heal
            | Fault::Weather { .. } => {
                self.break_net(fault);
                self.watch_replication();
            }
            Fault::Move { at, group, to } => self.operator(at, Control::Move(group, Some(to))),
            Fault::Standby { at, node, on } => self.operator(at, Control::Standby(node, on)),
            Fault::Maintenance { at, on } => self.operator(at, Control::Maintenance(on)),
            Fault::Failback { at, group } => self.operator(at, Control::Failback(group)),
            Fault::FenceByHand { at, node } => self.operator(at, Control::Fence(node)),
            Fault::Override { node } => self.override_alone(node),
            Fault::Confirm { at, node } => {
                // The operator has looked: it is off.
                if self.nodes.get(&node).is_some_and(|sim| !sim.on) {
                    self.operator(at, Control::ConfirmFenced(node));
                }
            }
            Fault::Device { node, how } => {
                self.devices.insert(node, how);
            }
            Fault::Agents { node, group, how } => {
                if let Some(sim) = self.nodes.get_mut(&node) {
                    sim.agents.insert(group, how);
                }
            }
            Fault::Ping { node, answers } => {
                self.pings.insert(node, answers);
                if self.scene.cluster.quorum.ping_group {
                    self.feed(node, Input::Ping { answers });
                }
            }
            Fault::Freeze { .. }
            | Fault::PowerCut { .. }
            | Fault::KillDaemon { .. }
            | Fault::LoseState { .. }
            | Fault::Detach { .. }
            | Fault::Leave { .. } => self.break_node(fault),
        }
    }

    fn break_net(&mut self, fault: &Fault) {
        let links = self.scene.links;
        match *fault {
            Fault::CutLink { a, b, link, both } => self.cut_links(a, b, link..link + 1, both),
            Fault::CutPair { a, b, both } => self.cut_links(a, b, 0..links, both),
            Fault::Isolate { node } => {
                let others: Vec<NodeId> = self
                    .nodes
                    .keys()
                    .copied()
                    .filter(|other| *other != node)
                    .collect();
                for other in others {
                    self.cut_links(node, other, 0..links, true);
                }
            }
            Fault::Partition { mask } => {
                let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
                for a in &nodes {
                    for b in &nodes {
                        if a < b && (mask >> a.0) & 1 != (mask >> b.0) & 1 {
                            self.cut_links(*a, *b, 0..links, true);
                        }
                    }
                }
            }
            Fault::Heal => self.net.heal(),
            Fault::Weather {
                loss,
                delay_ms,
                twice,
            } => {
                self.net.loss_percent = loss;
                self.net.delay_max_ms = delay_ms;
                self.net.twice_percent = twice;
            }
            _ => {}
        }
    }

    fn cut_links(&mut self, a: NodeId, b: NodeId, links: std::ops::Range<u8>, both: bool) {
        for link in links {
            self.net.cut(a, b, link);
            if both {
                self.net.cut(b, a, link);
            }
        }
    }

    fn break_node(&mut self, fault: &Fault) {
        match *fault {
            Fault::Freeze { node, for_ms } => {
                let Some(sim) = self.nodes.get_mut(&node).filter(|sim| sim.runs()) else {
                    return;
                };
                sim.frozen = true;
                let boots = sim.boots;
                self.watch_replication();
                self.at(for_ms, Happening::Thaw { node, boots });
            }
            Fault::PowerCut { node, for_ms } if self.nodes.get(&node).is_some_and(|sim| sim.on) => {
                self.power_cut(node, for_ms);
            }
            Fault::KillDaemon {
                node,
                for_ms,
                mid_step,
            } => {
                let after = self.chance.range(0, 4);
                let Some(sim) = self
                    .nodes
                    .get_mut(&node)
                    .filter(|sim| sim.runs() && sim.core.is_some())
                else {
                    return;
                };
                if mid_step {
                    sim.crash_after = usize::try_from(after).ok();
                    sim.restart_ms = for_ms;
                } else {
                    self.daemon_crash(node);
                    self.plan_daemon(node, for_ms);
                }
            }
            Fault::LoseState { node } => {
                if let Some(sim) = self.nodes.get_mut(&node).filter(|sim| sim.runs()) {
                    sim.memory = None;
                    if sim.core.is_some() {
                        self.daemon_crash(node);
                        if let Some(sim) = self.nodes.get_mut(&node) {
                            sim.memory = None;
                        }
                        self.plan_daemon(node, 700);
                    }
                }
            }
            Fault::Detach { node } => {
                for resource in 0..self.replicas.len() {
                    if let Some(at) = self.replicas[resource].index(node) {
                        self.replicas[resource].detach(at);
                        self.report(resource);
                    }
                }
            }
            Fault::Leave { node, for_ms } => {
                self.feed(node, Input::Leave);
                let daemons = self.nodes.get(&node).map_or(0, |sim| sim.daemons) + 1;
                self.at(for_ms, Happening::Daemon { node, daemons });
                self.at(for_ms + 30_000, Happening::Daemon { node, daemons });
            }
            _ => {}
        }
    }

    pub(super) fn operator(&mut self, at: NodeId, request: Control) {
        self.requests += 1;
        let id = RequestId(self.requests);
        if let Some(sim) = self
            .nodes
            .get_mut(&at)
            .filter(|sim| sim.core.is_some() && !sim.frozen)
        {
            sim.asked.insert(id, Asked::Operator);
            self.feed(at, Input::Control { id, request });
        }
    }

    /// An operator starts a node alone. It has to be fenced before, so what the operator knows does not matter.
    fn override_alone(&mut self, node: NodeId) {
        if self.scene.cluster.quorum.two_node
            && self
                .nodes
                .get(&node)
                .is_some_and(|sim| sim.runs() && sim.core.is_some())
        {
            if let Some(sim) = self.nodes.get_mut(&node) {
                sim.overridden = true;
            }
            self.operator(node, Control::QuorumOverride);
        }
    }
}
