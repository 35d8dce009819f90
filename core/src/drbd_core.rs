// SPDX-License-Identifier: GPL-2.0-or-later
//! The replication engine of drbd-rs: no I/O, no clock, no allocation, no unsafe.
//!
//! The same source is compiled by Kbuild into `drbd.ko` and by cargo for everything else.
#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::undocumented_unsafe_blocks
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod activity_log;
pub mod bitmap;
pub mod config;
pub mod engine;
pub mod genl;
pub mod granules;
pub mod meta;
pub mod planted;
pub mod state;
pub mod uuid;
pub mod wire;
