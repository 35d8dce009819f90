// SPDX-License-Identifier: GPL-2.0-or-later
//! What two nodes make of each other when they meet, and of later states.

extern crate std;
use super::{super::rig, *};
use crate::{
    state::Negotiated,
    uuid::{GenUuids, Policy},
};

/// The flags that a disk tells of which the metadata says `remembered`.
fn told(remembered: DiskState) -> UuidFlags {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.state.disk = DiskState::Negotiating;
    volume.context.negotiating = Some(Negotiated {
        disk: remembered,
        pdsk: DiskState::UpToDate,
        data_unchanged: true,
    });
    volume.send_uuids(false, &mut peer);
    match peer.controls.last() {
        Some(Packet::Uuids(told)) => told.flags,
        other => panic!("{other:?}"),
    }
}

/// Both were Primary without each other and are it still; this one has fewer changes, and after-sb-1pri decides nothing.
#[test]
fn of_two_primaries_the_one_that_is_demoted_gives_in() {
    let uuids = |current| GenUuids {
        current,
        bitmap: 0x2000,
        history: [0, 0],
    };
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.context.two_primaries = true;
    volume.context.apv = 101;
    volume.state.conn = Conn::WfReportParams;
    volume.state.peer = Role::Unknown;
    volume.state.pdsk = DiskState::Unknown;
    volume.disk.as_mut().unwrap().set_uuids(uuids(0x1001));
    volume.peer.uuids = Some(PeerUuids {
        uuids: uuids(0x3001),
        dirty_bits: 4,
        flags: UuidFlags(0),
    });
    volume.peer.comm_bm_set = 1;
    volume.peer.consider_resync = true;
    volume.peer.options.after_sb = [
        Policy::DiscardLeastChanges,
        Policy::Disconnect,
        Policy::CallPriLost,
    ];
    let told = State {
        role: Role::Primary,
        peer: Role::Primary,
        conn: Conn::WfReportParams,
        ..volume.state
    };
    let met = volume.state_received(told, &mut peer, 0);
    assert!(met.is_ok(), "{met:?}");
    assert_eq!(
        (volume.state.role, volume.state.conn),
        (Role::Secondary, Conn::WfBitMapT)
    );
}

#[test]
fn only_an_inconsistent_disk_says_so() {
    assert_eq!(told(DiskState::Inconsistent), UuidFlags::INCONSISTENT);
    for good in [DiskState::Outdated, DiskState::Consistent] {
        assert_eq!(told(good), UuidFlags(0), "{good:?}");
    }
}

/// The target finished, lost its disk, and attaches it again; this node, whose data went on, saw nothing of the end. An
/// interruption from here on finds two generations, not one, and so does the peer, which hears of the UUIDs only now.
#[test]
fn a_source_that_missed_the_end_goes_on_in_a_generation_of_its_own() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    let (current, sync, older) = (0x1000, 0x2000, 0x3000);
    let target = GenUuids {
        current,
        bitmap: 0,
        history: [sync, older],
    };
    volume.disk.as_mut().unwrap().set_uuids(GenUuids {
        current: current | 1,
        bitmap: sync,
        history: [older, 0],
    });
    volume.state.pdsk = DiskState::Diskless;
    volume.peer.uuids = Some(PeerUuids {
        uuids: target,
        dirty_bits: 0,
        flags: UuidFlags(0),
    });
    let told = State {
        role: Role::Secondary,
        peer: Role::Primary,
        conn: Conn::Connected,
        disk: DiskState::Negotiating,
        pdsk: DiskState::UpToDate,
        ..volume.state
    };
    assert!(volume.state_received(told, &mut peer, 0).is_ok());
    assert_eq!(volume.state.conn, Conn::WfBitMapS);
    let own = volume.disk.as_ref().unwrap().uuids();
    assert_ne!(own.current & !1, current);
    assert_eq!((own.bitmap & !1, own.history[0]), (current, sync));
    // Held until they are durable.
    let tells = |peer: &rig::Peer| {
        let uuids = |packet: &&Packet| matches!(packet, Packet::Uuids(_));
        peer.controls.iter().filter(uuids).count()
    };
    assert_eq!(tells(&peer), 0);
    rig::write_metadata(&mut volume, &mut peer);
    assert_eq!(tells(&peer), 1);
}

#[test]
fn a_peer_that_is_in_sync_again_pauses_nothing_any_more() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.set_out_of_sync(0, 8);
    volume.hard(&mut peer, 0, |state| {
        (state.conn, state.pdsk) = (Conn::SyncSource, DiskState::Inconsistent);
        state.peer_isp = true;
    });
    assert_eq!(volume.conn(), Conn::PausedSyncS);
    let told = State {
        role: Role::Primary,
        peer: Role::Secondary,
        conn: Conn::Connected,
        pdsk: DiskState::UpToDate,
        peer_isp: false,
        ..volume.state
    };
    volume.state.role = Role::Secondary;
    assert!(volume.state_received(told, &mut peer, 0).is_ok());
    let state = volume.state;
    assert_eq!((state.conn, state.peer_isp), (Conn::SyncSource, false));
    assert_eq!(state.peer, Role::Primary);
}

/// The peer judges by the count that it is told, while this Primary writes on.
#[test]
fn changes_are_counted_once_for_both() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    let uuids = |current, bitmap| GenUuids {
        current,
        bitmap,
        history: [0, 0],
    };
    volume
        .disk
        .as_mut()
        .unwrap()
        .set_uuids(uuids(0x2001, 0x1000));
    volume.state.pdsk = DiskState::Diskless;
    volume.set_out_of_sync(0, 24);
    volume.peer.uuids = Some(PeerUuids {
        uuids: uuids(0x1000, 0),
        dirty_bits: 5,
        flags: UuidFlags(0),
    });
    let told = State {
        role: Role::Secondary,
        peer: Role::Primary,
        conn: Conn::Connected,
        disk: DiskState::Negotiating,
        pdsk: DiskState::UpToDate,
        ..volume.state
    };
    volume.uuid_hold = Some(u64::MAX);
    assert!(volume.state_received(told, &mut peer, 0).is_ok());
    volume.set_out_of_sync(800, 80);
    volume.uuid_hold = None;
    volume.send_uuids(false, &mut peer);
    let counts = |peer: &rig::Peer| -> std::vec::Vec<u64> {
        let bits = |packet: &Packet| match packet {
            Packet::Uuids(told) => Some(told.dirty_bits),
            _ => None,
        };
        peer.controls.iter().filter_map(bits).collect()
    };
    assert_eq!((counts(&peer), volume.peer.comm_bm_set), (std::vec![3], 3));
    volume.send_uuids(false, &mut peer);
    assert_eq!(counts(&peer), [3, 13]);
}

#[test]
fn a_resync_that_begins_for_a_lost_disk_is_ignored() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.hard(&mut peer, 0, |state| state.disk = DiskState::Failed);
    assert!(volume.sync_uuid_received(7, &mut peer, 0).is_ok());
    // Nor is it meant for the disk that is attached instead.
    volume.state.disk = DiskState::Negotiating;
    assert!(volume.sync_uuid_received(7, &mut peer, 0).is_ok());
    assert_eq!(volume.conn(), Conn::Connected);
    assert!(!volume.receiver_waits());
}

#[test]
fn a_bitmap_for_a_lost_disk_is_ignored() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.hard(&mut peer, 0, |state| state.disk = DiskState::Failed);
    let command = crate::wire::command::Command::Bitmap;
    for failed in [true, false] {
        assert!(volume.bitmap_packet_comes(command, 128).is_ok());
        let taken = volume.bitmap_packet(command, &[0xff; 128], &mut peer, 0);
        assert!(taken.is_ok());
        if failed {
            assert_eq!(volume.dirty_bits(), 0);
            volume.disk = None;
        }
    }
    // It would be answered at once.
    volume.become_bitmap_target(&mut peer);
    assert!(peer.items.is_empty());
}

#[test]
fn the_end_of_a_resync_is_told_when_it_is_durable() {
    let mut volume = rig::volume(Conn::Connected, 8 * 1024);
    let mut peer = rig::Peer::default();
    volume.hard(&mut peer, 0, |state| {
        (state.conn, state.disk) = (Conn::SyncTarget, DiskState::Inconsistent);
    });
    rig::write_metadata(&mut volume, &mut peer);
    let told = |peer: &mut rig::Peer| {
        let packets = core::mem::take(&mut peer.controls);
        packets.iter().any(|packet| match packet {
            Packet::State(told) => told.disk == DiskState::UpToDate,
            _ => false,
        })
    };
    let _ = told(&mut peer);
    volume.finish_resync_target(&mut peer, 0);
    assert_eq!(volume.state.disk, DiskState::UpToDate);
    assert!(!told(&mut peer));
    rig::write_metadata(&mut volume, &mut peer);
    assert!(told(&mut peer));
}

#[test]
fn a_second_bitmap_of_the_source_counts_too() {
    let mut volume = rig::volume(Conn::WfSyncUuid, 8 * 1024);
    let mut peer = rig::Peer::default();
    let command = crate::wire::command::Command::Bitmap;
    assert!(volume.bitmap_packet_comes(command, 128).is_ok());
    let taken = volume.bitmap_packet(command, &[0xff; 128], &mut peer, 0);
    assert!(taken.is_ok());
    assert_eq!(volume.dirty_bits(), 1024);
    volume.become_bitmap_target(&mut peer);
    assert!(peer.items.is_empty(), "it is none of the next exchange");
}
