// SPDX-License-Identifier: GPL-2.0-or-later

//! What decides: no I/O, no clock, no threads.
//!
//! One door: [`Core::step`] takes an [`input::Input`] and the time and appends [`effect::Effect`]s; [`Core::wake_at_ms`] says
//! when `Input::Tick` is due, [`Core::status`] tells people. The host carries effects out in their order.
//!
//! What safety hangs on is in three files: `guard` (may something be started here), `facts` (whose lives are over), `membership`
//! (who agreed to act together). The other ones decide what would be best, and may be wrong without harm.

mod clique;
pub mod cluster;
mod control;
mod coordinator;
pub mod drbd;
pub mod effect;
mod electorate;
pub mod facts;
mod fencing;
mod group;
mod groups;
mod guard;
mod handler;
pub mod id;
pub mod input;
mod machine;
mod membership;
pub mod memory;
pub mod message;
pub mod overrides;
mod peer;
mod placement;
pub mod planted;
mod quorum;
mod report;
pub mod status;
mod status_report;
#[cfg(test)]
mod tests;

pub use machine::{Core, Start};
