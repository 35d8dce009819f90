// SPDX-License-Identifier: GPL-2.0-or-later
//! One line per step with the time it took: `[ 35.0 s] tool-chain root`.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// A running step; prints its result line when it is finished.
///
/// On a terminal the running line is shown at once and replaced by the result.
#[derive(Debug)]
pub struct Step {
    label: String,
    started: Instant,
}

impl Step {
    /// Announces `label` and starts its clock.
    pub fn start(label: impl Into<String>) -> Self {
        let label = label.into();
        if std::io::stderr().is_terminal() {
            eprint!("[   ...  ] {label}\r");
            // A lost progress line is no reason to stop.
            let _ = std::io::stderr().flush();
        }
        Self {
            label,
            started: Instant::now(),
        }
    }

    /// Seconds since the step began.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Prints the result line, with `detail` behind the label when it is not empty.
    pub fn done(self, detail: &str) {
        let separator = if detail.is_empty() { "" } else { ": " };
        eprintln!(
            "[{:6.1} s] {}{separator}{detail}",
            self.seconds(),
            self.label
        );
    }
}
