// SPDX-License-Identifier: GPL-2.0-or-later
//! How an action ends.

use std::fmt;

/// Exit codes of OCF 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done; in a monitor: running, Secondary.
    Success = 0,
    /// It did not work, and may work elsewhere or later.
    Generic = 1,
    /// The agent has no such action.
    Unimplemented = 3,
    /// Something is missing on this node.
    NotInstalled = 5,
    /// The configuration of the cluster is wrong on every node.
    NotConfigured = 6,
    /// Cleanly stopped.
    NotRunning = 7,
    /// Running, Primary.
    Promoted = 8,
}

/// An action that failed, and what the cluster's status shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: Code,
    /// One line for people: what failed, why, what to type next.
    pub(crate) reason: String,
}

impl Failure {
    /// A failure with that code.
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Failure { code, reason }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The result of an action.
pub(crate) type Outcome = Result<Code, Failure>;
