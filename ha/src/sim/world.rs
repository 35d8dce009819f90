// SPDX-License-Identifier: GPL-2.0-or-later
//! The world: machines, network, replicas and fence devices, and what happens next. Everything that has to hold at each moment
//! is checked where it could break (`oracle`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use super::chance::Chance;
use super::devices::{Fenced, Order};
use super::fault::{Device, Fault};
use super::net::Net;
use super::node::{Asked, SimNode};
use super::replica::Replicas;
use super::scene::Scene;
use crate::core::effect::{Effect, Reply};
use crate::core::id::{ActionId, FenceId, Incarnation, NodeId};
use crate::core::input::{Input, Outcome};
use crate::core::memory::Memory;
use crate::core::message::Message;
use crate::core::{Core, Start};

/// What happens at some time.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Tick {
        node: NodeId,
    },
    Deliver {
        to: NodeId,
        from: NodeId,
        life: Incarnation,
        link: u8,
        message: Rc<Message>,
    },
    ActionEnd {
        node: NodeId,
        daemon: u64,
        id: ActionId,
    },
    FenceEnd(Order),
    FenceAnswer {
        by: NodeId,
        daemon: u64,
        id: FenceId,
        result: Result<(), String>,
    },
    Boot {
        node: NodeId,
        boots: u64,
    },
    Daemon {
        node: NodeId,
        daemons: u64,
    },
    Thaw {
        node: NodeId,
        boots: u64,
    },
    Fault {
        number: usize,
    },
    Replication {
        resource: usize,
    },
    Resynced {
        resource: usize,
        resync: u64,
    },
    Report {
        node: NodeId,
        resource: usize,
    },
    Handler {
        node: NodeId,
        resource: usize,
    },
    /// The kernel gets what a handler found out.
    HandlerAnswer {
        node: NodeId,
        boots: u64,
        daemon: u64,
        asked: Asked,
        code: u8,
    },
    Second,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) chance: Chance,
    pub(super) now_ms: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slots: Vec<Option<Happening>>,
    free: Vec<usize>,
    order: u64,
    pub(super) nodes: BTreeMap<NodeId, SimNode>,
    pub(super) net: Net,
    pub(super) replicas: Vec<Replicas>,
    pub(super) devices: BTreeMap<NodeId, Device>,
    pub(super) pings: BTreeMap<NodeId, bool>,
    pub(super) faults: Vec<(u64, Fault)>,
    pub(super) keep: Option<Vec<usize>>,
    pub(super) steps: u64,
    /// Fencings that switched something off.
    pub(super) fenced: Vec<Fenced>,
    pub(super) requests: u64,
    pub(super) calm: bool,
    /// What is switched off stays off.
    pub(super) keep_off: bool,
    pub(super) trace: bool,
    pub(super) failure: Option<String>,
}

impl World {
    pub(super) fn new(
        scene: Scene,
        chance: Chance,
        faults: Vec<(u64, Fault)>,
        trace: bool,
    ) -> Self {
        let mut world = World {
            nodes: BTreeMap::new(),
            net: Net::default(),
            replicas: Vec::new(),
            devices: BTreeMap::new(),
            pings: BTreeMap::new(),
            keep: None,
            now_ms: 0,
            queue: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            order: 0,
            steps: 0,
            fenced: Vec::new(),
            requests: 0,
            calm: false,
            keep_off: false,
            failure: None,
            scene,
            chance,
            faults,
            trace,
        };
        world.net.heal();
        world.furnish();
        world
    }

    fn furnish(&mut self) {
        for (id, group) in &self.scene.cluster.groups {
            for (at, resource) in group.resources.iter().enumerate() {
                if let ([a, b], true) = (&group.nodes[..], resource.is_drbd()) {
                    let at = u16::try_from(at).unwrap_or(0);
                    self.replicas
                        .push(Replicas::new(resource.name(), *id, at, [*a, *b]));
                }
            }
        }
        let fresh = !self.scene.gentle && self.chance.percent(20);
        let nodes: Vec<NodeId> = self.scene.cluster.nodes.keys().copied().collect();
        for node in nodes {
            let clock_ms = 1000 + self.chance.range(0, 1_000_000);
            let drift = i64::try_from(self.chance.range(0, 100_000)).unwrap_or(0) - 50_000;
            let mut sim = SimNode::new(clock_ms, drift);
            // Mostly a cluster that has been at work before; else each node begins with nothing.
            if !fresh {
                sim.memory = Some(Memory::default());
            }
            self.nodes.insert(node, sim);
            let late_ms = self.chance.range(0, 6000);
            self.at(late_ms, Happening::Boot { node, boots: 0 });
        }
        for (number, (at_ms, _)) in self.faults.clone().into_iter().enumerate() {
            self.at(at_ms, Happening::Fault { number });
        }
        self.at(1000, Happening::Second);
    }

    /// Plans something, `delay_ms` from now.
    pub(super) fn at(&mut self, delay_ms: u64, happening: Happening) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(happening);
        self.order += 1;
        self.queue
            .push(Reverse((self.now_ms + delay_ms, self.order, slot)));
    }

    /// The next thing that happens, until `until_ms`. False when there is none or something was wrong.
    pub(super) fn step(&mut self, until_ms: u64) -> bool {
        let Some(Reverse((time_ms, _, slot))) = self.queue.peek().copied() else {
            return false;
        };
        if time_ms > until_ms || self.failure.is_some() {
            return false;
        }
        self.queue.pop();
        self.now_ms = time_ms;
        self.free.push(slot);
        if let Some(happening) = self.slots[slot].take() {
            self.steps += 1;
            self.happen(happening);
        }
        self.failure.is_none()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick { node } => self.tick(node),
            Happening::Deliver {
                to,
                from,
                life,
                link,
                message,
            } => self.deliver(to, from, life, link, &message),
            Happening::ActionEnd { node, daemon, id } => self.action_end(node, daemon, id),
            Happening::FenceEnd(order) => self.fence_end(order),
            Happening::FenceAnswer {
                by,
                daemon,
                id,
                result,
            } => self.fence_answer(by, daemon, id, result),
            Happening::Boot { node, boots } => self.boot(node, boots),
            Happening::Daemon { node, daemons } => self.start_daemon(node, daemons),
            Happening::Thaw { node, boots } => self.thaw(node, boots),
            Happening::Fault { number } => self.fault(number),
            Happening::Replication { resource } => self.replication(resource),
            Happening::Resynced { resource, resync } => {
                self.replicas[resource].resynced(resync);
                self.report(resource);
            }
            Happening::Report { node, resource } => self.deliver_report(node, resource),
            Happening::Handler { node, resource } => self.run_handler(node, resource),
            Happening::HandlerAnswer {
                node,
                boots,
                daemon,
                asked,
                code,
            } => self.handler_answer(node, (boots, daemon), asked, code),
            Happening::Second => self.second(),
        }
    }

    /// Prints a line of the story.
    pub(super) fn tell(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9.3}  {}", self.now_ms as f64 / 1000.0, text());
        }
    }

    pub(super) fn fail(&mut self, text: String) {
        self.tell(|| format!("!! {text}"));
        self.failure.get_or_insert(text);
    }

    fn tick(&mut self, node: NodeId) {
        let now_ms = self.now_ms;
        if let Some(sim) = self.nodes.get_mut(&node) {
            if sim.tick_ms != Some(now_ms) {
                return;
            }
            sim.tick_ms = None;
        }
        self.feed(node, Input::Tick);
    }

    fn deliver(
        &mut self,
        to: NodeId,
        from: NodeId,
        life: Incarnation,
        link: u8,
        message: &Message,
    ) {
        let now_ms = self.now_ms;
        if let Some(sim) = self
            .nodes
            .get_mut(&to)
            .filter(|sim| sim.runs() && sim.core.is_some())
        {
            sim.heard_ms.insert(from, now_ms);
            sim.met.insert(from);
        }
        let message = message.clone();
        self.feed(
            to,
            Input::Received {
                from,
                incarnation: life,
                link,
                message,
            },
        );
    }

    /// Gives one input to the core of `node` and carries out what it wants.
    pub(super) fn feed(&mut self, node: NodeId, input: Input) {
        let now_ms = self.now_ms;
        let Some(sim) = self.nodes.get_mut(&node).filter(|sim| sim.on) else {
            return;
        };
        if sim.frozen {
            if sim.core.is_some() && sim.late.len() < 400 {
                sim.late.push(input);
            }
            return;
        }
        let Some(mut core) = sim.core.take() else {
            return;
        };
        let own_ms = sim.time(now_ms);
        let daemon = sim.daemons;
        let mut effects = Vec::new();
        core.step(own_ms, input, &mut effects);
        let wake_ms = sim.world_time(core.wake_at_ms(), now_ms);
        let in_flight = core.in_flight();
        sim.core = Some(core);
        let plan_tick = sim.tick_ms.is_none_or(|planned| wake_ms < planned);
        if plan_tick {
            sim.tick_ms = Some(wake_ms);
        }
        let crash_after = if effects.is_empty() {
            None
        } else {
            sim.crash_after.take()
        };
        if plan_tick {
            self.at(wake_ms - now_ms, Happening::Tick { node });
        }
        self.check_bounds(node, in_flight, effects.len());
        for (number, effect) in effects.into_iter().enumerate() {
            if crash_after.is_some_and(|after| number >= after) {
                self.daemon_crash(node);
                let restart_ms = self.nodes.get(&node).map_or(0, |sim| sim.restart_ms);
                self.plan_daemon(node, restart_ms);
            }
            // A self-fencing or a crash ends the list.
            if self
                .nodes
                .get(&node)
                .is_none_or(|sim| sim.daemons != daemon)
            {
                break;
            }
            self.carry_out(node, effect);
        }
        self.check_view(node);
        self.check_owners();
    }

    fn carry_out(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(node, to, &Rc::new(message)),
            Effect::Broadcast { message } => {
                let message = Rc::new(message);
                let others: Vec<NodeId> = self
                    .nodes
                    .keys()
                    .copied()
                    .filter(|other| *other != node)
                    .collect();
                for to in others {
                    self.send(node, to, &message);
                }
            }
            Effect::Act { id, action } => self.act(node, id, action),
            Effect::Fence { id, target, level } => self.start_fencing(node, id, target, level),
            Effect::CancelFence { .. } | Effect::Watchdog { .. } => {}
            Effect::SelfFence { reason } => {
                self.tell(|| format!("{node} fences itself: {reason}"));
                self.power_cut(node, 15_000);
            }
            Effect::Persist(memory) => {
                if let Some(sim) = self.nodes.get_mut(&node) {
                    sim.memory = Some(memory);
                }
            }
            Effect::PersistBoot(memory) => {
                if let Some(sim) = self.nodes.get_mut(&node) {
                    sim.boot_memory = memory;
                }
            }
            Effect::Reply { id, reply } => {
                let asked = self
                    .nodes
                    .get_mut(&node)
                    .and_then(|sim| sim.asked.remove(&id));
                match (asked, reply) {
                    (Some(asked), Reply::FencePeer { code, reason }) => {
                        self.handler_answers(node, asked, code, &reason);
                    }
                    (_, reply) => self.tell(|| format!("{node} replies: {reply:?}")),
                }
            }
            Effect::Event(event) => {
                self.tell(|| format!("{node} says: {:?}: {}", event.kind, event.text))
            }
            Effect::Left => {
                self.tell(|| format!("{node} left"));
                self.check_left(node);
                if let Some(sim) = self.nodes.get_mut(&node) {
                    sim.daemon_gone();
                }
            }
            Effect::Restart { reason } => {
                self.tell(|| format!("{node} restarts its daemon: {reason}"));
                self.daemon_crash(node);
                self.plan_daemon(node, 500);
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: &Rc<Message>) {
        let Some(life) = self.nodes.get(&from).map(|sim| sim.incarnation) else {
            return;
        };
        for link in 0..self.scene.links {
            for delay_ms in self.net.send(from, to, link, &mut self.chance) {
                let message = Rc::clone(message);
                self.at(
                    delay_ms,
                    Happening::Deliver {
                        to,
                        from,
                        life,
                        link,
                        message,
                    },
                );
            }
        }
    }

    /// The daemon dies, services go on; what its agents were doing is killed.
    pub(super) fn daemon_crash(&mut self, node: NodeId) {
        self.tell(|| format!("the daemon of {node} dies"));
        let actions: Vec<_> = self
            .nodes
            .get(&node)
            .map_or(Vec::new(), |sim| sim.actions.values().cloned().collect());
        for action in actions {
            let done = self.chance.percent(50);
            let outcome = if done { Outcome::Ok } else { Outcome::TimedOut };
            self.apply_action(node, &action, outcome);
        }
        if let Some(sim) = self.nodes.get_mut(&node) {
            sim.daemon_gone();
        }
    }

    pub(super) fn plan_daemon(&mut self, node: NodeId, delay_ms: u64) {
        let daemons = self.nodes.get(&node).map_or(0, |sim| sim.daemons);
        self.at(delay_ms, Happening::Daemon { node, daemons });
    }

    fn boot(&mut self, node: NodeId, boots: u64) {
        let Some(sim) = self
            .nodes
            .get_mut(&node)
            .filter(|sim| !sim.on && sim.boots == boots)
        else {
            return;
        };
        sim.on = true;
        self.tell(|| format!("{node} boots"));
        for at in 0..self.replicas.len() {
            if let Some(index) = self.replicas[at].index(node) {
                self.replicas[at].boot(index);
                self.replicas[at].connected = false;
                let peer = self.replicas[at].both[1 - index].node;
                self.at(
                    20,
                    Happening::Handler {
                        node: peer,
                        resource: at,
                    },
                );
                self.watch_replication();
            }
        }
        self.plan_daemon(node, 300);
    }

    fn start_daemon(&mut self, node: NodeId, daemons: u64) {
        let now_ms = self.now_ms;
        let wall_ms = 1_000_000_000_000 + now_ms;
        let cluster = self.scene.cluster.clone();
        let ping = self.pings.get(&node).copied().unwrap_or(true);
        let Some(sim) = self.nodes.get_mut(&node) else {
            return;
        };
        if !sim.on || sim.core.is_some() || sim.daemons != daemons {
            return;
        }
        // A lost counter begins at the time of day.
        sim.incarnation = match sim.memory {
            Some(_) => Incarnation(sim.incarnation.0 + 1),
            None => Incarnation(wall_ms),
        };
        let own_ms = sim.time(now_ms);
        let core = Core::new(Start {
            me: node,
            incarnation: sim.incarnation,
            cluster,
            memory: sim.memory.clone(),
            boot: sim.boot_memory,
            has_watchdog: true,
            now_ms: own_ms,
        });
        sim.core = Some(Box::new(core));
        let life = sim.incarnation;
        self.tell(|| format!("the daemon of {node} starts: {life}"));
        for resource in 0..self.replicas.len() {
            if self.replicas[resource].index(node).is_some() {
                self.at(5, Happening::Report { node, resource });
            }
        }
        if self.scene.cluster.quorum.ping_group {
            self.feed(node, Input::Ping { answers: ping });
        }
        self.feed(node, Input::Tick);
    }

    fn thaw(&mut self, node: NodeId, boots: u64) {
        let Some(sim) = self
            .nodes
            .get_mut(&node)
            .filter(|sim| sim.frozen && sim.boots == boots)
        else {
            return;
        };
        sim.frozen = false;
        sim.tick_ms = None;
        let late = std::mem::take(&mut sim.late);
        self.tell(|| format!("{node} thaws"));
        self.watch_replication();
        for input in late {
            self.feed(node, input);
        }
        self.feed(node, Input::Tick);
        let underway: Vec<ActionId> = self
            .nodes
            .get(&node)
            .map_or(Vec::new(), |sim| sim.actions.keys().copied().collect());
        let daemon = self.nodes.get(&node).map_or(0, |sim| sim.daemons);
        for id in underway {
            self.at(50, Happening::ActionEnd { node, daemon, id });
        }
    }

    /// The power of `node` goes off, and comes back after `for_ms`.
    pub(super) fn power_cut(&mut self, node: NodeId, for_ms: u64) {
        let Some(sim) = self.nodes.get_mut(&node) else {
            return;
        };
        sim.power_off();
        let boots = sim.boots;
        self.tell(|| format!("{node} is off"));
        for replicas in &mut self.replicas {
            if let Some(at) = replicas.index(node) {
                replicas.power_lost(at);
            }
        }
        self.watch_replication();
        if !self.keep_off {
            self.at(for_ms, Happening::Boot { node, boots });
        }
    }

    fn second(&mut self) {
        self.at(1000, Happening::Second);
        for resource in 0..self.replicas.len() {
            for at in 0..2 {
                let node = self.replicas[resource].both[at].node;
                if self.nodes.get(&node).is_some_and(SimNode::runs) {
                    self.replicas[resource].write(at);
                }
            }
        }
        self.services_die();
        self.check_writers();
    }
}
