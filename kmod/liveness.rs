// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether the peer is still there (wire-protocol section 10).

use crate::{
    connection::Connection,
    os::{
        lock::{Atomic, Full, Relaxed},
        timer::now_ms,
    },
};
use drbd_core::{engine::volume::End, state::Conn};

/// A peer that neither answers a ping nor is heard of otherwise ([`Liveness::heard_since`]) is lost.
pub(crate) const NO_ANSWER: End = End {
    conn: Conn::NetworkFailure,
    why: "the peer did not answer a ping in time",
};

/// How long a lost connection may take to be taken down until whoever waits for that goes on.
const PARTING_PATIENCE_MS: u32 = 1000;

/// When the peer was heard of.
pub(crate) struct Liveness {
    received_ms: Atomic<u64>,
    /// P_PING_ACK received since the connection began.
    pings_answered: Atomic<u32>,
}

impl Liveness {
    /// Never. Context: any.
    pub(crate) fn new() -> Self {
        Liveness {
            received_ms: Atomic::new(0),
            pings_answered: Atomic::new(0),
        }
    }

    /// A connection begins: the peer is there, and was not asked yet. Context: any.
    pub(crate) fn begin(&self) {
        self.pings_answered.store(0, Relaxed);
        let _ = self.note_received();
    }

    /// A P_PING_ACK arrived; returns how many did since the connection began. Context: any.
    pub(crate) fn note_answer(&self) -> u32 {
        self.pings_answered.fetch_add(1, Full).wrapping_add(1)
    }

    /// Whether the ping of this number is answered. Context: any.
    fn answered(&self, number: u32) -> bool {
        (self.pings_answered.load(Relaxed).wrapping_sub(number) as i32) >= 0
    }

    /// Something arrived on one of the sockets; returns when, milliseconds. Context: any.
    #[inline]
    pub(crate) fn note_received(&self) -> u64 {
        let now = now_ms();
        self.received_ms.store(now, Relaxed);
        now
    }

    /// When something arrived last on either socket, milliseconds. Context: any.
    pub(crate) fn received_ms(&self) -> u64 {
        self.received_ms.load(Relaxed)
    }

    /// Whether the peer was heard of since it was asked: what arrives on either socket is as good
    /// as the answer to a ping. Context: any.
    pub(crate) fn heard_since(&self, asked_ms: u64) -> bool {
        self.received_ms() > asked_ms
    }
}

/// Finds out whether the peer is still there, so that a dead one does not take part in what follows:
/// one that neither answers within `timeout_ms` nor is heard of otherwise is lost, as when it had
/// been silent for ping-int. Context: task of a process of user space.
pub(crate) fn ask(connection: &Connection, timeout_ms: u32) {
    if !connection.is_established() {
        return;
    }
    let asked_ms = now_ms();
    let number = connection.queues.ping();
    let over = || connection.liveness.answered(number) || !connection.is_established();
    let waited = connection.changed.wait_killable(Some(timeout_ms), over);
    // Who was told to stop waiting knows nothing.
    if waited.is_ok() && !over() && !connection.liveness.heard_since(asked_ms) {
        connection.end(NO_ANSWER);
        let gone = || !connection.is_established();
        let _ = connection.changed.wait_killable(Some(PARTING_PATIENCE_MS), gone);
    }
}
