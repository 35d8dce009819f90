// SPDX-License-Identifier: GPL-2.0-or-later
//! The administrator begins a new data generation, and may declare both disks equal
//! (replication-semantics section 2, "When a new current UUID is created", 5).

use super::{md::Then, Volume};
use crate::{
    engine::{link::Link, mem::Mem},
    meta::UUID_JUST_CREATED,
    state::{Conn, Disk as DiskState, Role},
};

/// Why no new generation begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewUuidRefusal {
    /// Something else is under way: try again after [`super::Todo::WAKE`].
    Busy,
    /// There is no disk (error 138).
    NoDisk,
    /// The peer would have to agree (error 151): only disks that never held data can be declared
    /// equal while connected, with `clear_bitmap`.
    Connected,
}

impl<M: Mem> Volume<M> {
    /// new-current-uuid. Done when [`Volume::bulk_running`] is false and [`Volume::md_version`] is
    /// durable.
    pub fn new_generation(&mut self, clear_bitmap: bool) -> Result<(), NewUuidRefusal> {
        let Some(disk) = self.disk.as_ref().filter(|_| self.has_disk()) else {
            return Err(NewUuidRefusal::NoDisk);
        };
        let fresh = disk.uuids().current & !1 == UUID_JUST_CREATED;
        let conn = self.conn();
        let skips = conn == Conn::Connected
            && self.peer.linked
            && self.context.apv >= 90
            && self.state.pdsk == DiskState::Inconsistent
            && fresh
            && clear_bitmap;
        if !skips && (conn > Conn::WfConnection || self.peer.linked) {
            return Err(NewUuidRefusal::Connected);
        }
        if self.bulk_running() || self.admin.is_asking() || self.sizes_pending() {
            return Err(NewUuidRefusal::Busy);
        }
        if skips {
            let random = self.random();
            let primary = self.state.role == Role::Primary;
            if let Some(disk) = self.disk.as_mut() {
                let mut uuids = disk.uuids();
                uuids.skip_initial_sync(random, primary);
                disk.set_uuids(uuids);
            }
            self.expose_current();
            self.start_bulk(false, Then::SkipInitialSync);
            return Ok(());
        }
        if let Some(disk) = self.disk.as_mut() {
            let mut uuids = disk.uuids();
            uuids.drop_bitmap();
            disk.set_uuids(uuids);
        }
        self.new_current_uuid();
        if clear_bitmap {
            self.start_bulk(false, Then::Nothing);
        }
        Ok(())
    }

    /// The new generation and the cleared bitmap are durable here: the peer does the same.
    pub(super) fn skip_initial_sync(&mut self, link: &mut dyn Link, now_ms: u64) {
        // It may have become another story meanwhile.
        if self.conn() != Conn::Connected || !self.peer.linked {
            return;
        }
        self.send_uuids(true, link);
        self.hard(link, now_ms, |state| {
            state.disk = DiskState::UpToDate;
            state.pdsk = DiskState::UpToDate;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{volume, write_metadata, Peer};
    use super::*;
    use crate::{uuid::UuidFlags, wire::packet::Packet};

    #[test]
    fn fresh_disks_are_declared_equal_when_it_is_durable_here() {
        let mut volume = volume(Conn::Connected, 8000);
        let mut peer = Peer::default();
        volume.state.role = Role::Secondary;
        volume.state.disk = DiskState::Inconsistent;
        volume.state.pdsk = DiskState::Inconsistent;
        volume.context.apv = 101;
        volume.set_out_of_sync(0, 8000);
        // With data of its own it would not be.
        assert_eq!(volume.new_generation(false), Err(NewUuidRefusal::Connected));
        assert_eq!(volume.new_generation(true), Ok(()));
        assert!(peer.controls.is_empty() && volume.bulk_running());
        write_metadata(&mut volume, &mut peer);
        let told = peer.controls.iter().find_map(|packet| match packet {
            Packet::Uuids(told) => Some(*told),
            _ => None,
        });
        let told = told.unwrap();
        assert!(told.flags.contains(UuidFlags::SKIP_INITIAL_SYNC));
        assert_eq!((told.dirty_bits, told.uuids.bitmap), (0, 0));
        let state = volume.state();
        assert_eq!(
            (state.disk, state.pdsk),
            (DiskState::UpToDate, DiskState::UpToDate)
        );
        assert_eq!(volume.new_generation(true), Err(NewUuidRefusal::Connected));
    }
}
