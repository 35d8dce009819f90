// SPDX-License-Identifier: GPL-2.0-or-later
//! Online verify against a peer that is played by hand.

extern crate std;
use super::{
    super::{
        rig::{self, Peer},
        Effect, Todo, Volume,
    },
    DigestFate, Finding, Range, AGAIN, AGAIN_MS,
};
use crate::{
    engine::{
        mem::tests::Heap,
        op::{Kind, OpId},
        send_queue::SendItem,
        volume::PeerReadKind,
    },
    state::Conn,
    wire::{
        block::{BlockAck, BlockId},
        command::Command,
        packet::Packet,
    },
};
use std::vec::Vec;

fn volume(conn: Conn) -> Volume<Heap> {
    rig::volume(conn, 64)
}

/// The results that were told.
fn results(peer: &Peer) -> Vec<(u64, BlockId)> {
    let told = peer.acks.iter();
    told.filter(|(command, _)| *command == Command::OvResult)
        .map(|(_, ack)| (ack.sector, ack.block_id))
        .collect()
}

/// The blocks asked for since the last call.
fn asked(volume: &mut Volume<Heap>, peer: &mut Peer) -> Vec<(u64, OpId)> {
    let items = std::mem::take(&mut peer.items);
    items
        .into_iter()
        .filter_map(|item| match item {
            SendItem::RsRequest { op, .. } => {
                assert!(matches!(
                    volume.packet_of(op),
                    Some((Packet::OvRequest(_), 0))
                ));
                volume.handed_over(op, peer);
                Some((volume.op(op).sector, op))
            }
            _ => None,
        })
        .collect()
}

/// The peer's digest comes, the own half is read, the host compares.
fn answer(volume: &mut Volume<Heap>, peer: &mut Peer, sector: u64, id: BlockId, equal: bool) {
    let fate = volume.verify_reply(sector, 8, id, peer);
    let DigestFate::Take(op) = fate else {
        panic!("{fate:?}")
    };
    volume.verify_read(op, peer);
    assert_eq!(
        volume.next_effect(true),
        Some(Effect::SubmitRead {
            op,
            sector,
            len_sectors: 8
        })
    );
    volume.local_done(op, true, peer);
    assert_eq!(volume.next_compare(), Some((op, true)));
    volume.verify_compared(op, equal, peer, 1000);
}

fn drain(volume: &mut Volume<Heap>) {
    while volume.next_effect(true).is_some() {}
}

/// Status tells what applications wait for apart from what a verify does.
#[test]
fn requests_of_a_verify_are_none_of_the_applications() {
    let (mut volume, mut peer) = (volume(Conn::VerifyS), Peer::default());
    let _ = volume.resync_work(&mut peer, 1000);
    assert_eq!(asked(&mut volume, &mut peer).len(), 8);
    let snapshot = volume.snapshot();
    assert_eq!((snapshot.pending, snapshot.resync_pending), (8, 8));
}

#[test]
fn every_block_is_compared_once_and_differing_ones_are_marked() {
    let (mut volume, mut peer) = (volume(Conn::VerifyS), Peer::default());
    let _ = volume.resync_work(&mut peer, 1000);
    let blocks = asked(&mut volume, &mut peer);
    let sectors: Vec<u64> = blocks.iter().map(|(sector, _)| *sector).collect();
    assert_eq!(sectors, [0, 8, 16, 24, 32, 40, 48, 56]);
    for sector in sectors {
        let differs = sector == 16 || sector == 24;
        // A stock peer: each result counts.
        answer(&mut volume, &mut peer, sector, BlockId::SYNCER, !differs);
        drain(&mut volume);
    }
    assert_eq!(volume.dirty_bits(), 2);
    assert_eq!(volume.take_finding(), None, "nothing before the range ends");
    let _ = volume.resync_work(&mut peer, 1000);
    assert_eq!(volume.state.conn, Conn::Connected);
    let range = Range {
        sector: 16,
        sectors: 16,
    };
    assert_eq!(volume.take_finding(), Some(Finding::OutOfSync(range)));
    assert_eq!(
        volume.take_finding(),
        Some(Finding::Ended {
            complete: true,
            differing_blocks: 2,
            skipped_blocks: 0,
            position: 64
        })
    );
    assert_eq!(results(&peer).len(), 8);
    assert_eq!(results(&peer).get(2), Some(&(16, BlockId::OUT_OF_SYNC)));
    assert!(volume.is_idle());
}

#[test]
fn a_block_that_differs_once_is_asked_for_again() {
    let (mut volume, mut peer) = (volume(Conn::VerifyS), Peer::default());
    let _ = volume.resync_work(&mut peer, 1000);
    for (sector, _) in asked(&mut volume, &mut peer) {
        let differs = sector == 0 || sector == 40;
        answer(&mut volume, &mut peer, sector, AGAIN, !differs);
        drain(&mut volume);
    }
    assert_eq!(volume.dirty_bits(), 0, "not before it is sure");
    let _ = volume.resync_work(&mut peer, 1000 + AGAIN_MS - 1);
    assert!(asked(&mut volume, &mut peer).is_empty());
    assert_eq!(volume.state.conn, Conn::VerifyS);
    let _ = volume.resync_work(&mut peer, 1000 + AGAIN_MS);
    let again = asked(&mut volume, &mut peer);
    assert_eq!(again.len(), 2);
    answer(&mut volume, &mut peer, 0, AGAIN, true);
    drain(&mut volume);
    answer(&mut volume, &mut peer, 40, AGAIN, false);
    drain(&mut volume);
    assert_eq!(volume.dirty_bits(), 1);
    let _ = volume.resync_work(&mut peer, 1400);
    assert_eq!(volume.state.conn, Conn::Connected);
    assert_eq!(results(&peer).first(), Some(&(0, AGAIN)));
    assert_eq!(results(&peer).last(), Some(&(40, BlockId::OUT_OF_SYNC)));
}

#[test]
fn a_write_waits_for_the_comparison_and_a_lost_connection_frees_it() {
    let (mut volume, mut peer) = (volume(Conn::VerifyS), Peer::default());
    let _ = volume.resync_work(&mut peer, 1000);
    assert_eq!(asked(&mut volume, &mut peer).len(), 8);
    let free = |volume: &Volume<Heap>, kind| volume.ranges.is_free(&volume.ops, kind, 12, 1);
    assert!(!free(&volume, Kind::AppWrite));
    assert!(
        free(&volume, Kind::PeerWrite),
        "the answer may be behind it"
    );
    assert!(volume.peer_ops_in_flight());
    volume.disconnecting(Conn::NetworkFailure, &mut peer, 1000);
    drain(&mut volume);
    assert!(!volume.peer_ops_in_flight());
    assert!(free(&volume, Kind::AppWrite));
    assert!(matches!(
        volume.take_finding(),
        Some(Finding::Ended {
            complete: false,
            ..
        })
    ));
}

#[test]
fn the_target_serves_marks_and_ends_with_the_last_result() {
    let (mut volume, mut peer) = (volume(Conn::VerifyT), Peer::default());
    for sector in [32, 40, 48, 56] {
        let op = volume
            .peer_read(
                PeerReadKind::Verify,
                sector,
                8,
                BlockId::SYNCER,
                &mut peer,
                0,
            )
            .unwrap()
            .unwrap();
        volume.peer_read_start(op, &mut peer, 0);
        assert!(matches!(
            volume.next_effect(true),
            Some(Effect::SubmitRead { .. })
        ));
        volume.local_done(op, true, &mut peer);
        assert_eq!(peer.items.pop(), Some(SendItem::Reply { volume: 0, op }));
        let Some((Packet::OvReply(reply), 0)) = volume.packet_of(op) else {
            panic!("no reply")
        };
        assert_eq!((reply.sector, reply.block_id), (sector, AGAIN));
        let ack = |block_id| BlockAck {
            sector,
            block_id,
            size: 4096,
            seq_num: 0,
        };
        let result = if sector == 48 {
            BlockId::OUT_OF_SYNC
        } else {
            BlockId::IN_SYNC
        };
        assert_eq!(volume.state.conn, Conn::VerifyT);
        if sector == 40 {
            // The result is faster than the sender.
            volume.verify_result_received(ack(result), &mut peer, 0);
            volume.handed_over(op, &mut peer);
        } else {
            volume.handed_over(op, &mut peer);
            volume.verify_result_received(ack(result), &mut peer, 0);
        }
        drain(&mut volume);
        assert!(!volume.peer_ops_in_flight());
    }
    assert_eq!(volume.state.conn, Conn::Connected);
    assert_eq!(volume.dirty_bits(), 1);
    assert!(volume.take_todo().has(Todo::FINDING));
}
