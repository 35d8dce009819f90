// SPDX-License-Identifier: GPL-2.0-or-later

//! Fail-over without a cluster manager: who is there, who may own what, and what has to be fenced before anybody takes over.

pub mod config;
pub mod core;
pub mod ctl;
pub mod daemon;
pub mod exec;
pub mod fence;
pub mod link;
#[doc(hidden)]
pub mod sim;
pub mod state;
pub mod watchdog;
