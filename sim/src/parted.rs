// SPDX-License-Identifier: GPL-2.0-or-later
//! Whose disk holds acknowledged writes that the other's lacks: such data is not given up unless the administrator says so.
//!
//! This looks at who wrote while alone, not at names of generations, so it sees a split brain that those hide.

use super::node::{Node, Phase};
use drbd_core::state::{Conn, Disk};

/// `[node][volume]`: written alone since both were the same.
pub(crate) struct Parted {
    alone: [Vec<bool>; 2],
    disks: [Vec<Disk>; 2],
    /// Policies decide what is given up.
    ended: bool,
}

impl Parted {
    pub(crate) fn new(volumes: usize) -> Self {
        Parted {
            alone: [0, 1].map(|_| vec![false; volumes]),
            disks: [0, 1].map(|_| vec![Disk::Diskless; volumes]),
            ended: false,
        }
    }

    /// Nothing is looked at any more.
    pub(crate) fn ends(&mut self) {
        self.ended = true;
    }

    /// A write of node `n` was acknowledged; its volume's state did not change since it was issued. Without a disk the peer has it.
    pub(crate) fn wrote(&mut self, n: usize, v: usize, nodes: &[Node; 2]) {
        let state = nodes[n].vols[v].volume.state();
        let peer = nodes[1 - n].vols[v].volume.state();
        if state.conn < Conn::Connected && state.disk == Disk::UpToDate {
            self.alone[n][v] = true;
        } else if state.conn == Conn::Connected
            && state.disk < Disk::Inconsistent
            && peer.disk == Disk::UpToDate
            && nodes[0].phase == nodes[1].phase
        {
            self.alone[1 - n][v] = true;
        }
    }

    /// Looks at both after a step.
    pub(crate) fn look(&mut self, nodes: &[Node; 2]) {
        if self.ended {
            return;
        }
        for (n, node) in nodes.iter().enumerate() {
            for (v, vol) in node.vols.iter().enumerate() {
                let state = vol.volume.state();
                let before = core::mem::replace(&mut self.disks[n][v], state.disk);
                if node.discard_my_data {
                    self.alone[n][v] = false;
                }
                let taken = matches!(
                    state.conn,
                    Conn::WfBitMapT | Conn::WfSyncUuid | Conn::SyncTarget | Conn::PausedSyncT
                );
                assert!(
                    !(taken && self.alone[n][v]),
                    "node {n} gives up what it acknowledged while it was alone, and nobody was told of a split brain"
                );
                let filled = before == Disk::Inconsistent && state.disk == Disk::UpToDate;
                if filled && state.conn == Conn::Connected {
                    self.alone[1 - n][v] = false;
                }
            }
        }
        if matches!(nodes[0].phase, Phase::Joined(_)) && nodes[0].phase == nodes[1].phase {
            self.look_together(nodes);
        }
    }

    /// Nothing is copied, so nothing may be missing.
    fn look_together(&self, nodes: &[Node; 2]) {
        for v in 0..nodes[0].vols.len() {
            let equal = nodes.iter().all(|node| {
                let state = node.vols[v].volume.state();
                (state.conn, state.disk, state.pdsk)
                    == (Conn::Connected, Disk::UpToDate, Disk::UpToDate)
            });
            assert!(
                !equal || !(self.alone[0][v] || self.alone[1][v]),
                "the nodes met as equals, and one had acknowledged writes while it was alone"
            );
        }
    }
}
