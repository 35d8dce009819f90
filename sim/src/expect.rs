// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to be so when all is quiet, and words for what is not.

use super::{node::Node, world::World};
use drbd_core::state::{Conn, Disk, State};

impl World {
    /// States of all volumes of both nodes.
    pub(crate) fn states(&self) -> Vec<Vec<State>> {
        let of = |node: &Node| node.vols.iter().map(|vol| vol.volume.state()).collect();
        self.nodes.iter().map(of).collect()
    }

    /// Tells which states are not what they were before.
    pub(crate) fn tell_changes(&self, before: &[Vec<State>]) {
        for (n, (now, then)) in self.states().iter().zip(before).enumerate() {
            for (v, (s, _)) in now
                .iter()
                .zip(then)
                .enumerate()
                .filter(|(_, (a, b))| a != b)
            {
                let uuids = self.nodes[n].vols[v].volume.snapshot().uuids;
                eprintln!(
                    "    {n}.{v}: {:?}/{:?} {:?} {:?}/{:?} {:x} {:x} {:x?}",
                    s.role,
                    s.peer,
                    s.conn,
                    s.disk,
                    s.pdsk,
                    uuids.current,
                    uuids.bitmap,
                    uuids.history
                );
            }
        }
    }

    pub(crate) fn describe(&self) -> String {
        let wire = self.wire.as_ref();
        let mut text = wire.map_or_else(String::new, |wire| {
            let ends = [0, 1].map(|n: usize| (wire.joined[n], wire.to[n].eof));
            format!("\nwire {}: joined, ended {ends:?}", wire.number)
        });
        for node in &self.nodes {
            text += &format!(
                "\nnode {} up {} {:?} end {:?} admin {:?}",
                node.index, node.up, node.phase, node.end, node.admin
            );
            for vol in &node.vols {
                let s = vol.volume.state();
                let snapshot = vol.volume.snapshot();
                text += &format!(
                    "\n  {:?}/{:?} {:?} {:?}/{:?} bits {} pending {} unacked {} upper {} waiting {} inflight {} held {} md_busy {} bulk {} sizes {}",
                    s.role, s.peer, s.conn, s.disk, s.pdsk,
                    snapshot.out_of_sync_sectors / 8,
                    snapshot.pending,
                    snapshot.unacked,
                    snapshot.upper_pending,
                    vol.pending.len(),
                    vol.inflight.len(),
                    snapshot.held,
                    vol.volume.md_busy(),
                    vol.volume.bulk_running(),
                    vol.volume.sizes_pending(),
                );
                if (1..100).contains(&snapshot.out_of_sync_sectors) {
                    let sectors = (0..vol.volume.capacity_sectors()).step_by(8);
                    let marked = sectors.filter(|at| vol.volume.expects_difference(*at));
                    text += &format!("\n    marked or held: {:?}", marked.collect::<Vec<_>>());
                }
                for (op, at) in vol.volume.ops_in_use() {
                    text += &format!("\n    {op}: {at:?}");
                }
            }
        }
        text
    }

    /// Both are Connected and UpToDate, hold the same data, and nothing is left over. Bits may be
    /// set: a crash right after a resync brings back those whose page was not written yet.
    pub(crate) fn assert_same_data(&self) {
        for v in 0..self.nodes[0].vols.len() {
            for node in &self.nodes {
                let volume = &node.vols[v].volume;
                let s = volume.state();
                assert_eq!(
                    (s.conn, s.disk, s.pdsk),
                    (Conn::Connected, Disk::UpToDate, Disk::UpToDate),
                    "{}",
                    self.describe()
                );
            }
            let [a, b] = [0, 1].map(|n: usize| self.nodes[n].vols[v].volume.snapshot().uuids);
            assert_eq!(a.current & !1, b.current & !1);
            assert_eq!((a.bitmap, b.bitmap), (0, 0));
            let [a, b] = [0, 1].map(|n: usize| {
                let vol = &self.nodes[n].vols[v];
                vol.disk.contents(vol.volume.capacity_sectors())
            });
            // What two nodes grew by when they met, or one of them alone, may still be marked.
            let known = |at: &u64| {
                let marks = |node: &Node| node.vols[v].volume.expects_difference(*at);
                *at >= self.model.unknown_from && self.nodes.iter().any(marks)
            };
            let differs = difference(&a, &b);
            assert!(
                differs.iter().all(|(at, _, _)| known(at)),
                "the disks differ: {differs:?}"
            );
        }
        self.assert_idle();
    }

    /// No operation is left anywhere, and no extent of an activity log is held.
    pub(crate) fn assert_idle(&self) {
        for node in self.nodes.iter().filter(|node| node.up) {
            for vol in &node.vols {
                assert!(vol.volume.is_idle(), "{}", self.describe());
                assert!(vol.inflight.is_empty() && vol.pending.is_empty());
                for slot in &vol.slots {
                    assert!(
                        slot.app.is_none() && slot.payload.is_none(),
                        "a slot is left over"
                    );
                }
            }
        }
    }
}

fn difference(a: &[(u64, u64)], b: &[(u64, u64)]) -> Vec<(u64, u64, u64)> {
    let mut at: Vec<u64> = a.iter().chain(b).map(|(at, _)| *at).collect();
    at.sort_unstable();
    at.dedup();
    let tag = |of: &[(u64, u64)], at: u64| {
        let found = of.binary_search_by_key(&at, |(at, _)| *at);
        found.map_or(0, |index| of[index].1)
    };
    at.into_iter()
        .map(|at| (at, tag(a, at), tag(b, at)))
        .filter(|(_, a, b)| a != b)
        .collect()
}
