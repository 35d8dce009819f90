// SPDX-License-Identifier: GPL-2.0-or-later
//! The scenarios in virtual machines, one process each: which there are, which are wanted, how long each takes.
//!
//! A scenario that is marked `#[ignore = "full: ..."]` where it stands is left to `--full`; the others are the subset
//! that every test run plays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::memory::Memory;
use crate::problem::Problem;
use crate::process::{captured, tail};
use crate::scenario::Place;
use crate::tools::{compiled, place_of};
use crate::verdicts::Verdicts;
use crate::workspace;

/// The crate whose tests boot virtual machines.
pub const PACKAGE: &str = "drbd-tests";

/// The test of that crate that holds all scenarios.
const TARGET: &str = "scenarios";

/// Longer than any takes that is not stuck.
const LIMIT: Duration = Duration::from_secs(3600);

/// Lines of a failed scenario's output on the terminal; all of it is in its log.
const SHOWN_LINES: usize = 120;

/// Which scenarios are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Those that are not left to `--full`.
    Subset,
    /// All; those that this build has passed already are not played again.
    Full,
    /// Those whose name contains the text.
    Named(&'a str),
    /// Exactly these.
    These(&'a [&'a str]),
}

/// The program that holds all scenarios, and what it holds.
#[derive(Debug)]
pub struct Scenarios {
    program: PathBuf,
    all: Vec<String>,
    left_to_full: BTreeSet<String>,
}

impl Scenarios {
    /// Compiles the program and asks it.
    ///
    /// # Errors
    ///
    /// When it does not compile.
    pub fn build() -> Result<Self> {
        let mut command = workspace::cargo();
        command.args(["test", "--release", "--package", PACKAGE]);
        command.args(["--test", TARGET, "--no-run", "--quiet"]);
        command.arg("--message-format=json-render-diagnostics");
        let built = compiled(command, "the scenarios")?;
        let program = place_of(&built, TARGET)?.to_owned();
        let list = |which: &[&str]| -> Result<Vec<String>> {
            let mut command = Command::new(&program);
            command.args(["--list", "--format=terse"]).args(which);
            Ok(names(&captured(&mut command)?))
        };
        Ok(Self {
            all: list(&[])?,
            left_to_full: list(&["--ignored"])?.into_iter().collect(),
            program,
        })
    }

    /// The wanted ones, in order.
    fn select(&self, wanted: Wanted<'_>) -> Vec<&str> {
        let is_wanted = |name: &str| match wanted {
            Wanted::Subset => !self.left_to_full.contains(name),
            Wanted::Full => true,
            Wanted::Named(part) => name.contains(part),
            Wanted::These(names) => names.iter().any(|wanted| short(name) == *wanted),
        };
        let all = self.all.iter().map(String::as_str);
        all.filter(|name| is_wanted(name)).collect()
    }

    /// Whether scenario `name` is wanted.
    pub fn plays(&self, wanted: Wanted<'_>, name: &str) -> bool {
        self.select(wanted).contains(&name)
    }

    /// Plays the wanted scenarios one after the other, with the products of `place`.
    ///
    /// # Errors
    ///
    /// When none is wanted, or what is remembered cannot be written; a scenario that fails is a verdict.
    pub fn play(&self, wanted: Wanted<'_>, place: &Place) -> Result<Verdicts> {
        let selected = self.select(wanted);
        if selected.is_empty() {
            let why = format!("{wanted:?}");
            return Err(Problem::new("no such scenario", why, "cargo xtask test --list").into());
        }
        let logs = workspace::root().join("target/scenarios");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let mut memory = Memory::load(&place.memory(), place)?;
        let mut verdicts = Verdicts::default();
        for (number, name) in selected.iter().enumerate() {
            let place_of = format!("{:>3}/{}", number + 1, selected.len());
            if let (Wanted::Full, Some(seconds)) = (wanted, memory.passed(name)) {
                println!("{place_of} passed before {seconds:>6.1} s  {name}");
                verdicts += Verdicts::of_check(true);
                continue;
            }
            let log = logs.join(format!("{}.log", name.replace("::", ".")));
            let started = Instant::now();
            let good = self.play_one(name, place, &log)?;
            let seconds = started.elapsed().as_secs_f64();
            let word = if good { "ok" } else { "FAILED" };
            println!("{place_of} {word:<13} {seconds:>6.1} s  {name}");
            if !good {
                let said = fs::read(&log).unwrap_or_default();
                println!("{}", tail(&String::from_utf8_lossy(&said), SHOWN_LINES));
                println!("all it said: {}", log.display());
            }
            memory.note(name, good, seconds);
            memory.store()?;
            verdicts += Verdicts::of_check(good);
        }
        if verdicts.failed > 0 && wanted == Wanted::Full {
            println!("the same command again plays only what has not passed");
        }
        Ok(verdicts)
    }

    fn play_one(&self, name: &str, place: &Place, log: &Path) -> Result<bool> {
        let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .args(["--exact", name, "--include-ignored", "--nocapture"])
            // cargo would start it there.
            .current_dir(workspace::root().join("tests"))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        place.export(&mut command);
        let child = command.spawn().context("cannot start the scenarios")?;
        Ok(wait(child, LIMIT)?.is_some_and(|status| status.success()))
    }

    /// Prints every scenario with where it belongs and how long it took the last time.
    pub fn list(&self, place: &Place) {
        // Without products nothing has passed, but times are known.
        let memory = Memory::load(&place.memory(), place)
            .unwrap_or_else(|_| Memory::of_build(&place.memory(), "", BTreeMap::new()));
        let mut sums = [0.0; 2];
        for name in &self.all {
            let full = self.left_to_full.contains(name);
            let seconds = memory.seconds(name);
            if let Some(sum) = sums.get_mut(usize::from(full)) {
                *sum += seconds.unwrap_or_default();
            }
            let set = if full { "full" } else { "always" };
            let seconds = seconds.map_or_else(String::new, |seconds| format!("{seconds:.1} s"));
            let passed = memory.passed(name).map_or("", |_| "passed");
            println!("{set:<6} {seconds:>9} {passed:<6}  {name}");
        }
        let [always, full] = sums;
        println!(
            "always: {always:.0} s, full: {:.0} s, as far as known",
            always + full
        );
    }
}

/// Waits for the end; a child that is stuck is killed, and `None`.
fn wait(mut child: Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The tests in a terse list of the test harness: `NAME: test`.
fn names(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

/// A test's name without its modules.
fn short(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenarios() -> Scenarios {
        Scenarios {
            program: PathBuf::new(),
            all: names("verify::verify: test\nverify::by_stock: test\na::swap: test\n\n3 tests, 0 benchmarks\n"),
            left_to_full: BTreeSet::from(["verify::by_stock".to_owned()]),
        }
    }

    #[test]
    fn what_is_ignored_is_left_to_full() {
        let scenarios = scenarios();
        let count = |wanted| scenarios.select(wanted).len();
        assert_eq!(
            scenarios.select(Wanted::Subset),
            ["verify::verify", "a::swap"]
        );
        assert_eq!(count(Wanted::Full), 3);
        assert_eq!(count(Wanted::Named("stock")), 1);
        let stock = "verify::by_stock";
        assert!(scenarios.plays(Wanted::Full, stock) && !scenarios.plays(Wanted::Subset, stock));
        assert_eq!(scenarios.select(Wanted::These(&["swap"])), ["a::swap"]);
    }

    #[test]
    fn one_that_is_stuck_is_killed() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(child, Duration::ZERO).unwrap(), None);
        let child = Command::new("true").spawn().unwrap();
        assert!(wait(child, Duration::from_secs(20))
            .unwrap()
            .unwrap()
            .success());
    }
}
