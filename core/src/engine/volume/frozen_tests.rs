// SPDX-License-Identifier: GPL-2.0-or-later
//! What stands still ends later, and as it should.

extern crate std;
use super::{
    super::{
        rig::{self, Peer},
        Admission, AppIo, Effect, IoResult,
    },
    *,
};
use crate::{
    engine::{
        link::Unlinked,
        mem::tests::Heap,
        op::{Action, BioFlags},
        send_queue::SendItem,
        volume::PeerReadKind,
    },
    state::{Disk as DiskState, Fencing, Kind as ChangeKind, State},
    wire::block::{BlockAck, BlockId},
};

const SECTORS: u64 = 8 * 1024;

fn ends(effects: &[Effect], op: OpId) -> Option<IoResult> {
    effects.iter().find_map(|effect| match effect {
        Effect::Complete { op: ended, result } if *ended == op => Some(*result),
        _ => None,
    })
}

fn submitted(effects: &[Effect], op: OpId) -> bool {
    effects.contains(&Effect::SubmitApp { op })
}

/// One turn of the host's worker.
fn turn(volume: &mut Volume<Heap>, peer: &mut Peer) -> std::vec::Vec<Effect> {
    volume.tend_disk(peer, 0);
    volume.run_ready(peer, 0);
    rig::effects(volume)
}

fn lose_connection(volume: &mut Volume<Heap>, peer: &mut Peer) {
    for op in 0..volume.ops.capacity() {
        if volume.ops.at(op).any(flag::NET_QUEUED) {
            volume.send_canceled(op, peer);
        }
    }
    volume.disconnecting(Conn::NetworkFailure, peer, 0);
    volume.disconnected(peer, 0);
    volume.set_conn(Conn::Unconnected, peer, 0);
    volume.set_conn(Conn::WfConnection, peer, 0);
}

fn come_back(volume: &mut Volume<Heap>, peer: &mut Peer) {
    volume.peer.linked = true;
    volume.set_conn(Conn::WfReportParams, peer, 0);
    let back = State {
        conn: Conn::Connected,
        pdsk: DiskState::UpToDate,
        peer: Role::Secondary,
        ..volume.state
    };
    volume.change(back, ChangeKind::Hard, peer, 0).unwrap();
}

fn fenced_volume() -> Volume<Heap> {
    let mut volume = rig::volume(Conn::Connected, SECTORS);
    volume.context.fencing = Fencing::ResourceAndStonith;
    volume
}

#[test]
fn suspend_io_lets_end_what_has_begun() {
    let (mut volume, mut peer) = (rig::volume(Conn::Connected, SECTORS), Peer::default());
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    let _ = turn(&mut volume, &mut peer);
    volume.suspend_io(&mut peer, 0);
    assert!(volume.app_io_runs());
    let io = AppIo {
        write: true,
        action: Action::Data,
        sector: 64,
        len_sectors: 8,
        bio: BioFlags::default(),
    };
    assert_eq!(volume.submit(io, &mut peer, 0), Admission::Later);
    volume.local_done(op, true, &mut peer);
    volume.handed_over(op, &mut peer);
    let handle = volume.handle(op);
    volume.write_acked(handle, 0, false, &mut peer).unwrap();
    let effects = turn(&mut volume, &mut peer);
    assert_eq!(ends(&effects, op), Some(IoResult::Done));
    assert!(!volume.app_io_runs());
    let _ = volume.take_todo();
    volume.resume_io(&mut peer, 0);
    assert!(volume.take_todo().has(Todo::ADMIT));
    assert!(matches!(
        volume.submit(io, &mut peer, 0),
        Admission::Accepted(_)
    ));
}

#[test]
fn a_write_of_a_lost_peer_ends_when_the_peer_is_fenced() {
    let (mut volume, mut peer) = (fenced_volume(), Peer::default());
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    let effects = turn(&mut volume, &mut peer);
    assert!(submitted(&effects, op));
    volume.local_done(op, true, &mut peer);
    lose_connection(&mut volume, &mut peer);
    assert!(volume.state.susp_fen);
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(turn(&mut volume, &mut peer), []);
    let before = volume.disk.as_ref().unwrap().uuids();
    let fenced = State {
        pdsk: DiskState::Outdated,
        ..volume.state
    };
    volume
        .change(fenced, ChangeKind::Hard, &mut peer, 0)
        .unwrap();
    assert!(!volume.state.susp_fen);
    let after = volume.disk.as_ref().unwrap().uuids();
    assert_ne!(before.current, after.current, "the peer lacks this write");
    assert_eq!(turn(&mut volume, &mut peer), [], "that is not durable yet");
    rig::write_metadata(&mut volume, &mut peer);
    let effects = turn(&mut volume, &mut peer);
    assert!(submitted(&effects, op));
    volume.local_done(op, true, &mut peer);
    let effects = turn(&mut volume, &mut peer);
    assert_eq!(ends(&effects, op), Some(IoResult::Done));
    assert_eq!(volume.dirty_bits(), 1);
}

#[test]
fn a_write_of_a_lost_peer_is_sent_again_when_it_comes_back() {
    let (mut volume, mut peer) = (fenced_volume(), Peer::default());
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    let _ = turn(&mut volume, &mut peer);
    lose_connection(&mut volume, &mut peer);
    let before = volume.disk.as_ref().unwrap().uuids();
    peer.items.clear();
    come_back(&mut volume, &mut peer);
    assert!(!volume.state.susp_fen);
    assert_eq!(before, volume.disk.as_ref().unwrap().uuids());
    // The disk has not answered to the first attempt yet.
    assert_eq!(turn(&mut volume, &mut peer), []);
    volume.local_done(op, true, &mut peer);
    let effects = turn(&mut volume, &mut peer);
    assert!(submitted(&effects, op), "{effects:?}");
    let sent = |item: &SendItem| matches!(item, SendItem::Write { op: sent, .. } if *sent == op);
    assert!(peer.items.iter().any(sent));
    volume.local_done(op, true, &mut peer);
    assert_eq!(ends(&turn(&mut volume, &mut peer), op), None);
    volume.handed_over(op, &mut peer);
    let handle = volume.handle(op);
    volume.write_acked(handle, 0, false, &mut peer).unwrap();
    let effects = turn(&mut volume, &mut peer);
    assert_eq!(ends(&effects, op), Some(IoResult::Done));
    assert_eq!(volume.dirty_bits(), 0);
}

#[test]
fn what_waits_for_a_write_goes_first_when_that_is_launched_again() {
    let (mut volume, mut peer) = (fenced_volume(), Peer::default());
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    let _ = turn(&mut volume, &mut peer);
    lose_connection(&mut volume, &mut peer);
    come_back(&mut volume, &mut peer);
    volume.hard(&mut peer, 0, |state| state.conn = Conn::VerifyT);
    let read = volume
        .peer_read(PeerReadKind::Verify, 0, 8, BlockId::SYNCER, &mut peer, 0)
        .unwrap()
        .unwrap();
    volume.peer_read_start(read, &mut peer, 0);
    assert_eq!(turn(&mut volume, &mut peer), []);
    volume.local_done(op, true, &mut peer);
    let effects = turn(&mut volume, &mut peer);
    let reads = |effect: &Effect| matches!(effect, Effect::SubmitRead { op, .. } if *op == read);
    assert!(effects.iter().any(reads));
    assert!(!submitted(&effects, op));
    volume.local_done(read, true, &mut peer);
    volume.handed_over(read, &mut peer);
    let result = BlockAck {
        sector: 0,
        block_id: BlockId::IN_SYNC,
        size: 4096,
        seq_num: 0,
    };
    volume.verify_result_received(result, &mut peer, 0);
    assert!(submitted(&turn(&mut volume, &mut peer), op));
}

#[test]
fn a_rebooted_peers_unconfirmed_writes_are_marked() {
    let (mut volume, mut peer) = (fenced_volume(), Peer::default());
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    let _ = turn(&mut volume, &mut peer);
    volume.local_done(op, true, &mut peer);
    volume.handed_over(op, &mut peer);
    let handle = volume.handle(op);
    volume.write_acked(handle, 0, false, &mut peer).unwrap();
    let effects = turn(&mut volume, &mut peer);
    assert_eq!(ends(&effects, op), Some(IoResult::Done));
    lose_connection(&mut volume, &mut peer);
    assert_eq!(volume.dirty_bits(), 1);
    volume.peer.linked = true;
    volume.set_conn(Conn::WfReportParams, &mut peer, 0);
    let back = State {
        conn: Conn::WfBitMapS,
        pdsk: DiskState::Consistent,
        peer: Role::Secondary,
        ..volume.state
    };
    volume.change(back, ChangeKind::Hard, &mut peer, 0).unwrap();
    assert!(volume.state.susp_fen, "it does not know yet what it lacks");
    volume.set_conn(Conn::SyncSource, &mut peer, 0);
    assert!(!volume.state.susp_fen);
}

#[test]
fn without_any_data_a_write_waits_for_a_disk() {
    let mut volume = rig::volume(Conn::Connected, SECTORS);
    let mut peer = Peer::default();
    volume.context.on_no_data = OnNoData::SuspendIo;
    lose_connection(&mut volume, &mut peer);
    rig::write_metadata(&mut volume, &mut peer);
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    let effects = turn(&mut volume, &mut peer);
    assert!(submitted(&effects, op));
    volume.local_done(op, false, &mut peer);
    assert_eq!(ends(&rig::effects(&mut volume), op), None);
    assert_eq!(turn(&mut volume, &mut peer), []);
    assert!(volume.state.susp_nod);
    volume.resume_io(&mut Unlinked, 0);
    let effects = turn(&mut volume, &mut peer);
    assert_eq!(ends(&effects, op), Some(IoResult::Error));
}

#[test]
fn without_any_data_and_patience_a_write_fails() {
    let mut volume = rig::volume(Conn::Connected, SECTORS);
    let mut peer = Peer::default();
    lose_connection(&mut volume, &mut peer);
    rig::write_metadata(&mut volume, &mut peer);
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    let _ = turn(&mut volume, &mut peer);
    volume.local_done(op, false, &mut peer);
    assert_eq!(ends(&rig::effects(&mut volume), op), Some(IoResult::Error));
}
