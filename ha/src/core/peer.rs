// SPDX-License-Identifier: GPL-2.0-or-later
//! The other nodes as they are heard from here.

use std::collections::BTreeMap;

use super::effect::EventKind;
use super::facts::{Ending, Facts, Lives};
use super::id::{Incarnation, NodeId};
use super::machine::Core;
use super::message::{Heartbeat, Holding, NodeState};
use super::status::PeerState;

/// One other node.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// The latest life it was heard in.
    pub(super) incarnation: Incarnation,
    /// When it was heard last.
    pub(super) heard_ms: Option<u64>,
    /// The same by link.
    pub(super) links: BTreeMap<u8, u64>,
    /// Its last heartbeat in this life.
    pub(super) report: Option<Box<Heartbeat>>,
    /// What was told about it last.
    told: Option<PeerState>,
}

impl Peer {
    /// It was not silent while nobody listened.
    pub(super) fn forgive(&mut self, lost_ms: u64, now_ms: u64) {
        if let Some(heard) = &mut self.heard_ms {
            *heard = heard.saturating_add(lost_ms).min(now_ms);
        }
    }
}

impl Core {
    /// Notes that `from` lives. False when the message has to be ignored: it is of a life that is over.
    pub(super) fn hear(&mut self, from: NodeId, incarnation: Incarnation, link: u8) -> bool {
        let over = self.memory.facts.of(from).is_over(incarnation);
        let now_ms = self.now_ms;
        let Some(peer) = self.peers.get_mut(&from) else {
            return false;
        };
        if over || incarnation < peer.incarnation {
            return false;
        }
        if incarnation > peer.incarnation {
            peer.incarnation = incarnation;
            peer.report = None;
            self.urgent = true;
        }
        peer.heard_ms = Some(now_ms);
        peer.links.insert(link, now_ms);
        true
    }

    /// True when it says something new.
    pub(super) fn heartbeat(&mut self, from: NodeId, heartbeat: Box<Heartbeat>) -> bool {
        let returned = self.returned_by(&heartbeat.facts);
        let Some(peer) = self.peers.get_mut(&from) else {
            return false;
        };
        if peer.report.as_ref() == Some(&heartbeat) {
            return false;
        }
        let holds = |holding| holding != Holding::Released;
        let active = heartbeat.state != NodeState::Probing
            && heartbeat.groups.values().any(|brief| holds(brief.holding));
        let incarnation = peer.incarnation;
        let mut new = self.memory.facts.merge(&heartbeat.facts);
        if active {
            new |= self.memory.facts.activate(from, incarnation);
        }
        new |= self.memory.overrides.merge(&heartbeat.overrides);
        peer.report = Some(heartbeat);
        for node in returned {
            self.fencing.returned(node, self.now_ms);
        }
        self.persist |= new;
        self.urgent |= new;
        true
    }

    /// Nodes that, as somebody else says, showed up after they had been fenced, or while that was under way.
    fn returned_by(&self, facts: &Facts) -> Vec<NodeId> {
        let returns = |(node, lives): &(&NodeId, &Lives)| {
            let known = self.memory.facts.of(**node);
            lives.doubt > known.doubt || (known.is_fenced() && lives.active > known.active)
        };
        let returned = facts.0.iter().filter(returns);
        returned.map(|(node, _)| *node).collect()
    }

    /// It promised to do nothing any more in this life.
    pub(super) fn peer_left(&mut self, from: NodeId, incarnation: Incarnation) {
        if self.memory.facts.end(from, incarnation, Ending::Left) {
            self.persist = true;
            self.urgent = true;
            let name = self.name(from).to_owned();
            self.event(EventKind::Node, Some(from), None, || {
                format!("{name} left: it released all its groups")
            });
        }
    }

    /// Whether `node` was heard within deadtime, in a life that is not over. This node hears itself.
    pub(super) fn hears(&self, node: NodeId) -> bool {
        if node == self.me {
            return true;
        }
        let Some(peer) = self.peers.get(&node) else {
            return false;
        };
        let deadtime_ms = self.cluster.timing.deadtime_ms;
        let recent = |heard| self.now_ms.saturating_sub(heard) < deadtime_ms;
        peer.heard_ms.is_some_and(recent) && !self.memory.facts.of(node).is_over(peer.incarnation)
    }

    /// The life in which `node` is known.
    pub(super) fn life(&self, node: NodeId) -> Incarnation {
        if node == self.me {
            return self.incarnation;
        }
        self.peers
            .get(&node)
            .map_or(Incarnation::NEVER, |peer| peer.incarnation)
    }

    /// The last report of `node`, if it is heard.
    pub(super) fn report(&self, node: NodeId) -> Option<&Heartbeat> {
        let peer = self.peers.get(&node)?;
        peer.report.as_deref().filter(|_| self.hears(node))
    }

    /// How `node` looks from here.
    pub(super) fn peer_state(&self, node: NodeId) -> PeerState {
        if node == self.me {
            return PeerState::Myself;
        }
        let Some(peer) = self.peers.get(&node) else {
            return PeerState::Unknown;
        };
        if self.hears(node) {
            let silent_ms = self.now_ms.saturating_sub(peer.heard_ms.unwrap_or(0));
            return if silent_ms >= self.cluster.timing.warntime_ms {
                PeerState::Late
            } else {
                PeerState::Up
            };
        }
        let lives = self.memory.facts.of(node);
        match lives.over {
            Some((_, Ending::Left)) if lives.is_inert() => PeerState::Left,
            Some((_, Ending::Fenced)) if lives.is_inert() => PeerState::FencedSafe,
            _ if self.fencing.is_running(node) => PeerState::Fencing,
            _ if peer.heard_ms.is_none() => PeerState::Unknown,
            _ => PeerState::Dead,
        }
    }

    /// Tells when a node begins or ceases to be heard; ends this life when others say that it is over.
    pub(super) fn watch_peers(&mut self) {
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            let state = self.peer_state(node);
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            let before = peer.told.replace(state);
            if before == Some(state) || (before.is_none() && state == PeerState::Unknown) {
                continue;
            }
            let life = peer.incarnation;
            let name = self.name(node).to_owned();
            self.event(EventKind::Node, Some(node), None, || {
                format!("{name} is {state:?} ({life})")
            });
        }
        if self.memory.facts.of(self.me).is_over(self.incarnation) && self.leaving.is_none() {
            self.declared_over();
        }
    }

    /// Others believe that this node was fenced, or the operator said so. It lives: what runs here must not go on.
    fn declared_over(&mut self) {
        let reason = "this life was declared over by another node, and yet it goes on".to_owned();
        if self
            .groups
            .values()
            .all(|group| group.holding() == Holding::Released)
        {
            self.doomed = true;
            self.out.push(super::effect::Effect::Restart { reason });
        } else {
            self.self_fence(reason);
        }
    }
}
