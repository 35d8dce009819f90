// SPDX-License-Identifier: GPL-2.0-or-later
//! What this node says: its heartbeat, in time.

use std::collections::BTreeMap;

use super::effect::Effect;
use super::group::LocalGroup;
use super::id::{GroupId, Incarnation, NodeId};
use super::machine::{Core, Leaving};
use super::message::{GroupBrief, Heartbeat, Message};

impl Core {
    /// What this node says of `group`.
    pub(super) fn brief(&self, group: GroupId) -> Option<GroupBrief> {
        self.groups
            .get(&group)
            .map(|local| self.brief_of(group, local))
    }

    fn brief_of(&self, group: GroupId, local: &LocalGroup) -> GroupBrief {
        GroupBrief {
            epoch: self.promises.get(&group).copied(),
            holding: local.holding(),
            fails: local.fails(self.now_ms),
            banned: local.ban(self.now_ms).is_some(),
            drbd: local.drbd(),
        }
    }

    /// What this node says of its groups.
    pub(super) fn briefs(&self) -> BTreeMap<GroupId, GroupBrief> {
        let groups = self.groups.iter();
        groups
            .map(|(group, local)| (*group, self.brief_of(*group, local)))
            .collect()
    }

    fn hears_whom(&self) -> BTreeMap<NodeId, Incarnation> {
        let heard = self.peers.iter().filter(|(node, _)| self.hears(**node));
        heard
            .map(|(node, peer)| (*node, peer.incarnation))
            .collect()
    }

    fn heartbeat_now(&self) -> Heartbeat {
        Heartbeat {
            state: self.state(),
            config: self.cluster.hash,
            view: self.membership.view.as_ref().map(|view| view.id),
            plan: self.plan.as_ref().map_or(0, |plan| plan.number),
            epoch: self.accepted_epoch(),
            hears: self.hears_whom(),
            quorate: self.quorate(),
            seen_all: self.boot.seen_all,
            value: self.value(),
            watchdog: self.has_watchdog,
            groups: self.briefs(),
            fencing: self.fencing.brief(),
            facts: self.memory.facts.clone(),
            overrides: self.memory.overrides.clone(),
        }
    }

    /// Sends the heartbeat when it is due, or something important is new; says when to look again.
    pub(super) fn speak(&mut self) {
        let keepalive_ms = self.cluster.timing.keepalive_ms.max(1);
        let gap_ms = if self.urgent {
            keepalive_ms / 8
        } else {
            keepalive_ms
        };
        let due_ms = self.heartbeat_ms.map_or(self.now_ms, |sent| sent + gap_ms);
        if self.now_ms < due_ms {
            self.wake_ms = due_ms;
            return;
        }
        self.urgent = false;
        self.heartbeat_ms = Some(self.now_ms);
        self.wake_ms = self.now_ms + keepalive_ms / 2;
        let silent = matches!(self.leaving, Some(Leaving::Left)) || self.doomed;
        if !silent {
            let heartbeat = self.heartbeat_now();
            self.flush_memory();
            self.out.push(Effect::Broadcast {
                message: Message::Heartbeat(Box::new(heartbeat)),
            });
        }
    }
}
