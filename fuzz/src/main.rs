// SPDX-License-Identifier: GPL-2.0-or-later
//! The program behind `cargo xtask fuzz`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use clap::Parser;
use drbd_fuzz::parent::{share, Run};
use drbd_fuzz::targets::{find, ALL};
use drbd_fuzz::worker::{keep_panics_quiet, try_one, work, Budget, Job, FAULT};
use drbd_fuzz::{Target, TIME_MAX};

/// Feed broken input to the decoders: the configuration, netlink, metadata, the wire.
///
/// Every input has to be taken or refused: no panic, no endless loop, a bounded amount of memory; what is accepted has to
/// be written again without loss. An input that breaks a rule is made short and kept, with the command that replays it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fuzz", bin_name = "cargo xtask fuzz")]
struct Arguments {
    /// Seconds for all targets together; inputs that showed something new are kept in target/fuzz for the next run.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    time: f64,
    /// Inputs for each target instead: the same ones each time.
    #[arg(long, value_name = "COUNT", conflicts_with = "time")]
    runs: Option<u64>,
    /// Feed only this target; may be repeated.
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Where chance starts [default: chance].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Try these inputs and nothing else; the directory of each names its target.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["runs", "seed"])]
    replay: Vec<PathBuf>,
    /// Tell which targets there are.
    #[arg(long, conflicts_with = "replay")]
    list: bool,
    /// Be the process that feeds one target.
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    worker: Option<PathBuf>,
    /// Where everything is kept.
    #[arg(
        long,
        value_name = "DIRECTORY",
        hide = true,
        default_value = "target/fuzz"
    )]
    directory: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        for target in ALL {
            println!("{:<14} {}", target.name, target.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.replay.is_empty() {
        return replay(arguments);
    }
    let targets = chosen(arguments)?;
    let seed = arguments
        .seed
        .unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    let time =
        Duration::try_from_secs_f64(arguments.time).context("--time is no number of seconds")?;
    if let (Some(directory), [target]) = (&arguments.worker, &targets[..]) {
        return worker(Job {
            target: *target,
            seed,
            budget: arguments.runs.map_or(Budget::Time(time), Budget::Runs),
            directory: directory.clone(),
        });
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let budget = match arguments.runs {
        Some(runs) => Budget::Runs(runs),
        None => Budget::Time(share(time, targets.len(), workers)),
    };
    println!("seed {seed}");
    let run = Run {
        targets,
        seed,
        budget,
        workers,
        directory: arguments.directory.clone(),
    };
    let found = run.go()?;
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn chosen(arguments: &Arguments) -> Result<Vec<Target>> {
    if arguments.targets.is_empty() {
        return Ok(ALL.to_vec());
    }
    let one = |name: &String| {
        find(name).with_context(|| {
            format!("there is no target {name}; `cargo xtask fuzz --list` tells which there are")
        })
    };
    arguments.targets.iter().map(one).collect()
}

fn worker(job: Job) -> Result<ExitCode> {
    keep_panics_quiet();
    Ok(match work(&job)? {
        Ok(done) => {
            println!(
                "{} inputs, {} showed something new",
                done.runs, done.parents
            );
            ExitCode::SUCCESS
        }
        Err(fault) => {
            println!("{}", fault.0);
            ExitCode::from(FAULT)
        }
    })
}

/// Tries inputs in this process, with the messages of their panics; one that has no end is ended after a while.
fn replay(arguments: &Arguments) -> Result<ExitCode> {
    std::thread::spawn(|| {
        std::thread::sleep(TIME_MAX * 4);
        eprintln!("error: no end");
        std::process::exit(1);
    });
    let mut code = ExitCode::SUCCESS;
    for file in &arguments.replay {
        let target = target_of(file, &arguments.targets)?;
        let input =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        match try_one(&target, &input) {
            Ok(_) => println!("{}: {} takes it", file.display(), target.name),
            Err(fault) => {
                println!("{}: {}: {}", file.display(), target.name, fault.0);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// The target of an input: the one that is asked for, or the one its directory is named after.
fn target_of(file: &Path, asked_for: &[String]) -> Result<Target> {
    let directory = file.parent().and_then(Path::file_name);
    let name = match asked_for {
        [] => directory.unwrap_or_default().to_string_lossy().into_owned(),
        [name] => name.clone(),
        _ => bail!("give one --target with --replay"),
    };
    find(&name).with_context(|| {
        format!(
            "cannot tell whose input {} is: give --target, one of those that --list tells",
            file.display()
        )
    })
}
