// SPDX-License-Identifier: GPL-2.0-or-later
//! Starts a worker for each target, and keeps and tells what went wrong in them.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::worker::{last_input, name_of, Budget, FAULT};
use crate::Target;

/// What a run feeds, and for how long.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is fed.
    pub targets: Vec<Target>,
    /// Where chance starts.
    pub seed: u64,
    /// For each target.
    pub budget: Budget,
    /// Workers at a time.
    pub workers: usize,
    /// Where everything is kept, a directory for each target below it.
    pub directory: PathBuf,
}

/// A fault that was found, and where its input is.
#[derive(Clone, Debug)]
pub struct Found {
    /// The target.
    pub target: &'static str,
    /// What happened.
    pub what: String,
    /// The input.
    pub input: PathBuf,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            what,
            input,
        } = self;
        let input = input.display();
        writeln!(f, "error: {target}: {what}")?;
        writeln!(f, "  the input is {input}")?;
        writeln!(
            f,
            "  replay it:             cargo xtask fuzz --replay {input}"
        )?;
        write!(
            f,
            "  make it a test of all:  cp {input} fuzz/regressions/{target}/"
        )
    }
}

/// The time that each of `targets` gets when all of them together are to take `time`.
pub fn share(time: Duration, targets: usize, workers: usize) -> Duration {
    let rounds = targets.div_ceil(workers.max(1)).max(1);
    time / u32::try_from(rounds).unwrap_or(u32::MAX)
}

impl Run {
    /// Feeds every target, each in a process of its own.
    ///
    /// # Errors
    ///
    /// When a worker cannot be started. A fault is no error.
    pub fn go(&self) -> Result<Vec<Found>> {
        let next = Mutex::new(self.targets.iter());
        let results: Mutex<Vec<Result<Option<Found>>>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.workers {
                scope.spawn(|| loop {
                    let target = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(target) = target else {
                        return;
                    };
                    let found = self.feed(target);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push(found);
                });
            }
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let found: Result<Vec<Option<Found>>> = results.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn feed(&self, target: &Target) -> Result<Option<Found>> {
        let directory = self.directory.join(target.name);
        // What a worker before this one left behind is not this one's.
        match std::fs::remove_file(directory.join("running")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("cannot remove the last run's input");
            }
            _ => {}
        }
        let budget = match self.budget {
            Budget::Time(time) => ["--time".to_owned(), time.as_secs_f64().to_string()],
            Budget::Runs(runs) => ["--runs".to_owned(), runs.to_string()],
        };
        let mut arguments: Vec<OsString> = vec!["--worker".into(), directory.clone().into()];
        arguments.extend(["--target".into(), target.name.into()]);
        arguments.extend(["--seed".into(), self.seed.to_string().into()]);
        arguments.extend(budget.map(OsString::from));
        let own = std::env::current_exe().context("cannot find this program")?;
        let output = Command::new(own)
            .args(arguments)
            .output()
            .context("cannot start a worker")?;
        let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            println!("{:<14} {told}", target.name);
            return Ok(None);
        }
        let what = match output.status.code() {
            Some(code) if code == i32::from(FAULT) => told,
            _ => died(output.status, &output.stderr),
        };
        let found = keep(&directory, target.name, what)?;
        println!("{found}");
        Ok(Some(found))
    }
}

/// What is known of a worker that did not end by itself.
fn died(status: ExitStatus, stderr: &[u8]) -> String {
    let said = String::from_utf8_lossy(stderr);
    let said = said.trim();
    if said.is_empty() {
        format!("the worker died: {status}")
    } else {
        format!("the worker died: {status}: {said}")
    }
}

/// Puts the input that a worker tried last where it stays.
fn keep(directory: &Path, target: &'static str, what: String) -> Result<Found> {
    let bytes = last_input(directory).with_context(|| format!("{target}: {what}"))?;
    // The parent directory's name says whose input it is.
    let failures = directory.with_file_name("failures").join(target);
    std::fs::create_dir_all(&failures)
        .with_context(|| format!("cannot make {}", failures.display()))?;
    let input = failures.join(name_of(&bytes));
    std::fs::write(&input, &bytes).with_context(|| format!("cannot write {}", input.display()))?;
    Ok(Found {
        target,
        what,
        input,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_whole_run() {
        let minute = Duration::from_secs(60);
        assert_eq!(share(minute, 6, 1), Duration::from_secs(10));
        assert_eq!(share(minute, 7, 2), Duration::from_secs(15));
        assert_eq!(share(minute, 1, 8), minute);
    }
}
