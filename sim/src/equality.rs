// SPDX-License-Identifier: GPL-2.0-or-later
//! Both disks are equal but where one of the nodes knows better.
//!
//! Blocks that were touched are suspects until they are found equal, so that a difference is
//! looked at as long as it lasts.

use super::{
    node::Node,
    sectors::{chosen, Sectors},
};
use drbd_core::state::Disk;

/// Sectors of a block.
const BLOCK: u64 = 8;

/// Suspects that are looked at at once.
const LOOKS: usize = 32;

/// The suspects of a volume.
#[derive(Default)]
pub(crate) struct Equality {
    /// By the numbers of the blocks.
    suspects: Sectors<()>,
    count: usize,
    /// Block numbers are below this.
    end: u64,
    next: u64,
}

impl Equality {
    /// Takes note of what was written, and looks at some suspects.
    pub(crate) fn look(&mut self, nodes: &mut [Node; 2], v: usize) {
        for node in nodes.iter_mut() {
            for (sector, len) in node.vols[v].disk.touched.drain(..) {
                let blocks = sector / BLOCK..(sector + len).div_ceil(BLOCK);
                self.end = self.end.max(blocks.end);
                for block in blocks {
                    self.count += usize::from(self.suspects.insert(block, ()));
                }
            }
        }
        let known = nodes.iter().all(|node| {
            let vol = &node.vols[v];
            node.up && vol.attached && vol.volume.state().disk >= Disk::Inconsistent
        });
        if !known || self.count == 0 {
            return;
        }
        let mut some = Vec::with_capacity(LOOKS);
        let left = chosen(self.next..self.end, |page| self.suspects.mask(page));
        some.extend(left.take(LOOKS));
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
            let [a, b] = [0, 1].map(|n: usize| &nodes[n].vols[v].disk);
            assert!(
                (sector..sector + BLOCK).all(|at| a.tag(at) == b.tag(at)),
                "volume {v}, block {block}: {:?} and {:?}, and nobody knows",
                a.read(sector, BLOCK).tags,
                b.read(sector, BLOCK).tags
            );
            self.suspects.remove(block);
            self.count -= 1;
        }
    }
}
