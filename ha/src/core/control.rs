// SPDX-License-Identifier: GPL-2.0-or-later
//! What operators want, and how a daemon leaves.

use super::effect::{Effect, EventKind, Reply};
use super::id::{GroupId, NodeId, RequestId};
use super::input::Control;
use super::machine::{Core, Leaving};
use super::message::{Holding, Message};
use super::overrides::{Key, Value};

/// State of this part: requests that wait for something are where they wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Controls {
    told_ms: u64,
}

impl Core {
    /// An operator or a helper asks.
    pub(super) fn control(&mut self, id: RequestId, request: Control) {
        let reply = match request {
            Control::FencePeer {
                resource,
                peer,
                within_ms,
            } => {
                self.fence_peer(id, &resource, peer, within_ms);
                return;
            }
            Control::Fence(node) => match self.may_fence_by_hand(node) {
                Ok(()) => {
                    self.fence_by_hand(id, node);
                    return;
                }
                Err(why) => Reply::Refused(why),
            },
            Control::ConfirmFenced(node) => self.confirm(node),
            Control::QuorumOverride => self.override_quorum(),
            Control::Maintenance(on) => self.decide(Key::Maintenance, yes(on), "maintenance"),
            Control::Standby(node, on) if self.cluster.nodes.contains_key(&node) => {
                self.decide(Key::Standby(node), yes(on), "standby")
            }
            Control::Standby(node, _) => Reply::Refused(format!("there is no {node}")),
            Control::Disable(group, on) => {
                self.of_group(group, Key::Disabled(group), yes(on), "stopped")
            }
            Control::Move(group, to) => self.move_group(group, to),
            Control::Failback(group) => {
                self.of_group(group, Key::Failback(group), Value::Yes, "failback")
            }
            Control::Cleanup(group) => {
                self.of_group(group, Key::Cleanup(group), Value::Yes, "cleanup")
            }
            Control::AcceptData(group, node) => self.of_group(
                group,
                Key::AcceptData(group),
                Value::Node(node),
                "accept-data",
            ),
        };
        // Whoever asked relies on it: a wish that was taken is not forgotten.
        self.flush_memory();
        self.out.push(Effect::Reply { id, reply });
    }

    /// Whoever asked is gone.
    pub(super) fn control_gone(&mut self, id: RequestId) {
        self.handler.gone(id);
        self.fence_request_gone(id);
    }

    fn decide(&mut self, key: Key, value: Value, what: &str) -> Reply {
        self.memory.overrides.set(key, value, self.me);
        self.persist = true;
        self.urgent = true;
        let on = value != Value::No;
        self.event(EventKind::Alarm, None, None, || {
            format!("the operator decided: {key:?} is {value:?}")
        });
        Reply::Done(format!("{what} is {}", if on { "on" } else { "off" }))
    }

    fn of_group(&mut self, group: GroupId, key: Key, value: Value, what: &str) -> Reply {
        if self.cluster.groups.contains_key(&group) {
            self.decide(key, value, what)
        } else {
            Reply::Refused("there is no such group; drbd-hactl status names them".to_owned())
        }
    }

    fn move_group(&mut self, group: GroupId, to: Option<NodeId>) -> Reply {
        let nodes = self
            .cluster
            .groups
            .get(&group)
            .map_or(&[][..], |group| &group.nodes);
        match to {
            Some(node) if !nodes.contains(&node) => Reply::Refused(format!(
                "the group is not configured for {}",
                self.name(node)
            )),
            Some(node) => self.of_group(group, Key::Move(group), Value::Node(node), "the move"),
            None => self.of_group(group, Key::Move(group), Value::No, "the move"),
        }
    }

    fn may_fence_by_hand(&self, node: NodeId) -> Result<(), String> {
        if node == self.me {
            return Err("this node can't fence itself: ask another one".to_owned());
        }
        if !self.cluster.nodes.contains_key(&node) {
            return Err(format!("there is no {node}"));
        }
        self.may_act()
    }

    /// The operator's word counts for a silent node only.
    fn confirm(&mut self, node: NodeId) -> Reply {
        let name = self.name(node).to_owned();
        if !self.peers.contains_key(&node) {
            return Reply::Refused(format!("{name} is not another node of this cluster"));
        }
        if self.hears(node) {
            return Reply::Refused(format!(
                "{name} is not off: it is heard; drbd-hactl fence {name} switches it off"
            ));
        }
        self.confirm_fenced(node);
        Reply::Done(format!("{name} counts as fenced"))
    }

    /// The operator starts one of two nodes alone. Nothing is taken for granted: the other one is fenced first.
    fn override_quorum(&mut self) -> Reply {
        if !self.cluster.quorum.two_node {
            return Reply::Refused(
                "only one of two nodes can be started alone; a minority of more would need the others".to_owned(),
            );
        }
        let epoch = self.accepted_epoch() + 1;
        let silent: Vec<NodeId> = self
            .peers
            .keys()
            .filter(|node| !self.hears(**node))
            .copied()
            .collect();
        for node in silent {
            self.memory.facts.doubt(node, epoch);
        }
        self.boot.seen_all = true;
        self.persist = true;
        self.urgent = true;
        self.out.push(Effect::PersistBoot(self.boot));
        self.event(EventKind::Alarm, None, None, || {
            "the operator gave quorum to this node alone".to_owned()
        });
        Reply::Done(
            "this node has quorum; it fences the other one before it starts anything".to_owned(),
        )
    }

    /// The daemon was asked to end.
    pub(super) fn leave(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(Leaving::Stopping);
            self.urgent = true;
        }
    }

    /// Tells the others when all groups are released, and ends when they know.
    pub(super) fn go_on_leaving(&mut self) {
        let now_ms = self.now_ms;
        match self.leaving {
            None | Some(Leaving::Left) => {}
            Some(Leaving::Stopping) => {
                let idle = |group: &super::group::LocalGroup| {
                    group.action.is_none() && group.holding() == Holding::Released
                };
                if self.groups.values().all(idle) && self.handler.in_flight() == 0 {
                    self.leaving = Some(Leaving::Telling { since_ms: now_ms });
                    // Whoever left has to meet the others before it acts alone.
                    self.boot.seen_all = false;
                    self.out.push(Effect::PersistBoot(self.boot));
                    self.tell_leave();
                }
            }
            Some(Leaving::Telling { since_ms }) => {
                let me = self.me;
                let life = self.incarnation;
                let mut heard = self.peers.keys().filter_map(|node| self.report(*node));
                let known = heard.all(|report| report.facts.of(me).is_over(life));
                if known || now_ms.saturating_sub(since_ms) >= self.cluster.timing.deadtime_ms {
                    self.leaving = Some(Leaving::Left);
                    self.flush_memory();
                    self.out.push(Effect::Left);
                } else if now_ms.saturating_sub(self.controls.told_ms)
                    >= self.cluster.timing.keepalive_ms / 2
                {
                    self.tell_leave();
                }
            }
        }
    }

    fn tell_leave(&mut self) {
        self.controls.told_ms = self.now_ms;
        self.flush_memory();
        self.out.push(Effect::Broadcast {
            message: Message::Leave,
        });
    }
}

fn yes(on: bool) -> Value {
    if on {
        Value::Yes
    } else {
        Value::No
    }
}
