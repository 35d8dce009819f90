// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask sim`: the engine in a world of faults, without a kernel.

use std::process::ExitCode;

use anyhow::Result;

use crate::checked::Checked;
use crate::verdicts::{self, Verdicts};
use crate::workspace;

/// Seeds that every test run plays.
const FIXED_SEEDS: &str = "1000";

/// Seconds of fresh ones, where it is asked for more.
const FRESH_SECONDS: &str = "300";

const PROGRAM: Checked = Checked {
    package: "drbd-sim",
    binary: "drbd-sim",
};

/// The same for the fail-over core.
const FAIL_OVER: Checked = Checked {
    package: "drbd-ha",
    binary: "drbd-ha-sim",
};

/// Runs the simulator, the one of the fail-over core where `fail_over`, with `arguments`; its exit code becomes ours.
///
/// # Errors
///
/// When it cannot be started.
pub fn run(fail_over: bool, arguments: &[String]) -> Result<ExitCode> {
    let program = if fail_over { FAIL_OVER } else { PROGRAM };
    program.run(arguments)
}

/// Plays a fixed set of seeds; with `full`, then fresh ones for some minutes. Without, the verdict about a change does not
/// depend on chance.
///
/// # Errors
///
/// When it cannot be started.
pub fn test(full: bool) -> Result<Verdicts> {
    let fixed = ["--first", "0", "--seeds", FIXED_SEEDS];
    let fresh = ["--time", FRESH_SECONDS, "--seeds", "1000000"];
    let mut verdicts = PROGRAM.test(&fixed, &fresh, full)?;
    verdicts += FAIL_OVER.test(&fixed, &fresh, full)?;
    Ok(verdicts)
}

/// The tests that both simulators find what is planted.
///
/// # Errors
///
/// When it cannot be started.
pub fn planted() -> Result<Verdicts> {
    let mut verdicts = Verdicts::default();
    for package in [PROGRAM.package, FAIL_OVER.package] {
        verdicts += verdicts::of_run(workspace::cargo().args([
            "test",
            "--profile=sim",
            "--package",
            package,
            "--features=planted-bugs",
            "--test=planted",
        ]))?;
    }
    Ok(verdicts)
}
