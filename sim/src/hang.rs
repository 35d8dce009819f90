// SPDX-License-Identifier: GPL-2.0-or-later
//! Disks that hang, are given up, and answer late.

use super::{
    node::{Node, Vol},
    story::Play,
    world::World,
};
use drbd_core::{
    engine::volume::MdResult,
    state::{Conn, Disk, Role},
};

impl Vol {
    /// When it is to be looked whether the disk answers. Only a disk that hangs is looked at: what
    /// the world holds back for other reasons comes in the end.
    pub(crate) fn watch_at(&self) -> Option<u64> {
        let timeout_ms = u64::from(self.volume.disk_timeout_ms());
        let busy = self.volume.on_disk() > 0 || self.md_write.is_some();
        (self.disk.hanging && busy && timeout_ms > 0).then(|| self.watched_ms + timeout_ms / 4 + 1)
    }

    /// Whether a flush that begins now ends: done, failed, or given up.
    pub(crate) fn may_flush(&self) -> bool {
        !self.disk.hanging || !self.attached || self.volume.disk_timeout_ms() > 0
    }
}

impl Node {
    /// Looks whether the disk answers.
    pub(crate) fn watch(&mut self, v: usize, now: u64) {
        let vol = &mut self.vols[v];
        vol.watched_ms = now;
        let timeout_ms = u64::from(vol.volume.disk_timeout_ms());
        let _ = vol.volume.watch_disk(&mut self.queues, now);
        let old = now >= vol.md_since_ms + timeout_ms;
        if vol.md_write.is_some() && (old || vol.volume.metadata_is_lost()) {
            vol.md_late = vol.md_write.take();
            vol.volume.md_done(MdResult::Failed, &mut self.queues, now);
            let _ = vol.volume.disk_hangs(&mut self.queues, now);
            vol.md_due = true;
        }
        vol.after();
    }

    /// A write of metadata ends that was given up: it is on the disk.
    pub(crate) fn md_late(&mut self, v: usize) {
        let vol = &mut self.vols[v];
        if let Some(write) = vol.md_late.take() {
            vol.disk.md_write(write.sector, &write.block, write.durable);
        }
    }
}

impl World {
    pub(crate) fn set_disk_timeout(&mut self, disk_timeout_ms: u32) {
        for vol in self.nodes.iter_mut().flat_map(|node| &mut node.vols) {
            vol.options.disk_timeout_ms = disk_timeout_ms;
            vol.volume.set_disk_options(vol.options);
        }
    }

    /// Disks that hang go on.
    pub(crate) fn wake_disks(&mut self) {
        for vol in self.nodes.iter_mut().flat_map(|node| &mut node.vols) {
            vol.disk.hanging = false;
        }
    }
}

impl Play {
    /// In a long story with disk-timeout a disk hangs now and then, where nothing else is wrong, and
    /// goes on some day.
    pub(crate) fn let_disks_hang(&mut self) {
        let timeout_ms = self.world.nodes[0].vols[0].options.disk_timeout_ms;
        if !self.mood.harsh || timeout_ms == 0 {
            return;
        }
        let mut vols = self.world.nodes.iter().flat_map(|node| &node.vols);
        if vols.any(|vol| vol.disk.hanging) {
            if self.rng.one_in(200) {
                self.say(|| "disks go on".into());
                self.world.wake_disks();
            }
            return;
        }
        let n = self.rng.below(2) as usize;
        let v = self.rng.below(self.volumes as u64) as usize;
        let quiet = self.world.nodes.iter().all(|node| node.admin.is_none());
        let is_primary = |node: &Node| node.state().role == Role::Primary;
        let used = self.world.nodes.iter().any(is_primary);
        if used && quiet && self.in_sync(v) && self.rng.one_in(20) {
            self.hang(n, v);
        }
    }

    /// A disk hangs where the other node has a good one. Nothing else goes wrong until the node has
    /// given it up; whether it answers soon after, late, or never, chance decides.
    pub(crate) fn hang(&mut self, n: usize, v: usize) {
        self.say(|| format!("the disk of {n}.{v} hangs"));
        let brief = self.rng.one_in(4);
        self.world.nodes[n].vols[v].disk.hanging = true;
        for round in 0..60 {
            self.io();
            self.world.run(8);
            // Something that was decided before may make it the only good one.
            let own = self.world.nodes[n].vols[v].volume.state();
            let left = self.world.nodes[1 - n].vols[v].volume.state();
            let good = left.disk == Disk::UpToDate && own.pdsk == Disk::UpToDate;
            let alone = !good || own.conn != Conn::Connected || left.conn != Conn::Connected;
            let known = own.disk < Disk::Negotiating;
            if known || alone || brief && round == 3 {
                break;
            }
            self.world.now += self.rng.below(u64::from(
                self.world.nodes[n].vols[v].volume.disk_timeout_ms().max(4) / 4,
            ));
        }
        let known = self.world.nodes[n].vols[v].volume.state().disk < Disk::Negotiating;
        if !known || self.rng.one_in(2) {
            self.world.wake_disks();
        }
    }
}
