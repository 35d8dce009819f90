// SPDX-License-Identifier: GPL-2.0-or-later
//! A group on this node: what of it is known to be active, and what its failures mean. At most one action of a group is under
//! way.

use super::cluster::Group;
use super::drbd::{DrbdBrief, Role};
use super::effect::Operation;
use super::id::ActionId;
use super::input::Outcome;
use super::message::Holding;
use super::overrides::Stamp;
use super::planted::{self, Bug};
use super::status::ResourceState;

/// One resource of a group here.
#[derive(Clone, Debug)]
pub(super) struct LocalResource {
    pub(super) name: String,
    pub(super) state: ResourceState,
    /// When it failed.
    pub(super) fails_ms: Vec<u64>,
    /// DRBD's state, for a DRBD resource.
    pub(super) drbd: Option<DrbdBrief>,
    pub(super) monitor_due_ms: u64,
}

/// An action that the host was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Underway {
    pub(super) id: ActionId,
    pub(super) resource: usize,
    pub(super) operation: Operation,
}

/// What the end of an action means for the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consequence {
    /// Go on.
    None,
    /// A stop failed: once more, with force.
    KillAndStop(usize),
    /// It failed again: something may be active here for ever.
    SelfFence(usize),
}

/// A group that may run here.
#[derive(Clone, Debug)]
pub(super) struct LocalGroup {
    pub(super) resources: Vec<LocalResource>,
    pub(super) action: Option<Underway>,
    /// It won't work here, until the operator cleans up.
    pub(super) hard_ban: Option<String>,
    pub(super) stuck: bool,
    /// The last clean-up that was obeyed.
    pub(super) cleaned: Stamp,
    /// What the guard said last.
    pub(super) refusal: Option<String>,
    pub(super) failure_timeout_ms: u64,
    pub(super) migration_threshold: u32,
    pub(super) announced: Option<Holding>,
}

impl LocalGroup {
    pub(super) fn new(group: &Group, now_ms: u64) -> Self {
        let unknown = if planted::is(Bug::SkipProbe) {
            ResourceState::Stopped
        } else {
            ResourceState::Unknown
        };
        let resources = group.resources.iter().map(|resource| LocalResource {
            name: resource.name().to_owned(),
            state: unknown,
            fails_ms: Vec::new(),
            drbd: resource.is_drbd().then(DrbdBrief::default),
            monitor_due_ms: now_ms,
        });
        LocalGroup {
            resources: resources.collect(),
            action: None,
            hard_ban: None,
            stuck: false,
            cleaned: Stamp::default(),
            refusal: None,
            failure_timeout_ms: group.failure_timeout_ms,
            migration_threshold: group.migration_threshold,
            announced: None,
        }
    }

    /// Everything was looked at.
    pub(super) fn is_probed(&self) -> bool {
        let known = |resource: &LocalResource| resource.state != ResourceState::Unknown;
        self.resources.iter().all(known)
    }

    /// Its DRBD resources' states, in order.
    pub(super) fn drbd(&self) -> Vec<DrbdBrief> {
        self.resources
            .iter()
            .filter_map(|resource| resource.drbd)
            .collect()
    }

    /// Some DRBD resource may be written here.
    pub(super) fn has_primary(&self) -> bool {
        let primary = |resource: &LocalResource| {
            let report = resource.drbd.is_some_and(|drbd| drbd.role == Role::Primary);
            resource.drbd.is_some() && (report || resource.state == ResourceState::Running)
        };
        self.resources.iter().any(primary)
    }

    /// Whether this node has it.
    pub(super) fn holding(&self) -> Holding {
        if self.stuck {
            return Holding::Stuck;
        }
        let last = self.last_active(0);
        if let Some(action) = self.action {
            let stopping = matches!(action.operation, Operation::Stop | Operation::KillAndStop);
            if stopping && planted::is(Bug::ReleaseEarly) && last == Some(0) {
                return Holding::Released;
            }
            if action.operation != Operation::Monitor {
                return Holding::Held;
            }
        }
        let running = |resource: &LocalResource| resource.state == ResourceState::Running;
        if self.resources.iter().all(running) {
            Holding::Running
        } else if last.is_none() {
            Holding::Released
        } else {
            Holding::Held
        }
    }

    /// The last resource, from place `from` on, that may be active.
    pub(super) fn last_active(&self, from: usize) -> Option<usize> {
        let active = |resource: &LocalResource| {
            let primary = resource.drbd.is_some_and(|drbd| drbd.role == Role::Primary);
            resource.state != ResourceState::Stopped || primary
        };
        let found = self.resources.iter().rposition(active);
        found.filter(|at| *at >= from)
    }

    /// The first that is known to have failed.
    pub(super) fn first_failed(&self) -> Option<usize> {
        self.resources
            .iter()
            .position(|resource| resource.state == ResourceState::Failed)
    }

    /// The first that is stopped.
    pub(super) fn first_stopped(&self) -> Option<usize> {
        self.resources
            .iter()
            .position(|resource| resource.state == ResourceState::Stopped)
    }

    /// The first that nobody looked at.
    pub(super) fn first_unknown(&self) -> Option<usize> {
        self.resources
            .iter()
            .position(|resource| resource.state == ResourceState::Unknown)
    }

    /// Failures that are not forgotten.
    pub(super) fn fails(&self, now_ms: u64) -> u32 {
        let recent = |at: &&u64| now_ms.saturating_sub(**at) < self.failure_timeout_ms;
        let counts = self
            .resources
            .iter()
            .map(|resource| resource.fails_ms.iter().filter(recent).count());
        u32::try_from(counts.sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Why it must not run here.
    pub(super) fn ban(&self, now_ms: u64) -> Option<String> {
        if self.stuck {
            return Some("it could not be stopped here".to_owned());
        }
        if let Some(why) = &self.hard_ban {
            return Some(why.clone());
        }
        let fails = self.fails(now_ms);
        (fails >= self.migration_threshold).then(|| format!("it failed {fails} times here"))
    }

    /// Forgets failures.
    pub(super) fn clean_up(&mut self, stamp: Stamp) {
        self.cleaned = stamp;
        self.hard_ban = None;
        for resource in &mut self.resources {
            resource.fails_ms.clear();
        }
    }

    fn failed(&mut self, at: usize, now_ms: u64) {
        let keep = usize::try_from(self.migration_threshold)
            .unwrap_or(usize::MAX)
            .clamp(1, 64);
        if let Some(resource) = self.resources.get_mut(at) {
            resource.fails_ms.push(now_ms);
            let extra = resource.fails_ms.len().saturating_sub(keep);
            resource.fails_ms.drain(..extra);
        }
    }

    /// Takes the end of the action that was under way.
    pub(super) fn finish(
        &mut self,
        action: Underway,
        outcome: Outcome,
        now_ms: u64,
    ) -> Consequence {
        self.action = None;
        let at = action.resource;
        let (state, failure) = match (action.operation, outcome) {
            (Operation::Outdate, _) => return Consequence::None,
            (Operation::Stop | Operation::KillAndStop, Outcome::Ok | Outcome::NotRunning) => {
                (ResourceState::Stopped, false)
            }
            (Operation::Stop | Operation::KillAndStop, _) if planted::is(Bug::AssumeStopped) => {
                (ResourceState::Stopped, true)
            }
            (Operation::Stop, _) => {
                self.failed(at, now_ms);
                return Consequence::KillAndStop(at);
            }
            (Operation::KillAndStop, _) => {
                self.stuck = true;
                return Consequence::SelfFence(at);
            }
            (Operation::Probe | Operation::Monitor | Operation::Start, Outcome::Ok) => {
                (ResourceState::Running, false)
            }
            (Operation::Probe, Outcome::NotRunning) => (ResourceState::Stopped, false),
            (Operation::Probe, Outcome::FailedHere | Outcome::FailedEverywhere) => {
                self.hard_ban = Some("it is not installed or not configured here".to_owned());
                (ResourceState::Stopped, false)
            }
            (Operation::Start, Outcome::FailedHere | Outcome::FailedEverywhere) => {
                self.hard_ban =
                    Some("it can't work here: wrong arguments, or not installed".to_owned());
                (ResourceState::Failed, true)
            }
            (Operation::Probe | Operation::Monitor | Operation::Start, _) => {
                (ResourceState::Failed, true)
            }
        };
        if failure {
            self.failed(at, now_ms);
        }
        if let Some(resource) = self.resources.get_mut(at) {
            resource.state = state;
            if state == ResourceState::Stopped {
                if let Some(drbd) = &mut resource.drbd {
                    drbd.role = drbd.role.min(Role::Secondary);
                }
            }
        }
        Consequence::None
    }
}
