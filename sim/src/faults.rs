// SPDX-License-Identifier: GPL-2.0-or-later
//! What goes wrong in a random story.

use super::{admin::Admin, kind::Kind, node::Phase, story::Play};
use drbd_core::{
    engine::volume::End,
    state::{Conn, Role},
};

impl Play {
    pub(crate) fn fault(&mut self) {
        // The peer begins a new generation when it agrees to a Primary's detach. If the answer
        // is lost the Primary keeps its disk and begins one as well: a split brain of names, as
        // with the stock driver.
        let detaches = self.world.nodes.iter().any(|node| {
            node.state().role == Role::Primary && matches!(node.admin, Some(Admin::Detach(..)))
        });
        if detaches && self.kind == Kind::Careful {
            return;
        }
        if self.mood.harsh && self.rng.one_in(2) {
            return self.harsh_fault();
        }
        match self.rng.below(7) {
            0 | 1 => {
                self.say(|| "the network breaks".into());
                self.world.cut();
                self.world.link_up = !self.rng.one_in(3);
            }
            2 => self.world.link_up = true,
            3 => self.crash(),
            4 => {
                let down: Vec<usize> = (0..2).filter(|n| !self.world.nodes[*n].up).collect();
                if !down.is_empty() {
                    let n = self.rng.pick(&down);
                    self.boot(n);
                }
            }
            5 if self.rng.one_in(3) => self.disk_fault(),
            _ => {
                let n = self.rng.below(2) as usize;
                let held = self.rng.one_in(2);
                if self.rng.one_in(2) {
                    self.world.hold_io[n] = held;
                } else {
                    self.world.hold_md[n] = held;
                }
            }
        }
    }

    /// What the short stories do not have.
    fn harsh_fault(&mut self) {
        let n = self.rng.below(2) as usize;
        let on = self.rng.one_in(2);
        self.say(|| format!("harsh fault at {n}, {on}"));
        match self.rng.below(8) {
            // One way is dead: what is sent to `n` waits, and so does the end of the connection.
            0 | 1 => self.world.stalled[n] = on,
            2 => self.world.frozen[n] = on,
            3 => self.world.slow = if on { 2 + self.rng.below(30) } else { 0 },
            // Nobody answers: one end gives up, the other does not know yet.
            4 | 5 if matches!(self.world.nodes[n].phase, Phase::Joined(_)) => {
                self.world.stalled[1 - n] |= on;
                self.world.nodes[n].end_with(End {
                    conn: Conn::Timeout,
                    why: "the peer does not answer",
                });
            }
            6 if (0..self.volumes).all(|v| self.in_sync(v)) => self.blackout(),
            _ => {
                self.world.stalled = [false; 2];
                self.world.frozen = [false; 2];
            }
        }
    }

    /// The power of both goes. With one disk gone before, a write that was not flushed may be lost.
    fn blackout(&mut self) {
        for n in 0..2 {
            let power_cut = self.rng.one_in(2);
            self.world.crash(n, power_cut);
            self.world.hold_io[n] = false;
            self.world.hold_md[n] = false;
        }
    }

    /// A disk, or its metadata, fails where the other node has a good one.
    fn disk_fault(&mut self) {
        let n = self.rng.below(2) as usize;
        let v = self.rng.below(self.volumes as u64) as usize;
        if self.in_sync(v) && self.world.nodes.iter().all(|node| node.admin.is_none()) {
            let disk = &mut self.world.nodes[n].vols[v].disk;
            if self.rng.one_in(2) {
                disk.failing = true;
            } else {
                disk.md_failing = true;
            }
            // Nothing else goes wrong until the node knows.
            for _ in 0..30 {
                self.io();
                self.world.run(8);
            }
            let disk = &mut self.world.nodes[n].vols[v].disk;
            disk.failing = false;
            disk.md_failing = false;
        }
    }

    pub(crate) fn crash(&mut self) {
        let n = self.rng.below(2) as usize;
        let power_cut = self.rng.one_in(2);
        // A crash in the middle of a disk fault or of both at once proves nothing here.
        let other = &self.world.nodes[1 - n];
        if self.world.nodes[n].up && other.up {
            self.world.crash(n, power_cut);
            self.world.hold_io[n] = false;
            self.world.hold_md[n] = false;
        }
    }

    pub(crate) fn boot(&mut self, n: usize) {
        self.world.boot(n);
        self.world.connect(n);
    }
}
