// SPDX-License-Identifier: GPL-2.0-or-later
//! Two nodes, the network between them, and chance that decides what happens next.

use super::{
    equality::Equality,
    heap::Rng,
    kind::Kind,
    metadata::{self, MdSetup},
    model::Model,
    net::Wire,
    node::{Node, Phase, Vol},
};
use drbd_core::{
    meta::Format,
    state::{Conn, Role},
    wire::{dialect::Features, handshake::ReplicationProtocol},
};

/// How two nodes are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) sectors: u64,
    pub(crate) volumes: usize,
    pub(crate) format: Format,
    pub(crate) max_peers: u32,
    pub(crate) al_slots: usize,
    /// Both disks begin equal and UpToDate.
    pub(crate) synced: bool,
}

#[cfg(test)]
impl Setup {
    pub(crate) fn new(seed: u64) -> Self {
        Setup {
            seed,
            sectors: 96 * 2048,
            volumes: 1,
            format: Format::V08,
            max_peers: 1,
            al_slots: 6,
            synced: false,
        }
    }

    pub(crate) fn synced(seed: u64) -> Self {
        Setup {
            synced: true,
            ..Setup::new(seed)
        }
    }
}

/// Steps between two looks at what the disks hold.
const LOOK_EVERY: u64 = 8;

/// The world.
pub(crate) struct World {
    pub(crate) nodes: [Node; 2],
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) wire: Option<Wire>,
    pub(crate) wires: u64,
    /// The network works.
    pub(crate) link_up: bool,
    pub(crate) model: Model,
    equality: Vec<Equality>,
    pub(crate) next_id: u64,
    pub(crate) steps: u64,
    /// Steps that never are chosen, to hold something back.
    pub(crate) hold_io: [bool; 2],
    pub(crate) hold_md: [bool; 2],
    /// What is on its way to this node, even the end, does not arrive.
    pub(crate) stalled: [bool; 2],
    /// Nothing happens on this node.
    pub(crate) frozen: [bool; 2],
    /// Only one step in so many lets something arrive; 0 for a fast network.
    pub(crate) slow: u64,
    /// Faults are over: everybody does what leads to rest.
    pub(crate) calm: bool,
    pub(crate) trace: bool,
    /// The protocol that the administrator set last.
    pub(crate) protocol: Option<ReplicationProtocol>,
    /// What both nodes offer.
    pub(crate) features: Features,
    #[cfg(test)]
    pub(crate) blocks_resynced_from: u64,
}

/// So many steps after the faults stopped, and fewer blocks differ: more is no resync, not even a full one that begins
/// when but few blocks were left.
const STEPS_WITHOUT_PROGRESS: u32 = 1_500_000;

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut rng = Rng::new(setup.seed);
        let md = MdSetup {
            format: setup.format,
            max_peers: setup.max_peers,
            al_slots: setup.al_slots,
            node_id: 0,
        };
        let sizes = vec![setup.sectors; setup.volumes];
        let mut nodes = [0, 1].map(|index| Node::new(index, &sizes, md, &mut rng));
        let uuid = setup.synced.then(|| rng.next() & !1 | 1 << 63);
        for node in &mut nodes {
            for vol in &mut node.vols {
                metadata::create(&mut vol.disk, &vol.md.clone(), uuid);
            }
        }
        World {
            nodes,
            rng,
            now: 1000,
            wire: None,
            wires: 0,
            protocol: None,
            features: Features::TRIM
                .union(Features::THIN_RESYNC)
                .union(Features::WSAME)
                .union(Features::WZEROES),
            link_up: true,
            model: Model::new(setup.volumes),
            equality: (0..setup.volumes).map(|_| Equality::default()).collect(),
            next_id: 1,
            steps: 0,
            hold_io: [false; 2],
            hold_md: [false; 2],
            stalled: [false; 2],
            frozen: [false; 2],
            slow: 0,
            calm: false,
            trace: std::env::var_os("ENGINE_TRACE").is_some(),
            #[cfg(test)]
            blocks_resynced_from: 0,
        }
    }

    /// The network breaks: what is on the way may arrive or not.
    pub(crate) fn cut(&mut self) {
        if let Some(wire) = &mut self.wire {
            for pipe in &mut wire.to {
                pipe.eof = true;
                let keep = self.rng.below(pipe.data.len() as u64 + 1) as usize;
                pipe.data.truncate(keep);
                let keep = self.rng.below(pipe.meta.len() as u64 + 1) as usize;
                pipe.meta.truncate(keep);
            }
        }
    }

    /// Tells every step, or stops doing so.
    pub(crate) fn set_trace(&mut self, trace: bool) {
        self.trace |= trace;
        for node in &mut self.nodes {
            node.trace = self.trace;
        }
    }

    /// Node `n` dies.
    pub(crate) fn crash(&mut self, n: usize, power_cut: bool) {
        if self.trace {
            eprintln!("{n} crashes, power cut {power_cut}");
        }
        if matches!(self.nodes[n].phase, Phase::Joined(_)) {
            self.leave_wire(n);
        } else {
            self.hang_up(n);
        }
        self.collect();
        self.nodes[n].crash(power_cut, &mut self.rng);
        for vol in &self.nodes[n].vols {
            metadata::check_attachable(&vol.disk);
        }
        self.model.crashed(n, &self.nodes);
        self.frozen[n] = false;
        self.stalled[n] = false;
    }

    /// Node `n` goes that had connected perhaps, but not said a word yet.
    pub(crate) fn hang_up(&mut self, n: usize) {
        if let Some(wire) = &mut self.wire {
            wire.to[1 - n].eof = true;
        }
    }

    /// It comes back, without disks and connection.
    pub(crate) fn boot(&mut self, n: usize) {
        self.nodes[n].up = true;
    }

    fn collect(&mut self) {
        for n in 0..2 {
            for completion in core::mem::take(&mut self.nodes[n].completions) {
                if self.trace {
                    eprintln!("{n} completes {completion:?}");
                }
                let v = self.model.volume_of(&completion);
                self.check_frozen(n, &completion, v);
                self.model.completed(n, &completion, &self.nodes);
            }
        }
    }

    /// One random step; false if there is none that gets on.
    pub(crate) fn step(&mut self) -> bool {
        let mut steps = self.enabled();
        while !steps.is_empty() {
            let pick = self.rng.below(steps.len() as u64) as usize;
            let step = steps.swap_remove(pick);
            let before = if self.trace {
                self.states()
            } else {
                Vec::new()
            };
            if self.perform(step) {
                self.steps += 1;
                if self.trace {
                    eprintln!("{} {step:?}", self.steps);
                    self.tell_changes(&before);
                }
                self.collect();
                self.check_findings();
                self.model.observe(&self.nodes);
                self.check();
                if self.steps % LOOK_EVERY == 0 {
                    for (v, equality) in self.equality.iter_mut().enumerate() {
                        equality.look(&mut self.nodes, v);
                    }
                }
                return true;
            }
        }
        false
    }

    /// What may never be.
    fn check(&self) {
        let joined = |n: usize| self.nodes[n].up && matches!(self.nodes[n].phase, Phase::Joined(_));
        if !joined(0) || !joined(1) {
            return;
        }
        for v in 0..self.nodes[0].vols.len() {
            let [a, b] = [0, 1].map(|n: usize| self.nodes[n].vols[v].volume.state());
            let connected = a.conn >= Conn::Connected && b.conn >= Conn::Connected;
            assert!(
                !connected
                    || a.role != Role::Primary
                    || b.role != Role::Primary
                    || self.nodes[0].kind == Kind::TwoPrimaries,
                "both are Primary"
            );
        }
    }

    /// What online verify reports is so.
    fn check_findings(&mut self) {
        for n in 0..2 {
            for v in 0..self.nodes[n].vols.len() {
                for (sector, len) in core::mem::take(&mut self.nodes[n].vols[v].unequal) {
                    let [a, b] = [0, 1].map(|n: usize| &self.nodes[n].vols[v].disk);
                    let differs = (sector..sector + len).any(|at| a.tag(at) != b.tag(at));
                    // Both nodes report it.
                    for node in &mut self.nodes {
                        let differed = &mut node.vols[v].differed;
                        differed.remove(&sector);
                        differed.extend(Some(sector).filter(|_| differs));
                    }
                }
            }
            for (v, range) in core::mem::take(&mut self.nodes[n].findings) {
                let differed = &self.nodes[n].vols[v].differed;
                let mut blocks = (range.sector..range.sector + range.sectors).step_by(8);
                assert!(
                    blocks.all(|at| differed.contains(&at)),
                    "node {n}, volume {v}: verify finds a difference in {range:?}, where none is"
                );
            }
        }
    }

    fn sectors_left(&self) -> u64 {
        let vols = self.nodes.iter().flat_map(|node| &node.vols);
        vols.map(|vol| vol.volume.snapshot())
            .map(|status| status.out_of_sync_sectors + status.verify.left_sectors)
            .sum()
    }

    /// Runs until nothing moves; virtual time goes on as timers demand.
    pub(crate) fn settle(&mut self) {
        let mut budget = STEPS_WITHOUT_PROGRESS;
        let mut least = u64::MAX;
        let until = self.now + 600_000;
        loop {
            if self.step() {
                budget -= 1;
                if budget % 1000 == 0 {
                    let left = self.sectors_left();
                    if left < least {
                        least = left;
                        budget = STEPS_WITHOUT_PROGRESS;
                    }
                }
                assert!(budget > 0, "it goes round in circles: {}", self.describe());
                continue;
            }
            match self.next_timer() {
                Some(at) => self.now = at.max(self.now + 1),
                None => return,
            }
            assert!(self.now < until, "it never gets done: {}", self.describe());
        }
    }

    pub(crate) fn next_timer(&self) -> Option<u64> {
        let mut timers: Vec<u64> = Vec::new();
        for node in self.nodes.iter().filter(|node| node.up) {
            timers.extend(node.vols.iter().filter_map(|vol| vol.tick_ms));
            timers.extend(node.vols.iter().filter_map(Vol::watch_at));
            if node.queues.send.may_forgive() && matches!(node.phase, Phase::Joined(_)) {
                timers.push(node.forgive_ms);
            }
            if let Some(super::admin::Admin::Role { wake_ms, .. }) = node.admin {
                timers.extend(Some(wake_ms).filter(|at| *at > self.now));
            }
        }
        timers.into_iter().min()
    }

    /// Writes that lost a conflict, since their nodes came up.
    pub(crate) fn conflicts(&self) -> u64 {
        self.nodes.iter().map(|node| node.queues.rejected).sum()
    }

    /// Some steps.
    pub(crate) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            if !self.step() {
                return;
            }
        }
    }
}
