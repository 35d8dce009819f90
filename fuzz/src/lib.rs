// SPDX-License-Identifier: GPL-2.0-or-later
//! Broken input for every decoder: the configuration, netlink of both API versions, metadata, the wire.
//!
//! Each [`Target`] takes bytes and must come back: without a panic, within [`TIME_MAX`], with a bounded amount of memory;
//! what it accepts it must be able to write again. A stable compiler cannot tell which code an input reached, so a target
//! notes instead what it saw ([`Trace`]: which command, which refusal), and an input that shows something new becomes
//! the parent of others.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the readers of golden files are shared with tests"
)]

use std::time::Duration;

pub mod mutate;
pub mod parent;
mod seeds;
mod shrink;
pub mod targets;
mod trace;
pub mod worker;

pub use targets::Target;
pub use trace::Trace;

/// What one input may take; with every assertion checked, on a busy machine.
pub const TIME_MAX: Duration = Duration::from_secs(5);

/// What a whole worker may have allocated: an input that reaches this has no bound.
pub const MEMORY_MAX_BYTES: usize = 1 << 30;
