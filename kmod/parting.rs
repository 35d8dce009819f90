// SPDX-License-Identifier: GPL-2.0-or-later
//! What is said about the meeting of two disks, and how a node hangs up that refuses the other.
//!
//! No packet carries a refusal: each node comes to it by itself from what the other told
//! (replication-semantics section 4.2). So a node that refuses first does not hang up before all it
//! has to tell is on its way, and does so in a manner that loses nothing of it.

use crate::{
    connection::Connection,
    device::Device,
    os::{
        kthread::Ctl,
        recv::{RecvError, RecvWait},
        socket::Socket,
        timer::now_ms,
    },
};
use drbd_core::{
    state::Conn,
    uuid::{Notes, Outcome, Refusal, Sync},
};
use kernel::prelude::*;

/// How long one look at the peer lasts.
const SLICE_MS: u32 = 20;

/// Waits until the peer has been told everything and has hung up as well, but not for ever: it may
/// be configured to go on. Context: the connection's thread, which receives nothing any more.
pub(crate) fn let_peer_see(connection: &Connection, socket: &Socket, ctl: &Ctl) {
    let patience_ms = connection.net().ping_timeo.saturating_mul(400);
    let until = now_ms().saturating_add(u64::from(patience_ms));
    let goes_on =
        || !ctl.should_stop() && connection.ending().is_none() && now_ms() < until;
    while goes_on() && !connection.queues.all_sent() {
        ctl.sleep_ms(SLICE_MS);
    }
    if !goes_on() {
        return;
    }
    socket.finish_sending();
    while goes_on() {
        match socket.recv_discard(4096, RecvWait::Ms(SLICE_MS)) {
            Ok(()) | Err(RecvError::TimedOut) => {}
            Err(RecvError::Closed | RecvError::Interrupted | RecvError::Failed(_)) => return,
        }
    }
}

/// Tells what the last P_STATE of a handshake led to. Context: task.
pub(crate) fn tell_meeting(connection: &Connection, device: &Device) {
    let minor = device.minor;
    if device.state().conn >= Conn::Connected {
        // The wishes were for this meeting.
        connection.clear_one_shot();
    }
    let Some(met) = device.with(|inner, _, _| inner.volume.take_handshake()) else {
        return;
    };
    let notes = met.notes;
    if notes.contains(Notes::CONFIG_ERROR) {
        pr_err!("drbd{}: the after-sb policy that is configured decides nothing here\n", minor);
    }
    match met.outcome {
        Outcome::Go(sync) => {
            let target = matches!(sync, Sync::BitmapTarget | Sync::FullTarget);
            let whose = if target { "this node" } else { "the peer" };
            if notes.contains(Notes::SOLVED_BY_POLICY) {
                pr_warn!(
                    "drbd{}: split brain solved by the after-sb policies: {} gives up its changes{}\n",
                    minor,
                    whose,
                    if sync.is_full() { ", all is copied" } else { "" }
                );
            }
            if notes.contains(Notes::SOLVED_MANUALLY) {
                pr_warn!(
                    "drbd{}: split brain solved by discard-my-data: {} gives up its changes\n",
                    minor,
                    whose
                );
            }
            if notes.contains(Notes::VIOLENTLY) {
                pr_warn!(
                    "drbd{}: rr-conflict violently: this Primary takes over the peer's data\n",
                    minor
                );
            }
        }
        Outcome::Refuse(Refusal::DryRun(sync)) => {
            connection.clear_dry_run();
            pr_info!("drbd{}: dry run: would become {}\n", minor, sync.conn().name());
        }
        Outcome::Refuse(_) => {
            if notes.contains(Notes::PRI_LOST_AFTER_SPLIT_BRAIN) {
                pr_err!(
                    "drbd{}: this Primary had to give up its changes, and is in use: unmount it and connect again\n",
                    minor
                );
            }
        }
        Outcome::TryDemote => {}
    }
}
