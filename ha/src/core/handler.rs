// SPDX-License-Identifier: GPL-2.0-or-later
//! DRBD's fence-peer handler (failover.md 3): the last gate before two nodes write different things. It answers only on proof.
//! The exit codes are the kernel's: 3 the peer's disk is unusable, 4 it is Outdated, 5 the peer is down, 6 it is Primary, 7 it was
//! fenced, 1 nothing is known.

use super::drbd::{Disk, Outdated, Role};
use super::effect::{Action, Effect, Operation, Reply};
use super::facts::Ending;
use super::id::{ActionId, GroupId, NodeId, RequestId};
use super::input::Outcome;
use super::machine::Core;
use super::message::{Holding, Message};
use super::overrides::Key;
use super::status::ResourceState;

/// Handlers that wait at the same time; DRBD has one per resource.
const WAITING_MAX: usize = 64;

/// State of this part.
#[derive(Clone, Debug, Default)]
pub(super) struct Handler {
    waiting: Vec<Waiting>,
    /// Disks that are being outdated for a peer.
    outdating: Vec<Outdating>,
}

/// A handler that runs.
#[derive(Clone, Debug)]
struct Waiting {
    id: RequestId,
    group: GroupId,
    resource: u16,
    peer: NodeId,
    deadline_ms: u64,
    asked_ms: Option<u64>,
    /// The connection was seen to be gone: when it is there again nobody has to be fenced.
    lost: bool,
}

#[derive(Clone, Debug)]
struct Outdating {
    action: ActionId,
    group: GroupId,
    resource: u16,
    peer: NodeId,
}

impl Handler {
    /// Handlers and outdates under way.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len() + self.outdating.len()
    }

    /// A handler waits for `node`.
    pub(super) fn waits_for(&self, node: NodeId) -> bool {
        self.waiting.iter().any(|waiting| waiting.peer == node)
    }

    /// A disk of `group` is being outdated.
    pub(super) fn is_outdating(&self, group: GroupId) -> bool {
        self.outdating
            .iter()
            .any(|outdating| outdating.group == group)
    }

    /// Whoever asked is gone.
    pub(super) fn gone(&mut self, id: RequestId) {
        self.waiting.retain(|waiting| waiting.id != id);
    }
}

fn answer(id: RequestId, code: u8, reason: impl Into<String>) -> Effect {
    Effect::Reply {
        id,
        reply: Reply::FencePeer {
            code,
            reason: reason.into(),
        },
    }
}

impl Core {
    /// A handler was started.
    pub(super) fn fence_peer(
        &mut self,
        id: RequestId,
        resource: &str,
        peer: Option<NodeId>,
        within_ms: u64,
    ) {
        let found = self.groups.iter().find_map(|(group, local)| {
            let same = |local: &super::group::LocalResource| {
                local.drbd.is_some() && local.name == resource
            };
            Some((*group, local.resources.iter().position(same)?))
        });
        let Some((group, at)) = found else {
            let text = format!("{resource} is not a DRBD resource of any group of this node");
            self.out.push(answer(id, 1, text));
            return;
        };
        let nodes = self
            .cluster
            .groups
            .get(&group)
            .map_or(&[][..], |group| &group.nodes);
        let mut others = nodes
            .iter()
            .filter(|node| **node != self.me && peer.is_none_or(|peer| peer == **node));
        let Some(peer) = others.next().copied() else {
            let text = format!("{resource} has no such peer in this cluster");
            self.out.push(answer(id, 1, text));
            return;
        };
        if self.handler.waiting.len() >= WAITING_MAX {
            self.out
                .push(answer(id, 1, "too many handlers run already"));
            return;
        }
        self.handler.waiting.push(Waiting {
            id,
            group,
            resource: u16::try_from(at).unwrap_or(u16::MAX),
            peer,
            deadline_ms: self.now_ms + within_ms,
            asked_ms: None,
            lost: false,
        });
    }

    /// Answers the handlers that can be answered, asks peers for the others.
    pub(super) fn serve_handlers(&mut self) {
        let mut waiting = std::mem::take(&mut self.handler.waiting);
        waiting.retain_mut(|waiting| {
            waiting.lost |= self.replicates(waiting) == Some(false);
            if let Some(effect) = self.answer_for(waiting) {
                // The kernel acts on it: what it rests on must be remembered.
                self.flush_memory();
                self.out.push(effect);
                return false;
            }
            self.ask_peer(waiting);
            true
        });
        self.handler.waiting = waiting;
    }

    /// Whether the resource is connected, as far as that is known.
    fn replicates(&self, waiting: &Waiting) -> Option<bool> {
        let group = self.groups.get(&waiting.group)?;
        let resource = group.resources.get(usize::from(waiting.resource))?;
        resource.drbd.map(|drbd| drbd.connected)
    }

    fn answer_for(&self, waiting: &Waiting) -> Option<Effect> {
        let local = self.groups.get(&waiting.group);
        if local.is_some_and(|local| local.holding() == Holding::Released) {
            return Some(answer(
                waiting.id,
                1,
                "the resource is Secondary by now: nobody has to be fenced for it",
            ));
        }
        if waiting.lost && self.replicates(waiting) == Some(true) {
            return Some(answer(
                waiting.id,
                1,
                "the peer is connected again: nobody has to be fenced",
            ));
        }
        let lives = self.memory.facts.of(waiting.peer);
        let name = self.name(waiting.peer);
        // Who left will not promote, but its disk would still count as UpToDate when it comes back: that is no proof.
        // Nor is a fencing of a life before the last one that was heard.
        let fenced = matches!(lives.over, Some((_, Ending::Fenced)))
            && lives.is_over(self.life(waiting.peer));
        if lives.is_inert() && fenced && !self.hears(waiting.peer) {
            return Some(answer(waiting.id, 7, format!("{name} is fenced")));
        }
        if self.now_ms >= waiting.deadline_ms {
            let state = if self.hears(waiting.peer) {
                "is heard and did not outdate its disk".to_owned()
            } else {
                match self.may_act() {
                    Ok(()) => "is silent and is not fenced yet".to_owned(),
                    Err(why) => format!("is silent and must not be fenced: {why}"),
                }
            };
            return Some(answer(waiting.id, 1, format!("{name} {state}")));
        }
        None
    }

    fn ask_peer(&mut self, waiting: &mut Waiting) {
        let keepalive_ms = self.cluster.timing.keepalive_ms;
        let due = waiting
            .asked_ms
            .is_none_or(|asked| self.now_ms.saturating_sub(asked) >= keepalive_ms);
        if due && self.hears(waiting.peer) {
            waiting.asked_ms = Some(self.now_ms);
            let (group, resource) = (waiting.group, waiting.resource);
            self.send(waiting.peer, Message::Outdate { group, resource });
        }
    }

    /// The peer's handler wants this node's disk outdated.
    pub(super) fn outdate(&mut self, from: NodeId, group: GroupId, resource: u16) {
        let at = usize::from(resource);
        let local = self.groups.get(&group);
        let Some((local, drbd)) =
            local.and_then(|local| Some((local, local.resources.get(at)?.drbd?)))
        else {
            return;
        };
        let busy = self
            .handler
            .outdating
            .iter()
            .any(|outdating| outdating.group == group);
        if busy
            || local
                .resources
                .get(at)
                .is_some_and(|local| local.state == ResourceState::Unknown)
        {
            return;
        }
        let outcome = match (drbd.role, drbd.disk) {
            (Role::Primary, _) => Outdated::Primary,
            _ if local.holding() != Holding::Released => Outdated::Refused,
            (_, Disk::Outdated) => Outdated::Done,
            (_, Disk::Unknown | Disk::Diskless | Disk::Inconsistent) => Outdated::Unusable,
            _ if self.may_be_older(from, group, at) => Outdated::Refused,
            (_, Disk::Consistent | Disk::UpToDate) => {
                self.begin_outdating(from, group, resource);
                return;
            }
        };
        self.reply_outdated(from, group, resource, outcome);
    }

    /// The replica of `node` is not UpToDate there, and of another generation than the one here: outdating this one could give
    /// up what it alone has. Unless the operator wants that.
    fn may_be_older(&self, node: NodeId, group: GroupId, at: usize) -> bool {
        if self.memory.overrides.node(Key::AcceptData(group)) == Some(node) {
            return false;
        }
        let Some(local) = self.groups.get(&group) else {
            return false;
        };
        let before = local.resources.iter().take(at);
        let number = before.filter(|resource| resource.drbd.is_some()).count();
        let here = local.resources.get(at).and_then(|resource| resource.drbd);
        let briefs = self
            .report(node)
            .and_then(|report| report.groups.get(&group));
        let there = briefs.and_then(|brief| brief.drbd.get(number));
        let same = here.zip(there).is_some_and(|(here, there)| {
            there.disk == Disk::UpToDate || here.generation == there.generation
        });
        !same
    }

    fn begin_outdating(&mut self, peer: NodeId, group: GroupId, resource: u16) {
        let id = self.fresh_action();
        let config = self.cluster.groups.get(&group);
        let resources = config.and_then(|group| group.resources.get(usize::from(resource)));
        let timeout_ms = resources.map_or(0, |resource| resource.monitor_timeout_ms);
        self.handler.outdating.push(Outdating {
            action: id,
            group,
            resource,
            peer,
        });
        self.out.push(Effect::Act {
            id,
            action: Action {
                group,
                resource,
                operation: Operation::Outdate,
                timeout_ms,
            },
        });
    }

    /// True when the action was an outdate.
    pub(super) fn outdate_done(&mut self, id: ActionId, outcome: Outcome) -> bool {
        let found = self
            .handler
            .outdating
            .iter()
            .position(|outdating| outdating.action == id);
        let Some(at) = found else {
            return false;
        };
        let outdating = self.handler.outdating.remove(at);
        let outcome = if outcome == Outcome::Ok {
            let group = self.groups.get_mut(&outdating.group);
            let local =
                group.and_then(|group| group.resources.get_mut(usize::from(outdating.resource)));
            if let Some(drbd) = local.and_then(|local| local.drbd.as_mut()) {
                drbd.disk = drbd.disk.min(Disk::Outdated);
            }
            self.urgent = true;
            Outdated::Done
        } else {
            Outdated::Refused
        };
        self.reply_outdated(outdating.peer, outdating.group, outdating.resource, outcome);
        true
    }

    fn reply_outdated(&mut self, to: NodeId, group: GroupId, resource: u16, outcome: Outdated) {
        let message = Message::OutdateReply {
            group,
            resource,
            outcome,
        };
        self.send(to, message);
    }

    /// The peer has outdated its disk, or not.
    pub(super) fn outdate_reply(
        &mut self,
        from: NodeId,
        group: GroupId,
        resource: u16,
        outcome: Outdated,
    ) {
        let name = self.name(from).to_owned();
        let (code, reason) = match outcome {
            Outdated::Done => (4, format!("the disk of {name} is Outdated")),
            Outdated::Unusable => (3, format!("the disk of {name} can't be used")),
            Outdated::Primary => (6, format!("{name} is Primary")),
            // Asked again, until it may be fenced or the time is over.
            Outdated::Refused => return,
        };
        let mut answers = Vec::new();
        self.handler.waiting.retain(|waiting| {
            let this = (waiting.peer, waiting.group, waiting.resource) == (from, group, resource);
            if this && waiting.asked_ms.is_some() {
                answers.push(answer(waiting.id, code, reason.clone()));
            }
            !(this && waiting.asked_ms.is_some())
        });
        self.out.append(&mut answers);
    }
}
