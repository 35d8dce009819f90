// SPDX-License-Identifier: GPL-2.0-or-later
//! What a flush promises: nothing that was acknowledged before it comes back older after a power cut.

use super::{
    disk::FakeDisk,
    model::{Model, Pending},
    node::{AppReq, Node},
};

/// Acknowledged writes that no flush has made durable yet, of one time without a change.
#[derive(Clone, Default)]
pub(crate) struct Unflushed {
    node: usize,
    changes: u64,
    writes: Vec<(u64, AppReq)>,
}

impl Unflushed {
    pub(crate) fn add(&mut self, pending: &Pending, order: u64) {
        if (self.node, self.changes) != (pending.node, pending.changes) {
            self.writes.clear();
            (self.node, self.changes) = (pending.node, pending.changes);
        }
        self.writes.push((order, pending.req));
    }

    /// Those that were acknowledged before `flush` was issued.
    fn take(&mut self, flush: &Pending) -> Vec<AppReq> {
        if (self.node, self.changes) != (flush.node, flush.changes) {
            return Vec::new();
        }
        let (before, after) = core::mem::take(&mut self.writes)
            .into_iter()
            .partition(|(order, _)| *order < flush.order);
        self.writes = after;
        let before: Vec<(u64, AppReq)> = before;
        before.into_iter().map(|(_, req)| req).collect()
    }
}

impl Model {
    /// What was acknowledged before a flush was asked for has to survive a power cut now.
    pub(crate) fn flushed(&mut self, view: usize, v: usize, flush: &Pending, node: &Node) {
        let writes = self.unflushed[view][v].take(flush);
        for req in writes {
            self.check_durable(view, v, &req, flush.order, &node.vols[v].disk);
        }
    }

    /// Whatever a power cut leaves of the range is something that it may be, unless it was written
    /// again after `order`.
    pub(crate) fn check_durable(
        &self,
        view: usize,
        v: usize,
        req: &AppReq,
        order: u64,
        disk: &FakeDisk,
    ) {
        if disk.failing {
            return;
        }
        for at in req.sectors() {
            let Some(cell) = self.views[view][v].get(at) else {
                continue;
            };
            if cell.settled >= order {
                continue;
            }
            for tag in disk.survivors(at) {
                assert!(
                    cell.tags.contains(&tag),
                    "a power cut may bring back {tag} at {at} of node {view}, flushed was {:?}",
                    cell.tags
                );
            }
        }
    }
}
