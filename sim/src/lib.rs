// SPDX-License-Identifier: GPL-2.0-or-later
//! Nodes with the whole engine, deterministic to the last step.
//!
//! Everything that a host does is done here as the kernel's host does it, but one step at a time,
//! in an order that a seed decides; disks lose their caches, the network breaks, nodes die. An
//! oracle knows what a correct system may hold and return.

mod admin;
mod application;
mod disk;
mod dual;
mod durability;
mod ending;
mod equality;
mod expect;
mod faults;
mod fence;
mod hang;
mod heap;
mod helper;
mod host;
mod keep;
mod kind;
mod metadata;
mod model;
mod net;
mod node;
mod parted;
mod receive;
mod reconfigure;
mod run;
mod sectors;
mod shrink;
mod steps;
mod store;
mod story;
mod workload;
mod world;

#[cfg(feature = "planted-bugs")]
pub use drbd_core::planted;
pub use keep::Keep;
pub use kind::Kind;
pub use run::{play, Failure, Options, Played};
pub use shrink::shrink;

#[cfg(test)]
mod tests;
