// SPDX-License-Identifier: GPL-2.0-or-later
//! The core's account of itself.

use super::id::{GroupId, NodeId};
use super::machine::Core;
use super::message::Holding;
use super::overrides::Key;
use super::status::{GroupStatus, NodeStatus, ResourceStatus, Status};

impl Core {
    /// Everything at this moment, for people and metrics.
    #[must_use]
    pub fn status(&self) -> Status {
        let view = self.membership.view.as_ref();
        Status {
            node: self.me,
            incarnation: self.incarnation,
            state: self.state(),
            view: view.map(|view| view.id),
            members: view.map_or(Vec::new(), |view| view.members.keys().copied().collect()),
            coordinator: self.coordinator(),
            quorate: self.quorate(),
            quorum_reason: match self.may_act() {
                Err(why) if self.quorate() => why,
                Ok(()) | Err(_) => self.verdict.reason.clone(),
            },
            seen_all: self.boot.seen_all,
            maintenance: self.memory.overrides.is(Key::Maintenance),
            config: self.cluster.hash,
            watchdog_pet: self.pet.unwrap_or(true),
            nodes: self
                .cluster
                .nodes
                .keys()
                .map(|node| self.node_status(*node))
                .collect(),
            groups: self
                .cluster
                .groups
                .keys()
                .map(|group| self.group_status(*group))
                .collect(),
            fencing: self.fencing.status(),
        }
    }

    fn node_status(&self, node: NodeId) -> NodeStatus {
        let peer = self.peers.get(&node);
        let report = peer.and_then(|peer| peer.report.as_ref());
        let age = |heard: u64| self.now_ms.saturating_sub(heard);
        let links = peer.iter().flat_map(|peer| &peer.links);
        let me = node == self.me;
        NodeStatus {
            id: node,
            name: self.name(node).to_owned(),
            peer: self.peer_state(node),
            state: if me {
                Some(self.state())
            } else {
                report.map(|report| report.state)
            },
            incarnation: self.life(node),
            age_ms: peer.and_then(|peer| peer.heard_ms).map(age),
            links_age_ms: links.map(|(link, heard)| (*link, age(*heard))).collect(),
            member: self.is_live_member(node),
            standby: self.memory.overrides.is(Key::Standby(node)),
            watchdog: if me {
                self.has_watchdog
            } else {
                report.is_some_and(|report| report.watchdog)
            },
            same_config: me || report.is_some_and(|report| report.config == self.cluster.hash),
        }
    }

    fn group_status(&self, id: GroupId) -> GroupStatus {
        let Some(group) = self.cluster.groups.get(&id) else {
            return GroupStatus {
                id,
                name: String::new(),
                holders: Vec::new(),
                owner: None,
                reason: String::new(),
                resources: Vec::new(),
            };
        };
        let holding = |node: &NodeId| {
            let holding = if *node == self.me {
                self.groups.get(&id).map(super::group::LocalGroup::holding)
            } else {
                self.report(*node)
                    .and_then(|report| Some(report.groups.get(&id)?.holding))
            };
            Some((*node, holding?)).filter(|(_, holding)| *holding != Holding::Released)
        };
        let assignment = self.assignment(id);
        let local = self.groups.get(&id);
        let refusal = local.and_then(|local| local.refusal.clone());
        let planned = assignment.map(|assignment| assignment.reason.clone());
        let reason = match (refusal, planned) {
            (Some(refusal), _) => refusal,
            (None, Some(planned)) => planned,
            (None, None) if !self.quorate() => format!("no quorum: {}", self.verdict.reason),
            (None, None) => "there is no plan for this view yet".to_owned(),
        };
        let resources = local.iter().flat_map(|local| &local.resources);
        GroupStatus {
            id,
            name: group.name.clone(),
            holders: group.nodes.iter().filter_map(holding).collect(),
            owner: assignment.and_then(|assignment| assignment.owner),
            reason,
            resources: resources
                .map(|resource| ResourceStatus {
                    name: resource.name.clone(),
                    state: resource.state,
                    fails: u32::try_from(resource.fails_ms.len()).unwrap_or(u32::MAX),
                    drbd: resource.drbd,
                })
                .collect(),
        }
    }

    /// What waits for an answer of the host, in all: bounded by the number of groups, nodes and handlers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let actions = self
            .groups
            .values()
            .filter(|group| group.action.is_some())
            .count();
        actions + self.fencing.in_flight() + self.handler.in_flight()
    }
}
