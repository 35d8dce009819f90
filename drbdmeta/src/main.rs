// SPDX-License-Identifier: GPL-2.0-or-later
//! drbdmeta: works on the metadata of a DRBD volume that is not attached.

use std::process::ExitCode;

fn main() -> ExitCode {
    std::hint::black_box(drbdmeta::MARK);
    ExitCode::from(drbdmeta::main(std::env::args_os().skip(1)))
}
