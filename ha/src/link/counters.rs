// SPDX-License-Identifier: GPL-2.0-or-later
//! What came and what was thrown away, by reason.

use std::collections::BTreeMap;

use serde::Serialize;

/// Why a datagram is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is nothing that a node would send.
    Malformed,
    /// It comes from, or is for, somebody who is not in the configuration.
    UnknownNode,
    /// It was made with a key that this node does not hold.
    WrongKey,
    /// It was not made with the key that it names.
    Forged,
    /// It came on this link before.
    Replayed,
    /// Its sender has begun a newer life since.
    Stale,
    /// It belongs to no session of this life.
    NoSession,
    /// There were too many greetings.
    Flood,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 8] = [
        Reason::Malformed,
        Reason::UnknownNode,
        Reason::WrongKey,
        Reason::Forged,
        Reason::Replayed,
        Reason::Stale,
        Reason::NoSession,
        Reason::Flood,
    ];

    /// As metrics call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::UnknownNode => "unknown_node",
            Reason::WrongKey => "wrong_key",
            Reason::Forged => "forged",
            Reason::Replayed => "replayed",
            Reason::Stale => "stale",
            Reason::NoSession => "no_session",
            Reason::Flood => "flood",
        }
    }
}

/// Datagrams that were thrown away since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Refused(BTreeMap<Reason, u64>);

impl Refused {
    /// For that reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.0.get(&reason).copied().unwrap_or(0)
    }

    /// One more.
    pub(super) fn count(&mut self, reason: Reason) {
        *self.0.entry(reason).or_default() += 1;
    }
}
