// SPDX-License-Identifier: GPL-2.0-or-later
//! Self-test of the safe layer: every wrapper runs once, in a virtual machine.
//!
//! Built only with `DRBD_SELFTEST=1`. `insmod drbd.ko selftest=/dev/vdb` overwrites that device,
//! prints one line per check and fails to load when one fails. Afterwards `/dev/drbd0` passes
//! everything to the device and mirrors writes through a TCP connection to itself, and the netlink
//! family answers a few commands, so that user space can add load.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "numbers of a test, not of a peer"
)]

mod blocks;
mod control;
mod memory;
mod mirror;
mod net;
mod threads;

use crate::os::params;
use kernel::prelude::*;

/// What stays alive while the module is loaded.
pub(crate) struct SelfTest {
    _control: control::Control,
}

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

/// Runs everything.
pub(crate) fn run() -> Result<SelfTest> {
    let mut buf = [0; params::HELPER_MAX];
    let path = params::selftest(&mut buf);
    memory::run()?;
    threads::run()?;
    net::run()?;
    let control = control::run()?;
    if !path.is_empty() {
        blocks::run(path)?;
        control.keep(mirror::Mirror::start(path)?);
    }
    pr_info!("selftest: all passed\n");
    Ok(SelfTest { _control: control })
}
