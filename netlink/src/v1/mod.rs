// SPDX-License-Identifier: GPL-2.0-or-later
//! Drivers of generation 8.4 (API version 1): the same objects and options in other places.
//!
//! What the kernel tells is lifted into version 2 as soon as it is received, and a request is lowered when it is
//! sent; so [`crate::Snapshot`] and [`crate::Event`] are those of either driver. A resource of 8.4 has one connection and
//! its nodes have no numbers: the peer is [`PEER_NODE_ID`], the connection [`CONNECTION_NAME`], as the tools of 8.4 call
//! them (control-plane.md sections 2, 4 and 8.1).

mod lift;
mod lower;
mod status;

pub use drbd_core::genl::v1::CONNECTION_NAME;
pub(crate) use lift::lift;
pub(crate) use lower::lower;
pub use status::{MinorStatus, StateWord};

/// What stands for the peer's node id.
pub const PEER_NODE_ID: u32 = 0;
