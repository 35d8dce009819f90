// SPDX-License-Identifier: GPL-2.0-or-later
//! Both disks are equal but where one of the nodes knows better.
//!
//! Blocks that were touched are suspects until they are found equal, so that a difference is
//! looked at as long as it lasts.

use super::node::Node;
use drbd_core::state::Disk;
use std::collections::BTreeSet;

/// Sectors of a block.
const BLOCK: u64 = 8;

/// Suspects that are looked at at once.
const LOOKS: usize = 32;

/// The suspects of a volume.
#[derive(Default)]
pub(crate) struct Equality {
    suspects: BTreeSet<u64>,
    next: u64,
}

impl Equality {
    /// Takes note of what was written, and looks at some suspects.
    pub(crate) fn look(&mut self, nodes: &mut [Node; 2], v: usize) {
        for node in nodes.iter_mut() {
            for (sector, len) in node.vols[v].disk.touched.drain(..) {
                let blocks = sector / BLOCK..(sector + len).div_ceil(BLOCK);
                self.suspects.extend(blocks);
            }
        }
        let known = nodes.iter().all(|node| {
            let vol = &node.vols[v];
            node.up && vol.attached && vol.volume.state().disk >= Disk::Inconsistent
        });
        if !known {
            return;
        }
        let some: Vec<u64> = self
            .suspects
            .range(self.next..)
            .take(LOOKS)
            .copied()
            .collect();
        self.next = match some.last() {
            Some(last) if some.len() == LOOKS => last + 1,
            _ => 0,
        };
        for block in some {
            let sector = block * BLOCK;
            let expected = |node: &Node| node.vols[v].volume.expects_difference(sector);
            // One of the disks may be larger, or both larger than what they agree on.
            let beyond = |node: &Node| sector >= node.vols[v].volume.capacity_sectors();
            if nodes.iter().any(expected) || nodes.iter().any(beyond) {
                continue;
            }
            let [a, b] = [0, 1].map(|n: usize| nodes[n].vols[v].disk.read(sector, BLOCK).tags);
            assert!(
                a == b,
                "volume {v}, block {block}: {a:?} and {b:?}, and nobody knows"
            );
            self.suspects.remove(&block);
        }
    }
}
