// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask docs`: the documents that are made from tables.

use anyhow::{Context, Result};

use crate::problem::Problem;
use crate::workspace;

/// Writes them into `docs/`.
///
/// # Errors
///
/// When the program behind it does not compile or fails.
pub fn run() -> Result<()> {
    let status = workspace::cargo()
        .args(["run", "--quiet", "--package=drbd-docs"])
        .status()
        .context("cannot start cargo")?;
    if status.success() {
        return Ok(());
    }
    Err(Problem::new("cannot write the documents", "its message is above", "").into())
}
