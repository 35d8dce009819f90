// SPDX-License-Identifier: GPL-2.0-or-later
//! The command `drbd-sim`: plays stories, one seed after another, and says how to replay those that fail.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Parser;
use drbd_sim::{play, shrink, Failure, Keep, Kind, Options, Played};

/// Play the replication engine in a world of faults, and check that nothing is lost.
#[derive(Debug, Parser)]
#[command(name = "drbd-sim", bin_name = "cargo xtask sim")]
struct Arguments {
    /// Stories to play.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        conflicts_with = "seed"
    )]
    seeds: u64,
    /// Seed of the first; without it the clock chooses.
    #[arg(long, value_name = "N", conflicts_with = "seed")]
    first: Option<u64>,
    /// Replay this seed and tell every step.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Events of the workload to play in a replay, like 0-4,7.
    #[arg(long, value_name = "LIST", requires = "seed", default_value = "all")]
    keep: Keep,
    /// Steps of the world in each story.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    events: u64,
    /// Stop after so long, whatever --seeds says.
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Go on after a failure, up to so many.
    #[arg(long, value_name = "N", default_value_t = 1)]
    failures: u64,
    /// Plays that cutting a failing story down may take; 0 leaves it as it is.
    #[arg(long, value_name = "N", default_value_t = 300)]
    shrink: u32,
    #[command(flatten)]
    kind: KindArguments,
}

/// Stories of one kind alone, which are some of all else.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct KindArguments {
    /// Only stories with two Primaries.
    #[arg(long)]
    two_primaries: bool,
    /// Only stories whose one Primary may be anybody, whatever the other node has.
    #[arg(long)]
    careless: bool,
    /// Only stories whose one Primary has the newest data.
    #[arg(long)]
    careful: bool,
}

impl KindArguments {
    fn kind(&self) -> Option<Kind> {
        let kinds = [
            (self.two_primaries, Kind::TwoPrimaries),
            (self.careless, Kind::Careless),
            (self.careful, Kind::Careful),
        ];
        let asked = kinds.into_iter().find(|(asked, _)| *asked);
        asked.map(|(_, kind)| kind)
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let options = Options {
        events: arguments.events,
        keep: arguments.keep.clone(),
        trace: false,
        kind: arguments.kind.kind(),
    };
    Ok(match arguments.seed {
        Some(seed) => replay(seed, &options),
        None => many(&arguments, &options),
    })
}

fn replay(seed: u64, options: &Options) -> ExitCode {
    let options = Options {
        trace: true,
        ..options.clone()
    };
    match play(seed, &options) {
        Ok(Played { steps, refused, .. }) => {
            let end = if refused {
                "the nodes refuse each other"
            } else {
                "all is well"
            };
            println!("seed {seed}: {steps} steps, {end}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments, options: &Options) -> ExitCode {
    let first = arguments.first.unwrap_or_else(fresh);
    println!("first seed {first}");
    let started = Instant::now();
    let limit = arguments.time.map(Duration::from_secs);
    let (mut stories, mut steps, mut failures, mut refusals) = (0u64, 0u64, 0u64, 0u64);
    let mut conflicts = 0u64;
    for seed in first..first.saturating_add(arguments.seeds) {
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            break;
        }
        stories += 1;
        match play(seed, options) {
            Ok(played) => {
                steps += played.steps;
                refusals += u64::from(played.refused);
                conflicts += played.conflicts;
            }
            Err(failure) => {
                failures += 1;
                report(&failure, arguments, options);
                if failures >= arguments.failures {
                    break;
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = stories as f64 * 60.0 / seconds.max(0.001);
    println!("{stories} seeds from {first}, {steps} steps in {seconds:.1} s ({rate:.0} seeds a minute), {refusals} ended with a refusal, {conflicts} conflicts, {failures} failed");
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A seed that nobody has tried, small enough to be typed.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() % 100_000_000 * 1000)
}

fn report(failure: &Failure, arguments: &Arguments, options: &Options) {
    let mut story = format!("--events {} --seed {}", arguments.events, failure.seed);
    if let Some(kind) = options.kind {
        story = format!("{} {story}", kind.option());
    }
    println!("\n{failure}\n");
    println!("replay:  cargo xtask sim {story}");
    if arguments.shrink > 0 {
        let (shorter, keep) = shrink(failure, options, arguments.shrink);
        let count = keep.count().unwrap_or_default();
        println!("shorter: cargo xtask sim {story} --keep {keep}");
        println!(
            "         {count} of {} events, ends with: {}",
            failure.event + 1,
            shorter.what.lines().next().unwrap_or_default()
        );
    }
}
