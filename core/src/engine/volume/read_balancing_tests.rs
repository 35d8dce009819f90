// SPDX-License-Identifier: GPL-2.0-or-later
//! Who serves a read.

extern crate std;
use super::super::{
    rig::{effects, submit, volume, Peer},
    Effect, IoResult, Volume,
};
use crate::{
    config::ReadBalancing,
    engine::{mem::tests::Heap, send_queue::SendItem},
    state::Conn,
    wire::handshake::ReplicationProtocol,
};
use std::vec::Vec;

fn balanced(policy: ReadBalancing) -> Volume<Heap> {
    let mut volume = volume(Conn::Connected, 8192);
    volume.disk.as_mut().unwrap().facts.options.read_balancing = policy;
    volume
}

/// Whether the peer is asked for a read of `sector`.
fn asks_peer(volume: &mut Volume<Heap>, peer: &mut Peer, sector: u64) -> bool {
    peer.items.clear();
    let _ = submit(volume, peer, false, sector);
    let asked = matches!(peer.items.as_slice(), [SendItem::Read { .. }]);
    let here = effects(volume)
        .iter()
        .any(|effect| matches!(effect, Effect::SubmitApp { .. }));
    assert_ne!(asked, here, "exactly one of them");
    asked
}

#[test]
fn each_policy_chooses_as_it_says() {
    use ReadBalancing as R;
    for (policy, wanted) in [
        (R::PreferLocal, [false, false, false, false]),
        (R::PreferRemote, [true, true, true, true]),
        (R::RoundRobin, [true, false, true, false]),
        (R::WhenCongestedRemote, [false, false, false, false]),
        (R::Striping32K, [false, true, false, false]),
        (R::Striping64K, [false, false, true, false]),
        (R::Striping1M, [false, false, false, true]),
    ] {
        let (mut volume, mut peer) = (balanced(policy), Peer::default());
        let asked = [0, 64, 128, 2048].map(|at| asks_peer(&mut volume, &mut peer, at));
        assert_eq!(asked, wanted, "{policy:?}");
    }
}

#[test]
fn least_pending_goes_where_less_waits() {
    let (mut volume, mut peer) = (balanced(ReadBalancing::LeastPending), Peer::default());
    let asked: Vec<bool> = (0..5)
        .map(|n| asks_peer(&mut volume, &mut peer, n * 8))
        .collect();
    assert_eq!(asked, [false, true, false, true, false]);
}

#[test]
fn what_the_peer_may_not_have_is_read_here() {
    let (mut volume, mut peer) = (balanced(ReadBalancing::PreferRemote), Peer::default());
    volume.set_out_of_sync(0, 8);
    assert!(!asks_peer(&mut volume, &mut peer, 0), "marked");
    let _ = submit(&mut volume, &mut peer, true, 64);
    let _ = effects(&mut volume);
    assert!(!asks_peer(&mut volume, &mut peer, 68), "being written");
    assert!(asks_peer(&mut volume, &mut peer, 72));
}

#[test]
fn a_completed_write_is_read_at_the_peer_when_it_is_on_its_disk() {
    for (protocol, at_once) in [
        (ReplicationProtocol::A, false),
        (ReplicationProtocol::B, false),
        (ReplicationProtocol::C, true),
    ] {
        let (mut volume, mut peer) = (balanced(ReadBalancing::PreferRemote), Peer::default());
        volume.set_protocol(protocol);
        let op = submit(&mut volume, &mut peer, true, 64);
        let _ = effects(&mut volume);
        // What was promised for it stays so.
        volume.set_protocol(ReplicationProtocol::C);
        volume.handed_over(op, &mut peer);
        volume.local_done(op, true, &mut peer);
        if protocol != ReplicationProtocol::A {
            let handle = volume.handle(op);
            volume.write_acked(handle, 64, false, &mut peer).unwrap();
        }
        let told = effects(&mut volume);
        assert!(
            matches!(told.as_slice(), [Effect::Complete { .. }]),
            "{protocol:?}: {told:?}"
        );
        assert_eq!(
            asks_peer(&mut volume, &mut peer, 64),
            at_once,
            "{protocol:?}"
        );
        volume.barrier_acked(1, &mut peer);
        assert!(asks_peer(&mut volume, &mut peer, 64), "{protocol:?}");
    }
}

#[test]
fn a_read_that_fails_is_tried_at_the_other() {
    for (peer_first, second_ok) in [(true, true), (true, false), (false, true), (false, false)] {
        let policy = if peer_first {
            ReadBalancing::PreferRemote
        } else {
            ReadBalancing::PreferLocal
        };
        let (mut volume, mut peer) = (balanced(policy), Peer::default());
        let op = submit(&mut volume, &mut peer, false, 0);
        for (step, ok) in [(0, false), (1, second_ok)] {
            let at_peer = peer_first == (step == 0);
            let here = effects(&mut volume);
            let submitted = matches!(here.as_slice(), [Effect::SubmitApp { .. }]);
            assert_eq!(at_peer, !submitted, "step {step}: {here:?}");
            if at_peer {
                assert!(matches!(peer.items.pop(), Some(SendItem::Read { .. })));
                volume.handed_over(op, &mut peer);
                volume.read_answered(op, ok, &mut peer);
            } else {
                volume.local_done(op, ok, &mut peer);
            }
        }
        let wanted = if second_ok {
            IoResult::Done
        } else {
            IoResult::Error
        };
        let told = effects(&mut volume);
        assert!(
            matches!(told.as_slice(), [Effect::Complete { result, .. }] if *result == wanted),
            "{told:?}"
        );
        assert_eq!(volume.awaited_answers, 0);
    }
}
