// SPDX-License-Identifier: GPL-2.0-or-later
//! Who is fenced, when, by whom (failover.md 5). A fencing ends lives: those that were known when it began, and all that nobody
//! remembers. It says nothing about a life that began later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::effect::{Effect, EventKind, Reply};
use super::facts::{Ending, Facts};
use super::id::{FenceId, Incarnation, NodeId, RequestId};
use super::machine::Core;
use super::message::FenceBrief;
use super::overrides::Key;
use super::planted::{self, Bug};
use super::status::{FencePhase, FenceStatus};

/// The longest pause between two attempts.
const BACKOFF_MAX_MS: u64 = 60_000;

/// The shortest.
const BACKOFF_MIN_MS: u64 = 1_000;

/// How often the time that a fenced node has to boot in is doubled at most.
const BOOT_DOUBLINGS_MAX: u32 = 3;

/// Fencings that are remembered for people.
const HISTORY: usize = 32;

/// State of this part.
#[derive(Clone, Debug, Default)]
pub(super) struct Fencing {
    jobs: BTreeMap<NodeId, Job>,
    /// What the host was asked for and did not answer: also of jobs that are not needed any more.
    running: BTreeMap<FenceId, Attempt>,
    pub(super) history: VecDeque<FenceStatus>,
    past: BTreeMap<NodeId, Past>,
    draws: u64,
}

/// What is known of the fencings of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// The latest life that was known to be ended by a device.
    ended: Option<Incarnation>,
    /// When that was learned: what the device ended may be a later life than the one it proves over, and boots.
    ended_ms: Option<u64>,
    /// How often that was learned since the node was a member.
    ended_count: u32,
    /// Since when it shows up again: its daemon may be about to start.
    returned_ms: Option<u64>,
}

#[derive(Clone, Debug)]
struct Job {
    began_ms: u64,
    /// Attempts from here that failed.
    failed: u32,
    /// Attempts of all members that failed, when that was looked at last.
    failed_by_all: u32,
    phase: Phase,
    /// Operators who want it, whatever else.
    requests: Vec<RequestId>,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { until_ms: u64 },
    Running(FenceId),
    Backoff { until_ms: u64 },
}

/// What its success will prove.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    target: NodeId,
    /// Lives up to this had begun before.
    life: Incarnation,
    /// Doubts up to this existed before.
    doubt: u64,
}

impl Fencing {
    /// Of a daemon that starts: what it remembers is no news.
    pub(super) fn knowing(facts: &Facts, nodes: impl Iterator<Item = NodeId>) -> Self {
        let past = |node| {
            let ended = Some(fenced_life(facts, node)?);
            let past = Past {
                ended,
                ..Past::default()
            };
            Some((node, past))
        };
        Self {
            past: nodes.filter_map(past).collect(),
            ..Self::default()
        }
    }

    /// An attempt on `node` is under way.
    pub(super) fn is_running(&self, node: NodeId) -> bool {
        self.running.values().any(|attempt| attempt.target == node)
    }

    /// For the heartbeat.
    pub(super) fn brief(&self) -> BTreeMap<NodeId, FenceBrief> {
        let targets = self.running.values().map(|attempt| &attempt.target);
        let nodes: BTreeSet<NodeId> = self.jobs.keys().chain(targets).copied().collect();
        let brief = |node: &NodeId| FenceBrief {
            failed: self.jobs.get(node).map_or(0, |job| job.failed),
            running: self.is_running(*node),
        };
        nodes.iter().map(|node| (*node, brief(node))).collect()
    }

    /// The node was fenced, and replicates or is heard by somebody.
    pub(super) fn returned(&mut self, node: NodeId, now_ms: u64) {
        self.past.entry(node).or_default().returned_ms = Some(now_ms);
    }

    /// For people.
    pub(super) fn status(&self) -> Vec<FenceStatus> {
        let open = self.jobs.iter().map(|(node, job)| FenceStatus {
            target: *node,
            began_ms: job.began_ms,
            failed: job.failed,
            phase: match job.phase {
                Phase::Waiting { .. } => FencePhase::Waiting,
                Phase::Running(_) => FencePhase::Running,
                Phase::Backoff { .. } => FencePhase::Backoff,
            },
            detail: job.detail.clone(),
        });
        open.chain(self.history.iter().cloned()).collect()
    }

    /// Attempts that the host was asked for and did not answer.
    #[must_use]
    pub(super) fn in_flight(&self) -> usize {
        self.running.len()
    }
}

/// The latest life of a node that a device ended.
fn fenced_life(facts: &Facts, node: NodeId) -> Option<Incarnation> {
    match facts.of(node).over {
        Some((life, Ending::Fenced)) => Some(life),
        _ => None,
    }
}

impl Core {
    /// Notes which fencings were confirmed, here or elsewhere.
    fn note_fenced(&mut self, node: NodeId) {
        if let Some(life) = fenced_life(&self.memory.facts, node) {
            let past = self.fencing.past.entry(node).or_default();
            if past.ended.replace(life) != Some(life) {
                past.ended_ms = Some(self.now_ms);
                past.ended_count = past.ended_count.saturating_add(1);
            }
        }
        if self.is_member(node) {
            if let Some(past) = self.fencing.past.get_mut(&node) {
                past.ended_count = 0;
            }
        }
    }

    /// How long a node that was fenced may take to be heard. A device that is slow ends the life that just began as well, and a
    /// node that boots as fast as its patience ends would be shot again for ever: each time it gets twice as long.
    fn boot_patience_ms(&self, node: NodeId) -> u64 {
        let past = self.fencing.past.get(&node);
        let doublings = past
            .map_or(0, |past| past.ended_count)
            .saturating_sub(1)
            .min(BOOT_DOUBLINGS_MAX);
        self.cluster.timing.initdead_ms << doublings
    }

    /// Begins, goes on with and takes back fencings.
    pub(super) fn fence(&mut self) {
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            self.note_fenced(node);
            match self.why_fence(node) {
                Some(why) => self.want_fenced(node, why),
                None => self.unwant_fenced(node),
            }
        }
        let due: Vec<NodeId> = self.fencing.jobs.keys().copied().collect();
        for node in due {
            self.attempt_if_due(node);
        }
    }

    /// Why `node` has to be fenced: it is silent, outside of a view with quorum, and may own something.
    fn why_fence(&self, node: NodeId) -> Option<String> {
        let timing = &self.cluster.timing;
        let lives = self.memory.facts.of(node);
        let never = lives.active == Incarnation::NEVER && self.life(node) == Incarnation::NEVER;
        let left = matches!(lives.over, Some((_, Ending::Left)));
        let early = self.now_ms.saturating_sub(self.started_ms) < timing.initdead_ms;
        let recent = |at: Option<u64>, limit_ms: u64| {
            at.is_some_and(|at| self.now_ms.saturating_sub(at) < limit_ms)
        };
        let past = self.fencing.past.get(&node).copied().unwrap_or_default();
        let boots = recent(past.returned_ms, timing.initdead_ms);
        let patience_ms = self.boot_patience_ms(node);
        let just_fenced = recent(past.ended_ms, patience_ms);
        let spared = !self.cluster.is_host(node)
            || self.hears(node)
            || self.is_member(node)
            || (lives.is_inert() && !(left && self.handler.waits_for(node)))
            || (never && early)
            || (boots && !self.handler.waits_for(node))
            || just_fenced
            || self.memory.overrides.is(Key::Maintenance);
        if spared {
            return None;
        }
        let allowed = self.may_act().is_ok() || planted::is(Bug::FenceWithoutQuorum);
        allowed.then(|| {
            let name = self.name(node);
            if never {
                format!("{name} was never heard and may own something")
            } else {
                format!("{name} is silent and may own something")
            }
        })
    }

    fn want_fenced(&mut self, node: NodeId, why: String) {
        if self.fencing.jobs.contains_key(&node) {
            return;
        }
        let delay_ms = self.fence_delay_ms(node);
        self.event(EventKind::Fencing, Some(node), None, || {
            format!("{why}: to be fenced, after {delay_ms} ms")
        });
        let job = Job {
            began_ms: self.now_ms,
            failed: 0,
            failed_by_all: self.failed_elsewhere(node),
            phase: Phase::Waiting {
                until_ms: self.now_ms + delay_ms,
            },
            requests: Vec::new(),
            detail: why,
        };
        self.fencing.jobs.insert(node, job);
    }

    fn unwant_fenced(&mut self, node: NodeId) {
        let wanted = |job: &Job| !job.requests.is_empty();
        if self.fencing.jobs.get(&node).is_none_or(wanted) {
            return;
        }
        let Some(job) = self.fencing.jobs.remove(&node) else {
            return;
        };
        if let Phase::Running(id) = job.phase {
            self.out.push(Effect::CancelFence { id });
        }
        self.remember(node, &job, FencePhase::Cancelled);
        self.event(EventKind::Fencing, Some(node), None, || {
            "fencing is not needed, or not allowed, any more".to_owned()
        });
    }

    /// Of two nodes each would fence the other: the less valuable one waits longer. A majority has no rival.
    fn fence_delay_ms(&mut self, node: NodeId) -> u64 {
        if !self.cluster.quorum.two_node {
            return 0;
        }
        let rules = &self.cluster.fencing;
        let peer = self.peers.get(&node).and_then(|peer| peer.report.as_ref());
        let (theirs, mine) = (peer.map_or(0, |report| report.value), self.value());
        let behind = theirs > mine || (theirs == mine && self.me > node);
        let priority_ms = if behind { rules.delay_priority_ms } else { 0 };
        let (base_ms, random_ms) = (rules.delay_base_ms, rules.delay_random_ms);
        base_ms + priority_ms + self.draw(random_ms)
    }

    /// A number up to `limit` that differs between nodes and lives.
    fn draw(&mut self, limit: u64) -> u64 {
        self.fencing.draws += 1;
        let seed = self.incarnation.0 ^ (u64::from(self.me.0) << 48) ^ (self.fencing.draws << 32);
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (limit.saturating_add(1))
    }

    /// Somebody's attempt on `node` is under way. It can't be taken back: what that node begins now ends soon.
    pub(super) fn is_being_fenced(&self, node: NodeId) -> bool {
        if planted::is(Bug::ForgetIncarnation) {
            return false;
        }
        let mut others = self.peers.keys();
        self.fencing.is_running(node) || others.any(|other| self.has_attempt_on(*other, node))
    }

    /// `other` says that an attempt of its on `node` is under way.
    fn has_attempt_on(&self, other: NodeId, node: NodeId) -> bool {
        let report = self.report(other);
        let brief = report.and_then(|report| report.fencing.get(&node));
        brief.is_some_and(|brief| brief.running)
    }

    /// Attempts of other members on `node` that failed.
    fn failed_elsewhere(&self, node: NodeId) -> u32 {
        let reports = self
            .peers
            .keys()
            .filter_map(|other| self.report(*other)?.fencing.get(&node));
        reports.map(|brief| brief.failed).sum()
    }

    fn fence_levels(&self, node: NodeId) -> u32 {
        u32::from(self.cluster.fencing.levels.get(&node).copied().unwrap_or(0))
    }

    /// Pause after so many failed attempts: longer after each round through the levels.
    fn backoff_ms(&self, node: NodeId, failed: u32) -> u64 {
        let rounds = failed.saturating_sub(1) / self.fence_levels(node).max(1);
        if failed >= self.cluster.fencing.attempts_max {
            BACKOFF_MAX_MS
        } else {
            (BACKOFF_MIN_MS << rounds.min(6)).min(BACKOFF_MAX_MS)
        }
    }

    fn attempt_if_due(&mut self, node: NodeId) {
        let elsewhere = self.failed_elsewhere(node);
        let Some(job) = self.fencing.jobs.get(&node) else {
            return;
        };
        let failed = job.failed.saturating_add(elsewhere);
        if failed > job.failed_by_all && !matches!(job.phase, Phase::Running(_)) {
            // Another one tried in vain: the pause is everybody's.
            let until_ms = self.now_ms + self.backoff_ms(node, failed);
            if let Some(job) = self.fencing.jobs.get_mut(&node) {
                job.failed_by_all = failed;
                job.phase = Phase::Backoff { until_ms };
            }
            return;
        }
        let manual = !job.requests.is_empty();
        if self.is_fenced_by_member(node) && !manual {
            self.wait_anew(node);
            return;
        }
        let due = match job.phase {
            Phase::Running(_) => false,
            Phase::Waiting { until_ms } | Phase::Backoff { until_ms } => {
                manual || self.is_my_turn(node, failed, until_ms)
            }
        };
        if !due || self.fencing.is_running(node) {
            return;
        }
        if self.fence_levels(node) == 0 {
            self.attempt_failed(node, "no fence device is configured for it");
            return;
        }
        self.attempt(node, failed);
    }

    /// An attempt of another member on `node` is under way.
    fn is_fenced_by_member(&self, node: NodeId) -> bool {
        let view = self.membership.view.as_ref();
        let members = view.iter().flat_map(|view| view.members.keys());
        let mut others = members.filter(|other| **other != self.me);
        others.any(|other| self.has_attempt_on(*other, node))
    }

    /// While another one is at it, everybody's patience begins anew: whoever it is may die with it, and then not all go at once.
    fn wait_anew(&mut self, node: NodeId) {
        let now_ms = self.now_ms;
        if let Some(job) = self.fencing.jobs.get_mut(&node) {
            match &mut job.phase {
                Phase::Running(_) => {}
                Phase::Waiting { until_ms } | Phase::Backoff { until_ms } => {
                    *until_ms = now_ms.max(*until_ms);
                }
            }
        }
    }

    fn attempt(&mut self, node: NodeId, failed: u32) {
        let id = self.fresh_fence();
        let lives = self.memory.facts.of(node);
        let attempt = Attempt {
            target: node,
            life: lives.active.max(self.life(node)),
            doubt: lives.doubt,
        };
        self.fencing.running.insert(id, attempt);
        if let Some(job) = self.fencing.jobs.get_mut(&node) {
            job.phase = Phase::Running(id);
        }
        self.urgent = true;
        // Below the number of levels, which is a u8.
        let level = u8::try_from(failed % self.fence_levels(node).max(1)).unwrap_or(0);
        self.flush_memory();
        self.out.push(Effect::Fence {
            id,
            target: node,
            level,
        });
        let name = self.name(node).to_owned();
        self.event(EventKind::Fencing, Some(node), None, || {
            format!("fencing {name}, level {level}, attempt {}", failed + 1)
        });
    }

    /// The coordinator tries every level first, then the next member by ids, and so on in a circle. Whoever is not next waits
    /// longer, in case that the one who is can't.
    fn is_my_turn(&self, node: NodeId, failed: u32, until_ms: u64) -> bool {
        let members = self
            .membership
            .view
            .iter()
            .flat_map(|view| view.members.keys());
        let mut order: Vec<NodeId> = members.copied().collect();
        order.sort_by_key(|other| (Some(*other) != self.coordinator(), *other));
        let count = order.len().max(1);
        let turn = usize::try_from(failed / self.fence_levels(node).max(1)).unwrap_or(0) % count;
        let mine = order
            .iter()
            .position(|other| *other == self.me)
            .unwrap_or(0);
        let behind = (mine + count - turn) % count;
        // One that a member hears has just booted, or the network is broken between it and some: they may find together.
        let heard = order.iter().any(|other| {
            let life = self
                .report(*other)
                .and_then(|report| report.hears.get(&node));
            life.is_some_and(|life| !self.memory.facts.of(node).is_over(*life))
        });
        let turns = u64::try_from(behind).unwrap_or(0) + u64::from(heard);
        let patience_ms = self.cluster.timing.deadtime_ms * turns;
        self.now_ms >= until_ms + patience_ms
    }

    fn attempt_failed(&mut self, node: NodeId, detail: &str) {
        let attempts_max = self.cluster.fencing.attempts_max;
        let all = self.failed_elsewhere(node);
        let all = all + self.fencing.jobs.get(&node).map_or(0, |job| job.failed) + 1;
        let backoff_ms = self.backoff_ms(node, all);
        let Some(job) = self.fencing.jobs.get_mut(&node) else {
            return;
        };
        job.failed = job.failed.saturating_add(1);
        job.failed_by_all = all;
        job.phase = Phase::Backoff {
            until_ms: self.now_ms + backoff_ms,
        };
        let repeated = job.detail == detail;
        detail.clone_into(&mut job.detail);
        let alarm = all == attempts_max;
        let failed = all;
        for id in std::mem::take(&mut job.requests) {
            let text = format!(
                "fencing failed: {detail}; drbd-hactl confirm-fenced if you know that it is off"
            );
            self.out.push(Effect::Reply {
                id,
                reply: Reply::Refused(text),
            });
        }
        self.urgent = true;
        let kind = if alarm {
            EventKind::Alarm
        } else {
            EventKind::Fencing
        };
        if alarm || !repeated {
            let detail = detail.to_owned();
            self.event(kind, Some(node), None, || {
                format!("fencing failed {failed} times: {detail}")
            });
        }
    }

    /// The host has the result of an attempt.
    pub(super) fn fence_done(&mut self, id: FenceId, result: Result<(), String>) {
        let Some(mut attempt) = self.fencing.running.remove(&id) else {
            return;
        };
        let node = attempt.target;
        match result {
            Ok(()) => {
                if planted::is(Bug::ForgetIncarnation) {
                    let lives = self.memory.facts.of(node);
                    attempt.life = self.life(node).max(lives.active);
                    attempt.doubt = lives.doubt;
                }
                self.life_ended(node, attempt.life, attempt.doubt);
                self.finish_job(node, "the device confirmed it");
            }
            Err(detail) => {
                let job = self.fencing.jobs.get(&node);
                if job.is_some_and(|job| job.phase == Phase::Running(id)) {
                    self.attempt_failed(node, &detail);
                }
            }
        }
    }

    /// The operator vouches for it.
    pub(super) fn confirm_fenced(&mut self, node: NodeId) {
        let lives = self.memory.facts.of(node);
        let life = lives.active.max(self.life(node));
        self.life_ended(node, life, lives.doubt);
        self.finish_job(node, "confirmed by the operator");
    }

    fn life_ended(&mut self, node: NodeId, life: Incarnation, doubt: u64) {
        self.memory.facts.end(node, life, Ending::Fenced);
        self.memory.facts.settle(node, doubt);
        self.persist = true;
        self.urgent = true;
        let name = self.name(node).to_owned();
        self.event(EventKind::Fencing, Some(node), None, || {
            format!("{name} is fenced ({life} is over)")
        });
    }

    fn finish_job(&mut self, node: NodeId, detail: &str) {
        let Some(mut job) = self.fencing.jobs.remove(&node) else {
            return;
        };
        detail.clone_into(&mut job.detail);
        self.flush_memory();
        for id in std::mem::take(&mut job.requests) {
            self.out.push(Effect::Reply {
                id,
                reply: Reply::Done(format!("{} is fenced: {detail}", self.name(node))),
            });
        }
        self.remember(node, &job, FencePhase::Done);
    }

    fn remember(&mut self, node: NodeId, job: &Job, phase: FencePhase) {
        self.fencing.history.push_front(FenceStatus {
            target: node,
            began_ms: job.began_ms,
            failed: job.failed,
            phase,
            detail: job.detail.clone(),
        });
        self.fencing.history.truncate(HISTORY);
    }

    /// An operator wants `node` fenced.
    pub(super) fn fence_by_hand(&mut self, id: RequestId, node: NodeId) {
        self.want_fenced(node, "the operator wants it".to_owned());
        let now_ms = self.now_ms;
        if let Some(job) = self.fencing.jobs.get_mut(&node) {
            job.requests.push(id);
            match job.phase {
                Phase::Running(_) => {}
                Phase::Waiting { .. } | Phase::Backoff { .. } => {
                    job.phase = Phase::Waiting { until_ms: now_ms };
                }
            }
        }
    }

    /// Whoever asked is gone.
    pub(super) fn fence_request_gone(&mut self, id: RequestId) {
        for job in self.fencing.jobs.values_mut() {
            job.requests.retain(|request| *request != id);
        }
    }
}
