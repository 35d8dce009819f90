// SPDX-License-Identifier: GPL-2.0-or-later
//! What a correct system may return: the oracle for acknowledged writes.
//!
//! For each node, what its data may be if it were promoted: for every sector the set of tags that
//! are possible. A write under way is possible on top of what was there; an acknowledged one is
//! certain, on the node itself and, if it was mirrored with protocol C, on the peer; with protocol
//! B on the peer as well, unless that one dies.

use super::{
    disk::Payload,
    durability::Unflushed,
    kind::Kind,
    node::{AppReq, Completion, Node, Phase},
    parted::Parted,
    sectors::Sectors,
};
use drbd_core::{
    engine::{op::Action, volume::IoResult},
    state::{Conn, Disk},
    wire::handshake::ReplicationProtocol,
};
use smallvec::{smallvec, SmallVec};
use std::collections::BTreeMap;

/// Tags that one sector may hold: seldom more than two.
type Tags = SmallVec<[u64; 2]>;

/// What a sector may hold.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) tags: Tags,
    /// When a write of it was last acknowledged.
    pub(crate) settled: u64,
    /// What else it is if the node dies now: with protocol B a write is acknowledged before it is
    /// on the peer's disk.
    unless_it_dies: Vec<u64>,
    /// With two Primaries: writes that completed, by whom and when. Of two that were under way at
    /// once either may be the last.
    recent: Vec<(u64, usize, u64)>,
}

impl Default for Cell {
    fn default() -> Self {
        Cell {
            tags: smallvec![0],
            settled: 0,
            unless_it_dies: Vec::new(),
            recent: Vec::new(),
        }
    }
}

pub(crate) type Possible = Sectors<Cell>;

/// What a disk holds where nobody wrote, from the size on that it had in the beginning.
pub(crate) const GARBAGE: [u64; 3] = [0, u64::MAX - 1, u64::MAX];

#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) node: usize,
    volume: usize,
    pub(crate) req: AppReq,
    /// Mirrored, and by what protocol: the state and its count of changes when it was issued.
    mirrored: Option<ReplicationProtocol>,
    pub(crate) changes: u64,
    phase: Phase,
    /// When it was issued, and whether the own disk was good then.
    pub(crate) order: u64,
    own: bool,
    /// What a read may have seen before it became impossible.
    also: Vec<(u64, u64)>,
}

/// The oracle.
pub(crate) struct Model {
    /// `[node][volume]`
    pub(crate) views: [Vec<Possible>; 2],
    pending: Vec<Pending>,
    /// With two Primaries: writes that ended, or failed, where they came from after the connection had ended
    /// there, and that the other node, for which it has not, may still be sent.
    late: Vec<Pending>,
    disks: [Vec<Disk>; 2],
    /// `[node][volume]`
    pub(crate) unflushed: [Vec<Unflushed>; 2],
    parted: Parted,
    /// Counts requests and completions.
    order: u64,
    /// Writes of the application that failed.
    pub(crate) failed: u64,
    pub(crate) completed: u64,
    pub(crate) kind: Kind,
    /// Where what the disks hold begins to be unknown.
    pub(crate) unknown_from: u64,
}

impl Model {
    pub(crate) fn new(volumes: usize) -> Self {
        Model {
            views: [0, 1].map(|_| vec![Possible::default(); volumes]),
            pending: Vec::new(),
            late: Vec::new(),
            disks: [0, 1].map(|_| vec![Disk::Diskless; volumes]),
            unflushed: [0, 1].map(|_| vec![Unflushed::default(); volumes]),
            parted: Parted::new(volumes),
            order: 0,
            failed: 0,
            completed: 0,
            kind: Kind::Careful,
            unknown_from: u64::MAX,
        }
    }

    /// A policy may give up what was acknowledged, and say nothing.
    pub(crate) fn policies_decide(&mut self) {
        self.parted.ends();
    }

    fn is_dual(&self) -> bool {
        self.kind == Kind::TwoPrimaries
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The volume that a request was for.
    pub(crate) fn volume_of(&self, done: &Completion) -> usize {
        let is = |pending: &&Pending| pending.req.id == done.req.id;
        self.pending
            .iter()
            .find(is)
            .map_or(0, |pending| pending.volume)
    }

    fn add(view: &mut Possible, at: u64, tag: u64, unknown_from: u64) {
        let cell = view.or_insert_with(at, || {
            let mut cell = Cell::default();
            if at >= unknown_from {
                cell.tags = Tags::from_slice(&GARBAGE);
            }
            cell
        });
        let tags = &mut cell.tags;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }

    pub(crate) fn issued(&mut self, n: usize, v: usize, req: &AppReq, nodes: &[Node; 2]) {
        let state = nodes[n].vols[v].volume.state();
        let mirrored = (state.conn == Conn::Connected
            && state.pdsk == Disk::UpToDate
            && nodes[n].protocol != ReplicationProtocol::A
            && matches!(nodes[n].phase, Phase::Joined(_)))
        .then_some(nodes[n].protocol);
        self.order += 1;
        self.pending.push(Pending {
            order: self.order,
            own: state.disk == Disk::UpToDate,
            node: n,
            volume: v,
            req: *req,
            mirrored,
            changes: nodes[n].vols[v].changes,
            phase: nodes[n].phase,
            also: Vec::new(),
        });
        if !req.write || req.action == Action::Flush {
            return;
        }
        for view in &mut self.views {
            for at in req.sectors() {
                Self::add(&mut view[v], at, req.tag, self.unknown_from);
            }
        }
    }

    pub(crate) fn completed(&mut self, n: usize, done: &Completion, nodes: &[Node; 2]) {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.req.id == done.req.id)
            .unwrap_or_else(|| panic!("{:?} completed twice", done.req));
        let pending = self.pending.swap_remove(at);
        assert_eq!(pending.node, n);
        self.completed += 1;
        let v = pending.volume;
        let req = pending.req;
        let changes = req.write && req.action != Action::Flush;
        if done.result != IoResult::Done {
            self.failed += 1;
            if self.is_dual() && changes && pending.mirrored.is_some() {
                self.late.push(pending);
            }
            return;
        }
        if !req.write {
            let read = done.read.as_ref().expect("a successful read has data");
            self.check_read(n, v, read, &pending.also, nodes);
            return;
        }
        self.order += 1;
        let node = &nodes[n];
        // A peer whose disk has gone refuses: then the write is here alone.
        let steady = pending.mirrored.is_some()
            && nodes[1 - n].vols[v].volume.state().disk == Disk::UpToDate
            && nodes[1 - n].up
            && nodes[1 - n].phase == pending.phase
            && pending.changes == node.vols[v].changes
            && pending.phase == node.phase;
        // A disk that refuses a discard stays as good as it is, until it is known to fail; who is careless may promote it.
        let there = steady && (req.action == Action::Data || self.kind == Kind::Careful);
        let unchanged = pending.changes == node.vols[v].changes;
        if unchanged && req.action != Action::Flush {
            self.parted.wrote(n, v, nodes);
        }
        let own = pending.own && unchanged && node.vols[v].volume.state().disk == Disk::UpToDate;
        let written = steady && pending.mirrored == Some(ReplicationProtocol::C);
        if self.is_dual() && !steady && pending.mirrored.is_some() && req.action != Action::Flush {
            self.late.push(pending.clone());
        }
        for (view, holder) in nodes.iter().enumerate() {
            // A write that gave way to the peer's is on the own disk alone, and the peer's may not be
            // flushed there.
            let certain = if view == n {
                own
            } else {
                written && !self.is_dual()
            };
            if req.action == Action::Flush {
                if certain {
                    self.flushed(view, v, &pending, holder);
                }
                continue;
            }
            if view != n && !there {
                self.note_recent(view, v, n, &req, 0);
                continue;
            }
            // Without a disk here it is on the other's, and this one may come back as it is.
            if own || view != n || self.kind == Kind::Careful {
                let olds = self.settle(view, v, &pending, view == n || written);
                let other = nodes[1 - n].vols[v].volume.state();
                if view == n && !steady && self.is_dual() && other.disk < Disk::UpToDate {
                    // A resync may have brought it there before they parted.
                    for (at, tag) in req
                        .sectors()
                        .zip(&olds)
                        .flat_map(|(at, old)| old.iter().map(move |tag| (at, *tag)))
                    {
                        Self::add(&mut self.views[1 - n][v], at, tag, self.unknown_from);
                    }
                }
            }
            let oldest = self.pending.iter().map(|other| other.order).min();
            self.note_recent(view, v, n, &req, oldest.unwrap_or(self.order));
            if certain {
                self.unflushed[view][v].add(&pending, self.order);
            }
            if certain && req.bio.fua {
                let vol = &holder.vols[v];
                self.check_durable(view, v, &req, u64::MAX, &vol.disk);
            }
        }
    }

    /// The write is certain; others under way on the same sectors remain possible. Returns what was possible.
    fn settle(&mut self, view: usize, v: usize, done: &Pending, written: bool) -> Vec<Tags> {
        let req = &done.req;
        let late = self.late.iter().filter(|late| late.node != view);
        let others = self.pending.iter().chain(late).filter(|other| {
            let writes = other.req.write && other.req.action != Action::Flush;
            other.volume == v && writes && other.req.overlaps(req)
        });
        let others: Vec<AppReq> = others.map(|other| other.req).collect();
        let mut olds = Vec::with_capacity(req.len as usize);
        for at in req.sectors() {
            let mut tags: Tags = smallvec![req.tag];
            let cell = self.views[view][v].or_insert_with(at, Cell::default);
            let newer =
                |(_, node, when): &&(u64, usize, u64)| *node != done.node && *when > done.order;
            let recent = cell.recent.iter().filter(newer).map(|(tag, _, _)| *tag);
            let others = others.iter().filter(|other| other.sectors().contains(&at));
            for tag in recent.chain(others.map(|other| other.tag)) {
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
            let old = core::mem::replace(&mut cell.tags, tags);
            cell.settled = self.order;
            if written {
                cell.unless_it_dies.clear();
            } else {
                cell.unless_it_dies.extend_from_slice(&old);
            }
            olds.push(old);
        }
        let old = |at: u64| olds.get(at.checked_sub(req.sector)? as usize);
        self.remember(v, old);
        olds
    }

    /// Takes note of a write that completed, for those under way meanwhile.
    fn note_recent(&mut self, view: usize, v: usize, n: usize, req: &AppReq, oldest: u64) {
        if !self.is_dual() {
            return;
        }
        for at in req.sectors() {
            let cell = self.views[view][v].or_insert_with(at, Cell::default);
            let recent = &mut cell.recent;
            recent.retain(|(_, _, when)| *when > oldest);
            recent.push((req.tag, n, self.order));
        }
    }

    /// Reads that began earlier may return what is impossible from here on: the `old` tags of a sector.
    fn remember<'a>(&mut self, v: usize, old: impl Fn(u64) -> Option<&'a Tags>) {
        for read in self.pending.iter_mut() {
            if read.volume != v || read.req.write {
                continue;
            }
            for at in read.req.sectors() {
                let tags = old(at).into_iter().flatten();
                read.also.extend(tags.map(|tag| (at, *tag)));
            }
        }
    }

    fn check_read(
        &self,
        n: usize,
        v: usize,
        read: &Payload,
        also: &[(u64, u64)],
        nodes: &[Node; 2],
    ) {
        let own = nodes[n].vols[v].volume.state().disk == Disk::UpToDate;
        let tags: BTreeMap<u64, u64> = read.tags.iter().copied().collect();
        for at in read.sector..read.sector + read.len {
            let tag = tags.get(&at).copied().unwrap_or(0);
            let fits = |view: usize| match self.views[view][v].get(at) {
                _ if also.contains(&(at, tag)) => true,
                Some(cell) => cell.tags.contains(&tag),
                None => tag == 0 || at >= self.unknown_from && GARBAGE.contains(&tag),
            };
            // A Primary that lost its source in the middle of a resync has what it has, also while only the
            // source knows of that.
            let state = nodes[n].vols[v].volume.state();
            let unlinked = state.conn < Conn::Connected || state.pdsk < Disk::Inconsistent;
            let alone =
                self.kind != Kind::Careful && (unlinked || nodes[n].phase != nodes[1 - n].phase);
            assert!(
                fits(n) && (own || alone) || fits(1 - n) && !own || fits(n) && fits(1 - n),
                "node {n} read {tag} at {at}, possible were {:?} here and {:?} there",
                self.views[n][v].get(at).map(|cell| &cell.tags),
                self.views[1 - n][v].get(at).map(|cell| &cell.tags)
            );
        }
    }

    /// Node `n` is gone; what was under way there never ends. Of two Primaries the other one may have got it, and write
    /// it after its own.
    pub(crate) fn crashed(&mut self, n: usize, nodes: &[Node; 2]) {
        let (gone, left): (Vec<Pending>, _) = core::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.node == n);
        self.pending = left;
        let sent = |pending: &Pending| {
            pending.mirrored.is_some() && pending.req.write && pending.req.action != Action::Flush
        };
        if self.is_dual() {
            self.late.extend(gone.into_iter().filter(sent));
        }
        for (v, vol) in nodes[n].vols.iter().enumerate() {
            self.disks[n][v] = Disk::Diskless;
            let view = &mut self.views[n][v];
            let dying = view
                .iter()
                .filter(|(_, cell)| !cell.unless_it_dies.is_empty());
            let dying: Vec<u64> = dying.map(|(at, _)| at).collect();
            for at in dying {
                let cell = view.or_insert_with(at, Cell::default);
                cell.tags.extend(cell.unless_it_dies.drain(..));
            }
            for (at, tags) in &vol.disk.shaken {
                for tag in tags {
                    Self::add(&mut self.views[n][v], *at, *tag, self.unknown_from);
                }
            }
        }
    }

    /// A node that became UpToDate as a target has the source's data.
    pub(crate) fn observe(&mut self, nodes: &[Node; 2]) {
        self.parted.look(nodes);
        self.late.retain(|late| {
            // Until the connection has ended there, what was received is on its way to the disk.
            let phase = nodes[1 - late.node].phase;
            let ends = matches!(phase, Phase::Ending | Phase::Draining | Phase::Settling);
            phase == late.phase || ends
        });
        for (n, node) in nodes.iter().enumerate() {
            for (v, vol) in node.vols.iter().enumerate() {
                let disk = vol.volume.state().disk;
                let before = core::mem::replace(&mut self.disks[n][v], disk);
                if before == Disk::Inconsistent && disk == Disk::UpToDate {
                    let forced = vol.volume.state().conn != Conn::Connected;
                    if !forced {
                        let source = self.views[1 - n][v].clone();
                        let old = core::mem::replace(&mut self.views[n][v], source);
                        self.remember(v, |at| old.get(at).map(|cell| &cell.tags));
                    }
                }
            }
        }
    }

    /// The data of node `n` is something that it may be.
    pub(crate) fn check_disk(&self, n: usize, nodes: &[Node; 2]) {
        for (v, vol) in nodes[n].vols.iter().enumerate() {
            let capacity = vol.volume.capacity_sectors();
            for (at, cell) in self.views[n][v].iter() {
                let tag = if at < capacity { vol.disk.tag(at) } else { 0 };
                assert!(
                    cell.tags.contains(&tag),
                    "node {n} has {tag} at {at}, possible is {:?}",
                    cell.tags
                );
            }
        }
    }
}
