// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask fuzz`: broken input for every decoder.

use std::process::ExitCode;

use anyhow::Result;

use crate::checked::Checked;
use crate::verdicts::Verdicts;

/// Inputs that every test run tries on each target: some ten seconds.
const RUNS: &str = "20000";

/// Seconds of fresh ones, where it is asked for more.
const FRESH_SECONDS: &str = "120";

const PROGRAM: Checked = Checked {
    package: "drbd-fuzz",
    binary: "drbd-fuzz",
};

/// Runs the fuzzer with `arguments`; its exit code becomes ours.
///
/// # Errors
///
/// When it cannot be started.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    PROGRAM.run(arguments)
}

/// Tries a fixed set of inputs; with `full`, then fresh ones for some minutes. Without, the verdict about a change does not
/// depend on chance.
///
/// # Errors
///
/// When it cannot be started.
pub fn test(full: bool) -> Result<Verdicts> {
    let fixed = ["--seed", "1", "--runs", RUNS];
    let fresh = ["--time", FRESH_SECONDS];
    PROGRAM.test(&fixed, &fresh, full)
}
