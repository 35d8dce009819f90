// SPDX-License-Identifier: GPL-2.0-or-later
//! Each node's part in a conflict, the other played by hand.

extern crate std;
use super::super::{
    rig::{effects, submit, volume, Peer},
    Effect, PeerWrite, PeerWriteFate, Volume,
};
use crate::{
    engine::{
        mem::tests::Heap,
        op::{Action, BioFlags, OpId},
    },
    state::{Conn, Disk, Role},
    wire::{
        block::{BlockAck, BlockId},
        command::Command,
        packet::Packet,
    },
};
use std::{vec, vec::Vec};

fn primary(resolver: bool) -> (Volume<Heap>, Peer) {
    let mut volume = volume(Conn::Connected, 65_536);
    volume.context.two_primaries = true;
    volume.state.peer = Role::Primary;
    volume.peer.resolve_conflicts = resolver;
    (volume, Peer::default())
}

fn ack(volume: &Volume<Heap>, op: OpId, seq_num: u32) -> BlockAck {
    BlockAck {
        sector: volume.op(op).sector,
        block_id: BlockId(volume.handle(op)),
        size: volume.op(op).len_bytes(),
        seq_num,
    }
}

fn write_at(sector: u64, len_sectors: u32, seq_num: u32) -> PeerWrite {
    PeerWrite {
        action: Action::Data,
        sector,
        len_sectors,
        block_id: BlockId(77),
        bio: BioFlags::default(),
        want_recv_ack: false,
        want_write_ack: true,
        may_set_in_sync: false,
        seq_num,
    }
}

fn peer_write(
    volume: &mut Volume<Heap>,
    peer: &mut Peer,
    sector: u64,
    len_sectors: u32,
    seq_num: u32,
) -> OpId {
    let write = write_at(sector, len_sectors, seq_num);
    match volume.peer_write(write, peer, 0) {
        PeerWriteFate::Accepted(op) => op,
        other => panic!("{other:?}"),
    }
}

fn told(peer: &Peer) -> Vec<Command> {
    peer.acks.iter().map(|(command, _)| *command).collect()
}

#[test]
fn the_resolver_keeps_its_own_write() {
    for (sector, len, answer) in [
        (100, 8, Command::Superseded),
        (102, 4, Command::Superseded),
        (98, 4, Command::RetryWrite),
        (96, 40, Command::RetryWrite),
    ] {
        let (mut volume, mut peer) = primary(true);
        let own = submit(&mut volume, &mut peer, true, 100);
        assert_eq!(effects(&mut volume), [Effect::SubmitApp { op: own }]);
        let theirs = peer_write(&mut volume, &mut peer, sector, len, 1);
        // A superseded write completes with the answer, and what was before both must not be read here any more.
        let at_once = answer == Command::RetryWrite;
        assert_eq!(told(&peer), vec![answer; usize::from(at_once)]);
        assert_eq!(peer.peer_rejected, 1, "the epoch waits");
        volume.handed_over(own, &mut peer);
        volume.local_done(own, true, &mut peer);
        assert_eq!(told(&peer), [answer]);
        assert_eq!(effects(&mut volume), []);
        let packet = Packet::WriteAck(ack(&volume, own, 2));
        volume.meta_packet(&packet, &mut peer, 0).unwrap();
        volume.run_ready(&mut peer, 0);
        assert_eq!(peer.peer_rejected, 0);
        let done = effects(&mut volume);
        assert!(done.contains(&Effect::Release { op: theirs }), "{done:?}");
        assert_eq!(told(&peer), [answer], "and is not written");
    }
}

#[test]
fn a_write_that_the_peer_sent_after_it_had_ours_is_no_conflict() {
    for sender_is_late in [false, true] {
        ours_comes_first(sender_is_late);
    }
}

/// The sender notes that the own write left before its answer is handled, or after the peer's write.
fn ours_comes_first(sender_is_late: bool) {
    let (mut volume, mut peer) = primary(true);
    let own = submit(&mut volume, &mut peer, true, 100);
    if !sender_is_late {
        volume.handed_over(own, &mut peer);
    }
    effects(&mut volume);
    // The peer's acknowledgement is number 1, its write number 2 and here before it.
    assert!(!volume.sequence_reached(2));
    let packet = Packet::WriteAck(ack(&volume, own, 1));
    volume.meta_packet(&packet, &mut peer, 0).unwrap();
    assert!(volume.sequence_reached(2));
    assert!(!volume.sequence_reached(4));
    let theirs = peer_write(&mut volume, &mut peer, 100, 8, 2);
    assert_eq!(told(&peer), [], "it waits for the own disk");
    if sender_is_late {
        volume.handed_over(own, &mut peer);
    }
    volume.local_done(own, true, &mut peer);
    volume.run_ready(&mut peer, 0);
    let submitted = effects(&mut volume)
        .iter()
        .any(|effect| matches!(effect, Effect::SubmitWrite { op, .. } if *op == theirs));
    assert!(submitted);
    assert!(volume.sequence_reached(3), "the write counts");
}

#[test]
fn the_other_node_writes_again_behind_the_resolvers() {
    let (mut volume, mut peer) = primary(false);
    let own = submit(&mut volume, &mut peer, true, 100);
    volume.handed_over(own, &mut peer);
    assert_eq!(effects(&mut volume), [Effect::SubmitApp { op: own }]);
    let theirs = peer_write(&mut volume, &mut peer, 104, 8, 9);
    assert!(volume.sequence_reached(99), "the other node does not count");
    let packet = Packet::RetryWrite(ack(&volume, own, 1));
    volume.meta_packet(&packet, &mut peer, 0).unwrap();
    assert_eq!(peer.rejected, [1], "its epoch has one write less");
    volume.run_ready(&mut peer, 0);
    assert_eq!(effects(&mut volume), [], "the own disk has it still");
    volume.local_done(own, true, &mut peer);
    volume.run_ready(&mut peer, 0);
    let next = effects(&mut volume);
    assert!(
        matches!(next[..], [Effect::SubmitWrite { op, .. }] if op == theirs),
        "{next:?}"
    );
    let sent = peer.items.len();
    volume.local_done(theirs, true, &mut peer);
    volume.run_ready(&mut peer, 0);
    assert_eq!(told(&peer), [Command::WriteAck]);
    assert!(effects(&mut volume).contains(&Effect::SubmitApp { op: own }));
    assert_eq!(peer.items.len(), sent + 1, "it is sent again");
}

#[test]
fn a_write_of_the_peers_that_no_disk_takes_is_not_waited_for() {
    // The sockets deliver the answer and the write in any order.
    for answer_first in [true, false] {
        let (mut volume, mut peer) = primary(false);
        let own = submit(&mut volume, &mut peer, true, 100);
        volume.handed_over(own, &mut peer);
        effects(&mut volume);
        volume.hard(&mut peer, 0, |state| state.disk = Disk::Failed);
        let sent = peer.items.len();
        let answer = Packet::RetryWrite(ack(&volume, own, 1));
        for is_answer in [answer_first, !answer_first] {
            if is_answer {
                volume.meta_packet(&answer, &mut peer, 0).unwrap();
                volume.local_done(own, true, &mut peer);
            } else {
                let fate = volume.peer_write(write_at(104, 8, 9), &mut peer, 0);
                assert_eq!(fate, PeerWriteFate::Dropped);
            }
            volume.run_ready(&mut peer, 0);
        }
        assert_eq!(told(&peer), [Command::NegAck]);
        assert_eq!(peer.items.len(), sent + 1, "it is sent again");
    }
}

#[test]
fn a_superseded_write_ends_when_the_disk_has_it() {
    let (mut volume, mut peer) = primary(false);
    let own = submit(&mut volume, &mut peer, true, 100);
    volume.handed_over(own, &mut peer);
    effects(&mut volume);
    let packet = Packet::Superseded(ack(&volume, own, 1));
    volume.meta_packet(&packet, &mut peer, 0).unwrap();
    assert!(volume.meta_packet(&packet, &mut peer, 0).is_err(), "twice");
    assert_eq!(effects(&mut volume), []);
    volume.local_done(own, true, &mut peer);
    let done = effects(&mut volume);
    assert!(
        matches!(done[..], [Effect::Complete { op, .. }] if op == own),
        "{done:?}"
    );
    assert_eq!(volume.dirty_bits(), 0);
    assert!(volume.is_idle());
}

#[test]
fn what_was_not_launched_waits_for_the_peers() {
    let (mut volume, mut peer) = primary(true);
    let first = peer_write(&mut volume, &mut peer, 100, 8, 1);
    let own = submit(&mut volume, &mut peer, true, 104);
    // It would wait for the own write, which waits for the first, whose end the peer waits for.
    let second = peer_write(&mut volume, &mut peer, 108, 8, 2);
    let submitted: Vec<OpId> = effects(&mut volume)
        .iter()
        .filter_map(|effect| match effect {
            Effect::SubmitWrite { op, .. } => Some(*op),
            _ => None,
        })
        .collect();
    assert_eq!(submitted, vec![first, second]);
    volume.local_done(first, true, &mut peer);
    volume.run_ready(&mut peer, 0);
    assert!(!effects(&mut volume).contains(&Effect::SubmitApp { op: own }));
    volume.local_done(second, true, &mut peer);
    volume.run_ready(&mut peer, 0);
    assert!(effects(&mut volume).contains(&Effect::SubmitApp { op: own }));
}

#[test]
fn when_the_connection_is_lost_nothing_waits_for_the_peer() {
    let (mut volume, mut peer) = primary(false);
    let own = submit(&mut volume, &mut peer, true, 100);
    let other = submit(&mut volume, &mut peer, true, 200);
    for op in [own, other] {
        volume.handed_over(op, &mut peer);
    }
    effects(&mut volume);
    for op in [own, other] {
        volume.local_done(op, true, &mut peer);
    }
    let packet = Packet::RetryWrite(ack(&volume, own, 1));
    volume.meta_packet(&packet, &mut peer, 0).unwrap();
    let waiting = peer_write(&mut volume, &mut peer, 200, 8, 2);
    volume.disconnecting(Conn::NetworkFailure, &mut peer, 0);
    let done = effects(&mut volume);
    assert!(done.contains(&Effect::Release { op: waiting }), "{done:?}");
    assert!(!volume.peer_ops_in_flight());
    volume.disconnected(&mut peer, 0);
    assert_eq!(
        effects(&mut volume),
        [],
        "the new generation is not durable"
    );
    super::super::rig::write_metadata(&mut volume, &mut peer);
    volume.tend_disk(&mut peer, 0);
    volume.run_ready(&mut peer, 0);
    let done = effects(&mut volume);
    assert!(done.contains(&Effect::SubmitApp { op: own }), "{done:?}");
    volume.local_done(own, true, &mut peer);
    assert!(effects(&mut volume)
        .iter()
        .any(|effect| matches!(effect, Effect::Complete { op, .. } if *op == own)));
    assert!(volume.dirty_bits() >= 2);
}
