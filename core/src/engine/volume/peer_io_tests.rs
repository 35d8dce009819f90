// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes of a Primary without disk, and what becomes of them when it is out of sight.

use super::super::{
    rig::{effects, volume, write_metadata, Peer},
    Effect, Volume,
};
use super::PeerWrite;
use crate::{
    engine::{
        mem::tests::Heap,
        op::{Action, BioFlags, Kind},
    },
    state::{Conn, Disk as DiskState, Role},
    wire::{block::BlockId, command::Command, handshake::ReplicationProtocol},
};

/// The only copy of what the peer, a Primary without disk, writes with protocol B. The superblock
/// that says that the activity log counts is not written yet.
fn only_copy(peer: &mut Peer) -> Volume<Heap> {
    let mut vol = volume(Conn::Connected, 8192);
    vol.peer.protocol = ReplicationProtocol::B;
    vol.hard(peer, 0, |state| {
        state.role = Role::Secondary;
        state.peer = Role::Primary;
        state.pdsk = DiskState::Diskless;
    });
    vol.disk.as_mut().unwrap().durable_primary = false;
    vol
}

fn written_by_peer(vol: &mut Volume<Heap>, peer: &mut Peer, want_recv_ack: bool) {
    let write = PeerWrite {
        sector: 64,
        len_sectors: 8,
        block_id: BlockId(7),
        seq_num: 1,
        action: Action::Data,
        bio: BioFlags::default(),
        want_recv_ack,
        want_write_ack: !want_recv_ack,
        may_set_in_sync: false,
    };
    let _ = vol.peer_write(write, peer, 0);
}

fn goes_to_the_disk(vol: &mut Volume<Heap>, peer: &mut Peer) -> bool {
    write_metadata(vol, peer);
    vol.tend_disk(peer, 0);
    vol.run_ready(peer, 0);
    let all = effects(vol);
    all.iter()
        .any(|effect| matches!(effect, Effect::SubmitWrite { .. }))
}

#[test]
fn a_write_that_waits_for_the_log_is_carried_out_when_the_log_counts() {
    for want_recv_ack in [false, true] {
        let mut peer = Peer::default();
        let mut vol = only_copy(&mut peer);
        written_by_peer(&mut vol, &mut peer, want_recv_ack);
        assert!(effects(&mut vol).is_empty() && peer.acks.is_empty());
        assert!(goes_to_the_disk(&mut vol, &mut peer));
        let received = peer.acks.iter().filter(|ack| ack.0 == Command::RecvAck);
        assert_eq!(received.count(), usize::from(want_recv_ack));
    }
}

#[test]
fn a_write_that_was_not_promised_is_dropped_with_the_connection() {
    // Protocol B, but a Primary without disk asks for P_WRITE_ACK, and takes nothing less.
    for want_recv_ack in [false, true] {
        let mut peer = Peer::default();
        let mut vol = only_copy(&mut peer);
        written_by_peer(&mut vol, &mut peer, want_recv_ack);
        assert!(effects(&mut vol).is_empty());
        vol.disconnecting(Conn::NetworkFailure, &mut peer, 0);
        assert!(!goes_to_the_disk(&mut vol, &mut peer));
        assert_eq!(vol.op(0).kind, Kind::Free);
    }
}
