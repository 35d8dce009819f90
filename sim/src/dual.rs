// SPDX-License-Identifier: GPL-2.0-or-later
//! Stories with two Primaries: both write, often to the same place, the network breaks, nodes die.
//!
//! When two Primaries lose each other their data parts, and that has to be found out when they meet:
//! the administrator then gives up the data of one. Until then, and after it, both disks hold the
//! same, and it is the newest.

use super::{
    admin::Admin,
    node::{Node, Phase},
    story::Play,
    workload::is_stuck,
};
use drbd_core::{
    engine::volume::End,
    state::{Conn, Disk, Role},
    wire::handshake::ReplicationProtocol,
};

/// Whether one of the two has to give up data, as a Secondary, for them to come together. Of several volumes another one may
/// be newer there, and a Primary is not overwritten.
fn is_split(node: &Node) -> bool {
    let reasons = [
        "split brain",
        "a Primary would have to take over",
        "the peer has other data than this diskless Primary works with",
        // Both are Primary.
        "the state that results from the handshake is not allowed",
    ];
    node.last_end
        .is_some_and(|end| reasons.iter().any(|reason| end.why.starts_with(reason)))
}

impl Play {
    /// net-options --allow-two-primaries, and both take it up.
    pub(crate) fn allow_two_primaries(&mut self) {
        for node in &mut self.world.nodes {
            node.protocol = ReplicationProtocol::C;
            for vol in &mut node.vols {
                vol.volume.context_mut().two_primaries = true;
                vol.volume.set_protocol(ReplicationProtocol::C);
            }
        }
        for n in 0..2 {
            self.world.nodes[n].promote(false);
            self.world.succeed(n, "promote");
        }
    }

    fn is_busy(&self, n: usize) -> bool {
        let node = &self.world.nodes[n];
        node.vols
            .iter()
            .any(|vol| !vol.pending.is_empty() || vol.volume.upper_pending() > 0)
    }

    /// A command of the administrator, if one makes sense.
    pub(crate) fn administer_two(&mut self) {
        let n = self.rng.below(2) as usize;
        let node = &self.world.nodes[n];
        if !node.up || node.admin.is_some() || is_stuck(node) {
            return;
        }
        if self.rng.one_in(8) {
            return self.reconfigure(n);
        }
        if self.rng.one_in(8) {
            return self.grow(n);
        }
        let state = node.state();
        let attached = node.vols.iter().all(|vol| vol.attached);
        match self.rng.below(8) {
            0..=2 if state.role != Role::Primary => {
                let good = node
                    .vols
                    .iter()
                    .all(|vol| vol.volume.state().disk == Disk::UpToDate);
                // Alone only now and then: that makes a split brain of any reconnect.
                let alone = state.conn < Conn::Connected;
                if good && (!alone || self.rng.one_in(4)) {
                    self.say(|| format!("{n}: primary"));
                    self.world.nodes[n].promote(false);
                }
            }
            3 if state.role == Role::Primary && self.rng.one_in(3) && !self.is_busy(n) => {
                self.say(|| format!("{n}: secondary"));
                self.world.nodes[n].demote();
            }
            3 => self.detach(n),
            4 | 5 if !attached => {
                if let Some(v) = self.detached(n) {
                    self.world.nodes[n].command(Admin::Attach(v, 0));
                }
            }
            6 | 7 if node.phase == Phase::StandAlone => self.meet_again(n),
            6 if state.conn == Conn::Connected && self.rng.one_in(8) => {
                self.say(|| format!("{n}: disconnect"));
                self.world.nodes[n].command(Admin::Disconnect(false));
            }
            7 if self.rng.one_in(2) => self.verify(n),
            7 => self.invalidate(n),
            _ => {}
        }
    }

    /// Whether a volume is Primary: a policy may have demoted the others.
    fn has_primary(&self, n: usize) -> bool {
        let vols = &self.world.nodes[n].vols;
        vols.iter()
            .any(|vol| vol.volume.state().role == Role::Primary)
    }

    fn detached(&self, n: usize) -> Option<usize> {
        let vols = &self.world.nodes[n].vols;
        (0..self.volumes)
            .find(|v| !vols[*v].attached && vols[*v].volume.state().disk == Disk::Diskless)
    }

    /// A node that stands alone connects; after a split brain one of the two gives up its data, as a
    /// Secondary.
    pub(crate) fn meet_again(&mut self, n: usize) {
        let split = self.world.nodes.iter().any(is_split);
        let victim = self.gives_up.unwrap_or((self.world.wires % 2) as usize);
        if !(split || self.gives_up.is_some()) || n != victim {
            return self.world.connect(n);
        }
        if self.has_primary(n) {
            if !self.is_busy(n) {
                self.say(|| format!("{n}: secondary, to give up its data"));
                self.world.nodes[n].demote();
            }
            return;
        }
        self.say(|| format!("{n}: connect --discard-my-data"));
        let now = self.world.now;
        self.gives_up = None;
        self.world.nodes[n].connect(true, now);
    }

    /// Node `n` is Secondary, whatever it was.
    fn retire(&mut self, n: usize) {
        if self.has_primary(n) {
            self.world.nodes[n].demote();
            self.world.settle();
        }
        self.world.nodes[n].admin_result = None;
    }

    /// Node `n` disconnects, whether the other likes it or not.
    fn part(&mut self, n: usize) {
        self.world.nodes[n].command(Admin::Disconnect(false));
        self.world.settle();
        let node = &mut self.world.nodes[n];
        if let Some(Err(_)) = node.admin_result.take() {
            node.wanted = false;
            node.end_with(End {
                conn: Conn::Disconnecting,
                why: "forced to disconnect",
            });
            self.world.settle();
        }
    }

    /// Has both attached and connected, whatever that takes. False if their histories have nothing
    /// in common any more, which an administrator cannot mend by giving up one's changes.
    pub(crate) fn bring_together(&mut self) -> bool {
        for _ in 0..12 {
            self.world.settle();
            for n in 0..2 {
                if let Some(admin) = &self.world.nodes[n].admin {
                    panic!("node {n}: {admin:?} never ends{}", self.world.describe());
                }
            }
            let unrelated = |node: &Node| {
                node.last_end
                    .is_some_and(|end| end.why.starts_with("unrelated data"))
            };
            if self.world.nodes.iter().any(unrelated) {
                return false;
            }
            let now = self.world.now;
            for n in 0..2 {
                self.world.nodes[n].resume_sync(now);
                // What fencing froze: who decides for one of the two knows of the other.
                if self.world.nodes[n].state().susp_fen {
                    self.world.nodes[n].resume_io(now);
                    self.world.settle();
                }
                while let Some(v) = self.detached(n) {
                    self.world.nodes[n].command(Admin::Attach(v, 0));
                    self.world.settle();
                    if self.world.nodes[n].admin_result.take() == Some(Ok(())) {
                        continue;
                    }
                    // The peer refuses the disk, or it is not good for this Primary: alone it comes
                    // back, to be given up.
                    self.gives_up = Some(n);
                    self.retire(n);
                    self.part(n);
                    self.world.nodes[n].command(Admin::Attach(v, 0));
                    self.world.settle();
                    break;
                }
            }
            let together = (0..2).all(|n| {
                let vols = &self.world.nodes[n].vols;
                vols.iter().all(|vol| {
                    let state = vol.volume.state();
                    state.conn == Conn::Connected && state.disk == Disk::UpToDate
                })
            });
            if together {
                return true;
            }
            // The one that waits was not told why the other left.
            let split = self.world.nodes.iter().any(is_split);
            for n in 0..2 {
                if split && self.world.nodes[n].phase == Phase::WfConnection {
                    self.world.nodes[n].command(Admin::Disconnect(false));
                    self.world.settle();
                }
            }
            for n in 0..2 {
                if self.world.nodes[n].phase == Phase::StandAlone {
                    self.meet_again(n);
                    if self.world.nodes[n].admin.is_some() {
                        self.world
                            .until("demoted", |world| world.nodes[n].admin.is_none());
                        self.meet_again(n);
                    }
                }
            }
        }
        // Who has to be demoted first is in use, and its applications wait for data that it does not have.
        let apart = |node: &Node| !matches!(node.phase, Phase::Joined(_));
        if self.world.nodes.iter().all(apart) && (0..2).any(|n| self.is_busy(n)) {
            return false;
        }
        panic!("they do not come together{}", self.world.describe());
    }
}
