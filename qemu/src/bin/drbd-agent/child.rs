// SPDX-License-Identifier: GPL-2.0-or-later
//! The last step before a command's program.
//!
//! The agent is exempt from the out-of-memory killer; what it runs must not
//! be, and the exemption is inherited. So each command starts as a second
//! copy of the agent, which gives the exemption back and becomes the program.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Replaces this process by `argv`.
pub(crate) fn run(argv: &[&str]) -> io::Result<()> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program given"))?;
    // A guest without /proc has no such killer's score either.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    let error = Command::new(program).args(arguments).exec();
    Err(io::Error::new(error.kind(), format!("{program}: {error}")))
}
