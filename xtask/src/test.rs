// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask test`: everything that must hold, from the rules about the source to virtual machines.

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::problem::Problem;
use crate::scenario::Place;
use crate::scenarios::{Scenarios, Wanted, PACKAGE};
use crate::verdicts::{self, Verdicts};
use crate::{build, debug_kernel, fuzz, package, sim, tidy, workspace};

/// What a run without `--full` is to take at most, from a fresh clone on two cores.
const BUDGET_SECONDS: f64 = 45.0 * 60.0;

/// The scenario that needs the module with its self-test.
const SELF_TEST: &str = "self_test::self_test";

/// How it is decided which scenarios a run plays.
const ABOUT_SCENARIOS: &str = "\
Scenarios with virtual machines are the tests in tests/tests/scenarios. One with the attribute
    #[ignore = \"full: WHY\"]
where it stands is played with --full (or --only) alone; the others are the subset that every run plays. Each property
is in the subset once, in its cheapest pairing; what repeats it with other drivers, policies or moments, and what takes
more than two minutes, is left to --full. --list tells which is which, and how long each took.

--full remembers in target/scenarios.json which scenarios passed, for as long as module, tools, image, the scenario and
what it shares with others are the same: the same command again goes on where it was interrupted, and plays again what
failed.";

/// What `cargo xtask test` takes.
#[derive(Debug, Clone, Default, Args)]
#[command(after_long_help = ABOUT_SCENARIOS, after_help = "--help tells how scenarios are chosen.")]
pub struct Options {
    /// Leave out what boots virtual machines.
    #[arg(long)]
    pub no_vm: bool,
    /// Run only scenarios whose name contains this, and nothing else.
    #[arg(long, value_name = "NAME", conflicts_with = "no_vm")]
    pub only: Option<String>,
    /// Play every scenario but those that this build has passed already, and try the packages in a fresh Debian.
    #[arg(long, conflicts_with_all = ["no_vm", "only"])]
    pub full: bool,
    /// Play ten chosen scenarios (or those of --only) on a kernel with KASAN and lockdep, and run nothing else; the first
    /// time, that kernel is compiled for half an hour or more.
    #[arg(long, conflicts_with_all = ["no_vm", "full"])]
    pub debug_kernel: bool,
    /// Tell which scenarios there are, and run nothing.
    #[arg(long, conflicts_with_all = ["no_vm", "only", "full", "debug_kernel"])]
    pub list: bool,
}

impl Options {
    fn wanted(&self) -> Wanted<'_> {
        match &self.only {
            Some(part) => Wanted::Named(part),
            None if self.debug_kernel => Wanted::These(&debug_kernel::SCENARIOS),
            None if self.full => Wanted::Full,
            None => Wanted::Subset,
        }
    }
}

/// One phase's line in the table at the end.
struct Phase {
    name: &'static str,
    seconds: f64,
    verdicts: Verdicts,
}

#[derive(Default)]
struct Table(Vec<Phase>);

impl Table {
    fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<Verdicts>) {
        println!("== {name}");
        let started = Instant::now();
        let verdicts = work().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Verdicts::of_check(false)
        });
        self.0.push(Phase {
            name,
            seconds: started.elapsed().as_secs_f64(),
            verdicts,
        });
    }

    fn total(&self) -> Verdicts {
        let mut total = Verdicts::default();
        for phase in &self.0 {
            total += phase.verdicts;
        }
        total
    }

    fn print(&self) {
        println!(
            "\n{:<28} {:>9} {:>8} {:>8}",
            "phase", "seconds", "passed", "failed"
        );
        for phase in &self.0 {
            println!(
                "{:<28} {:>9.1} {:>8} {:>8}",
                phase.name, phase.seconds, phase.verdicts.passed, phase.verdicts.failed
            );
        }
    }
}

/// Runs everything and prints a table and the closing line `N passed, N failed`.
///
/// # Errors
///
/// When anything failed, or nothing ran.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        Scenarios::build()?.list(&Place::usual()?);
        return Ok(());
    }
    let started = Instant::now();
    let mut table = Table::default();
    table.run("set up and build", || {
        build::run(&build::Options::default()).map(|_| Verdicts::of_check(true))
    });
    let built = table.total().failed == 0;
    if options.only.is_none() && !options.debug_kernel {
        table.run("rules about the source", || {
            tidy::run().map(|()| Verdicts::of_check(true))
        });
        table.run("clippy of the module", || {
            let env = crate::env::Env::current()?;
            crate::module::build(&env, crate::module::Flavour::Clippy)?;
            Ok(Verdicts::of_check(true))
        });
        table.run("unit and property tests", || {
            let mut verdicts = verdicts::of_run(workspace::cargo().args([
                "test",
                "--workspace",
                "--exclude",
                PACKAGE,
                "--no-fail-fast",
            ]))?;
            // Those of the programs around the scenarios; compiled as the scenarios are.
            verdicts += verdicts::of_run(workspace::cargo().args([
                "test",
                "--release",
                "--package",
                PACKAGE,
                "--lib",
                "--bins",
            ]))?;
            Ok(verdicts)
        });
        table.run("bugs planted for the simulator", sim::planted);
        table.run("simulated disasters", || sim::test(options.full));
        table.run("broken input", || fuzz::test(options.full));
    }
    // Without products of this checkout, a scenario would try old ones.
    if built && !options.no_vm {
        table.run("Debian packages", || {
            let packages = package::Options {
                check: true,
                no_build: true,
                trial: options.full,
            };
            package::make(&crate::env::Env::current()?, &packages)?;
            Ok(Verdicts::of_check(true))
        });
        table.run("virtual machines", || {
            let place = if options.debug_kernel {
                debug_kernel::place(&debug_kernel::prepare()?)?
            } else {
                Place::usual()?
            };
            let scenarios = Scenarios::build()?;
            if scenarios.plays(options.wanted(), SELF_TEST) && !options.debug_kernel {
                let env = crate::env::Env::current()?;
                crate::module::build(&env, crate::module::Flavour::SelfTest)?;
            }
            scenarios.play(options.wanted(), &place)
        });
    }
    table.print();
    let seconds = started.elapsed().as_secs_f64();
    println!("all phases: {:.0} min", seconds / 60.0);
    if options.wanted() == Wanted::Subset && seconds > BUDGET_SECONDS {
        println!(
            "more than the {:.0} minutes it is to take: leave some scenarios to --full",
            BUDGET_SECONDS / 60.0
        );
    }
    let total = table.total();
    println!("\n{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        return Err(Problem::new(
            "the tests failed",
            "the table above says in which phase",
            "",
        )
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_errs_counts_as_failed() {
        let mut table = Table::default();
        table.run("good", || {
            Ok(Verdicts {
                passed: 3,
                failed: 0,
            })
        });
        table.run("bad", || Err(anyhow::anyhow!("no")));
        assert_eq!(
            table.total(),
            Verdicts {
                passed: 3,
                failed: 1
            }
        );
    }
}
