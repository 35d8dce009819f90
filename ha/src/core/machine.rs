// SPDX-License-Identifier: GPL-2.0-or-later
//! The core of one node: one door, `step`. Every part keeps its state in its own file; here is only what holds them together,
//! and the order in which they look at what happened.

use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::control::Controls;
use super::coordinator::Coordinator;
use super::effect::{Effect, Event, EventKind};
use super::fencing::Fencing;
use super::group::LocalGroup;
use super::handler::Handler;
use super::id::{ActionId, FenceId, GroupId, Incarnation, NodeId, OwnerEpoch, ViewId};
use super::input::Input;
use super::membership::Membership;
use super::memory::{BootMemory, Memory};
use super::message::{Message, Plan};
use super::peer::Peer;
use super::planted::{self, Bug};
use super::quorum::Verdict;

/// What a core begins with.
#[derive(Clone, Debug)]
pub struct Start {
    /// This node.
    pub me: NodeId,
    /// Its new life: greater than any before.
    pub incarnation: Incarnation,
    /// The configuration.
    pub cluster: Cluster,
    /// What `Effect::Persist` kept; `None` when it was lost, or never was.
    pub memory: Option<Memory>,
    /// What `Effect::PersistBoot` kept since the last boot.
    pub boot: BootMemory,
    /// A watchdog resets the node when the daemon fails.
    pub has_watchdog: bool,
    /// The clock.
    pub now_ms: u64,
}

/// The core of one node.
#[derive(Clone, Debug)]
pub struct Core {
    pub(super) me: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) cluster: Cluster,
    pub(super) now_ms: u64,
    pub(super) started_ms: u64,
    /// When everything here had been looked at; nobody joins the others before.
    pub(super) probed_ms: Option<u64>,
    pub(super) has_watchdog: bool,
    pub(super) memory: Memory,
    pub(super) boot: BootMemory,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    pub(super) membership: Membership,
    pub(super) verdict: Verdict,
    /// Since when there is no quorum.
    pub(super) lost_ms: Option<u64>,
    /// The plan of the view, once it came.
    pub(super) plan: Option<Plan>,
    /// By group: this node never acts on an earlier decision.
    pub(super) promises: BTreeMap<GroupId, OwnerEpoch>,
    pub(super) coordinator: Coordinator,
    pub(super) fencing: Fencing,
    /// Groups that may run here.
    pub(super) groups: BTreeMap<GroupId, LocalGroup>,
    pub(super) handler: Handler,
    pub(super) controls: Controls,
    pub(super) ping: Option<bool>,
    pub(super) leaving: Option<Leaving>,
    /// The state directory can't be written.
    pub(super) state_lost: bool,
    /// Nothing is started before: the node did not run for a while.
    pub(super) stale_until_ms: u64,
    pub(super) doomed: bool,
    pub(super) pet: Option<bool>,
    /// Say it before the next keepalive.
    pub(super) urgent: bool,
    pub(super) heartbeat_ms: Option<u64>,
    pub(super) wake_ms: u64,
    pub(super) persist: bool,
    pub(super) next_id: u64,
    pub(super) out: Vec<Effect>,
}

/// A daemon that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Groups are being stopped.
    Stopping,
    /// Others are being told since then.
    Telling { since_ms: u64 },
    /// They know.
    Left,
}

impl Core {
    /// The core of a daemon that starts.
    #[must_use]
    pub fn new(start: Start) -> Core {
        let Start {
            me,
            incarnation,
            cluster,
            memory,
            boot,
            has_watchdog,
            now_ms,
        } = start;
        let others = cluster.nodes.keys().filter(|node| **node != me);
        let peers = others.map(|node| (*node, Peer::default())).collect();
        let groups = local_groups(&cluster, me, now_ms);
        let boot = BootMemory {
            seen_all: boot.seen_all || planted::is(Bug::ForgetSeenAll),
        };
        let memory = memory.unwrap_or(Memory {
            amnesia: true,
            ..Memory::default()
        });
        let fencing = Fencing::knowing(&memory.facts, cluster.nodes.keys().copied());
        Core {
            me,
            incarnation,
            now_ms,
            started_ms: now_ms,
            probed_ms: None,
            has_watchdog,
            memory,
            boot,
            peers,
            groups,
            membership: Membership::default(),
            verdict: Verdict::no("this node is in no view"),
            lost_ms: Some(now_ms),
            plan: None,
            promises: BTreeMap::new(),
            coordinator: Coordinator::default(),
            fencing,
            handler: Handler::default(),
            controls: Controls::default(),
            ping: None,
            leaving: None,
            state_lost: false,
            stale_until_ms: 0,
            doomed: false,
            pet: None,
            urgent: true,
            heartbeat_ms: None,
            wake_ms: now_ms,
            persist: false,
            next_id: 0,
            out: Vec::new(),
            cluster,
        }
    }

    /// Takes one thing that happened, and appends everything that shall be done about it to `out`.
    pub fn step(&mut self, now_ms: u64, input: Input, out: &mut Vec<Effect>) {
        self.pass_time(now_ms);
        if !self.doomed && self.leaving != Some(Leaving::Left) && self.take(input) {
            self.settle();
        }
        out.append(&mut self.out);
    }

    /// When `Input::Tick` is due.
    #[must_use]
    pub fn wake_at_ms(&self) -> u64 {
        self.wake_ms
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The view it is in, and its members.
    #[must_use]
    pub fn view(&self) -> Option<(ViewId, &BTreeMap<NodeId, Incarnation>)> {
        let view = self.membership.view.as_ref()?;
        Some((view.id, &view.members))
    }

    /// This life.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The configuration in use.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A host that slept through its wake-up must not believe that the others were silent meanwhile.
    fn pass_time(&mut self, now_ms: u64) {
        let now_ms = now_ms.max(self.now_ms);
        let late_ms = now_ms.saturating_sub(self.wake_ms);
        self.now_ms = now_ms;
        if late_ms > 2 * self.cluster.timing.keepalive_ms {
            self.stalled(late_ms);
        }
    }

    fn stalled(&mut self, lost_ms: u64) {
        for peer in self.peers.values_mut() {
            peer.forgive(lost_ms, self.now_ms);
        }
        if let Some(lost) = &mut self.lost_ms {
            *lost = lost.saturating_add(lost_ms).min(self.now_ms);
        }
        self.stale_until_ms = self.now_ms + 2 * self.cluster.timing.keepalive_ms;
        self.wake_ms = self.now_ms;
        self.event(EventKind::Alarm, None, None, || {
            format!("the daemon did not run for {lost_ms} ms")
        });
    }

    /// True when everything has to be looked at again.
    fn take(&mut self, input: Input) -> bool {
        match input {
            Input::Tick => return self.now_ms >= self.wake_ms,
            Input::Received {
                from,
                incarnation,
                link,
                message,
            } => return self.received(from, incarnation, link, message),
            Input::Drbd { resource, brief } => return self.drbd_changed(&resource, brief),
            Input::ActionDone { id, outcome } => self.action_done(id, outcome),
            Input::FenceDone { id, result } => self.fence_done(id, result),
            Input::Ping { answers } => self.ping = Some(answers),
            Input::Control { id, request } => self.control(id, request),
            Input::ControlGone { id } => self.control_gone(id),
            Input::Reload(cluster) => self.reload(*cluster),
            Input::Stalled { lost_ms } => self.stalled(lost_ms),
            Input::StateLost => self.state_lost = true,
            Input::Leave => self.leave(),
        }
        true
    }

    fn received(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        link: u8,
        message: Message,
    ) -> bool {
        if !self.hear(from, incarnation, link) {
            return false;
        }
        match message {
            Message::Heartbeat(heartbeat) => return self.heartbeat(from, heartbeat),
            Message::Propose(propose) => self.proposed(from, propose),
            Message::Accept(accept) => self.accepted(from, *accept),
            Message::Commit(commit) => self.committed(from, *commit),
            Message::Plan(plan) => return self.planned(from, *plan),
            Message::Outdate { group, resource } => self.outdate(from, group, resource),
            Message::OutdateReply {
                group,
                resource,
                outcome,
            } => self.outdate_reply(from, group, resource, outcome),
            Message::Leave => self.peer_left(from, incarnation),
        }
        true
    }

    /// Every part looks at what is new, those that decide about safety first.
    fn settle(&mut self) {
        self.note_probed();
        self.watch_peers();
        self.form_view();
        self.judge();
        self.shrink_or_grow();
        self.fence();
        self.coordinate();
        self.run_groups();
        self.serve_handlers();
        self.go_on_leaving();
        self.feed_watchdog();
        self.flush_memory();
        self.speak();
    }

    /// New entries for what is new in `cluster`; what exists goes on.
    fn reload(&mut self, cluster: Cluster) {
        let me = self.me;
        let known = cluster.nodes.keys().filter(|node| **node != me);
        let mut peers: BTreeMap<_, _> = known.map(|node| (*node, Peer::default())).collect();
        for (node, peer) in std::mem::take(&mut self.peers) {
            if peers.contains_key(&node) {
                peers.insert(node, peer);
            }
        }
        self.peers = peers;
        self.reload_groups(&cluster);
        self.cluster = cluster;
        self.urgent = true;
        self.event(EventKind::Alarm, None, None, || {
            "the configuration was read again".to_owned()
        });
    }

    pub(super) fn fresh_action(&mut self) -> ActionId {
        self.next_id += 1;
        ActionId(self.next_id)
    }

    pub(super) fn fresh_fence(&mut self) -> FenceId {
        self.next_id += 1;
        FenceId(self.next_id)
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        // What is promised in it must be remembered.
        self.flush_memory();
        self.out.push(Effect::Send { to, message });
    }

    pub(super) fn flush_memory(&mut self) {
        if self.persist {
            self.persist = false;
            self.out.push(Effect::Persist(self.memory.clone()));
        }
    }

    pub(super) fn event(
        &mut self,
        kind: EventKind,
        node: Option<NodeId>,
        group: Option<GroupId>,
        text: impl FnOnce() -> String,
    ) {
        self.out.push(Effect::Event(Event {
            kind,
            node,
            group,
            text: text(),
        }));
    }

    pub(super) fn name(&self, node: NodeId) -> &str {
        self.cluster.name(node)
    }
}

pub(super) fn local_groups(
    cluster: &Cluster,
    me: NodeId,
    now_ms: u64,
) -> BTreeMap<GroupId, LocalGroup> {
    let mine = cluster
        .groups
        .iter()
        .filter(|(_, group)| group.nodes.contains(&me));
    mine.map(|(id, group)| (*id, LocalGroup::new(group, now_ms)))
        .collect()
}
