// SPDX-License-Identifier: GPL-2.0-or-later
//! Module parameters (`/sys/module/drbd/parameters`), defined in `shim.c`.

use crate::sys as c;
use kernel::prelude::*;

/// Room for [`usermode_helper`].
pub(crate) const HELPER_MAX: usize = 80;

/// `minor_count`: how many devices the administrator expects.
pub(crate) fn minor_count() -> u32 {
    // SAFETY: Reads a parameter.
    unsafe { c::kg_param_minor_count() }
}

/// `api_version`: 2, or 1 for the dialect of the 8.4 tools.
pub(crate) fn api_version() -> u32 {
    // SAFETY: Reads a parameter.
    unsafe { c::kg_param_api_version() }
}

/// `protocol_version_min`.
pub(crate) fn protocol_version_min() -> u32 {
    // SAFETY: Reads a parameter.
    unsafe { c::kg_param_protocol_version_min() }
}

/// `strict_names`.
pub(crate) fn strict_names() -> bool {
    // SAFETY: Reads a parameter.
    unsafe { c::kg_param_strict_names() }
}

/// `disable_sendpage`: always copy payload into sockets.
pub(crate) fn disable_sendpage() -> bool {
    // SAFETY: Reads a parameter.
    unsafe { c::kg_param_disable_sendpage() }
}

/// Copies `usermode_helper` into `buf` and returns it. Context: task (takes the parameter lock).
pub(crate) fn usermode_helper(buf: &mut [u8; HELPER_MAX]) -> &CStr {
    // SAFETY: The callee writes at most `HELPER_MAX` bytes and always a final NUL.
    unsafe { c::kg_param_usermode_helper(buf.as_mut_ptr(), HELPER_MAX) };
    CStr::from_bytes_until_nul(buf).unwrap_or(c"")
}

/// True when `usermode_helper` is the word `disabled`.
pub(crate) fn helper_disabled() -> bool {
    let mut buf = [0; HELPER_MAX];
    usermode_helper(&mut buf).to_bytes() == b"disabled"
}

/// Copies the `selftest` device into `buf` and returns it.
#[cfg(drbd_selftest)]
pub(crate) fn selftest(buf: &mut [u8; HELPER_MAX]) -> &CStr {
    // SAFETY: As for `usermode_helper`.
    unsafe { c::kg_param_selftest(buf.as_mut_ptr(), HELPER_MAX) };
    CStr::from_bytes_until_nul(buf).unwrap_or(c"")
}
