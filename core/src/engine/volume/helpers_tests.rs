// SPDX-License-Identifier: GPL-2.0-or-later
//! Which helpers run, and what waits for them.

use super::{
    super::rig::{self, Peer},
    *,
};
use crate::{
    config::OnIoError,
    engine::{mem::tests::Heap, op::OpId},
    state::Role,
    wire::packet::Packet,
};

fn volume(conn: Conn) -> Volume<Heap> {
    let mut volume = rig::volume(conn, 8 * 1024);
    volume.enable_helpers(true);
    let _ = volume.take_todo();
    volume
}

fn fail(volume: &mut Volume<Heap>, peer: &mut Peer, op: OpId) {
    let _ = rig::effects(volume);
    volume.local_done(op, false, peer);
    volume.tend_disk(peer, 0);
    rig::write_metadata(volume, peer);
    volume.tend_disk(peer, 0);
}

#[test]
fn a_target_begins_when_its_helper_agrees() {
    let (mut volume, mut peer) = (volume(Conn::WfSyncUuid), Peer::default());
    volume.sync_uuid_received(4711 << 1, &mut peer, 0).unwrap();
    assert!(volume.take_todo().has(Todo::HELPER));
    assert!(volume.receiver_waits());
    assert_eq!(volume.state.conn, Conn::WfSyncUuid);
    assert_eq!(volume.next_helper(), Some(Helper::BeforeResyncTarget));
    assert_eq!(volume.next_helper(), None, "one at a time");
    assert!(volume.receiver_waits());
    volume.helper_done(0, &mut peer, 0);
    assert!(!volume.receiver_waits());
    assert_eq!(volume.state.conn, Conn::SyncTarget);
}

#[test]
fn the_resync_of_a_grown_part_begins_when_its_helper_agrees() {
    let (mut volume, mut peer) = (volume(Conn::Connected), Peer::default());
    volume.resync_growth(&mut peer, 0);
    assert_eq!(volume.next_helper(), Some(Helper::BeforeResyncSource));
    assert!(volume.sizes_pending());
    volume.helper_done(0, &mut peer, 0);
    assert_eq!(volume.state.conn, Conn::SyncSource);
}

#[test]
fn a_target_whose_helper_refuses_ends_the_connection() {
    let (mut volume, mut peer) = (volume(Conn::WfSyncUuid), Peer::default());
    volume.sync_uuid_received(4711 << 1, &mut peer, 0).unwrap();
    assert_eq!(volume.next_helper(), Some(Helper::BeforeResyncTarget));
    volume.helper_done(1, &mut peer, 0);
    assert_eq!(volume.state.conn, Conn::WfSyncUuid);
    let end = super::super::ConnectionRequest::End(Conn::Disconnecting);
    assert_eq!(volume.take_connection_request(), Some(end));
}

#[test]
fn a_helper_of_an_earlier_connection_decides_nothing() {
    let (mut volume, mut peer) = (volume(Conn::WfSyncUuid), Peer::default());
    volume.state.role = Role::Secondary;
    volume.sync_uuid_received(4711 << 1, &mut peer, 0).unwrap();
    assert_eq!(volume.next_helper(), Some(Helper::BeforeResyncTarget));
    volume.disconnecting(Conn::NetworkFailure, &mut peer, 0);
    assert!(!volume.receiver_waits());
    // The next connection asks again, while the first program still runs.
    volume.peer.linked = true;
    volume.state.conn = Conn::WfSyncUuid;
    volume.start_resync(Side::Target, &mut peer, 0);
    assert_eq!(volume.next_helper(), None);
    volume.helper_done(0, &mut peer, 0);
    assert!(volume.receiver_waits(), "the answer to another question");
    assert_eq!(volume.next_helper(), Some(Helper::BeforeResyncTarget));
    volume.helper_done(0, &mut peer, 0);
    assert_eq!(volume.state.conn, Conn::SyncTarget);
}

#[test]
fn a_source_may_ignore_its_helper() {
    for (code, begins) in [(0, true), (3, true), (1, false), (4, false)] {
        let (mut volume, mut peer) = (volume(Conn::WfBitMapS), Peer::default());
        volume.start_resync(Side::Source, &mut peer, 0);
        assert_eq!(volume.next_helper(), Some(Helper::BeforeResyncSource));
        volume.helper_done(code, &mut peer, 0);
        assert_eq!(volume.state.conn == Conn::SyncSource, begins, "{code}");
    }
}

#[test]
fn a_failed_disk_stays_until_its_helper_has_ended() {
    let (mut volume, mut peer) = (volume(Conn::Connected), Peer::default());
    if let Some(disk) = volume.disk.as_mut() {
        disk.facts.options.on_io_error = OnIoError::CallHelper;
    }
    let op = rig::submit(&mut volume, &mut peer, true, 0);
    fail(&mut volume, &mut peer, op);
    assert_eq!(volume.state.disk, DiskState::Failed);
    assert_eq!(volume.next_helper(), Some(Helper::LocalIoError));
    rig::write_metadata(&mut volume, &mut peer);
    volume.tend_disk(&mut peer, 0);
    assert_eq!(volume.state.disk, DiskState::Failed);
    volume.helper_done(0, &mut peer, 0);
    for _ in 0..3 {
        volume.tend_disk(&mut peer, 0);
        rig::write_metadata(&mut volume, &mut peer);
    }
    assert_eq!(volume.state.disk, DiskState::Diskless);
    assert_eq!(volume.next_helper(), None, "nobody asked for another");
}

#[test]
fn a_disk_that_the_administrator_takes_away_calls_nobody() {
    let (mut volume, mut peer) = (volume(Conn::Connected), Peer::default());
    if let Some(disk) = volume.disk.as_mut() {
        disk.facts.options.on_io_error = OnIoError::CallHelper;
    }
    volume.fail_disk(&mut peer, 0);
    assert_eq!(volume.next_helper(), None);
    let told = |packet: &Packet| matches!(packet, Packet::State(_));
    assert!(peer.controls.iter().any(told));
}
