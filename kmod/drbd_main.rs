// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd.ko: hosts the replication engine (`drbd_core`) in the kernel.
//!
//! `os/` and `sys.rs` hold every `unsafe` block of the module; all other files are written against
//! the safe layer in `os/`.
//!
//! The order of all locks is in ARCHITECTURE.md, section "Lock order": a new one gets its place there.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::undocumented_unsafe_blocks
)]

use kernel::prelude::*;

mod admin;
mod ahead;
mod attach;
mod attached;
mod authenticate;
mod bounce;
mod change;
mod compare;
mod conf;
mod connect;
mod connection;
mod crypto;
mod dependency;
mod device;
mod device_cache;
mod device_io;
mod fence;
mod helper;
mod liveness;
mod mem;
mod meta_receiver;
mod netlink;
mod notify;
mod options;
mod os;
mod parting;
mod proc;
mod queues;
mod receiver;
mod resize;
mod resource;
mod role;
#[cfg(drbd_selftest)]
mod selftest;
mod sender;
mod suspend;
mod sys;
mod threads;
mod verify;
mod watch;
mod work;

module! {
    type: Drbd,
    name: "drbd",
    authors: ["The drbd-rs authors"],
    description: "Distributed Replicated Block Device",
    license: "GPL",
}

/// The loaded module. Fields are dropped from top to bottom: what uses something comes before it.
struct Drbd {
    _control: netlink::Control,
    _helpers: helper::Owner,
    _proc: os::procfs::ProcFile,
    _major: os::disk::Major,
    _deferred: os::deferred::Queue,
}

impl kernel::Module for Drbd {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let deferred = os::deferred::Queue::new()?;
        // A thread that drops its own handle leaves that to the queue.
        #[cfg(drbd_selftest)]
        selftest::run()?;
        let major = os::disk::Major::register()?;
        let notifier = notify::Notifier::new()?;
        let helpers = helper::Helpers::new()?;
        let registry = resource::Registry::new(notifier, helpers.clone())?;
        let proc = proc::create(&registry)?;
        pr_info!(
            "version 9.90.0, protocol 100-101, API {}\n",
            os::params::api_version()
        );
        Ok(Drbd {
            _control: netlink::Control::start(registry)?,
            _helpers: helper::Owner(helpers),
            _proc: proc,
            _major: major,
            _deferred: deferred,
        })
    }
}
