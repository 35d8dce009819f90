// SPDX-License-Identifier: GPL-2.0-or-later
//! What the application and the administrator of a random story do.

use super::{
    admin::Admin,
    kind::Kind,
    model::GARBAGE,
    node::{Node, Phase},
    story::Play,
};
use drbd_core::{
    engine::{op::Action, volume::Resize},
    state::{Conn, Disk, Fencing, Request, Role},
    uuid::{compare::compare, Compared, PeerUuids, UuidFlags},
};

/// Places where requests meet, at the beginning of a device.
const HOT_SECTORS: u64 = 64;

/// No request is longer than that.
const IO_SECTORS_MAX: u64 = 4096;

/// No online verify is of more.
const VERIFIED_SECTORS_MAX: u64 = 8192;

/// Control packets that may wait behind a network that stands still before no further command is given.
const CONTROLS_WAITING_MAX: usize = 16;

/// Whether what was asked for still waits for the network: who waits for an answer gives no further command.
pub(crate) fn is_stuck(node: &Node) -> bool {
    node.queues.send.len().max(node.queues.send.controls()) > CONTROLS_WAITING_MAX
}

impl Play {
    fn primary(&mut self) -> Option<usize> {
        // Of two Primaries each has its turn.
        let second = self.kind == Kind::TwoPrimaries && self.rng.one_in(2);
        let primary = |n: &usize| {
            let node = &self.world.nodes[*n];
            node.up && node.state().role == Role::Primary && node.admin.is_none()
        };
        let mut found = (0..2).filter(primary);
        if second {
            found.next_back()
        } else {
            found.next()
        }
    }

    pub(crate) fn io(&mut self) {
        let Some(n) = self.primary() else { return };
        if self.world.model.in_flight() > 60 {
            return;
        }
        let v = self.rng.below(self.volumes as u64) as usize;
        let volume = &self.world.nodes[n].vols[v].volume;
        let capacity = volume.capacity_sectors();
        // Nobody opens a device that is Secondary, or one without room for the hot places.
        if volume.state().role != Role::Primary || capacity <= HOT_SECTORS + IO_SECTORS_MAX {
            return;
        }
        // Some places are hot, so that requests overlap.
        let sector = if self.rng.one_in(if self.kind == Kind::TwoPrimaries {
            2
        } else {
            3
        }) {
            self.rng.below(HOT_SECTORS)
        } else {
            self.rng.below(capacity - IO_SECTORS_MAX)
        };
        match self.rng.below(12) {
            0 => self.world.act(n, v, Action::Flush, 0, 0, false),
            1 => {
                let action =
                    self.rng
                        .pick(&[Action::Discard, Action::ZeroesUnmap, Action::ZeroesKeep]);
                // Several extents of the activity log, in long stories not every time.
                let short = self.mood.harsh && !self.rng.one_in(8);
                let len = 1 + self.rng.below(if short { 100 } else { 4000 });
                self.world.act(n, v, action, sector, len, false);
            }
            2..=4 => {
                let len = 1 + self.rng.below(32);
                self.world.read(n, v, sector, len);
            }
            _ => {
                let len = 1 + self.rng.below(40);
                let fua = self.rng.one_in(8);
                if self.mood.harsh && self.rng.one_in(16) {
                    let mut req = self.world.make(true, Action::Data, sector, len);
                    (req.bio.fua, req.bio.preflush) = (fua, true);
                    return self.world.request(n, v, req);
                }
                self.world.act(n, v, Action::Data, sector, len, fua);
            }
        }
    }

    /// Whether node `n` may be promoted without losing what the other wrote.
    fn is_newest(&self, n: usize) -> bool {
        (0..self.volumes).all(|v| {
            // Without a disk it works with the other's.
            let attached = self.world.nodes[n].vols[v].volume.state().disk >= Disk::Inconsistent;
            let n = if attached { n } else { 1 - n };
            let own = self.uuids(n, v);
            let peer = self.uuids(1 - n, v);
            let verdict = compare(&Compared {
                own: own.uuids,
                peer,
                role: Role::Secondary,
                peer_role: Role::Secondary,
                crashed_primary: false,
                resolve_conflicts: true,
                apv: 101,
                feature_wsame: true,
            })
            .verdict;
            matches!(verdict.number(), 0..=2)
        })
    }

    fn uuids(&self, n: usize, v: usize) -> PeerUuids {
        let vol = &self.world.nodes[n].vols[v];
        let uuids = if vol.volume.disk().is_some() {
            vol.volume.snapshot().uuids
        } else {
            let sb = super::metadata::superblock(&vol.disk);
            let slot = sb.peer_index(1 - n as u32);
            drbd_core::uuid::GenUuids {
                current: sb.current_uuid,
                bitmap: sb.peers[slot].bitmap_uuid,
                history: [sb.history_uuids[0], sb.history_uuids[1]],
            }
        };
        PeerUuids {
            uuids,
            dirty_bits: 0,
            flags: UuidFlags(0),
        }
    }

    /// Whether both have a good disk, and know it.
    pub(crate) fn in_sync(&self, v: usize) -> bool {
        (0..2).all(|n: usize| {
            let state = self.world.nodes[n].vols[v].volume.state();
            state.conn == Conn::Connected && state.disk == Disk::UpToDate
        })
    }

    /// Devices become larger, one or both, and the administrator tells node `n`, or nobody.
    pub(crate) fn grow(&mut self, n: usize) {
        let v = self.rng.below(self.volumes as u64) as usize;
        let world = &mut self.world;
        let both = self.rng.one_in(2);
        // By less than the metadata takes, too.
        let more = 8 * self.rng.pick(&[1, 3, 20, 20, 150, 300, 2000]);
        if world.nodes[n].vols[v].disk.had_sectors.len() < 6 {
            for grown in [n, 1 - n].into_iter().take(if both { 2 } else { 1 }) {
                let disk = &mut world.nodes[grown].vols[v].disk;
                disk.grow(disk.sectors + more, GARBAGE[1 + grown], &mut self.rng);
            }
        }
        let node = &world.nodes[n];
        // The peer's disk has room, and its metadata does not lie in it.
        let peer = &world.nodes[1 - n].vols[v];
        let moved = super::metadata::offer(&peer.disk, &peer.volume).is_none();
        let fits = moved && node.vols[v].disk.sectors <= peer.disk.sectors;
        let alone = !matches!(node.phase, Phase::Joined(_)) && fits && self.rng.one_in(2);
        if node.vols[v].attached && !self.rng.one_in(4) {
            let wanted = Resize {
                assume_peer_has_space: alone,
                ..Resize::default()
            };
            self.say(|| format!("{n}: resize {v} by {more}, {wanted:?}"));
            self.world.nodes[n].command(Admin::Resize(v, wanted, false));
        }
    }

    /// A disk is taken away, unless it is the last good one.
    pub(crate) fn detach(&mut self, n: usize) {
        let v = self.rng.below(self.volumes as u64) as usize;
        let state = self.world.nodes[n].vols[v].volume.state();
        let both = state.disk == Disk::UpToDate && self.in_sync(v);
        if both && self.world.nodes[1 - n].admin.is_none() {
            let force = self.rng.one_in(3);
            self.say(|| format!("{n}: detach {v}, force {force}"));
            self.world.nodes[n].command(Admin::Detach(v, 0, force));
        }
    }

    /// All that one of the two has is to be sent again.
    pub(crate) fn invalidate(&mut self, n: usize) {
        let calm = self.world.nodes[1 - n].admin.is_none();
        if calm && self.rng.one_in(8) && self.in_sync(0) {
            let conn = self.rng.pick(&[Conn::StartingSyncS, Conn::StartingSyncT]);
            self.say(|| format!("{n}: invalidate, {conn:?}"));
            self.world.nodes[n].command(Admin::Change {
                request: Request::NONE.conn(conn),
                asked: false,
            });
        }
    }

    /// Online verify of a part, from some sector or from where the last one stopped.
    pub(crate) fn verify(&mut self, n: usize) {
        let volume = &mut self.world.nodes[n].vols[0].volume;
        let place = self.rng.below(volume.capacity_sectors() + 1);
        let start = Some(place).filter(|_| self.rng.one_in(2));
        // One that runs stops elsewhere.
        let runs = volume.state().conn == Conn::VerifyS;
        let from = start.filter(|_| !runs).unwrap_or(0);
        let stop = Some(from + self.rng.below(VERIFIED_SECTORS_MAX));
        if volume.verify_alg().is_empty() || !volume.prepare_verify(start, stop) {
            return;
        }
        self.say(|| format!("{n}: verify from {start:?} to {stop:?}"));
        self.world.nodes[n].command(Admin::Change {
            request: Request::NONE.conn(Conn::VerifyS),
            asked: false,
        });
    }

    /// A command of the administrator, if one makes sense.
    pub(crate) fn administer(&mut self) {
        let n = self.rng.below(2) as usize;
        let node = &self.world.nodes[n];
        if !node.up || node.admin.is_some() || is_stuck(node) {
            return;
        }
        if self.mood.harsh && self.rng.one_in(6) {
            return self.reconfigure(n);
        }
        if self.mood.harsh && self.rng.one_in(8) {
            return self.grow(n);
        }
        let state = node.state();
        let peer = &self.world.nodes[1 - n];
        let peer_calm = peer.admin.is_none();
        match self.rng.below(8) {
            0 | 1 if state.role != Role::Primary => {
                let peer_primary = peer.up && peer.state().role == Role::Primary;
                let connected = state.conn >= Conn::Connected;
                let settled = node
                    .vols
                    .iter()
                    .all(|vol| vol.volume.state().disk >= Disk::Consistent);
                // A Primary that is lost may be shot, if it told nobody of what is not here.
                let frozen = |vol: &super::node::Vol| vol.volume.state().susp_fen;
                let shot = node.fencing == Fencing::ResourceAndStonith
                    && !connected
                    && peer.vols.iter().all(frozen);
                let peer_primary = peer_primary && !shot;
                // Between the loss of the connection and the new generation nobody can tell.
                let clear = !peer_primary && (connected || !peer.up || !peer.ending());
                let may = match self.kind {
                    // Alone only now and then: that makes a split brain of the next connection.
                    Kind::Careless => {
                        !connected && self.rng.one_in(4) || !peer_primary && self.is_newest(n)
                    }
                    _ => clear && (settled || connected) && self.is_newest(n),
                };
                if peer_calm && may {
                    self.world.nodes[n].promote(false);
                }
            }
            2 if state.role == Role::Primary => {
                let busy = node
                    .vols
                    .iter()
                    .any(|vol| !vol.pending.is_empty() || vol.volume.upper_pending() > 0);
                if !busy {
                    self.world.nodes[n].demote();
                }
            }
            3 => self.detach(n),
            4 | 5 => {
                let v = (0..self.volumes).find(|v| !node.vols[*v].attached);
                // A Primary without any disk that takes its old one begins a split brain: what
                // the peer's generation became meanwhile it cannot know.
                let blind = state.role == Role::Primary && state.pdsk != Disk::UpToDate;
                let v = v.filter(|_| self.kind == Kind::Careless || !blind);
                // The peer may not know yet that it was gone, see `is_unaware`.
                let unseen = matches!(peer.phase, Phase::Joined(_)) && peer.phase != node.phase;
                let v = v.filter(|_| self.kind == Kind::Careless || !(unseen && self.mood.harsh));
                if let Some(v) = v.filter(|v| node.vols[*v].volume.state().disk == Disk::Diskless) {
                    self.world.nodes[n].command(Admin::Attach(v, 0));
                }
            }
            6 if node.phase == Phase::StandAlone && self.kind == Kind::Careless => {
                self.meet_again(n)
            }
            6 if node.phase == Phase::StandAlone => self.world.connect(n),
            6 if state.role != Role::Primary && state.conn == Conn::Connected && peer_calm => {
                self.world.nodes[n].command(Admin::Disconnect(false));
            }
            7 if self.mood.harsh && self.rng.one_in(2) => self.verify(n),
            7 if self.mood.harsh => self.invalidate(n),
            _ => {}
        }
    }
}
