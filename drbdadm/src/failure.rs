// SPDX-License-Identifier: GPL-2.0-or-later
//! How a run of drbdadm ends badly.

use std::fmt;

/// Exit status of a usage error or an unknown resource.
pub(crate) const USAGE: i32 = 1;
/// Exit status of an invalid configuration.
pub(crate) const CONFIG: i32 = 10;
/// Exit status when a program could not be run or did not answer.
pub(crate) const CANNOT_EXECUTE: i32 = 20;

/// An error that ends the run: what failed, and what to type next.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit status.
    pub(crate) status: i32,
    /// Complete text for stderr, perhaps empty if all has been said.
    pub(crate) text: String,
}

impl Failure {
    /// A failure with a message and lines of advice.
    pub(crate) fn new(status: i32, message: impl fmt::Display, help: &[&str]) -> Failure {
        let mut text = format!("error: {message}\n");
        for line in help {
            text.push_str(&format!("  {line}\n"));
        }
        Failure { status, text }
    }

    /// A failure whose text is ready for stderr.
    pub(crate) fn ready(status: i32, text: impl Into<String>) -> Failure {
        Failure {
            status,
            text: text.into(),
        }
    }

    /// Writes the text to stderr.
    pub(crate) fn print(&self) {
        eprint!("{}", self.text);
    }
}
