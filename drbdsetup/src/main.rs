// SPDX-License-Identifier: GPL-2.0-or-later
//! drbdsetup: configures the drbd kernel module.

use std::process::ExitCode;

fn main() -> ExitCode {
    std::hint::black_box(drbdsetup::MARK);
    ExitCode::from(drbdsetup::main(std::env::args_os().skip(1)))
}
