// SPDX-License-Identifier: GPL-2.0-or-later
//! Both sides of a checksum-based resync against a peer that is played by hand.

extern crate std;
use super::super::{
    rig::{self, Peer},
    Effect, PeerReadKind, PeerWrite, ReplyFate, Volume,
};
use crate::{
    engine::{
        mem::tests::Heap,
        op::{flag, Action, BioFlags, OpId},
        send_queue::SendItem,
    },
    state::{action::Side, Conn, Disk as DiskState},
    wire::{
        alg_name::AlgName,
        block::{BlockAck, BlockId},
        command::Command,
        packet::Packet,
    },
};
use std::vec::Vec;

const SECTORS: u64 = 640;

fn with_alg(volume: &mut Volume<Heap>) {
    volume.peer.options.csums_alg = AlgName::new(b"crc32c").unwrap();
}

/// A resync to here of `bits`, one block each, the first requests made.
fn target(bits: &[u64], peer: &mut Peer) -> Volume<Heap> {
    let mut volume = rig::volume(Conn::WfSyncUuid, SECTORS);
    with_alg(&mut volume);
    for bit in bits {
        volume.set_out_of_sync(bit * 8, 8);
    }
    volume.start_resync(Side::Target, peer, 0);
    rig::write_metadata(&mut volume, peer);
    let _ = volume.resync_work(peer, 1000);
    rig::write_metadata(&mut volume, peer);
    let _ = volume.resync_work(peer, 2000);
    volume
}

/// The reads for digests, done; the operations, in order of the disk.
fn read_all(volume: &mut Volume<Heap>, peer: &mut Peer, ok: bool) -> Vec<OpId> {
    rig::effects(volume)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::SubmitRead { op, .. } => {
                volume.local_done(op, ok, peer);
                Some(op)
            }
            _ => None,
        })
        .collect()
}

/// Requests that wait to be sent go out; what they are.
fn asked(volume: &mut Volume<Heap>, peer: &mut Peer) -> Vec<Packet> {
    core::mem::take(&mut peer.items)
        .into_iter()
        .filter_map(|item| match item {
            SendItem::RsRequest { op, .. } => {
                let (packet, _) = volume.packet_of(op)?;
                volume.handed_over(op, peer);
                Some(packet)
            }
            _ => None,
        })
        .collect()
}

fn in_sync(sector: u64) -> BlockAck {
    BlockAck {
        sector,
        block_id: BlockId(0x1234),
        size: 4096,
        seq_num: 0,
    }
}

fn dirty(volume: &Volume<Heap>, bit: u64) -> bool {
    volume.expects_difference(bit * 8)
}

#[test]
fn a_block_is_read_before_it_is_asked_for_and_cleared_when_it_is_equal() {
    let mut peer = Peer::default();
    let mut volume = target(&[2, 7], &mut peer);
    assert!(peer.items.is_empty(), "asked before it was read");
    assert_eq!(read_all(&mut volume, &mut peer, true).len(), 2);
    let packets = asked(&mut volume, &mut peer);
    assert!(packets
        .iter()
        .all(|packet| matches!(packet, Packet::CsumRsRequest(_))));
    assert_eq!(packets.len(), 2);
    volume.resync_in_sync(&in_sync(16));
    assert!(!dirty(&volume, 2) && dirty(&volume, 7));
    // The other one differs: its data comes and is written.
    let ReplyFate::Take(op) = volume.resync_reply(56, 8, &mut peer) else {
        panic!("not taken");
    };
    volume.resync_data(op, false, &mut peer, 3000);
    let writes: Vec<_> = rig::effects(&mut volume);
    assert!(writes
        .iter()
        .any(|effect| matches!(effect, Effect::SubmitWrite { sector: 56, .. })));
    volume.local_done(op, true, &mut peer);
    assert!(!dirty(&volume, 7));
    assert_eq!(volume.snapshot().progress.same_sectors, 8);
    let told: Vec<_> = peer.acks.iter().map(|(command, _)| *command).collect();
    assert_eq!(told, [Command::RsWriteAck]);
}

#[test]
fn long_runs_are_asked_for_in_short_pieces() {
    let mut peer = Peer::default();
    let bits: Vec<u64> = (0..32).collect();
    let mut volume = target(&bits, &mut peer);
    let reads = read_all(&mut volume, &mut peer, true);
    assert!(!reads.is_empty());
    for op in reads {
        assert!(u64::from(volume.op(op).len_sectors) <= 8 * super::CHECKSUM_BLOCKS_MAX);
    }
}

#[test]
fn a_block_that_cannot_be_read_is_asked_for_as_it_is() {
    let mut peer = Peer::default();
    let mut volume = target(&[2], &mut peer);
    let _ = read_all(&mut volume, &mut peer, false);
    let packets = asked(&mut volume, &mut peer);
    assert!(matches!(packets.as_slice(), [Packet::RsDataRequest(_)]));
}

#[test]
fn a_mirrored_write_that_fails_takes_the_belief_out_of_the_answer() {
    let mut peer = Peer::default();
    let mut volume = target(&[2], &mut peer);
    let _ = read_all(&mut volume, &mut peer, true);
    let _ = asked(&mut volume, &mut peer);
    let write = PeerWrite {
        action: Action::Data,
        sector: 16,
        len_sectors: 8,
        block_id: BlockId(9),
        bio: BioFlags::default(),
        want_recv_ack: false,
        want_write_ack: true,
        may_set_in_sync: false,
        seq_num: 0,
    };
    let fate = volume.peer_write(write, &mut peer, 3000);
    let super::super::PeerWriteFate::Accepted(op) = fate else {
        panic!("{fate:?}");
    };
    let _ = rig::effects(&mut volume);
    volume.local_done(op, false, &mut peer);
    volume.resync_in_sync(&in_sync(16));
    assert!(dirty(&volume, 2), "the answer was believed");
}

#[test]
fn what_is_out_of_sync_again_takes_it_too() {
    let mut peer = Peer::default();
    let mut volume = target(&[2], &mut peer);
    let _ = read_all(&mut volume, &mut peer, true);
    let _ = asked(&mut volume, &mut peer);
    assert!(volume.peer_out_of_sync(16, 8).is_ok());
    volume.resync_in_sync(&in_sync(16));
    assert!(dirty(&volume, 2), "the answer was believed");
}

#[test]
fn a_late_answer_is_none_to_a_request_of_the_next_resync() {
    let mut peer = Peer::default();
    let mut volume = target(&[2], &mut peer);
    let _ = read_all(&mut volume, &mut peer, true);
    let _ = asked(&mut volume, &mut peer);
    volume.cancel_resync_requests();
    let _ = rig::effects(&mut volume);
    volume.start_resync(Side::Target, &mut peer, 4000);
    rig::write_metadata(&mut volume, &mut peer);
    let _ = volume.resync_work(&mut peer, 5000);
    rig::write_metadata(&mut volume, &mut peer);
    let _ = volume.resync_work(&mut peer, 6000);
    let packets = asked(&mut volume, &mut peer);
    assert!(matches!(packets.as_slice(), [Packet::RsDataRequest(_)]));
    volume.resync_in_sync(&in_sync(16));
    assert!(dirty(&volume, 2), "an answer to an old request was taken");
}

#[test]
fn only_after_a_crash_if_so_configured() {
    for crashed in [false, true] {
        let mut volume = rig::volume(Conn::WfSyncUuid, SECTORS);
        with_alg(&mut volume);
        volume.peer.options.csums_after_crash_only = true;
        if let Some(disk) = volume.disk.as_mut() {
            disk.crashed_primary = crashed;
        }
        assert_eq!(volume.wants_checksums(), crashed);
    }
}

/// A request with a digest at the source, read.
fn served(volume: &mut Volume<Heap>, peer: &mut Peer) -> OpId {
    let op = volume
        .peer_read(
            PeerReadKind::ChecksumResync,
            16,
            8,
            BlockId::SYNCER,
            peer,
            0,
        )
        .unwrap()
        .unwrap();
    volume.peer_read_start(op, peer, 0);
    assert_eq!(read_all(volume, peer, true), [op]);
    assert_eq!(volume.next_compare(), Some((op, true)));
    op
}

#[test]
fn the_source_clears_what_is_equal_and_sends_what_is_not() {
    for equal in [true, false] {
        let mut peer = Peer::default();
        let mut volume = rig::volume(Conn::SyncSource, SECTORS);
        with_alg(&mut volume);
        volume.set_out_of_sync(16, 8);
        let op = served(&mut volume, &mut peer);
        // Until then nobody writes there.
        let write = rig::submit(&mut volume, &mut peer, true, 16);
        assert!(volume.op(write).any(flag::WAIT_RANGE));
        volume.compared(op, equal, &mut peer, 0);
        let replied = peer.items.contains(&SendItem::Reply { volume: 0, op });
        assert_eq!(replied, !equal);
        let told = peer.acks.iter().any(|(c, _)| *c == Command::RsIsInSync);
        assert_eq!(told, equal);
        assert_eq!(volume.dirty_bits() == 0, equal);
    }
}

#[test]
fn a_source_that_is_none_any_more_keeps_its_bits() {
    let mut peer = Peer::default();
    let mut volume = rig::volume(Conn::SyncSource, SECTORS);
    with_alg(&mut volume);
    volume.set_out_of_sync(16, 8);
    let op = served(&mut volume, &mut peer);
    volume.hard(&mut peer, 0, |state| {
        state.conn = Conn::Connected;
        state.pdsk = DiskState::Diskless;
    });
    volume.compared(op, true, &mut peer, 0);
    assert_eq!(volume.dirty_bits(), 1);
    assert!(peer.acks.iter().any(|(c, _)| *c == Command::RsCancel));
}
