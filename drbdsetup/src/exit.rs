// SPDX-License-Identifier: GPL-2.0-or-later
//! Exit codes (drbd9-api.md section 9): others test for them.

use drbd_core::genl::RetCode;

/// Success.
pub const OK: u8 = 0;
/// `get-gi` and `show-gi` without a disk.
pub const NO_DISK: u8 = 1;
/// A wait ran into its limit.
pub const TIMEOUT: u8 = 5;
/// A configuration error, or no such object.
pub const REFUSED: u8 = 10;
/// A state change was refused.
pub const STATE: u8 = 11;
/// Usage, no module, netlink trouble.
pub const USAGE: u8 = 20;

/// Exit code for the kernel's code.
pub fn of(code: RetCode) -> u8 {
    match code {
        code if code.is_success() => OK,
        RetCode::SS_NO_UP_TO_DATE_DISK => 17,
        RetCode::SS_NO_LOCAL_DISK => 16,
        RetCode::SS_LOWER_THAN_OUTDATED => 5,
        code if code.text().is_none() => USAGE,
        code if code.is_state_result() => STATE,
        _ => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_reference() {
        for (code, expected) in [
            (101, 0),
            (1, 0),
            (4, 0),
            (158, 10),
            (-1, 11),
            (0, 11),
            (-2, 17),
            (-4, 16),
            (-16, 5),
            (999, 20),
            (-99, 20),
        ] {
            assert_eq!(of(RetCode(code)), expected, "{code}");
        }
    }
}
