// SPDX-License-Identifier: GPL-2.0-or-later
//! The one shape of a message to the person at the terminal: what failed, why, what to type next.

use std::fmt;

/// An error that a person can act on.
///
/// Travels inside [`anyhow::Error`]; `main` prints it in its three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    what: String,
    why: String,
    next: String,
}

impl Problem {
    /// A message of three parts: `what` failed, the state that caused it, the command to type next.
    pub fn new(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            next: next.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        for line in self.why.lines().chain(self.next.lines()) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_its_three_parts_in_order() {
        let problem = Problem::new(
            "cannot reach the mirror",
            "no route\nto host",
            "check the cable",
        );
        assert_eq!(
            problem.to_string(),
            "cannot reach the mirror\n  no route\n  to host\n  check the cable"
        );
    }
}
