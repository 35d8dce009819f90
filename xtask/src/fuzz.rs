// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask fuzz`: broken input for every decoder.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::verdicts::Verdicts;
use crate::workspace;

/// Inputs that every test run tries on each target: some ten seconds.
const RUNS: &str = "20000";

/// Seconds of fresh ones, where it is asked for more.
const FRESH_SECONDS: &str = "120";

/// The program, in a profile that is fast and checks every assertion.
fn program() -> Command {
    let mut command = workspace::cargo();
    command.args([
        "run",
        "--quiet",
        "--profile=sim",
        "--package=drbd-fuzz",
        "--",
    ]);
    command
}

/// Runs the fuzzer with `arguments`; its exit code becomes ours.
///
/// # Errors
///
/// When it cannot be started.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let status = program()
        .args(arguments)
        .status()
        .context("cannot start cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Tries a fixed set of inputs; with `full`, then fresh ones for some minutes. Without, the verdict about a change does not
/// depend on chance.
///
/// # Errors
///
/// When it cannot be started.
pub fn test(full: bool) -> Result<Verdicts> {
    let fixed = ["--seed", "1", "--runs", RUNS].as_slice();
    let fresh = ["--time", FRESH_SECONDS].as_slice();
    let mut verdicts = Verdicts::default();
    for arguments in [fixed, fresh].into_iter().take(1 + usize::from(full)) {
        let status = program()
            .args(arguments)
            .status()
            .context("cannot start cargo")?;
        verdicts += Verdicts::of_check(status.success());
    }
    Ok(verdicts)
}
