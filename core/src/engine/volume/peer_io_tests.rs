// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes of a Primary without disk, and what becomes of them when it is out of sight.

use super::super::{
    rig::{effects, volume, write_metadata, Peer},
    Effect, MdIo, MdResult, Volume,
};
use super::{PeerWrite, PeerWriteFate};
extern crate std;
use crate::{
    engine::{
        mem::tests::Heap,
        op::{Action, BioFlags, Kind},
    },
    meta::{MdFlags, Superblock},
    state::{Conn, Disk as DiskState, Role},
    wire::{block::BlockId, command::Command, handshake::ReplicationProtocol},
};
use std::vec::Vec;

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

/// Its activity log is in use, and nothing of that is written yet.
fn with_log(vol: &mut Volume<Heap>) {
    let disk = vol.disk.as_mut().unwrap();
    disk.facts.options.al_updates = true;
    disk.al.set_updates(true);
}

fn write_at_64(want_recv_ack: bool) -> PeerWrite {
    PeerWrite {
        sector: 64,
        len_sectors: 8,
        block_id: BlockId(7),
        seq_num: 1,
        action: Action::Data,
        bio: BioFlags::default(),
        want_recv_ack,
        want_write_ack: !want_recv_ack,
        may_set_in_sync: false,
    }
}

fn written_by_peer(vol: &mut Volume<Heap>, peer: &mut Peer, want_recv_ack: bool) {
    let _ = vol.peer_write(write_at_64(want_recv_ack), peer, 0);
}

/// A Secondary of a Primary with a disk.
fn mirror(peer: &mut Peer) -> Volume<Heap> {
    let mut vol = volume(Conn::Connected, 8192);
    vol.hard(peer, 0, |state| {
        state.role = Role::Secondary;
        state.peer = Role::Primary;
    });
    vol
}

#[test]
fn each_protocol_is_told_once_what_it_waits_for() {
    for (recv_ack, write_ack) in [(false, false), (true, false), (false, true)] {
        let mut peer = Peer::default();
        let mut vol = mirror(&mut peer);
        let write = PeerWrite {
            want_recv_ack: recv_ack,
            want_write_ack: write_ack,
            ..discard_of_peer()
        };
        let fate = vol.peer_write_at_once(write, &mut peer, 0);
        let PeerWriteFate::Launched(op) = fate else {
            panic!("{fate:?}");
        };
        let commands = |peer: &Peer| peer.acks.iter().map(|ack| ack.0).collect::<Vec<_>>();
        let first: &[Command] = if recv_ack { &[Command::RecvAck] } else { &[] };
        assert_eq!(commands(&peer), first);
        assert_eq!(peer.peer_done, 0);
        vol.local_done(op, true, &mut peer);
        let then: &[Command] = if write_ack {
            &[Command::WriteAck]
        } else {
            first
        };
        assert_eq!(commands(&peer), then);
        assert_eq!(peer.peer_done, 1);
        assert!(peer.acks.iter().all(|ack| ack.1.block_id == BlockId(7)));
        assert_eq!(vol.ops.used(), 0);
    }
}

fn discard_of_peer() -> PeerWrite {
    PeerWrite {
        sector: 64,
        len_sectors: 2048,
        block_id: BlockId(7),
        seq_num: 1,
        action: Action::Discard,
        bio: BioFlags::default(),
        want_recv_ack: false,
        want_write_ack: true,
        may_set_in_sync: false,
    }
}

#[test]
fn what_travels_without_data_does_not_count_as_sent_and_received() {
    for (action, sectors) in [
        (Action::Discard, 0),
        (Action::ZeroesUnmap, 0),
        (Action::ZeroesKeep, 0),
        (Action::Data, 2048),
    ] {
        let mut peer = Peer::default();
        let mut vol = mirror(&mut peer);
        let write = PeerWrite {
            action,
            ..discard_of_peer()
        };
        let _ = vol.peer_write(write, &mut peer, 0);
        assert_eq!(vol.peer.received_sectors, sectors, "{action:?}");

        let op = vol.ops.alloc(Kind::AppWrite).unwrap();
        let at = vol.ops.at_mut(op);
        (at.action, at.len_sectors) = (action, 2048);
        vol.handed_over(op, &mut peer);
        assert_eq!(vol.peer.sent_sectors, sectors, "{action:?}");
    }
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

/// The superblocks that are written, until nothing is left to write: whether the activity log counts.
fn superblocks(vol: &mut Volume<Heap>, peer: &mut Peer) -> Vec<bool> {
    let mut block = [0; 4096];
    let mut seen = Vec::new();
    while let Some(io) = vol.md_poll(&mut block, peer, 0) {
        if matches!(io, MdIo::Write { .. }) {
            let written = Superblock::decode(&block);
            seen.extend(written.map(|sb| sb.flags.contains(MdFlags::PRIMARY_IND)));
            vol.md_done(MdResult::Written, peer, 0);
        }
    }
    seen
}

#[test]
fn the_only_copy_stays_one_when_the_peer_attaches_a_disk() {
    // The write came while the Primary had no disk, and waits; the disk that is attached now has it not, and
    // neither does the one here. A power cut would take back a bit that is in memory only.
    let mut peer = Peer::default();
    let mut vol = only_copy(&mut peer);
    with_log(&mut vol);
    written_by_peer(&mut vol, &mut peer, false);
    assert_eq!(vol.dirty_bits(), 1);
    vol.hard(&mut peer, 0, |state| {
        (state.conn, state.pdsk) = (Conn::WfBitMapS, DiskState::Inconsistent);
    });
    assert!(superblocks(&mut vol, &mut peer).ends_with(&[true]));
    vol.tend_disk(&mut peer, 0);
    vol.run_ready(&mut peer, 0);
    // Its extent is in the log before it is submitted.
    assert!(effects(&mut vol).is_empty());
    assert!(superblocks(&mut vol, &mut peer).is_empty());
    vol.run_ready(&mut peer, 0);
    assert!(matches!(
        effects(&mut vol)[..],
        [Effect::SubmitWrite { .. }]
    ));
    vol.local_done(0, true, &mut peer);
    vol.tend_disk(&mut peer, 0);
    vol.run_ready(&mut peer, 0);
    // From here on the bit, which is durable before, says it.
    assert_eq!(superblocks(&mut vol, &mut peer), [false]);
    assert_eq!(
        vol.disk
            .as_ref()
            .unwrap()
            .bitmap
            .next_page_to_write(0, false),
        None
    );
}

#[test]
fn an_old_disk_takes_no_write_of_a_primary_without_disk() {
    // Its disk failed when a resync to this one was about to begin.
    let mut peer = Peer::default();
    let mut vol = only_copy(&mut peer);
    vol.hard(&mut peer, 0, |state| state.disk = DiskState::Inconsistent);
    written_by_peer(&mut vol, &mut peer, false);
    assert!(matches!(peer.acks[..], [(Command::NegAck, _)]));
    assert!(!goes_to_the_disk(&mut vol, &mut peer));
}

#[test]
fn what_a_hung_disk_never_got_is_given_back_by_the_host() {
    let mut peer = Peer::default();
    let mut vol = volume(Conn::Connected, 8192);
    vol.hard(&mut peer, 0, |state| {
        (state.role, state.peer) = (Role::Secondary, Role::Primary);
    });
    written_by_peer(&mut vol, &mut peer, false);
    // Accepted, its payload is in the host's table, and nobody took it to the disk yet.
    let _ = vol.disk_hangs(&mut peer, 0);
    let released = |effect: &Effect| matches!(effect, Effect::Release { op: 0 });
    assert!(effects(&mut vol).iter().any(released));
}

#[test]
fn the_only_copy_does_not_wait_for_room_in_the_log() {
    // Own writes hold all of it, until a peer answers that waits for this write.
    let mut peer = Peer::default();
    let mut vol = only_copy(&mut peer);
    with_log(&mut vol);
    let disk = vol.disk.as_mut().unwrap();
    for extent in 10..10 + disk.al.slots() {
        let _ = disk.al.begin(extent..=extent);
    }
    let (page, superblock) = {
        let layout = &disk.facts.layout;
        (layout.bitmap_page_sector(0), layout.superblock_sector)
    };
    written_by_peer(&mut vol, &mut peer, false);
    let mut seen = Vec::new();
    let mut block = [0; 4096];
    for _ in 0..4 {
        while let Some(io) = vol.md_poll(&mut block, &mut peer, 0) {
            if let MdIo::Write { sector, durable } = io {
                seen.push((sector, durable));
                vol.md_done(MdResult::Written, &mut peer, 0);
            }
        }
        vol.tend_disk(&mut peer, 0);
        vol.run_ready(&mut peer, 0);
        if !effects(&mut vol).is_empty() {
            break;
        }
    }
    let at = |sector: u64| seen.iter().rposition(|write| write.0 == sector);
    assert!(
        at(page) < at(superblock),
        "its bit is durable before it is written: {seen:?}"
    );
    assert!(at(page).is_some() && seen.contains(&(superblock, true)));
    assert!(vol.op(0).kind == Kind::PeerWrite && vol.op(0).any(crate::engine::op::flag::LAUNCHED));
}

#[test]
fn a_write_that_came_before_the_resync_sets_nothing_in_sync() {
    // The source sent it before all bits were set, and believes no answer to it.
    for conn in [Conn::WfSyncUuid, Conn::SyncTarget] {
        let mut peer = Peer::default();
        let mut vol = mirror(&mut peer);
        vol.hard(&mut peer, 0, |state| {
            (state.conn, state.disk) = (conn, DiskState::Inconsistent);
        });
        vol.set_out_of_sync(64, 8);
        let write = PeerWrite {
            may_set_in_sync: true,
            ..write_at_64(false)
        };
        let _ = vol.peer_write(write, &mut peer, 0);
        vol.hard(&mut peer, 0, |state| state.conn = Conn::SyncTarget);
        vol.local_done(0, true, &mut peer);
        let synced = conn == Conn::SyncTarget;
        assert_eq!(vol.dirty_bits(), u64::from(!synced));
        let answer = if synced {
            Command::RsWriteAck
        } else {
            Command::WriteAck
        };
        assert!(matches!(peer.acks[..], [(command, _)] if command == answer));
    }
}
