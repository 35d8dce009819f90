// SPDX-License-Identifier: GPL-2.0-or-later
//! What only stories that are told by hand need.

use crate::world::World;
use drbd_core::{engine::op::Action, state::Disk};

impl World {
    /// It is refused.
    pub(crate) fn refused(&mut self, n: usize, what: &str) -> String {
        self.until(what, |world| world.nodes[n].admin_result.is_some());
        self.nodes[n].admin_result.take().unwrap().expect_err(what)
    }

    /// The application on `n` writes.
    pub(crate) fn write(&mut self, n: usize, sector: u64, len: u64) {
        let req = self.make(true, Action::Data, sector, len);
        self.request(n, 0, req);
    }

    /// Everything the application asked for is done.
    pub(crate) fn finish_io(&mut self) {
        self.until("application I/O is done", |world| {
            world.model.in_flight() == 0
        });
    }

    pub(crate) fn promote(&mut self, n: usize) {
        self.nodes[n].promote(false);
        self.succeed(n, "promote");
    }

    pub(crate) fn demote(&mut self, n: usize) {
        self.nodes[n].demote();
        self.succeed(n, "demote");
    }

    /// Takes the network away until both have noticed.
    pub(crate) fn disconnect_network(&mut self) {
        self.link_up = false;
        self.cut();
        self.settle();
    }

    pub(crate) fn reconnect_network(&mut self) {
        self.link_up = true;
        self.settle();
    }

    pub(crate) fn disks(&self) -> [(Disk, Disk); 2] {
        [0, 1].map(|n: usize| (self.nodes[n].state().disk, self.nodes[n].state().pdsk))
    }

    /// As [`Self::assert_same_data`], and no bit is set.
    pub(crate) fn assert_in_sync(&self) {
        for vol in self.nodes.iter().flat_map(|node| node.vols.iter()) {
            let sectors = vol.volume.snapshot().out_of_sync_sectors;
            assert_eq!(sectors, 0, "{}", self.describe());
        }
        self.assert_same_data();
    }

    /// Blocks that were resynchronised since the last call, both nodes.
    pub(crate) fn resynced_sectors(&mut self) -> u64 {
        let all: u64 = self
            .nodes
            .iter()
            .flat_map(|node| node.vols.iter())
            .map(|vol| vol.volume.snapshot().counters.resynced_sectors)
            .sum();
        let since = all - self.blocks_resynced_from;
        self.blocks_resynced_from = all;
        since
    }
}
