// SPDX-License-Identifier: GPL-2.0-or-later
//! Parameters of the module, and programs of user space.

use super::check;
use crate::os::{params, umh};
use kernel::prelude::*;

pub(super) fn run() -> Result {
    check(
        params::minor_count() == 32 && params::api_version() == 2,
        "parameters",
    )?;
    check(
        params::strict_names() && !params::disable_sendpage(),
        "boolean parameters",
    )?;
    check(params::protocol_version_min() == 86, "protocol_version_min")?;
    let mut buf = [0; params::HELPER_MAX];
    check(
        params::usermode_helper(&mut buf) == c"/sbin/drbdadm",
        "usermode_helper",
    )?;
    check(!params::helper_disabled(), "helper is on")?;

    check(
        umh::run(c"/bin/sh", &[c"-c", c"exit 7"], &[])? == 7,
        "helper's exit code",
    )?;
    let env = umh::run(
        c"/bin/sh",
        &[c"-c", c"test \"$DRBD_NODE\" = n1"],
        &[c"DRBD_NODE=n1"],
    )?;
    check(env == 0, "helper's environment")?;
    check(
        umh::run(c"/bin/sh", &[c"-c", c"kill -9 $$"], &[])? == 137,
        "helper killed",
    )?;
    check(
        umh::run(c"/nonesuch", &[], &[]) == Err(ENOENT),
        "helper missing",
    )
}
