// SPDX-License-Identifier: GPL-2.0-or-later
//! Counting what Rust's test harness reports, while its lines go on to the terminal.

use std::io::{BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed, and runs that failed without saying which test.
    pub failed: usize,
}

impl Verdicts {
    /// One check that is no test of the harness.
    pub fn of_check(good: bool) -> Self {
        Self {
            passed: usize::from(good),
            failed: usize::from(!good),
        }
    }

    /// Reads one line of output; lines that are no summary count nothing.
    fn of_line(line: &str) -> Self {
        let Some(summary) = line.trim_start().strip_prefix("test result:") else {
            return Self::default();
        };
        let count = |wanted: &str| {
            summary
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(wanted))
                .and_then(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        Self {
            passed: count("passed"),
            failed: count("failed"),
        }
    }
}

impl AddAssign for Verdicts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs a `cargo test` and counts.
///
/// # Errors
///
/// When it cannot be started or its output cannot be read; a failing test is no error but a verdict.
pub fn of_run(command: &mut Command) -> Result<Verdicts> {
    count(command, &mut std::io::stdout())
}

fn count(command: &mut Command, out: &mut impl Write) -> Result<Verdicts> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let mut verdicts = Verdicts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read what the tests say")?;
            out.write_all(&line)?;
            out.write_all(b"\n")?;
            verdicts += Verdicts::of_line(&String::from_utf8_lossy(&line));
        }
    }
    let good = child.wait().context("cannot wait for cargo")?.success();
    if !good && verdicts.failed == 0 {
        // It did not compile, or a test took the whole process down.
        verdicts.failed = 1;
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_summaries_only() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(
            Verdicts::of_line(line),
            Verdicts {
                passed: 12,
                failed: 3
            }
        );
        assert_eq!(Verdicts::of_line("test a::b ... ok"), Verdicts::default());
    }

    #[test]
    fn a_run_that_dies_has_failed() {
        let run = |script: &str| {
            count(
                Command::new("sh").args(["-c", script]),
                &mut std::io::sink(),
            )
            .unwrap()
        };
        assert_eq!(
            run("exit 101"),
            Verdicts {
                passed: 0,
                failed: 1
            }
        );
        assert_eq!(
            run("echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101"),
            Verdicts {
                passed: 2,
                failed: 1
            }
        );
        assert_eq!(
            run("echo 'test result: ok. 2 passed; 0 failed; 0 ignored'"),
            Verdicts {
                passed: 2,
                failed: 0
            }
        );
    }
}
