// SPDX-License-Identifier: GPL-2.0-or-later
//! Resource agents of the world. What is being started counts as active from the first moment, what is being stopped until the
//! last.

use super::fault::Agents;
use super::node::Asked;
use super::world::{Happening, World};
use crate::core::effect::{Action, Operation};
use crate::core::id::{ActionId, GroupId, NodeId};
use crate::core::input::{Input, Outcome};

impl World {
    /// Number of the resource that `action` is about, where it is DRBD's.
    pub(super) fn replicas_of(&self, action: &Action) -> Option<usize> {
        let same =
            |r: &super::replica::Replicas| (r.group, r.at) == (action.group, action.resource);
        self.replicas.iter().position(same)
    }

    pub(super) fn act(&mut self, node: NodeId, id: ActionId, action: Action) {
        self.tell(|| {
            format!(
                "{node} {:?} {:?}.{}",
                action.operation, action.group, action.resource
            )
        });
        let Some(sim) = self.nodes.get_mut(&node) else {
            return;
        };
        let agents = sim.agents(action.group);
        let drbd = self.scene.cluster.groups.get(&action.group);
        let drbd = drbd.and_then(|group| group.resources.get(usize::from(action.resource)));
        let drbd = drbd.is_some_and(crate::core::cluster::Resource::is_drbd);
        if action.operation == Operation::Start {
            sim.active.insert((action.group, action.resource));
        }
        let daemon = sim.daemons;
        let hangs = agents == Agents::StartHangs && action.operation == Operation::Start && !drbd;
        let duration_ms = if hangs || self.chance.percent(2) {
            action.timeout_ms
        } else {
            self.chance.range(10, 1200)
        };
        if let Some(sim) = self.nodes.get_mut(&node) {
            sim.actions.insert(id, action);
        }
        self.at(duration_ms, Happening::ActionEnd { node, daemon, id });
        self.check_owners();
    }

    pub(super) fn action_end(&mut self, node: NodeId, daemon: u64, id: ActionId) {
        let current = self
            .nodes
            .get(&node)
            .filter(|sim| sim.runs() && sim.daemons == daemon);
        let Some(action) = current.and_then(|sim| sim.actions.get(&id)).cloned() else {
            return;
        };
        let waits = self.nodes.get(&node).is_some_and(|sim| {
            sim.answered.contains(&id)
                || sim.asked.values().any(|asked| *asked == Asked::Promote(id))
        });
        if waits {
            return;
        }
        let outcome = match (self.replicas_of(&action), action.operation) {
            (Some(resource), Operation::Start) => match self.try_promote(node, id, resource) {
                Some(outcome) => outcome,
                None => return,
            },
            _ => self.outcome(node, &action),
        };
        self.finish_action(node, id, outcome);
    }

    /// The action is over and the core hears of it.
    pub(super) fn finish_action(&mut self, node: NodeId, id: ActionId, outcome: Outcome) {
        let action = self
            .nodes
            .get_mut(&node)
            .and_then(|sim| sim.actions.remove(&id));
        if let Some(action) = action {
            self.apply_action(node, &action, outcome);
            self.tell(|| {
                format!(
                    "{node} {:?} {:?}.{}: {outcome:?}",
                    action.operation, action.group, action.resource
                )
            });
            self.feed(node, Input::ActionDone { id, outcome });
        }
    }

    fn outcome(&mut self, node: NodeId, action: &Action) -> Outcome {
        let Some(sim) = self.nodes.get(&node) else {
            return Outcome::Failed;
        };
        let active = sim.active.contains(&(action.group, action.resource));
        let replicas = self.replicas_of(action);
        let drbd = replicas.is_some();
        let agents = sim.agents(action.group);
        match (action.operation, agents) {
            (Operation::Probe, Agents::NotInstalled) if !drbd && !active => Outcome::FailedHere,
            (Operation::Probe | Operation::Monitor, _) => {
                if active {
                    Outcome::Ok
                } else {
                    Outcome::NotRunning
                }
            }
            (Operation::Start, Agents::StartFails) if !drbd => Outcome::Failed,
            (Operation::Start, Agents::StartHangs) if !drbd => Outcome::TimedOut,
            (Operation::Start, Agents::NotInstalled) if !drbd => Outcome::FailedHere,
            (Operation::Stop, Agents::StopFails | Agents::StopFailsOnce) if !drbd => {
                Outcome::Failed
            }
            (Operation::KillAndStop, Agents::StopFails) if !drbd => Outcome::TimedOut,
            (Operation::Outdate, _) => {
                let done = replicas.is_some_and(|resource| {
                    let index = self.replicas[resource].index(node).unwrap_or(0);
                    self.replicas[resource].outdate(index)
                });
                if done {
                    Outcome::Ok
                } else {
                    Outcome::Failed
                }
            }
            (Operation::Start | Operation::Stop | Operation::KillAndStop, _) => Outcome::Ok,
        }
    }

    /// What an action that ended, or was broken off, left behind.
    pub(super) fn apply_action(&mut self, node: NodeId, action: &Action, outcome: Outcome) {
        let resource = self.replicas_of(action);
        let index = resource.and_then(|resource| self.replicas[resource].index(node));
        let key = (action.group, action.resource);
        let stopped = matches!(action.operation, Operation::Stop | Operation::KillAndStop)
            && outcome == Outcome::Ok;
        let not_started = action.operation == Operation::Start
            && (outcome == Outcome::FailedHere
                || (outcome != Outcome::Ok && (resource.is_some() || self.chance.percent(50))));
        if let Some((resource, index)) = resource.zip(index) {
            if stopped {
                self.replicas[resource].demote(index);
            }
            // A promotion that was broken off before it happened.
            let primary =
                self.replicas[resource].both[index].role == crate::core::drbd::Role::Primary;
            if action.operation == Operation::Start && !primary {
                if let Some(sim) = self.nodes.get_mut(&node) {
                    sim.active.remove(&key);
                }
            }
            self.report(resource);
        }
        if stopped || not_started {
            if let Some(sim) = self.nodes.get_mut(&node) {
                sim.active.remove(&key);
            }
        }
    }

    /// Services that fail by themselves.
    pub(super) fn services_die(&mut self) {
        let mut dead: Vec<(NodeId, GroupId, u16)> = Vec::new();
        for (node, sim) in &self.nodes {
            for (group, at) in &sim.active {
                let drbd = self
                    .replicas
                    .iter()
                    .any(|r| (r.group, r.at) == (*group, *at));
                let busy = sim.actions.values().any(|action| action.group == *group);
                if sim.runs() && !drbd && !busy && sim.agents(*group) == Agents::Dies {
                    dead.push((*node, *group, *at));
                }
            }
        }
        for (node, group, at) in dead {
            if self.chance.percent(5) {
                self.tell(|| format!("a service of {group:?} on {node} dies"));
                if let Some(sim) = self.nodes.get_mut(&node) {
                    sim.active.remove(&(group, at));
                }
            }
        }
    }
}
