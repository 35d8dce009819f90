// SPDX-License-Identifier: GPL-2.0-or-later
//! How replicas lose and find each other, and what their handlers are told.

use super::node::{Asked, SimNode};
use super::world::{Happening, World};
use crate::core::id::{ActionId, NodeId, RequestId};
use crate::core::input::{Control, Input, Outcome};

impl World {
    /// Something changed that replication depends on: it is noticed after a while.
    pub(super) fn watch_replication(&mut self) {
        for resource in 0..self.replicas.len() {
            let delay_ms = self.chance.range(500, 5000);
            self.at(delay_ms, Happening::Replication { resource });
        }
    }

    pub(super) fn replication(&mut self, resource: usize) {
        let nodes = [0, 1].map(|at| self.replicas[resource].both[at].node);
        let [a, b] = nodes;
        let alive = nodes
            .iter()
            .all(|node| self.nodes.get(node).is_some_and(SimNode::runs));
        let open = alive && self.net.is_open(a, b, 0) && self.net.is_open(b, a, 0);
        let connected = self.replicas[resource].connected;
        if open == connected {
            return;
        }
        if open {
            let resync = self.replicas[resource].connect(self.calm);
            self.tell(|| format!("{}: connected", self.replicas[resource].name));
            if resync {
                let resync = self.replicas[resource].resync;
                let delay_ms = self.chance.range(1000, 12_000);
                self.at(delay_ms, Happening::Resynced { resource, resync });
            }
        } else {
            self.replicas[resource].connected = false;
            self.tell(|| format!("{}: disconnected", self.replicas[resource].name));
            for node in nodes {
                self.at(20, Happening::Handler { node, resource });
            }
        }
        self.report(resource);
    }

    /// Both nodes' daemons hear how the resource is, soon.
    pub(super) fn report(&mut self, resource: usize) {
        for at in 0..2 {
            let node = self.replicas[resource].both[at].node;
            let delay_ms = self.chance.range(1, 60);
            self.at(delay_ms, Happening::Report { node, resource });
        }
    }

    pub(super) fn deliver_report(&mut self, node: NodeId, resource: usize) {
        let replicas = &self.replicas[resource];
        let Some(at) = replicas.index(node) else {
            return;
        };
        let input = Input::Drbd {
            resource: replicas.name.clone(),
            brief: replicas.brief(at),
        };
        self.feed(node, input);
    }

    fn ask(&mut self, node: NodeId, resource: usize, asked: Asked, within_ms: u64) {
        self.requests += 1;
        let id = RequestId(self.requests);
        let Some(sim) = self.nodes.get_mut(&node).filter(|sim| sim.core.is_some()) else {
            return;
        };
        sim.asked.insert(id, asked);
        let request = Control::FencePeer {
            resource: self.replicas[resource].name.clone(),
            peer: None,
            within_ms,
        };
        self.feed(node, Input::Control { id, request });
    }

    /// A Primary that lost its peer runs its handler, which tries until it is answered.
    pub(super) fn run_handler(&mut self, node: NodeId, resource: usize) {
        let Some(at) = self.replicas[resource].index(node) else {
            return;
        };
        let frozen = self.replicas[resource].is_frozen(at);
        let Some(sim) = self.nodes.get(&node).filter(|sim| sim.on && frozen) else {
            return;
        };
        let would = self.replicas[resource].would_fence(at);
        let asking = sim
            .asked
            .values()
            .any(|asked| *asked == Asked::PeerLost(resource));
        if would && sim.runs() && sim.core.is_some() && !asking {
            self.tell(|| format!("{node}: fence-peer for {}", self.replicas[resource].name));
            self.ask(node, resource, Asked::PeerLost(resource), 600_000);
        }
        self.at(3000, Happening::Handler { node, resource });
    }

    /// A promotion: its outcome, or none while the handler is asked.
    pub(super) fn try_promote(
        &mut self,
        node: NodeId,
        id: ActionId,
        resource: usize,
    ) -> Option<Outcome> {
        let at = self.replicas[resource].index(node)?;
        match self.replicas[resource].needs_handler(at) {
            Err(why) => {
                self.tell(|| format!("{node}: the driver refuses to promote: {why}"));
                Some(Outcome::Failed)
            }
            Ok(false) => Some(self.promote(at, resource)),
            Ok(true) => {
                self.ask(node, resource, Asked::Promote(id), 5000);
                None
            }
        }
    }

    fn promote(&mut self, at: usize, resource: usize) -> Outcome {
        if let Err(why) = self.replicas[resource].promote(at) {
            self.fail(why);
        }
        Outcome::Ok
    }

    /// The handler has its answer, and ends.
    pub(super) fn handler_answers(&mut self, node: NodeId, asked: Asked, code: u8, reason: &str) {
        self.tell(|| format!("{node}: fence-peer answers {code}: {reason}"));
        let Some(sim) = self.nodes.get_mut(&node) else {
            return;
        };
        let (boots, daemon) = (sim.boots, sim.daemons);
        if let Asked::Promote(id) = asked {
            sim.answered.insert(id);
        }
        let delay_ms = self.chance.range(1, 20);
        self.at(
            delay_ms,
            Happening::HandlerAnswer {
                node,
                boots,
                daemon,
                asked,
                code,
            },
        );
    }

    /// The kernel of `node` gets the handler's answer, whatever became of the daemon: but for a promotion, which died with it.
    pub(super) fn handler_answer(
        &mut self,
        node: NodeId,
        (boots, daemon): (u64, u64),
        asked: Asked,
        code: u8,
    ) {
        let Some(sim) = self.nodes.get(&node).filter(|sim| sim.boots == boots) else {
            return;
        };
        if sim.frozen {
            self.at(
                500,
                Happening::HandlerAnswer {
                    node,
                    boots,
                    daemon,
                    asked,
                    code,
                },
            );
            return;
        }
        let fenced = matches!(code, 3 | 4 | 5 | 7);
        match asked {
            Asked::Operator => {}
            Asked::PeerLost(resource) => {
                let at = self.replicas[resource].index(node);
                if let Some(at) = at.filter(|at| fenced && self.replicas[resource].is_frozen(*at)) {
                    self.replicas[resource].peer_is_outdated(at);
                    self.report(resource);
                    self.check_writers();
                }
            }
            Asked::Promote(_) if sim.daemons != daemon => {}
            Asked::Promote(id) => {
                let action = self
                    .nodes
                    .get(&node)
                    .and_then(|sim| sim.actions.get(&id))
                    .cloned();
                let resource = action.and_then(|action| self.replicas_of(&action));
                let Some((resource, at)) =
                    resource.and_then(|r| Some((r, self.replicas[r].index(node)?)))
                else {
                    return;
                };
                // Meanwhile the peer may be back.
                let outcome = match self.replicas[resource].needs_handler(at) {
                    Ok(false) => self.promote(at, resource),
                    Ok(true) if fenced => {
                        self.replicas[resource].peer_is_outdated(at);
                        self.promote(at, resource)
                    }
                    Ok(true) | Err(_) => Outcome::Failed,
                };
                self.finish_action(node, id, outcome);
                self.check_writers();
            }
        }
    }
}
