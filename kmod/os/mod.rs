// SPDX-License-Identifier: GPL-2.0-or-later
//! Safe faces of the C kernel, one file per C concept.
//!
//! This folder and `sys.rs` are the only places with `unsafe`. Each item states the context it may be
//! used in: **task** (may sleep), **softirq**, or **any** (also hardirq with interrupts off and
//! under a spinlock). Every type may be dropped in any context unless it says otherwise: what
//! sleeps to be released goes through [`deferred`].

// The hosts use this layer piece by piece.
#![allow(
    dead_code,
    unused_imports,
    reason = "a layer offers more than one host needs"
)]

pub(crate) mod addr;
pub(crate) mod backing;
pub(crate) mod batch;
pub(crate) mod bio;
pub(crate) mod cpus;
pub(crate) mod deferred;
pub(crate) mod disk;
pub(crate) mod genl;
mod genl_message;
pub(crate) mod hash;
pub(crate) mod inflight;
mod io;
pub(crate) mod kthread;
pub(crate) mod limits;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod mem;
pub(crate) mod module;
pub(crate) mod noio;
pub(crate) mod pages;
pub(crate) mod params;
mod pool;
pub(crate) mod procfs;
pub(crate) mod random;
pub(crate) mod recv;
mod send;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod timer;
pub(crate) mod umh;
pub(crate) mod wait;
