// SPDX-License-Identifier: GPL-2.0-or-later
//! All groups of this node: what each should do, and the one next action that leads there.

use super::cluster::{Cluster, Group, QuorumLoss};
use super::drbd::DrbdBrief;
use super::effect::{Action, Effect, EventKind, Operation};
use super::group::{Consequence, LocalGroup, Underway};
use super::id::{ActionId, GroupId, NodeId};
use super::input::Outcome;
use super::machine::{local_groups, Core};
use super::message::{Assignment, Holding};
use super::overrides::Key;
use super::status::ResourceState;

/// What a group here should do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    /// Become complete, and be watched.
    Run,
    /// Stay as it is, and be watched.
    Keep,
    /// Stop.
    Stop,
    /// Not be touched at all.
    Rest,
}

impl Core {
    /// Everything on this node was looked at.
    pub(super) fn all_probed(&self) -> bool {
        self.groups.values().all(LocalGroup::is_probed)
    }

    pub(super) fn note_probed(&mut self) {
        if self.probed_ms.is_none() && self.all_probed() {
            self.probed_ms = Some(self.now_ms);
        }
    }

    /// Since when this daemon could have been with the others. Probes can take longer than `initdead`, and what they find
    /// running must not be stopped just before the others are met.
    fn ready_ms(&self) -> u64 {
        self.probed_ms.unwrap_or(self.now_ms)
    }

    /// What the plan of this node's view says about `group`.
    pub(super) fn assignment(&self, group: GroupId) -> Option<&Assignment> {
        let view = self.membership.view.as_ref()?;
        let plan = self.plan.as_ref().filter(|plan| plan.view == view.id)?;
        plan.groups.get(&group)
    }

    /// What runs here is worth: priorities, and one for each Primary.
    pub(super) fn value(&self) -> i64 {
        let running = self
            .groups
            .iter()
            .filter(|(_, group)| group.holding() == Holding::Running);
        let values = running.map(|(id, group)| {
            let priority = self
                .cluster
                .groups
                .get(id)
                .map_or(0, |group| group.priority);
            i64::from(priority) + i64::from(group.has_primary())
        });
        values.sum()
    }

    /// The next action of every group that has none under way.
    pub(super) fn run_groups(&mut self) {
        let ids: Vec<GroupId> = self.groups.keys().copied().collect();
        for id in ids {
            self.obey_clean_up(id);
            self.run_group(id);
            self.announce(id);
        }
    }

    fn obey_clean_up(&mut self, id: GroupId) {
        let stamp = self.memory.overrides.stamp(Key::Cleanup(id));
        if let Some(group) = self
            .groups
            .get_mut(&id)
            .filter(|group| stamp > group.cleaned)
        {
            group.clean_up(stamp);
            self.urgent = true;
        }
    }

    fn run_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.get(&id) else {
            return;
        };
        if group.action.is_some() || group.stuck || self.doomed {
            return;
        }
        if let Some(at) = group.first_unknown() {
            self.act(id, at, Operation::Probe);
            return;
        }
        match self.wish(id) {
            Wish::Rest => {}
            Wish::Stop => {
                if let Some(at) = group.last_active(0) {
                    self.act(id, at, Operation::Stop);
                } else {
                    self.refused(id, None);
                }
            }
            Wish::Run => self.run_on(id, true),
            Wish::Keep => self.run_on(id, false),
        }
    }

    fn wish(&self, id: GroupId) -> Wish {
        if self.leaving.is_some() {
            return Wish::Stop;
        }
        if self.memory.overrides.is(Key::Maintenance) {
            return Wish::Rest;
        }
        if self.quorate() {
            return match self.assignment(id) {
                Some(assignment) if assignment.owner == Some(self.me) => Wish::Run,
                Some(_) => Wish::Stop,
                None => Wish::Keep,
            };
        }
        let freeze = self
            .cluster
            .groups
            .get(&id)
            .map(|group| group.on_quorum_loss);
        if freeze == Some(QuorumLoss::Freeze) || self.has_grace() {
            Wish::Keep
        } else {
            Wish::Stop
        }
    }

    /// Quorum was lost a moment ago, or this daemon has just been started and has not met the others.
    pub(super) fn has_grace(&self) -> bool {
        let timing = &self.cluster.timing;
        let lost_ms = self
            .now_ms
            .saturating_sub(self.lost_ms.unwrap_or(self.now_ms));
        let excluded = self.lost_ms == Some(0);
        let joining = self.now_ms.saturating_sub(self.ready_ms()) < timing.initdead_ms;
        !excluded && (lost_ms < timing.deadtime_ms || joining)
    }

    /// Heals, completes (where `complete`) or watches a group that may run here.
    fn run_on(&mut self, id: GroupId, complete: bool) {
        let Some(group) = self.groups.get(&id) else {
            return;
        };
        // What failed is stopped, after everything that stands on it.
        if let Some(failed) = group.first_failed() {
            if let Some(at) = group.last_active(failed) {
                self.act(id, at, Operation::Stop);
            }
            return;
        }
        let Some(stopped) = group.first_stopped() else {
            self.refused(id, None);
            self.watch(id);
            return;
        };
        if !complete {
            self.watch(id);
            return;
        }
        if let Some(at) = group.last_active(stopped + 1) {
            self.act(id, at, Operation::Stop);
            return;
        }
        match self.may_start(id) {
            Ok(()) => {
                self.refused(id, None);
                self.act(id, stopped, Operation::Start);
            }
            Err(refusal) => {
                self.refused(id, Some(refusal.to_string()));
                self.watch(id);
            }
        }
    }

    fn watch(&mut self, id: GroupId) {
        let Some((group, config)) = self.groups.get(&id).zip(self.cluster.groups.get(&id)) else {
            return;
        };
        let now_ms = self.now_ms;
        let mut pairs = group.resources.iter().zip(&config.resources);
        let due = pairs.position(|(resource, config)| {
            let watched =
                config.monitor_interval_ms > 0 && resource.state == ResourceState::Running;
            watched && now_ms >= resource.monitor_due_ms
        });
        if let Some(at) = due {
            self.act(id, at, Operation::Monitor);
        }
    }

    fn refused(&mut self, id: GroupId, refusal: Option<String>) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        if group.refusal == refusal {
            return;
        }
        group.refusal.clone_from(&refusal);
        if let Some(text) = refusal {
            self.event(EventKind::Refused, Some(self.me), Some(id), || text);
        }
    }

    fn act(&mut self, id: GroupId, at: usize, operation: Operation) {
        let Some(config) = self
            .cluster
            .groups
            .get(&id)
            .and_then(|group| group.resources.get(at))
        else {
            return;
        };
        let timeout_ms = match operation {
            Operation::Start => config.start_timeout_ms,
            Operation::Stop | Operation::KillAndStop => config.stop_timeout_ms,
            Operation::Probe | Operation::Monitor | Operation::Outdate => config.monitor_timeout_ms,
        };
        let resource = u16::try_from(at).unwrap_or(u16::MAX);
        let action = Underway {
            id: self.fresh_action(),
            resource: at,
            operation,
        };
        if let Some(group) = self.groups.get_mut(&id) {
            group.action = Some(action);
        }
        self.flush_memory();
        self.out.push(Effect::Act {
            id: action.id,
            action: Action {
                group: id,
                resource,
                operation,
                timeout_ms,
            },
        });
    }

    /// The host has the result of an action.
    pub(super) fn action_done(&mut self, id: ActionId, outcome: Outcome) {
        if self.outdate_done(id, outcome) {
            return;
        }
        let found = self.groups.iter().find_map(|(group, local)| {
            let action = local.action.filter(|action| action.id == id)?;
            Some((*group, action))
        });
        let Some((group, action)) = found else {
            return;
        };
        let now_ms = self.now_ms;
        let interval_ms = self
            .cluster
            .groups
            .get(&group)
            .and_then(|group| group.resources.get(action.resource))
            .map_or(0, |resource| resource.monitor_interval_ms);
        let Some(local) = self.groups.get_mut(&group) else {
            return;
        };
        let consequence = local.finish(action, outcome, now_ms);
        let resource = local.resources.get_mut(action.resource);
        let name = resource.map_or(String::new(), |resource| {
            resource.monitor_due_ms = now_ms + interval_ms;
            resource.name.clone()
        });
        let expected = match action.operation {
            Operation::Probe => matches!(outcome, Outcome::Ok | Outcome::NotRunning),
            Operation::Stop | Operation::KillAndStop => {
                matches!(outcome, Outcome::Ok | Outcome::NotRunning)
            }
            Operation::Start | Operation::Monitor | Operation::Outdate => outcome == Outcome::Ok,
        };
        if !expected {
            self.event(EventKind::Group, Some(self.me), Some(group), || {
                format!("{:?} of {name}: {outcome:?}", action.operation)
            });
        }
        match consequence {
            Consequence::None => {}
            Consequence::KillAndStop(at) => self.act(group, at, Operation::KillAndStop),
            Consequence::SelfFence(_) => self.self_fence(format!("{name} could not be stopped")),
        }
    }

    /// The state of a DRBD resource changed. True when it is one of this node's.
    pub(super) fn drbd_changed(&mut self, resource: &str, brief: DrbdBrief) -> bool {
        let (mut new, mut connected) = (false, false);
        for group in self.groups.values_mut() {
            for local in &mut group.resources {
                let before = local.drbd.filter(|_| local.name == resource);
                if let Some(before) = before.filter(|before| *before != brief) {
                    connected |= brief.connected && !before.connected;
                    local.drbd = Some(brief);
                    new = true;
                }
            }
        }
        if connected {
            self.doubt_fenced_peers(resource);
        }
        self.urgent |= new;
        new
    }

    /// Whoever begins to replicate has booted since it was fenced, and its disk may be recent again: that it was fenced proves
    /// nothing any more. Nor will an attempt that is not confirmed yet.
    fn doubt_fenced_peers(&mut self, resource: &str) {
        let groups = self.cluster.groups.values();
        let has = |group: &&Group| group.resources.iter().any(|known| known.name() == resource);
        let nodes: Vec<NodeId> = groups
            .filter(has)
            .flat_map(|group| group.nodes.clone())
            .collect();
        for node in nodes.into_iter().filter(|node| *node != self.me) {
            let lives = self.memory.facts.of(node);
            if lives.is_fenced() || self.is_being_fenced(node) {
                let doubt = lives.doubt.max(lives.settled).saturating_add(1);
                self.memory.facts.doubt(node, doubt);
                self.fencing.returned(node, self.now_ms);
                self.persist = true;
            }
        }
    }

    /// Tells when a group begins or ceases to run here.
    fn announce(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let holding = group.holding();
        let before = group.announced.replace(holding);
        if before == Some(holding) {
            return;
        }
        self.urgent = true;
        let name = self
            .cluster
            .groups
            .get(&id)
            .map_or("", |group| group.name.as_str());
        let text = match holding {
            Holding::Running => format!("{name} runs here"),
            Holding::Released => format!("{name} is stopped here"),
            Holding::Held => format!("{name} is partly active here"),
            Holding::Stuck => format!("{name} can't be stopped here"),
        };
        self.event(EventKind::Group, Some(self.me), Some(id), || text);
    }

    /// What exists in the new configuration with the same resources goes on, the rest is new. A group that is gone has to be
    /// stopped before; the host refuses such a configuration while it runs.
    pub(super) fn reload_groups(&mut self, cluster: &Cluster) {
        let mut groups = local_groups(cluster, self.me, self.now_ms);
        for (id, new) in &mut groups {
            let Some(old) = self.groups.get(id) else {
                continue;
            };
            let names = |group: &LocalGroup| -> Vec<String> {
                group
                    .resources
                    .iter()
                    .map(|resource| resource.name.clone())
                    .collect()
            };
            if names(old) == names(new) {
                let limits = (new.failure_timeout_ms, new.migration_threshold);
                *new = old.clone();
                (new.failure_timeout_ms, new.migration_threshold) = limits;
            }
        }
        self.groups = groups;
    }

    /// This node must not go on.
    pub(super) fn self_fence(&mut self, reason: String) {
        if self.doomed {
            return;
        }
        self.doomed = true;
        self.event(EventKind::Alarm, Some(self.me), None, || reason.clone());
        self.out.push(Effect::Watchdog { pet: false });
        self.out.push(Effect::SelfFence { reason });
    }

    /// The watchdog is fed while what runs here may.
    pub(super) fn feed_watchdog(&mut self) {
        let timing = &self.cluster.timing;
        let held = |group: &&LocalGroup| group.holding() != Holding::Released;
        let frozen = |id: &GroupId| {
            let group = self.cluster.groups.get(id);
            group.is_some_and(|group| group.on_quorum_loss == QuorumLoss::Freeze)
        };
        let running = self
            .groups
            .iter()
            .filter(|(id, group)| held(group) && !frozen(id));
        let limits = running.filter_map(|(id, _)| self.cluster.groups.get(id));
        let stop_ms = limits.map(super::cluster::Group::stop_limit_ms).max();
        let lost_ms = self.lost_ms.map_or(0, |lost| {
            self.now_ms.saturating_sub(lost.max(self.ready_ms()))
        });
        let late = stop_ms.is_some_and(|stop_ms| {
            lost_ms > timing.initdead_ms.max(timing.deadtime_ms) + 2 * stop_ms
        });
        let pet =
            !self.doomed && (self.quorate() || self.memory.overrides.is(Key::Maintenance) || !late);
        if self.pet != Some(pet) {
            self.pet = Some(pet);
            self.out.push(Effect::Watchdog { pet });
        }
    }
}
