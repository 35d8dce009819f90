// SPDX-License-Identifier: GPL-2.0-or-later
//! Ahead, Behind and back, step by step.

extern crate std;
use super::super::{
    rig::{effects, submit, volume, write_metadata, Peer},
    IoResult, PeerReadKind, PeerWrite, PeerWriteFate, ReplyFate, Volume,
};
use crate::{
    config::OnCongestion,
    engine::{
        mem::tests::Heap,
        op::{Action, BioFlags, OpId},
        send_queue::SendItem,
    },
    state::Conn,
    wire::{block::BlockId, command::Command, handshake::ReplicationProtocol, packet::Packet},
};

fn primary(conn: Conn, on_congestion: OnCongestion) -> Volume<Heap> {
    let mut volume = volume(conn, 8192);
    volume.peer.protocol = ReplicationProtocol::A;
    volume.peer.options.on_congestion = on_congestion;
    volume.peer.options.cong_fill_sectors = 16;
    volume
}

fn write(volume: &mut Volume<Heap>, peer: &mut Peer, sector: u64) -> OpId {
    submit(volume, peer, true, sector)
}

fn finish(volume: &mut Volume<Heap>, peer: &mut Peer, ops: &[OpId]) {
    let _ = effects(volume);
    for op in ops {
        volume.handed_over(*op, peer);
        volume.local_done(*op, true, peer);
    }
    let _ = effects(volume);
}

/// The target asks for a block.
fn asked(
    volume: &mut Volume<Heap>,
    peer: &mut Peer,
    sector: u64,
) -> Result<Option<OpId>, PeerWriteFate> {
    volume.peer_read(PeerReadKind::Resync, sector, 8, BlockId::SYNCER, peer, 0)
}

/// The source of a resync whose answer for the block at 4096 is in the queue.
fn answered_source() -> (Volume<Heap>, Peer, OpId) {
    let mut volume = primary(Conn::SyncSource, OnCongestion::PullAhead);
    let mut peer = Peer::default();
    volume.pending_sync_uuid = None;
    volume.set_out_of_sync(4096, 64);
    let op = asked(&mut volume, &mut peer, 4096).unwrap().unwrap();
    volume.peer_read_start(op, &mut peer, 0);
    let _ = effects(&mut volume);
    volume.local_done(op, true, &mut peer);
    let reply = SendItem::Reply { volume: 0, op };
    assert_eq!(peer.items.last(), Some(&reply));
    (volume, peer, op)
}

#[test]
fn a_full_line_is_left_behind_and_the_peer_fetched_later() {
    let (mut volume, mut peer) = (
        primary(Conn::Connected, OnCongestion::PullAhead),
        Peer::default(),
    );
    let (a, b) = (
        write(&mut volume, &mut peer, 0),
        write(&mut volume, &mut peer, 8),
    );
    assert_eq!(volume.state().conn, Conn::Connected);
    let c = write(&mut volume, &mut peer, 16);
    assert_eq!(volume.state().conn, Conn::Ahead);
    assert!(matches!(
        peer.controls.as_slice(),
        [Packet::State(told)] if told.conn == Conn::Ahead
    ));
    assert!(matches!(
        peer.items.as_slice(),
        [SendItem::Write { .. }, SendItem::Write { .. }, SendItem::OutOfSync { op, .. }] if *op == c
    ));
    finish(&mut volume, &mut peer, &[a, b, c]);
    assert_eq!(volume.dirty_bits(), 1);
    assert_eq!(volume.resync_work(&mut peer, 100), None);
    volume.barrier_acked(1, &mut peer);
    assert_eq!(volume.mirrored_in_flight_sectors(), 0);
    assert_eq!(volume.resync_work(&mut peer, 100), Some(1100));
    assert_eq!(volume.resync_work(&mut peer, 1000), Some(1100));
    assert_eq!(volume.state().conn, Conn::Ahead);
    let _ = volume.resync_work(&mut peer, 1100);
    assert_eq!(volume.state().conn, Conn::SyncSource);
}

#[test]
fn other_protocols_and_a_policy_of_patience_wait() {
    for (protocol, policy) in [
        (ReplicationProtocol::A, OnCongestion::Block),
        (ReplicationProtocol::B, OnCongestion::PullAhead),
        (ReplicationProtocol::C, OnCongestion::PullAhead),
        (ReplicationProtocol::C, OnCongestion::Disconnect),
    ] {
        let (mut volume, mut peer) = (primary(Conn::Connected, policy), Peer::default());
        volume.set_protocol(protocol);
        for sector in 0..5 {
            let _ = write(&mut volume, &mut peer, sector * 8);
        }
        assert_eq!(volume.state().conn, Conn::Connected);
        assert!(volume.take_connection_request().is_none());
    }
}

#[test]
fn a_congested_connection_can_be_ended() {
    let (mut volume, mut peer) = (
        primary(Conn::Connected, OnCongestion::Disconnect),
        Peer::default(),
    );
    volume.peer.options.cong_fill_sectors = 0;
    volume.peer.options.cong_extents = 1;
    let _ = write(&mut volume, &mut peer, 0);
    assert!(volume.take_connection_request().is_some());
}

#[test]
fn a_resync_comes_to_rest_before_its_target_is_left_behind() {
    let (mut volume, mut peer, op) = answered_source();
    let a = [0, 8].map(|sector| write(&mut volume, &mut peer, sector));
    // Full, but an answer to the target is on its way; no more are begun.
    let late = write(&mut volume, &mut peer, 16);
    assert_eq!(volume.state().conn, Conn::SyncSource);
    assert_eq!(asked(&mut volume, &mut peer, 4104), Ok(None));
    assert!(matches!(peer.acks.as_slice(), [(Command::RsCancel, _)]));
    volume.handed_over(op, &mut peer);
    finish(&mut volume, &mut peer, &a);
    let _ = write(&mut volume, &mut peer, 24);
    assert_eq!(volume.state().conn, Conn::SyncSource, "not acknowledged");
    volume.resync_acked(4096, 8);
    assert_eq!(volume.state().conn, Conn::SyncSource, "nothing was written");
    let _ = write(&mut volume, &mut peer, 32);
    assert_eq!(volume.state().conn, Conn::Ahead);
    finish(&mut volume, &mut peer, &[late]);
}

#[test]
fn a_target_that_was_turned_away_is_left_behind_when_nobody_writes_any_more() {
    let (mut volume, mut peer, op) = answered_source();
    let writes = [0, 8].map(|sector| write(&mut volume, &mut peer, sector));
    assert_eq!(asked(&mut volume, &mut peer, 4104), Ok(None));
    volume.handed_over(op, &mut peer);
    finish(&mut volume, &mut peer, &writes);
    volume.barrier_acked(1, &mut peer);
    assert_eq!(volume.mirrored_in_flight_sectors(), 0);
    // It will not ask again for what it was refused, so it gets nothing more.
    assert_eq!(asked(&mut volume, &mut peer, 4112), Ok(None));
    assert_eq!(volume.resync_work(&mut peer, 100), Some(200));
    assert_eq!(volume.state().conn, Conn::SyncSource, "not acknowledged");
    volume.resync_acked(4096, 8);
    // Nor does it matter what the options have become.
    volume.set_protocol(ReplicationProtocol::C);
    let _ = volume.resync_work(&mut peer, 200);
    assert_eq!(volume.state().conn, Conn::Ahead);
    let _ = volume.resync_work(&mut peer, 2000);
    assert_eq!(volume.state().conn, Conn::SyncSource);
    volume.pending_sync_uuid = None;
    assert!(matches!(asked(&mut volume, &mut peer, 4104), Ok(Some(_))));
}

#[test]
fn an_answer_may_be_acknowledged_before_the_sender_says_that_it_was_sent() {
    let (mut volume, mut peer, op) = answered_source();
    volume.resync_acked(4096, 8);
    volume.handed_over(op, &mut peer);
    let writes = [0, 8].map(|sector| write(&mut volume, &mut peer, sector));
    finish(&mut volume, &mut peer, &writes);
    let _ = write(&mut volume, &mut peer, 16);
    assert_eq!(volume.resync.unacked_sectors, 0);
    assert_eq!(volume.state().conn, Conn::Ahead);
}

#[test]
fn a_block_that_the_source_wrote_again_stays_marked() {
    let (mut volume, mut peer) = (volume(Conn::SyncTarget, 8192), Peer::default());
    volume.set_out_of_sync(0, 16);
    let request = |volume: &mut Volume<Heap>, peer: &mut Peer, sector| {
        assert!(volume.request_block(sector, 8, peer, 0));
        let fate = volume.resync_reply(sector, 8, peer);
        let ReplyFate::Take(op) = fate else {
            panic!("{fate:?}")
        };
        volume.handed_over(op, peer);
        volume.resync_data(op, false, peer, 0);
        op
    };
    let (old, good) = (
        request(&mut volume, &mut peer, 0),
        request(&mut volume, &mut peer, 8),
    );
    let _ = effects(&mut volume);
    volume.peer_out_of_sync(0, 8).unwrap();
    for op in [old, good] {
        volume.local_done(op, true, &mut peer);
    }
    let told: std::vec::Vec<_> = peer
        .acks
        .iter()
        .map(|(command, ack)| (*command, ack.sector))
        .collect();
    assert_eq!(told, [(Command::NegAck, 0), (Command::RsWriteAck, 8)]);
    assert_eq!(volume.dirty_bits(), 1);
    assert_eq!(volume.resync.failed_bits, 0);
}

#[test]
fn a_read_of_the_peer_waits_for_its_write() {
    let (mut volume, mut peer) = (volume(Conn::Connected, 8192), Peer::default());
    let received = PeerWrite {
        action: Action::Data,
        sector: 0,
        len_sectors: 8,
        block_id: BlockId(7),
        bio: BioFlags::default(),
        want_recv_ack: false,
        want_write_ack: false,
        may_set_in_sync: false,
        seq_num: 1,
    };
    let PeerWriteFate::Accepted(write) = volume.peer_write(received, &mut peer, 0) else {
        panic!("refused")
    };
    let read = |volume: &mut Volume<Heap>, peer: &mut Peer, sector| {
        let op = volume.peer_read(PeerReadKind::Data, sector, 8, BlockId(8), peer, 0);
        let op = op.unwrap().unwrap();
        volume.peer_read_start(op, peer, 0);
        op
    };
    let (same, other) = (
        read(&mut volume, &mut peer, 0),
        read(&mut volume, &mut peer, 64),
    );
    let submitted = |volume: &mut Volume<Heap>, op| {
        effects(volume)
            .iter()
            .any(|effect| matches!(effect, super::super::Effect::SubmitRead { op: read, .. } if *read == op))
    };
    assert!(volume.op(other).any(crate::engine::op::flag::LAUNCHED));
    assert!(!submitted(&mut volume, same));
    volume.local_done(write, true, &mut peer);
    volume.run_ready(&mut peer, 0);
    assert!(submitted(&mut volume, same));
}

#[test]
fn a_write_that_failed_at_both_is_told() {
    // The counts of what is awaited come out even.
    let (mut volume, mut peer) = (volume(Conn::Connected, 8192), Peer::default());
    let op = write(&mut volume, &mut peer, 0);
    assert_eq!(volume.awaited_answers, 1);
    let _ = effects(&mut volume);
    let handle = volume.handle(op);
    volume.handed_over(op, &mut peer);
    volume.write_refused(handle, 0, 8, &mut peer);
    volume.local_done(op, false, &mut peer);
    // The metadata knows of it first.
    assert!(effects(&mut volume).is_empty());
    write_metadata(&mut volume, &mut peer);
    let told = effects(&mut volume);
    assert!(matches!(
        told.as_slice(),
        [super::super::Effect::Complete {
            result: IoResult::Error,
            ..
        }]
    ));
    assert_eq!(volume.awaited_answers, 0);
}
