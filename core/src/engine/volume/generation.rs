// SPDX-License-Identifier: GPL-2.0-or-later
//! The generation that a Primary without disk writes to at its peer: what is known of its name.
//!
//! The peer begins it when it hears that the Primary has no disk, and tells its UUID
//! (replication-semantics section 2). Until then the own disk could be attached again as if it were
//! current.

use super::Volume;
use crate::{
    engine::{mem::Mem, volume::Todo},
    state::{Conn, Context, Disk as DiskState, Role, State},
    uuid::{generation::same, PeerUuids},
};

/// How long a Primary without disk waits for the peer's new generation. A peer whose generation is
/// newer than we know tells nothing.
const GENERATION_WAIT_MS: u64 = 5000;

/// What is known of the generation that this Primary, without a disk, works with at the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum PeerGeneration {
    /// `exposed_uuid` is its name, or there is none.
    #[default]
    Named,
    /// The peer is about to name it: no application I/O until then.
    Awaited {
        /// When it is no longer waited for, milliseconds.
        until_ms: u64,
    },
    /// The connection broke before the peer did: nothing was written since.
    Missed,
    /// The peer names none, or it was waited for in vain, and something may have been written since: the own disk lacks that.
    Unnamed,
}

impl<M: Mem> Volume<M> {
    /// From here on a Primary works with the peer's data alone. The peer begins a new generation,
    /// unless it has one already, and what is written belongs to that one: nothing is written
    /// before its name is known here, or the old disk could be attached again as if it were
    /// current.
    pub(super) fn follow_peer_data(&mut self, old: State, now_ms: u64) {
        let now = self.state;
        let serves = now.conn >= Conn::Connected && now.pdsk == DiskState::UpToDate;
        if now.role != Role::Primary || now.disk >= DiskState::Inconsistent {
            self.peer_generation = PeerGeneration::Named;
            return;
        }
        if !serves {
            if self.awaits_generation() {
                self.peer_generation = PeerGeneration::Missed;
            }
            return;
        }
        let served = old.conn >= Conn::Connected && old.pdsk == DiskState::UpToDate;
        if served && old.role == Role::Primary && old.disk < DiskState::Inconsistent {
            return;
        }
        if let Some(peer) = self.peer.uuids {
            self.exposed_uuid = peer.uuids.current;
            if peer.uuids.bitmap == 0 {
                self.peer_generation = PeerGeneration::Awaited {
                    until_ms: now_ms.saturating_add(GENERATION_WAIT_MS),
                };
                self.todo(Todo::RESYNC);
            } else {
                // It goes on under the name it has, which may be that of the own disk: a peer that crashed at the end of a
                // resync does not know that this node got everything.
                self.peer_generation = PeerGeneration::Unnamed;
            }
        }
    }

    /// Whether application I/O waits for the name.
    pub(super) fn awaits_generation(&self) -> bool {
        matches!(self.peer_generation, PeerGeneration::Awaited { .. })
    }

    /// Waits on, at most until the time that is returned; after that it goes on without a name.
    pub(super) fn wait_for_generation(&mut self, now_ms: u64) -> Option<u64> {
        let PeerGeneration::Awaited { until_ms } = self.peer_generation else {
            return None;
        };
        if now_ms < until_ms {
            return Some(until_ms);
        }
        self.peer_generation = PeerGeneration::Unnamed;
        self.unpark();
        self.todo(Todo::WAKE);
        None
    }

    /// The peer told its UUIDs: the generation that this Primary was about to hear of is the one that
    /// follows what it knows, if nobody else has written since.
    pub(super) fn hear_generation(&mut self, told: &PeerUuids) {
        let unheard = matches!(
            self.peer_generation,
            PeerGeneration::Missed | PeerGeneration::Unnamed
        );
        // The bitmap of a peer that has one goes on counting from there, and what it went on from is in its history.
        let [younger, _] = told.uuids.history;
        let follows = [told.uuids.bitmap, younger];
        let continues = follows.iter().any(|uuid| same(*uuid, self.exposed_uuid))
            && told.uuids.current & 1 == 0;
        if unheard && continues {
            self.exposed_uuid = told.uuids.current;
        }
    }

    /// The peer told its UUIDs, and `known` was the exposed one until then: the name is known now, unless it has none.
    pub(super) fn name_generation(&mut self, known: u64) {
        if self.wrote_elsewhere() && same(known, self.exposed_uuid) {
            return;
        }
        let awaited = self.awaits_generation();
        self.peer_generation = PeerGeneration::Named;
        if awaited {
            self.unpark();
        }
    }

    /// What the rules for states have to know now.
    ///
    /// What the metadata says of a disk that is being negotiated counts without the peer as long as nothing newer
    /// was worked with: the peer may have told of a generation since the attach began, or be about to.
    pub(super) fn judgement(&self) -> Context {
        let mut context = self.context;
        let Some(disk) = &self.disk else {
            return context;
        };
        context.target_may_be_good = self.everything_sent() || disk.peer_may_have_current;
        if let Some(remembered) = &mut context.negotiating {
            let named = self.peer_generation == PeerGeneration::Named;
            let current = disk.uuids().current;
            remembered.data_unchanged = named && same(self.exposed_uuid, current);
        }
        context
    }

    /// Whether what this Primary wrote last is at the peer, in a generation whose name it does not know.
    pub(super) fn wrote_elsewhere(&self) -> bool {
        self.peer_generation == PeerGeneration::Unnamed
    }
}

#[cfg(test)]
mod tests {
    use super::super::{rig, AttachError};
    use super::*;
    use crate::{
        engine::mem::tests::Heap,
        state::Negotiated,
        uuid::{GenUuids, UuidFlags},
    };

    const OLD: u64 = 0x1230;
    const NEW: u64 = 0x4560;

    fn told(current: u64, bitmap: u64) -> PeerUuids {
        PeerUuids {
            uuids: GenUuids {
                current,
                bitmap,
                history: [0; 2],
            },
            dirty_bits: 0,
            flags: UuidFlags(0),
        }
    }

    /// A Primary whose disk has gone, and whose peer does not say that it began a generation.
    fn unnamed(peer: &mut rig::Peer) -> Volume<Heap> {
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        volume.peer.uuids = Some(told(OLD, 0));
        volume.disk = None;
        volume.hard(peer, 0, |state| state.disk = DiskState::Diskless);
        assert!(volume.awaits_generation());
        let _ = volume.resync_work(peer, GENERATION_WAIT_MS);
        assert!(!volume.awaits_generation());
        volume
    }

    #[test]
    fn an_old_disk_is_not_taken_for_what_was_written_without_it() {
        let mut peer = rig::Peer::default();
        let mut volume = unnamed(&mut peer);
        volume.peer.linked = false;
        volume.set_conn(Conn::NetworkFailure, &mut peer, 9000);
        volume.hard(&mut peer, 9000, |state| state.disk = DiskState::Attaching);
        let mut disk = rig::disk(8 * 1024);
        disk.set_uuids(told(OLD, 0).uuids);
        let refused = volume.attach(&mut Some(disk), &mut peer, 9000);
        assert!(matches!(refused, Err(AttachError::OtherData)));
        // The peer's data it knows again.
        volume.hard(&mut peer, 9000, |state| state.conn = Conn::WfConnection);
        volume.hard(&mut peer, 9000, |state| state.conn = Conn::WfReportParams);
        assert!(volume
            .uuids_received(told(NEW, OLD), &mut peer, 9000)
            .is_ok());
        assert_eq!(volume.exposed_uuid, NEW);
    }

    #[test]
    fn a_disk_whose_attach_is_interrupted_is_as_old_as_it_was() {
        for named in [true, false] {
            let mut peer = rig::Peer::default();
            let mut volume = unnamed(&mut peer);
            if named {
                volume.name_generation(NEW);
            }
            let mut disk = rig::disk(8 * 1024);
            disk.set_uuids(told(OLD, 0).uuids);
            volume.disk = Some(disk);
            volume.context.negotiating = Some(Negotiated {
                disk: DiskState::Consistent,
                pdsk: DiskState::Unknown,
                data_unchanged: true,
            });
            volume.hard(&mut peer, 9000, |state| state.disk = DiskState::Negotiating);
            volume.set_conn(Conn::NetworkFailure, &mut peer, 9000);
            let disk = volume.state.disk;
            assert_eq!(disk == DiskState::Diskless, !named, "{disk:?}");
        }
    }

    /// A peer that crashed at the end of a resync has the generation of the own disk, and a bitmap UUID: it begins no other.
    #[test]
    fn a_peer_that_begins_no_generation_is_not_waited_for() {
        let mut peer = rig::Peer::default();
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        volume.peer.uuids = Some(told(OLD, 0x10));
        volume.disk = None;
        volume.hard(&mut peer, 0, |state| state.disk = DiskState::Diskless);
        assert!(!volume.awaits_generation() && volume.wrote_elsewhere());
        // It tells the same again, since a disk is being attached here; and the connection breaks before it has judged that.
        assert!(volume.uuids_received(told(OLD, 0x10), &mut peer, 0).is_ok());
        let mut disk = rig::disk(8 * 1024);
        disk.set_uuids(told(OLD, 0).uuids);
        volume.disk = Some(disk);
        volume.context.negotiating = Some(Negotiated {
            disk: DiskState::UpToDate,
            pdsk: DiskState::Unknown,
            data_unchanged: true,
        });
        volume.hard(&mut peer, 0, |state| state.disk = DiskState::Negotiating);
        volume.set_conn(Conn::NetworkFailure, &mut peer, 0);
        assert_eq!(volume.state.disk, DiskState::Diskless);
    }
}
