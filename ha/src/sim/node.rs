// SPDX-License-Identifier: GPL-2.0-or-later
//! One machine of the world: its power, its daemon, what runs on it.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Agents;
use crate::core::effect::Action;
use crate::core::id::{ActionId, GroupId, Incarnation, NodeId, RequestId, ViewId};
use crate::core::input::Input;
use crate::core::memory::{BootMemory, Memory};
use crate::core::Core;

/// Why the core was asked something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// A Primary lost its peer: number of the resource.
    PeerLost(usize),
    /// A promotion without a peer.
    Promote(ActionId),
    /// The operator.
    Operator,
}

/// One machine.
#[derive(Debug)]
pub(super) struct SimNode {
    /// Has power and has booted.
    pub(super) on: bool,
    /// Counts power-ons: a planned one of before is void.
    pub(super) boots: u64,
    pub(super) frozen: bool,
    /// What came while it was frozen.
    pub(super) late: Vec<Input>,
    pub(super) core: Option<Box<Core>>,
    /// Counts daemons: what was meant for an earlier one is void.
    pub(super) daemons: u64,
    pub(super) incarnation: Incarnation,
    pub(super) memory: Option<Memory>,
    pub(super) boot_memory: BootMemory,
    /// Resources that are, or may be, active.
    pub(super) active: BTreeSet<(GroupId, u16)>,
    /// Actions under way.
    pub(super) actions: BTreeMap<ActionId, Action>,
    pub(super) asked: BTreeMap<RequestId, Asked>,
    /// Promotions whose handler has answered.
    pub(super) answered: BTreeSet<ActionId>,
    pub(super) agents: BTreeMap<GroupId, Agents>,
    /// The daemon ends between two effects of the step after so many.
    pub(super) crash_after: Option<usize>,
    /// And starts again after this.
    pub(super) restart_ms: u64,
    pub(super) tick_ms: Option<u64>,
    /// Its clock: offset, and so many millionths too fast.
    pub(super) clock_ms: u64,
    pub(super) drift_ppm: i64,
    /// When others were heard last, by delivered messages.
    pub(super) heard_ms: BTreeMap<NodeId, u64>,
    /// Whom it met since it booted.
    pub(super) met: BTreeSet<NodeId>,
    /// The operator gave it quorum since it booted.
    pub(super) overridden: bool,
    /// The view its core was in last.
    pub(super) view: Option<ViewId>,
}

impl SimNode {
    pub(super) fn new(clock_ms: u64, drift_ppm: i64) -> Self {
        SimNode {
            on: false,
            boots: 0,
            frozen: false,
            late: Vec::new(),
            core: None,
            daemons: 0,
            incarnation: Incarnation(0),
            memory: None,
            boot_memory: BootMemory::default(),
            active: BTreeSet::new(),
            actions: BTreeMap::new(),
            asked: BTreeMap::new(),
            answered: BTreeSet::new(),
            agents: BTreeMap::new(),
            crash_after: None,
            restart_ms: 0,
            tick_ms: None,
            clock_ms,
            drift_ppm,
            heard_ms: BTreeMap::new(),
            met: BTreeSet::new(),
            overridden: false,
            view: None,
        }
    }

    fn drifted(&self, ms: u64) -> u64 {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX / 2_000_000);
        u64::try_from(ms + ms * self.drift_ppm / 1_000_000).unwrap_or(0)
    }

    /// Its own clock at `now_ms` of the world.
    pub(super) fn time(&self, now_ms: u64) -> u64 {
        self.clock_ms + self.drifted(now_ms)
    }

    /// When in the world its clock shows `own_ms`, not before `now_ms`.
    pub(super) fn world_time(&self, own_ms: u64, now_ms: u64) -> u64 {
        let ahead = own_ms.saturating_sub(self.time(now_ms));
        now_ms + ahead + ahead / 10 + 1
    }

    /// Executes instructions.
    pub(super) fn runs(&self) -> bool {
        self.on && !self.frozen
    }

    /// What of `group` may be active.
    pub(super) fn has(&self, group: GroupId) -> bool {
        self.active
            .range((group, 0)..=(group, u16::MAX))
            .next()
            .is_some()
    }

    /// The daemon is gone, with everything that it remembered only in memory.
    pub(super) fn daemon_gone(&mut self) {
        self.core = None;
        self.daemons += 1;
        self.actions.clear();
        self.asked.clear();
        self.answered.clear();
        self.tick_ms = None;
        self.late.clear();
        self.crash_after = None;
    }

    /// The power is gone.
    pub(super) fn power_off(&mut self) {
        self.daemon_gone();
        self.on = false;
        self.frozen = false;
        self.boots += 1;
        self.active.clear();
        self.boot_memory = BootMemory::default();
        self.met.clear();
        self.heard_ms.clear();
        self.overridden = false;
    }

    pub(super) fn agents(&self, group: GroupId) -> Agents {
        self.agents.get(&group).copied().unwrap_or(Agents::Work)
    }
}
