// SPDX-License-Identifier: GPL-2.0-or-later
//! Ours against the distribution's driver 8.4.11, on the same pair of machines.
//!
//! The two drivers take turns: in each round one is loaded on both nodes, does
//! its work and is unloaded, then the other, and who begins changes with every
//! round. What the host does beside hits both alike, and the ratio of a round
//! is a better figure than any rate. Both get the same configuration, the same
//! RAM disks and an undisturbed kernel without debugging aids.
//!
//! Then they take turns on a pair of nodes of which QEMU counts every
//! instruction: that figure is the same on a busy host.

mod cost;
mod cost_report;
mod counters;
mod driver;
mod figures;
mod instructions;
mod pair;
mod report;
mod resync;
mod symbols;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

use cost::Plan;
use driver::{Driver, Protocol};
use figures::Sample;
use pair::Pair;
use workload::Workload;

/// Measures our driver against the distribution's 8.4.11.
#[derive(Debug, Parser)]
#[command(name = "bench", version, about)]
struct Arguments {
    /// How many times each driver takes its turn; without it, as often as
    /// there is time for within six minutes, five times at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Two short rounds, or one if two take more than two minutes: for a first
    /// impression.
    #[arg(long)]
    quick: bool,
    /// Leave out rates, packets and context switches.
    #[arg(long, conflicts_with = "no_instructions")]
    no_rates: bool,
    /// Leave out the instructions that a write costs.
    #[arg(long)]
    no_instructions: bool,
    /// Protocols whose instructions are counted.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "A,B,C"
    )]
    protocols: Vec<Protocol>,
    /// Also tells the N functions that most instructions are executed in, of
    /// each driver and of the kernel around it.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "25", conflicts_with = "no_instructions")]
    profile: Option<usize>,
    /// Also writes every single measurement into FILE.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Minutes to wait for other exclusive labs on this host to end.
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    patience: u64,
}

impl Arguments {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// No round is begun that would end later than this; none if the number
    /// of rounds is given.
    fn budget(&self) -> Option<Duration> {
        let seconds = if self.quick { 120 } else { 360 };
        self.rounds
            .is_none()
            .then_some(Duration::from_secs(seconds))
    }

    /// How long each of the timed workloads runs.
    fn duration(&self) -> Duration {
        Duration::from_millis(if self.quick { 1500 } else { 3000 })
    }

    /// How long other labs are waited for.
    fn patience(&self) -> Duration {
        Duration::from_secs(60 * self.patience)
    }

    /// Turns of each driver on the counted nodes: they hardly differ.
    fn counted_rounds(&self) -> u32 {
        if self.quick {
            1
        } else {
            self.rounds.unwrap_or(2)
        }
    }

    /// What is counted there.
    fn plan(&self) -> Plan {
        Plan {
            protocols: self.protocols.clone(),
            writes: if self.quick {
                [400, 2000]
            } else {
                [1000, 4000]
            },
            whole_kernel: self.profile.is_some(),
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut samples = Vec::new();
    if !arguments.no_rates {
        samples = rates(arguments)?;
    }
    let (mut costs, mut cells) = (Vec::new(), Vec::new());
    // Rates are worth having where instructions cannot be counted.
    let can_count = drbd_qemu::can_count();
    if let (Err(why), false) = (&can_count, arguments.no_instructions || arguments.no_rates) {
        eprintln!("bench: instructions are not counted: {why}");
    } else if !arguments.no_instructions {
        can_count.context("instructions cannot be counted")?;
        let plan = arguments.plan();
        costs = instructions::measure(arguments.patience(), arguments.counted_rounds(), &plan)
            .context("counting instructions")?;
        cells = instructions::print(&costs, &plan, arguments.profile);
    }
    if let Some(path) = &arguments.json {
        let figures = figures::summarise(&samples);
        std::fs::write(path, report::json(&samples, &figures, &costs, &cells)?)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Measures and prints rates, packets and context switches.
fn rates(arguments: &Arguments) -> Result<Vec<Sample>> {
    let (pair, started) = Pair::boot(arguments.patience(), false)?;
    println!(
        "two nodes ({}) are up after {:.1} s",
        pair.description(),
        started.elapsed().as_secs_f64()
    );
    let mut samples = Vec::new();
    let measured = rounds(&pair, arguments, started, &mut samples);
    // A kernel's report explains a failure, not the other way round.
    if let Err(reports) = pair.lab.check_consoles() {
        eprintln!("{reports}");
        measured?;
        anyhow::bail!("a kernel reported an error: the figures are worth nothing");
    }
    let rounds = measured.with_context(|| format!("consoles: {}", pair.lab.log_dir().display()))?;
    println!("\n{}", report::table(&figures::summarise(&samples)));
    println!(
        "{}, {rounds} round(s), {:.0} s; {}",
        report::today(),
        started.elapsed().as_secs_f64(),
        report::LEGEND
    );
    if let Some(load) = report::busy_host() {
        println!(
            "The host's load is {load:.1}: other programs compete with the guests. Rates and ratios\n\
             of this run mean little; bytes do not suffer, packets and context switches somewhat."
        );
    }
    Ok(samples)
}

/// Lets the drivers take turns; how many rounds there were.
fn rounds(
    pair: &Pair,
    arguments: &Arguments,
    started: Instant,
    samples: &mut Vec<Sample>,
) -> Result<u32> {
    let mut longest = Duration::ZERO;
    for round in 0..arguments.rounds() {
        let late = arguments
            .budget()
            .is_some_and(|budget| started.elapsed() + longest > budget);
        if late && round > 0 {
            println!("no time for round {}: the host is busy", round + 1);
            return Ok(round);
        }
        let begun = Instant::now();
        let mut order = [Driver::Ours, Driver::Stock];
        if round % 2 == 1 {
            order.reverse();
        }
        for driver in order {
            turn(pair, driver, round, arguments.duration(), samples)
                .with_context(|| format!("round {}, {driver}", round + 1))?;
        }
        longest = longest.max(begun.elapsed());
    }
    Ok(arguments.rounds())
}

/// One driver is loaded on both nodes, measured and unloaded.
fn turn(
    pair: &Pair,
    driver: Driver,
    round: u32,
    duration: Duration,
    samples: &mut Vec<Sample>,
) -> Result<()> {
    let started = Instant::now();
    pair.up(driver)?;
    let mut told = Vec::new();
    for workload in Workload::ALL {
        let sample = workload
            .measure(pair, driver, round, duration)
            .with_context(|| workload.title().to_owned())?;
        told.push(format!("{} {}", workload.title(), sample.rate_text()));
        samples.push(sample);
    }
    pair.down(driver)?;
    println!(
        "round {} {driver}: {} ({:.0} s)",
        round + 1,
        told.join(", "),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
