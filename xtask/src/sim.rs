// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask sim`: the engine in a world of faults, without a kernel.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::verdicts::{self, Verdicts};
use crate::workspace;

/// Seeds that every test run plays.
const FIXED_SEEDS: &str = "1000";

/// Seconds of fresh ones, where it is asked for more.
const FRESH_SECONDS: &str = "300";

/// The program, in a profile that is fast and checks every assertion.
fn program() -> Command {
    let mut command = workspace::cargo();
    command.args([
        "run",
        "--quiet",
        "--profile=sim",
        "--package=drbd-sim",
        "--",
    ]);
    command
}

/// Runs the simulator with `arguments`; its exit code becomes ours.
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

/// Plays a fixed set of seeds; with `full`, then fresh ones for some minutes. Without, the verdict about a change does not
/// depend on chance.
///
/// # Errors
///
/// When it cannot be started.
pub fn test(full: bool) -> Result<Verdicts> {
    let fixed = ["--first", "0", "--seeds", FIXED_SEEDS];
    let fresh = ["--time", FRESH_SECONDS, "--seeds", "1000000"];
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

/// The test that the simulator finds what is planted.
///
/// # Errors
///
/// When it cannot be started.
pub fn planted() -> Result<Verdicts> {
    verdicts::of_run(workspace::cargo().args([
        "test",
        "--profile=sim",
        "--package=drbd-sim",
        "--features=planted-bugs",
        "--test=planted",
    ]))
}
