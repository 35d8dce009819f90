// SPDX-License-Identifier: GPL-2.0-or-later
//! What waits for the metadata of a disk that goes.

extern crate std;
use super::super::{
    rig::{effects, submit, volume, Peer},
    Effect, IoResult,
};
use crate::{
    engine::op::flag,
    state::{Conn, Disk as DiskState},
    uuid::{PeerUuids, UuidFlags},
    wire::handshake::ReplicationProtocol,
};

/// The disk that was to say that it lacks a write is gone, and another one is there: its superblock
/// has versions of its own, and nobody waits for it.
#[test]
fn nothing_waits_for_a_disk_that_is_gone() {
    let (mut vol, mut peer) = (volume(Conn::Connected, 8192), Peer::default());
    let op = submit(&mut vol, &mut peer, true, 0);
    let _ = effects(&mut vol);
    vol.handed_over(op, &mut peer);
    vol.local_done(op, false, &mut peer);
    let handle = vol.handle(op);
    vol.write_acked(handle, 0, false, &mut peer).unwrap();
    assert!(vol.op(op).any(flag::REFUSED) && effects(&mut vol).is_empty());
    vol.state.disk = DiskState::Diskless;
    assert!(vol.take_disk().is_some());
    vol.disk = volume(Conn::Connected, 8192).disk;
    vol.release_refused(&mut peer);
    let told = effects(&mut vol);
    assert!(matches!(
        told.as_slice(),
        [Effect::Complete {
            result: IoResult::Done,
            ..
        }]
    ));
}

/// With protocol A the peer counts as having what was handed to the socket. The own disk gives up, and the connection
/// breaks before the peer named the generation that goes on without it: it may not even know of the write.
#[test]
fn what_was_only_sent_is_not_done_when_the_connection_goes() {
    for disk_first in [true, false] {
        let (mut vol, mut peer) = (volume(Conn::Connected, 8192), Peer::default());
        vol.peer.protocol = ReplicationProtocol::A;
        vol.peer.uuids = Some(PeerUuids {
            uuids: vol.disk.as_ref().unwrap().uuids(),
            dirty_bits: 0,
            flags: UuidFlags(0),
        });
        let op = submit(&mut vol, &mut peer, true, 0);
        let _ = effects(&mut vol);
        vol.handed_over(op, &mut peer);
        if disk_first {
            vol.disk_hangs(&mut peer, 0);
            vol.hard(&mut peer, 0, |state| state.disk = DiskState::Diskless);
            assert!(vol.awaits_generation());
        }
        vol.peer.linked = false;
        vol.set_conn(Conn::NetworkFailure, &mut peer, 0);
        if !disk_first {
            vol.disk_hangs(&mut peer, 0);
            vol.hard(&mut peer, 0, |state| state.disk = DiskState::Diskless);
        }
        vol.release_refused(&mut peer);
        let ends = |told: &[Effect]| {
            told.iter().find_map(|effect| match effect {
                Effect::Complete { result, .. } => Some(*result),
                _ => None,
            })
        };
        assert_eq!(ends(&effects(&mut vol)), None, "{disk_first}");
        vol.clean_log_now(&mut peer);
        vol.release_refused(&mut peer);
        assert_eq!(
            ends(&effects(&mut vol)),
            Some(IoResult::Error),
            "{disk_first}"
        );
    }
}
