// SPDX-License-Identifier: GPL-2.0-or-later
//! The command `drbd-ha-sim`: plays stories about clusters, one seed after another, and says how to replay those that fail.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use drbd_ha::sim::{cases, play, play_case, shrink, Failure, Options};

/// Play the fail-over core in a world of faults, and check that nothing ever runs twice and everything runs again.
#[derive(Debug, Parser)]
#[command(name = "drbd-ha-sim")]
struct Arguments {
    /// Stories to play.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        conflicts_with = "seed"
    )]
    seeds: u64,
    /// Seed of the first.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "seed")]
    first: u64,
    /// Replay this seed and tell every step.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Play this case instead, with the delays of --seed, and tell every step; `list` tells their names.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Faults to play in a replay, like 0,3,7.
    #[arg(long, value_name = "LIST", requires = "seed", value_delimiter = ',')]
    keep: Option<Vec<usize>>,
    /// Stop after so long, whatever --seeds says.
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Go on after a failure, up to so many.
    #[arg(long, value_name = "N", default_value_t = 1)]
    failures: u64,
    /// Don't look for a shorter story that fails in the same way.
    #[arg(long)]
    no_shrink: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.case {
        return one_case(name, arguments.seed.unwrap_or(0));
    }
    match arguments.seed {
        Some(seed) => replay(seed, &arguments),
        None => many(&arguments),
    }
}

fn one_case(name: &str, seed: u64) -> ExitCode {
    let options = Options {
        keep: None,
        trace: true,
    };
    match play_case(name, seed, &options) {
        Some(Ok(played)) => {
            println!(
                "{name}: {} steps, {} fenced, all is well",
                played.steps, played.fenced
            );
            ExitCode::SUCCESS
        }
        Some(Err(failure)) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
        None => {
            println!("{}", cases().join("\n"));
            if name == "list" {
                ExitCode::SUCCESS
            } else {
                eprintln!("error: there is no case called {name:?}; these are all");
                ExitCode::FAILURE
            }
        }
    }
}

fn replay(seed: u64, arguments: &Arguments) -> ExitCode {
    let options = Options {
        keep: arguments.keep.clone(),
        trace: true,
    };
    match play(seed, &options) {
        Ok(played) => {
            println!(
                "seed {seed}: {} steps, {} fenced, all is well",
                played.steps, played.fenced
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let limit = arguments.time.map(Duration::from_secs);
    let (mut stories, mut steps, mut fenced, mut failures) = (0u64, 0u64, 0u64, 0u64);
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            break;
        }
        stories += 1;
        match play(seed, &Options::default()) {
            Ok(played) => {
                steps += played.steps;
                fenced += played.fenced;
            }
            Err(failure) => {
                failures += 1;
                report(&failure, arguments);
                if failures >= arguments.failures {
                    break;
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let first = arguments.first;
    println!("{stories} seeds from {first}, {steps} steps, {fenced} fencings in {seconds:.1} s, {failures} failed");
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(failure: &Failure, arguments: &Arguments) {
    println!("{failure}");
    println!("replay:  drbd-ha-sim --seed {}", failure.seed);
    if !arguments.no_shrink {
        let kept: Vec<String> = shrink(failure).iter().map(ToString::to_string).collect();
        if !kept.is_empty() {
            println!(
                "shorter: drbd-ha-sim --seed {} --keep {}",
                failure.seed,
                kept.join(",")
            );
        }
    }
}
