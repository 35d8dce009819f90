// SPDX-License-Identifier: GPL-2.0-or-later
//! What the application and the administrator do.

use super::{node::AppReq, world::World};
use drbd_core::engine::op::{Action, BioFlags};

impl World {
    pub(crate) fn request(&mut self, n: usize, v: usize, req: AppReq) {
        self.model.issued(n, v, &req, &self.nodes);
        let now = self.now;
        self.nodes[n].submit(v, req, now);
    }

    pub(crate) fn make(&mut self, write: bool, action: Action, sector: u64, len: u64) -> AppReq {
        let id = self.next_id;
        self.next_id += 1;
        AppReq {
            id,
            write,
            action,
            sector,
            len,
            bio: BioFlags::default(),
            tag: if action == Action::Data { id } else { 0 },
        }
    }

    pub(crate) fn act(
        &mut self,
        n: usize,
        v: usize,
        action: Action,
        sector: u64,
        len: u64,
        fua: bool,
    ) {
        let mut req = self.make(true, action, sector, len);
        req.bio.fua = fua;
        self.request(n, v, req);
    }

    pub(crate) fn read(&mut self, n: usize, v: usize, sector: u64, len: u64) {
        let req = self.make(false, Action::Data, sector, len);
        self.request(n, v, req);
    }

    /// Attaches and connects both.
    pub(crate) fn start(&mut self) {
        for n in 0..2 {
            for v in 0..self.nodes[n].vols.len() {
                self.attach(n, v);
            }
        }
        for n in 0..2 {
            self.connect(n);
        }
        self.settle();
    }

    pub(crate) fn attach(&mut self, n: usize, v: usize) {
        self.nodes[n].command(super::admin::Admin::Attach(v, 0));
        self.succeed(n, "attach");
    }

    pub(crate) fn connect(&mut self, n: usize) {
        let now = self.now;
        self.nodes[n].connect(false, now);
    }

    /// A command of the administrator succeeds.
    pub(crate) fn succeed(&mut self, n: usize, what: &str) {
        self.until(what, |world| world.nodes[n].admin_result.is_some());
        let result = self.nodes[n].admin_result.take().unwrap();
        assert_eq!(result, Ok(()), "{what}: {}", self.describe());
    }

    /// Steps until `done`, which has to become true.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&World) -> bool) {
        for _ in 0..400_000 {
            if done(self) {
                return;
            }
            if !self.step() {
                match self.next_timer() {
                    Some(at) => self.now = at.max(self.now + 1),
                    None => break,
                }
            }
        }
        assert!(done(self), "{what}: {}", self.describe());
    }
}
