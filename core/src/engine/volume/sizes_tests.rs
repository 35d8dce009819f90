// SPDX-License-Identifier: GPL-2.0-or-later
//! Two nodes come to one size, whatever crosses on the way.

use super::{super::rig, *};
use crate::engine::mem::tests::Heap;

fn sizes(d_size: u64, c_size: u64) -> Sizes {
    Sizes {
        d_size,
        u_size: 0,
        c_size,
        max_bio_size: 4096,
        queue_order_type: 0,
        dds_flags: DdsFlags::NONE,
        queue_limits: None,
    }
}

/// Begins to grow from 4 to 8 MiB without a word to the peer.
fn grow(volume: &mut Volume<Heap>) {
    let layout = volume.disk.as_ref().unwrap().facts.layout;
    volume.begin_resize(Plan {
        layout,
        sectors: 16 * 1024,
        fill_from: Plan::first_new_bit(8 * 1024, true),
        clean: false,
        then: Then::Nothing,
    });
}

#[test]
fn who_waits_for_the_resync_of_a_grown_part_says_so() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.state.role = Role::Secondary;
    volume.state.peer = Role::Primary;
    volume.resync_growth(&mut peer, 0);
    match peer.controls.last() {
        Some(Packet::State(told)) => assert_eq!(told.conn, Conn::WfSyncUuid),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_peer_that_attaches_a_smaller_disk_hears_of_the_size_again() {
    let mut volume = rig::volume(Conn::Connected, 16 * 1024);
    let mut peer = rig::Peer::default();
    volume.state.pdsk = DiskState::Diskless;
    volume.send_sizes(false, DdsFlags::NONE, &mut peer);
    peer.controls.clear();
    // Its disk failed before it could grow.
    let attaches = sizes(16 * 1024, 8 * 1024);
    assert!(volume.sizes_received(&attaches, &mut peer, 0).is_ok());
    let c_size = peer.controls.iter().find_map(|packet| match packet {
        Packet::Sizes(told) => Some(told.c_size),
        _ => None,
    });
    assert_eq!(c_size, Some(16 * 1024));
    // Nor for ever, if it does not follow.
    volume.state.pdsk = DiskState::Negotiating;
    peer.controls.clear();
    assert!(volume.sizes_received(&attaches, &mut peer, 0).is_ok());
    assert!(peer.controls.is_empty());
}

#[test]
fn a_peer_that_grew_when_this_node_could_not_breaks_no_protocol_by_a_write_there() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    assert_eq!(volume.beyond_end().conn, Conn::ProtocolError);
    volume.peer.start_source_ping = Some(0);
    let grown = sizes(16 * 1024, 16 * 1024);
    assert!(volume.sizes_received(&grown, &mut peer, 0).is_ok());
    assert_eq!(volume.capacity_sectors, 8 * 1024);
    assert_eq!(volume.beyond_end().conn, Conn::NetworkFailure);
}

#[test]
fn a_source_whose_target_has_grown_already_follows_at_once() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.state.role = Role::Secondary;
    volume.state.peer = Role::Primary;
    volume.hard(&mut peer, 0, |state| {
        (state.conn, state.pdsk) = (Conn::SyncSource, DiskState::Inconsistent);
    });
    // The last acknowledgements are still on their way.
    volume.peer.target_finished = true;
    let grown = sizes(16 * 1024, 16 * 1024);
    assert!(volume.sizes_received(&grown, &mut peer, 0).is_ok());
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.conn(), Conn::WfSyncUuid);
    assert!(volume.sync_uuid_received(7, &mut peer, 0).is_ok());
}

#[test]
fn a_source_of_a_grown_part_that_loses_its_disk_waits_for_nothing() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    // An acknowledgement of the resync before is still on its way.
    volume.peer.was_source = true;
    volume.resync_growth(&mut peer, 0);
    assert!(volume.sizes_pending());
    volume.hard(&mut peer, 0, |state| state.disk = DiskState::Failed);
    assert!(!volume.sizes_pending());
}

#[test]
fn a_disk_that_failed_while_its_bitmap_grew_is_no_source() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.hard(&mut peer, 0, |state| state.disk = DiskState::Failed);
    volume.resync_growth(&mut peer, 0);
    assert_eq!(volume.conn(), Conn::Connected);
    assert_eq!(volume.state.pdsk, DiskState::UpToDate);
    assert!(!volume.sizes_pending());
}

#[test]
fn nodes_that_met_while_one_still_grew_meet_again() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    grow(&mut volume);
    // As at the beginning of a connection.
    volume.forget_sizes();
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.capacity_sectors, 16 * 1024);
    let end = super::super::ConnectionRequest::End(Conn::NetworkFailure);
    assert_eq!(volume.take_connection_request(), Some(end));
    // What the host still does leads nowhere: the bitmap would not fit.
    volume.hard(&mut peer, 0, |state| state.conn = Conn::WfBitMapS);
    let mut body = [0; 4096];
    assert!(volume.bitmap_chunk(&mut body).is_none());
    volume.bitmap_sent(&mut peer, 0);
    assert_eq!(volume.conn(), Conn::WfBitMapS);
}

#[test]
fn a_size_follows_while_the_log_is_rewritten_for_another_reason() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    let disk = volume.disk.as_mut().unwrap();
    disk.facts.options.al_updates = true;
    disk.al.set_updates(true);
    grow(&mut volume);
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.capacity_sectors, 16 * 1024);
    assert!(!volume.disk.as_ref().unwrap().al.is_rewriting());
}

#[test]
fn if_both_ask_neither_grows_beyond_what_was_told() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    // The device has grown once more since this node asked.
    volume.sizing.said = Some((16 * 1024, 0, 0));
    volume.sizing.asked = true;
    let asks = sizes(32 * 1024, 0);
    assert!(volume.sizes_received(&asks, &mut peer, 0).is_ok());
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.capacity_sectors, 16 * 1024);
}

#[test]
fn what_was_put_off_grows_no_further_than_was_told() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.send_sizes(false, DdsFlags::NONE, &mut peer);
    volume.sizing.said = Some((16 * 1024, 0, 8 * 1024));
    volume.hard(&mut peer, 0, |state| state.conn = Conn::SyncSource);
    let asks = sizes(32 * 1024, 0);
    assert!(volume.sizes_received(&asks, &mut peer, 0).is_ok());
    volume.sizing.said = Some((16 * 1024, 0, 8 * 1024));
    volume.hard(&mut peer, 0, |state| {
        (state.conn, state.pdsk) = (Conn::Connected, DiskState::UpToDate);
    });
    volume.tend_sizes(&mut peer, 0);
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.capacity_sectors, 16 * 1024);
}

#[test]
fn who_follows_a_peer_that_attaches_waits_for_its_data() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.state.pdsk = DiskState::Negotiating;
    let attaches = sizes(16 * 1024, 16 * 1024);
    assert!(volume.sizes_received(&attaches, &mut peer, 0).is_ok());
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.capacity_sectors, 16 * 1024);
    volume.state.pdsk = DiskState::UpToDate;
    assert!(volume.is_growth_source());
    volume.resync_growth(&mut peer, 0);
    // The peer, which had this size, knows of no resync that begins here.
    assert_eq!(volume.conn(), Conn::WfSyncUuid);
}

#[test]
fn who_follows_a_peer_that_attached_later_waits_for_its_data_too() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.state.pdsk = DiskState::Negotiating;
    // Something else is under way just then.
    volume.peer.start_source_ping = Some(0);
    let attaches = sizes(16 * 1024, 16 * 1024);
    assert!(volume.sizes_received(&attaches, &mut peer, 0).is_ok());
    assert_eq!(volume.capacity_sectors, 8 * 1024);
    volume.peer.start_source_ping = None;
    volume.state.pdsk = DiskState::UpToDate;
    volume.tend_sizes(&mut peer, 0);
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.capacity_sectors, 16 * 1024);
    assert_eq!(volume.conn(), Conn::WfSyncUuid);
}

#[test]
fn who_had_the_size_begins_whatever_its_role() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.state.role = Role::Secondary;
    volume.state.peer = Role::Primary;
    let waits = State {
        conn: Conn::WfSyncUuid,
        ..volume.state
    };
    volume.note_peer_waits(waits, &mut peer, 0);
    assert_eq!(volume.conn(), Conn::SyncSource);
}

#[test]
fn who_asks_for_something_does_not_take_the_beginning_of_that_for_a_growth() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    let waits = State {
        conn: Conn::WfSyncUuid,
        ..volume.state
    };
    volume.peer.start_source_ping = Some(0);
    volume.note_peer_waits(waits, &mut peer, 0);
    volume.tend_sizes(&mut peer, 0);
    assert_eq!(volume.conn(), Conn::Connected);
    // It was nothing.
    volume.peer.start_source_ping = None;
    volume.tend_sizes(&mut peer, 0);
    assert_eq!(volume.conn(), Conn::SyncSource);
}

#[test]
fn a_resync_that_begins_before_this_node_is_ready_is_waited_with() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.sizing.due = true;
    assert!(volume.sync_uuid_received(7, &mut peer, 0).is_ok());
    volume.tend_early_sync_uuid(&mut peer, 0);
    assert!(volume.receiver_waits());
    assert_eq!(volume.conn(), Conn::Connected);
    volume.hard(&mut peer, 0, |state| state.conn = Conn::WfSyncUuid);
    volume.tend_early_sync_uuid(&mut peer, 0);
    assert!(!volume.receiver_waits());
    assert_eq!(volume.conn(), Conn::SyncTarget);
}

#[test]
fn a_target_that_is_larger_than_its_source_meets_it_again() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.hard(&mut peer, 0, |state| state.conn = Conn::SyncSource);
    let larger = sizes(16 * 1024, 16 * 1024);
    assert!(volume.sizes_received(&larger, &mut peer, 0).is_ok());
    let end = super::super::ConnectionRequest::End(Conn::NetworkFailure);
    assert_eq!(volume.take_connection_request(), Some(end));
}

#[test]
fn bitmaps_of_two_sizes_are_not_exchanged() {
    for conn in [Conn::WfBitMapS, Conn::WfBitMapT] {
        let mut volume = rig::volume(Conn::Connected, 8 * 1024);
        let mut peer = rig::Peer::default();
        volume.hard(&mut peer, 0, |state| state.conn = conn);
        // It grew when it heard that the disk here was lost, and that is back already.
        let grown = sizes(16 * 1024, 16 * 1024);
        assert!(volume.sizes_received(&grown, &mut peer, 0).is_ok());
        let end = super::super::ConnectionRequest::End(Conn::NetworkFailure);
        assert_eq!(volume.take_connection_request(), Some(end), "{conn:?}");
    }
}

#[test]
fn two_sources_of_a_grown_part_meet_again() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.resync_growth(&mut peer, 0);
    assert_eq!(volume.conn(), Conn::SyncSource);
    let end = volume.sync_uuid_received(7, &mut peer, 0).unwrap_err();
    assert_eq!(end.conn, Conn::NetworkFailure);
}

#[test]
fn who_pulled_ahead_follows_a_peer_that_had_grown() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.hard(&mut peer, 0, |state| state.conn = Conn::Ahead);
    let grown = sizes(16 * 1024, 16 * 1024);
    assert!(volume.sizes_received(&grown, &mut peer, 0).is_ok());
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(volume.capacity_sectors, 16 * 1024);
    assert_eq!(volume.conn(), Conn::Ahead);
    assert_eq!(volume.dirty_bits(), 1024);
}
