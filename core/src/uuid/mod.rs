// SPDX-License-Identifier: GPL-2.0-or-later
//! Data generation UUIDs: how two nodes find out which of them has the newer data.
//!
//! [`generation`] holds the UUIDs and what happens to them, [`mod@compare`] the decision table, [`policy`] the recovery
//! from split brain, [`mod@handshake`] the way from there to a connection state, [`incoming`] the reactions to the two
//! packets that carry all this.

pub mod compare;
pub mod generation;
pub mod handshake;
pub mod incoming;
pub mod policy;

pub use compare::{compare, Compared, Comparison, Verdict};
pub use generation::{Fix, GenUuids, PeerUuids, UuidFlags};
pub use handshake::{handshake, Handshake, Meeting, Notes, Outcome, Refusal, Sync};
pub use policy::{AfterSplitBrain, Demotion, Policy};

#[cfg(test)]
mod tests;
