// SPDX-License-Identifier: GPL-2.0-or-later
//! The state engine: what a state is, which states are possible, which changes are allowed and what follows from them.
//!
//! Everything here is a pure function over one peer device's [`State`] and a few facts about its surroundings
//! ([`Context`]); the engine owns the states and carries out what these functions tell it. The rules are those of
//! replication-semantics.md section 11, as tables with one row per case.

pub mod action;
pub mod after;
pub mod check;
pub mod cluster;
pub mod context;
pub mod md_flags;
pub mod model;
pub mod predicate;
pub mod promote;
pub mod render;
pub mod request;
pub mod resync;
pub mod rules;
pub mod sanitize;
pub mod sizes;
pub mod ss;
pub mod summary;

pub use action::{Action, Actions};
pub use check::{apply, Change, Kind};
pub use context::{invalidates, Context, Fencing, Negotiated, OnNoData};
pub use model::{Conn, Disk, Role, State};
pub use request::Request;
pub use sanitize::{sanitize, Warnings};
pub use ss::Ss;
pub use summary::Summary;

#[cfg(test)]
pub(crate) mod tests;
