// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs of this checkout that try the engine and its decoders with what chance makes.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::verdicts::Verdicts;
use crate::workspace;

/// A program, run in a profile that is fast and checks every assertion.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// Its package.
    pub package: &'static str,
    /// Its own name, in a package of several.
    pub binary: &'static str,
}

impl Checked {
    fn command(self) -> Command {
        let mut command = workspace::cargo();
        command
            .args(["run", "--quiet", "--profile=sim", "--package"])
            .args([self.package, "--bin", self.binary, "--"]);
        command
    }

    /// Runs it with `arguments`; its exit code becomes ours.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run(self, arguments: &[String]) -> Result<ExitCode> {
        let mut command = self.command();
        let status = command
            .args(arguments)
            .status()
            .context("cannot start cargo")?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }

    /// Runs it with the `fixed` arguments; with `full`, then with the `fresh` ones. Without, the verdict about a change
    /// does not depend on chance.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn test(self, fixed: &[&str], fresh: &[&str], full: bool) -> Result<Verdicts> {
        let mut verdicts = Verdicts::default();
        for arguments in [fixed, fresh].into_iter().take(1 + usize::from(full)) {
            let mut command = self.command();
            let status = command
                .args(arguments)
                .status()
                .context("cannot start cargo")?;
            verdicts += Verdicts::of_check(status.success());
        }
        Ok(verdicts)
    }
}
