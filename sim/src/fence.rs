// SPDX-License-Identifier: GPL-2.0-or-later
//! Fencing: the handler takes a while, and what it says is true.
//!
//! It reaches the peer by another way than the replication link: a peer that runs outdates itself if
//! it may, and is shot if chance or need be; one that is down is said to be down. It may also fail.

use super::{
    kind::Kind,
    node::{Completion, Node},
    world::World,
};
use drbd_core::{
    config,
    engine::{
        fencing::{self, Call},
        op::Action,
        volume::IoResult,
    },
    state::{promote::Fenced, Conn, Disk, Fencing, OnNoData, Request, Role, State},
    wire::handshake::ReplicationProtocol,
};

/// A handler that runs.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    /// Connections of each volume when it was started.
    links: Vec<u32>,
    /// The peer was outdated; its superblock is still to be written.
    outdated: bool,
    /// A promotion waits for it.
    pub(crate) promotes: bool,
    /// The promotion's answer.
    pub(crate) result: Option<bool>,
}

impl Node {
    fn states(&self) -> Vec<State> {
        self.vols.iter().map(|vol| vol.volume.state()).collect()
    }

    /// Gives the volumes the options that their rules look at.
    pub(crate) fn update_context(&mut self) {
        for vol in &mut self.vols {
            let context = vol.volume.context_mut();
            context.fencing = self.fencing;
            context.on_no_data = self.on_no_data;
        }
    }

    /// A connection has ended.
    pub(crate) fn after_loss(&mut self, now: u64) {
        let states = self.states();
        if !fencing::is_due(states.iter().copied()) || self.handler.is_some() {
            return;
        }
        match fencing::call(states, self.fencing) {
            Call::Needless => {}
            Call::Unable => self.fencing_is_impossible(now),
            Call::Handler => self.start_handler(false),
        }
    }

    fn fencing_is_impossible(&mut self, now: u64) {
        for vol in &mut self.vols {
            vol.volume.fencing_is_impossible(&mut self.queues, now);
            vol.after();
        }
    }

    fn start_handler(&mut self, promotes: bool) {
        self.handler = Some(Handler {
            links: self.vols.iter().map(|vol| vol.volume.links()).collect(),
            outdated: false,
            promotes,
            result: None,
        });
    }

    /// A promotion needs a fenced peer: whether it is, once that is known.
    pub(crate) fn fence_for_promotion(&mut self, now: u64) -> Option<bool> {
        if let Some(handler) = &mut self.handler {
            if handler.promotes && handler.result.is_some() {
                return self.handler.take().and_then(|handler| handler.result);
            }
            return None;
        }
        match fencing::call(self.states(), self.fencing) {
            Call::Needless => Some(true),
            Call::Unable => {
                self.fencing_is_impossible(now);
                Some(false)
            }
            Call::Handler => {
                self.start_handler(true);
                None
            }
        }
    }

    /// `drbdadm outdate`; false if a volume refuses.
    fn outdate(&mut self, now: u64) -> bool {
        let request = Request::NONE.disk(Disk::Outdated);
        let may = |node: &Node| {
            node.vols
                .iter()
                .all(|vol| vol.volume.judge(request).is_ok() && vol.attached)
        };
        if self.admin.is_some() || !may(self) {
            return false;
        }
        for vol in &mut self.vols {
            let _ = vol.volume.request(request, &mut self.queues, now);
            vol.after();
        }
        true
    }

    fn outdated_is_durable(&self) -> bool {
        self.vols.iter().all(|vol| {
            let volume = &vol.volume;
            volume.md_is_durable(volume.md_version())
        })
    }

    /// Lets I/O go on, whatever had suspended it.
    pub(crate) fn resume_io(&mut self, now: u64) {
        self.resumed = true;
        for vol in &mut self.vols {
            vol.volume.resume_io(&mut self.queues, now);
            vol.after();
        }
    }

    /// Suspends I/O.
    pub(crate) fn suspend_io(&mut self, now: u64) {
        for vol in &mut self.vols {
            vol.volume.suspend_io(&mut self.queues, now);
            vol.after();
        }
    }
}

impl World {
    /// Draws what a long story is about.
    pub(crate) fn draw_fencing(&mut self, seed: u64) {
        let mut rng = super::heap::Rng::new(seed ^ 0xfe7ce);
        let fencing = rng.pick(&[
            Fencing::DontCare,
            Fencing::DontCare,
            Fencing::ResourceOnly,
            Fencing::ResourceAndStonith,
            Fencing::ResourceAndStonith,
        ]);
        // They do not go together.
        let stonith = fencing == Fencing::ResourceAndStonith;
        let fencing = if stonith && self.nodes[0].protocol == ReplicationProtocol::A {
            Fencing::ResourceOnly
        } else {
            fencing
        };
        let on_no_data = rng.pick(&[OnNoData::IoError, OnNoData::SuspendIo]);
        let on_io_error = rng.pick(&[
            config::OnIoError::Detach,
            config::OnIoError::Detach,
            config::OnIoError::CallHelper,
        ]);
        for node in &mut self.nodes {
            node.fencing = fencing;
            node.on_no_data = on_no_data;
            node.update_context();
            for vol in &mut node.vols {
                vol.options.on_io_error = on_io_error;
                vol.volume.set_disk_options(vol.options);
            }
        }
    }

    /// The handler of node `n` gets on.
    pub(crate) fn handler_step(&mut self, n: usize) -> bool {
        if !self.calm && !self.rng.one_in(6) {
            return true;
        }
        let Some(handler) = self.nodes[n].handler.clone() else {
            return false;
        };
        if handler.result.is_some() {
            return false;
        }
        let Some(code) = self.handler_code(n, &handler) else {
            return true;
        };
        if self.trace {
            eprintln!("{n}: fence-peer says {code}");
        }
        let now = self.now;
        let node = &mut self.nodes[n];
        let policy = node.fencing;
        let answer = fencing::answer(node.states(), code, policy);
        if let Fenced::Ask(request) | Fenced::AskSurprised(request) = answer {
            for (vol, links) in node.vols.iter_mut().zip(&handler.links) {
                let _ = vol
                    .volume
                    .fence_answer(*links, request, &mut node.queues, now);
                vol.after();
            }
        }
        let fenced = fencing::is_fenced(node.states());
        node.handler = handler.promotes.then_some(Handler {
            result: Some(fenced),
            ..handler
        });
        true
    }

    /// Its exit code, once it is known.
    fn handler_code(&mut self, n: usize, handler: &Handler) -> Option<u8> {
        let peer = &self.nodes[1 - n];
        if !self.calm && self.rng.one_in(12) {
            return Some(self.rng.pick(&[0, 1, 20]));
        }
        if !peer.up {
            return Some(5);
        }
        if handler.outdated {
            let gone = peer
                .states()
                .iter()
                .any(|state| state.disk > Disk::Outdated);
            return match (gone, peer.outdated_is_durable()) {
                (true, _) => Some(1),
                (false, true) => Some(4),
                (false, false) => None,
            };
        }
        let now = self.now;
        if self.nodes[1 - n].outdate(now) {
            if let Some(handler) = &mut self.nodes[n].handler {
                handler.outdated = true;
            }
            return None;
        }
        let stonith = self.nodes[n].fencing == Fencing::ResourceAndStonith;
        if stonith && !self.calm && self.rng.one_in(2) {
            let power_cut = self.rng.one_in(2);
            self.crash(1 - n, power_cut);
            self.hold_io[1 - n] = false;
            self.hold_md[1 - n] = false;
            return Some(7);
        }
        let primary = self.nodes[1 - n].state().role == Role::Primary;
        Some(if primary { 6 } else { 1 })
    }

    /// What was acknowledged while I/O is frozen for fencing is on the peer's disk as well, or the
    /// peer could be promoted without it.
    pub(crate) fn check_frozen(&self, n: usize, done: &Completion, v: usize) {
        let node = &self.nodes[n];
        let state = node.vols[v].volume.state();
        let alone = state.conn < Conn::Connected && state.pdsk > Disk::Outdated;
        // A careless administrator gives a Primary its old disk back while nothing is frozen, since it had none to protect.
        let counts = node.kind == Kind::Careful
            && node.fencing == Fencing::ResourceAndStonith
            && node.protocol == ReplicationProtocol::C
            && alone
            && state.disk >= Disk::Consistent
            && !node.resumed;
        let peer = &self.nodes[1 - n];
        // One without good data is not promoted; what it lacked before, being of an older generation, was no secret:
        // an I/O that ended before the connection did is told to the application only now.
        let generation = |node: &Node| {
            let disk = node.vols[v].volume.disk();
            disk.map(|disk| disk.superblock().current_uuid & !1)
        };
        let counts = counts
            && peer.up
            && peer.vols[v].volume.state().disk >= Disk::Consistent
            && generation(peer) == generation(node);
        let req = &done.req;
        if !counts || !req.write || req.action != Action::Data || done.result != IoResult::Done {
            return;
        }
        let disk = &peer.vols[v].disk;
        let tags: std::collections::BTreeMap<u64, u64> = disk
            .read(req.sector, req.len)
            .tags
            .iter()
            .copied()
            .collect();
        for at in req.sector..req.sector + req.len {
            assert!(
                tags.get(&at) == Some(&req.tag),
                "node {n}: {req:?} was acknowledged although the peer is neither fenced nor has it"
            );
        }
    }
}
