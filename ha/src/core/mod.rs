// SPDX-License-Identifier: GPL-2.0-or-later

//! What decides: no I/O, no clock, no threads.
//!
//! One door: `Core::step(now_ms, Input, &mut Vec<Effect>)`, with `Core::wake_at_ms` saying when `Input::Tick` is due, and
//! `Core::status` for people. The host carries effects out in order.

pub mod cluster;
pub mod drbd;
pub mod effect;
pub mod facts;
pub mod id;
pub mod input;
pub mod memory;
pub mod message;
pub mod overrides;
pub mod status;
