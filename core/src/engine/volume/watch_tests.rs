// SPDX-License-Identifier: GPL-2.0-or-later
//! What becomes of operations that a disk does not answer, and of the disk.

extern crate std;
use super::super::{
    rig::{effects, submit, volume, write_metadata, Peer},
    AttachError, Effect, IoResult, PeerReadKind, Volume,
};
use crate::{
    engine::{
        mem::tests::Heap,
        op::{flag, Kind, OpId},
    },
    meta::Placement,
    state::{Conn, Disk as DiskState},
    wire::block::BlockId,
};

const TIMEOUT_MS: u32 = 2000;

fn watched(conn: Conn) -> (Volume<Heap>, Peer) {
    let mut vol = volume(conn, 8192);
    let disk = vol.disk.as_mut().unwrap();
    disk.facts.options.disk_timeout_ms = TIMEOUT_MS;
    (vol, Peer::default())
}

/// The host looks until the disk is given up; returns how many operations it was given up with.
fn give_up(vol: &mut Volume<Heap>, peer: &mut Peer) -> u32 {
    let mut now = 10_000;
    loop {
        let found = vol.watch_disk(peer, now);
        if let Some(late) = found.given_up {
            return late;
        }
        now += u64::from(found.again_ms.expect("it goes on looking"));
        assert!(now < 20_000, "the disk is never given up");
    }
}

fn results(vol: &mut Volume<Heap>) -> std::vec::Vec<IoResult> {
    let all = effects(vol).into_iter();
    all.filter_map(|effect| match effect {
        Effect::Complete { result, .. } => Some(result),
        _ => None,
    })
    .collect()
}

fn is_marked(vol: &Volume<Heap>) -> bool {
    vol.disk().unwrap().out_of_sync_bits() == 1
}

/// A write that only the peer's disk took, which the own one has still.
fn at_the_peer(vol: &mut Volume<Heap>, peer: &mut Peer) -> OpId {
    let op = submit(vol, peer, true, 0);
    assert_eq!(effects(vol).len(), 1);
    vol.handed_over(op, peer);
    vol.write_acked(vol.handle(op), 0, false, peer).unwrap();
    op
}

#[test]
fn a_write_ends_by_the_peers_copy_and_stays_marked() {
    let (mut vol, mut peer) = watched(Conn::Connected);
    vol.disk.as_mut().unwrap().facts.layout.placement = Placement::FlexExternal;
    let _ = at_the_peer(&mut vol, &mut peer);
    assert!(effects(&mut vol).is_empty());
    assert_eq!(give_up(&mut vol, &mut peer), 1);
    // The metadata is elsewhere, and has to tell of it first.
    assert!(results(&mut vol).is_empty() && is_marked(&vol));
    write_metadata(&mut vol, &mut peer);
    vol.tend_disk(&mut peer, 20_000);
    assert_eq!(results(&mut vol), [IoResult::Done]);
    assert!(is_marked(&vol));
    assert_ne!(vol.state().disk, DiskState::UpToDate);
}

#[test]
fn a_write_fails_that_nobody_else_has() {
    let (mut vol, mut peer) = watched(Conn::StandAlone);
    let op = submit(&mut vol, &mut peer, true, 0);
    assert_eq!(effects(&mut vol).len(), 1);
    assert_eq!(give_up(&mut vol, &mut peer), 1);
    assert_eq!(results(&mut vol), [IoResult::Error]);
    assert_eq!(vol.state().disk, DiskState::Diskless);
    assert!(vol.take_disk().is_some());
    assert_eq!(vol.op(op).kind, Kind::Late);
}

#[test]
fn the_slot_and_the_disk_wait_for_the_late_answer() {
    let (mut vol, mut peer) = watched(Conn::StandAlone);
    let op = submit(&mut vol, &mut peer, true, 0);
    let _ = effects(&mut vol);
    let _ = give_up(&mut vol, &mut peer);
    let _ = effects(&mut vol);
    assert!(vol.take_disk().is_some());
    assert_eq!((vol.late_io(), vol.ops.used()), (1, 1));
    assert_eq!(
        vol.ops
            .by_handle(vol.handle(op))
            .map(|id| vol.op(id).flags & flag::NET_SENT),
        Some(0)
    );
    let refused = vol.begin_attach(&mut peer, 20_000);
    assert_eq!(refused, Err(AttachError::Unanswered));
    // Whatever it says in the end.
    vol.local_done(op, true, &mut peer);
    assert_eq!(effects(&mut vol), [Effect::Release { op }]);
    assert_eq!((vol.late_io(), vol.ops.used()), (0, 0));
    assert_eq!(vol.begin_attach(&mut peer, 20_000), Ok(()));
}

#[test]
fn a_late_read_does_not_end_the_one_that_the_peer_serves() {
    let (mut vol, mut peer) = watched(Conn::Connected);
    let op = submit(&mut vol, &mut peer, false, 0);
    assert_eq!(effects(&mut vol), [Effect::SubmitApp { op }]);
    assert_eq!(give_up(&mut vol, &mut peer), 1);
    assert!(results(&mut vol).is_empty());
    assert!(vol.op(op).any(flag::NET_QUEUED), "the peer is asked");
    vol.local_done(op, true, &mut peer);
    assert!(results(&mut vol).is_empty(), "the data is not here yet");
    vol.handed_over(op, &mut peer);
    vol.read_answered(op, true, &mut peer);
    assert_eq!(results(&mut vol), [IoResult::Done]);
    assert_eq!(vol.ops.used(), 0);
}

#[test]
fn what_the_disk_never_got_is_not_waited_for() {
    let (mut vol, mut peer) = watched(Conn::StandAlone);
    let given = submit(&mut vol, &mut peer, true, 0);
    let _ = effects(&mut vol);
    let kept = submit(&mut vol, &mut peer, true, 800);
    assert_eq!(give_up(&mut vol, &mut peer), 1);
    assert_eq!(results(&mut vol), [IoResult::Error; 2]);
    assert_eq!(vol.op(given).kind, Kind::Late);
    assert_eq!(vol.op(kept).kind, Kind::Free);
}

#[test]
fn a_read_of_the_peer_is_refused_and_does_not_hold_up_a_new_connection() {
    let (mut vol, mut peer) = watched(Conn::Connected);
    let read = vol.peer_read(PeerReadKind::Data, 0, 8, BlockId(7), &mut peer, 0);
    let op = read.unwrap().unwrap();
    vol.peer_read_start(op, &mut peer, 0);
    assert_eq!(effects(&mut vol).len(), 1);
    assert!(vol.peer_ops_in_flight());
    assert_eq!(give_up(&mut vol, &mut peer), 1);
    assert_eq!(peer.acks.len(), 1);
    assert!(!vol.peer_ops_in_flight());
    vol.local_done(op, true, &mut peer);
    assert_eq!(effects(&mut vol), [Effect::Release { op }]);
}

#[test]
fn slots_that_wait_leave_room_for_the_application() {
    let (mut vol, mut peer) = watched(Conn::Connected);
    for at in 0..32 {
        let op = submit(&mut vol, &mut peer, false, at * 8);
        assert_eq!(effects(&mut vol), [Effect::SubmitApp { op }]);
    }
    assert_eq!(give_up(&mut vol, &mut peer), 32);
    for op in 0..32 {
        vol.handed_over(op, &mut peer);
        vol.read_answered(op, true, &mut peer);
    }
    assert_eq!(results(&mut vol), [IoResult::Done; 32]);
    let op = submit(&mut vol, &mut peer, false, 0);
    assert!(op >= 32, "slot {op} waits for the disk");
}

#[test]
fn a_disk_that_answers_is_kept() {
    let (mut vol, mut peer) = watched(Conn::StandAlone);
    let mut now = 10_000;
    for round in 0..40 {
        // The same slot all the time.
        let op = submit(&mut vol, &mut peer, true, 0);
        let _ = effects(&mut vol);
        let found = vol.watch_disk(&mut peer, now);
        assert_eq!(found.given_up, None, "round {round}");
        now += u64::from(found.again_ms.unwrap());
        vol.local_done(op, true, &mut peer);
        assert_eq!(results(&mut vol), [IoResult::Done]);
    }
    assert_eq!(vol.state().disk, DiskState::UpToDate);
}

#[test]
fn without_the_option_a_disk_has_all_the_time_it_wants() {
    let (mut vol, mut peer) = watched(Conn::StandAlone);
    vol.disk.as_mut().unwrap().facts.options.disk_timeout_ms = 0;
    let _ = submit(&mut vol, &mut peer, true, 0);
    let _ = effects(&mut vol);
    for now in [0, 1_000_000, 10_000_000] {
        assert_eq!(vol.watch_disk(&mut peer, now), Default::default());
    }
    assert_eq!(vol.state().disk, DiskState::UpToDate);
    // Set at run time, time counts from there.
    let options = super::super::DiskOptions {
        disk_timeout_ms: TIMEOUT_MS,
        ..vol.disk.as_ref().unwrap().facts.options
    };
    vol.set_disk_options(options);
    assert_eq!(vol.watch_disk(&mut peer, 20_000_000).given_up, None);
    assert_eq!(vol.watch_disk(&mut peer, 20_001_900).given_up, None);
    assert_eq!(vol.watch_disk(&mut peer, 20_002_000).given_up, Some(1));
}
