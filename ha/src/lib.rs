// SPDX-License-Identifier: GPL-2.0-or-later

//! Fail-over without a cluster manager: who is there, who may own what, and what has to be fenced before anybody takes over.

pub mod core;
#[doc(hidden)]
pub mod sim;
