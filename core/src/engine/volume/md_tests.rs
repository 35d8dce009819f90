// SPDX-License-Identifier: GPL-2.0-or-later
//! Setting all bits while the application writes.

use super::super::rig::{effects, submit, volume, write_metadata, Peer};
use super::Then;
use crate::state::Conn;

#[test]
fn an_old_answer_clears_no_bit_of_a_full_sync() {
    // The peer answers P_RS_WRITE_ACK: a resync ran there, and it cleared its bits. Then both set all of theirs, and the
    // answer comes after that. A target that cleared its own would never ask for what the source waits to be asked for.
    let mut peer = Peer::default();
    let mut vol = volume(Conn::Connected, 8192);
    let op = submit(&mut vol, &mut peer, true, 64);
    let _ = effects(&mut vol);
    vol.handed_over(op, &mut peer);
    vol.start_bulk(true, Then::Nothing);
    write_metadata(&mut vol, &mut peer);
    assert_eq!(vol.dirty_bits(), 1024);
    let handle = vol.ops.handle(op);
    assert!(vol.write_acked(handle, 64, true, &mut peer).is_ok());
    vol.local_done(op, true, &mut peer);
    assert_eq!(vol.dirty_bits(), 1024);
    // What is written from here on may.
    vol.disk.as_mut().unwrap().durable_primary = true;
    let op = submit(&mut vol, &mut peer, true, 128);
    let _ = effects(&mut vol);
    vol.handed_over(op, &mut peer);
    let handle = vol.ops.handle(op);
    assert!(vol.write_acked(handle, 128, true, &mut peer).is_ok());
    vol.local_done(op, true, &mut peer);
    assert_eq!(vol.dirty_bits(), 1023);
}
