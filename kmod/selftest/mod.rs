// SPDX-License-Identifier: GPL-2.0-or-later
//! Self-test of the safe layer: every wrapper runs once, in a virtual machine.
//!
//! Built only with `DRBD_SELFTEST=1`, by `cargo xtask build --selftest`. `insmod drbd.ko selftest=/dev/vdb` overwrites that
//! device, prints one line per check and fails to load when one fails. The scenario `self_test` plays it.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "numbers of a test, not of a peer"
)]

mod blocks;
mod helpers;
mod memory;
mod net;
mod threads;

use crate::os::params;
use kernel::prelude::*;

/// Fails the self-test with a line in the log unless `ok`.
pub(super) fn check(ok: bool, what: &str) -> Result {
    if ok {
        pr_info!("selftest: ok: {}\n", what);
        Ok(())
    } else {
        pr_err!("selftest: FAILED: {}\n", what);
        Err(EIO)
    }
}

/// Runs everything, while the module is being loaded. `Err`: a check failed; the log says which.
pub(crate) fn run() -> Result {
    let mut buf = [0; params::HELPER_MAX];
    let path = params::selftest(&mut buf);
    memory::run()?;
    threads::run()?;
    net::run()?;
    helpers::run()?;
    if !path.is_empty() {
        blocks::run(path)?;
    }
    pr_info!("selftest: all passed\n");
    Ok(())
}
