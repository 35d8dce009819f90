// SPDX-License-Identifier: GPL-2.0-or-later
//! How a command ends when it does not succeed.

use std::fmt;

/// Exit code of a cancelled question and of a plain failure.
pub(crate) const EXIT_FAILED: u8 = 1;
/// Exit code of an I/O problem or of text that cannot be parsed.
pub(crate) const EXIT_IO: u8 = 10;
/// Exit code of wrong usage and of a device that is busy.
pub(crate) const EXIT_REFUSED: u8 = 20;
/// Exit code when data on the device is in the way.
pub(crate) const EXIT_DATA: u8 = 40;

/// What failed, why, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) next: String,
    pub(crate) exit: u8,
}

impl Failure {
    pub(crate) fn new(
        exit: u8,
        what: impl Into<String>,
        why: impl ToString,
        next: impl Into<String>,
    ) -> Failure {
        Failure {
            what: what.into(),
            why: why.to_string(),
            next: next.into(),
            exit,
        }
    }

    /// The user did not say yes.
    pub(crate) fn cancelled() -> Failure {
        Failure::new(
            EXIT_FAILED,
            "cancelled, nothing was written",
            "the question was not answered with yes",
            "answer yes on a terminal, or use --force",
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  {}\n  {}", self.what, self.why, self.next)
    }
}
