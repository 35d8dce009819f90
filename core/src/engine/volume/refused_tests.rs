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
