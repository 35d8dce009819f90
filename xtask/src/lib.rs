// SPDX-License-Identifier: GPL-2.0-or-later
//! Setting up, building, testing and showing drbd-rs.
//!
//! `setup` makes what is expensive once per machine; the other subcommands imply it.

pub mod build;
pub mod cache;
pub mod checked;
pub mod copy;
pub mod debroot;
pub mod debug_kernel;
pub mod docs;
pub mod enter;
pub mod env;
pub mod fuzz;
pub mod host;
pub mod image;
pub mod initrd;
pub mod kernel;
pub mod memory;
pub mod mirror;
pub mod module;
pub mod modules;
pub mod package;
pub mod packages;
pub mod patience;
pub mod problem;
pub mod process;
pub mod progress;
pub mod scenario;
pub mod scenarios;
pub mod setup;
pub mod sim;
pub mod test;
pub mod tidy;
pub mod toolchain;
pub mod tools;
pub mod verdicts;
pub mod workspace;
