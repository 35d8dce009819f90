// SPDX-License-Identifier: GPL-2.0-or-later
//! The command `cargo xtask`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::scenario::{self, Program};
use xtask::{build, docs, fuzz, package, setup, sim, test, tidy};

/// Set up, build, test and show drbd-rs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Make the tool chain, the kernel headers and the image of virtual machines ready (implied by all others).
    Setup {
        /// Make everything anew from what the mirror has today.
        #[arg(long)]
        refresh: bool,
        /// Compiles the kernel of `test --debug-kernel` too: half an hour, once.
        #[arg(long)]
        debug_kernel: bool,
    },
    /// Build the kernel module and the tools into target/dist.
    Build(build::Options),
    /// Make Debian packages of the tools and the module, into target/packages.
    Package(package::Options),
    /// Run every test: rules about the source, units, properties, virtual machines.
    Test(test::Options),
    /// Two machines, one disk: replicate, kill the primary, go on with the other.
    Demo(PassedOn),
    /// Compare this driver with the stock one.
    Bench(PassedOn),
    /// Boot two nodes with this module and these tools, with a shell into each.
    Vm(PassedOn),
    /// Play the engine in a world of faults: thousands of seeds, each replayed with one command.
    Sim {
        /// The fail-over core instead, given first: clusters, networks, fence devices.
        #[arg(long)]
        ha: bool,
        #[command(flatten)]
        passed: PassedOn,
    },
    /// Feed broken input to every decoder: the configuration, netlink, metadata, the wire.
    Fuzz(PassedOn),
    /// Write the documents that are made from tables: docs/netlink/drbd.yaml.
    Docs,
    /// Check rules about the source that no compiler knows.
    Tidy,
}

/// Arguments for the program behind a subcommand.
#[derive(Debug, clap::Args)]
struct PassedOn {
    /// Arguments of the program; --help after `--` tells them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup {
            refresh,
            debug_kernel,
        } => {
            let env = setup::run(refresh)?;
            if debug_kernel {
                xtask::debug_kernel::prepare()?;
            }
            println!("ready: kernel {}", env.kernel_release);
        }
        Task::Build(options) => drop(build::run(&options)?),
        Task::Package(options) => drop(package::run(&options)?),
        Task::Test(options) => test::run(&options)?,
        Task::Demo(passed) => return scenario::run(Program::Demo, &passed.arguments),
        Task::Bench(passed) => return scenario::run(Program::Bench, &passed.arguments),
        Task::Vm(passed) => return scenario::run(Program::Vm, &passed.arguments),
        Task::Sim { ha, passed } => return sim::run(ha, &passed.arguments),
        Task::Fuzz(passed) => return fuzz::run(&passed.arguments),
        Task::Docs => docs::run()?,
        Task::Tidy => tidy::run()?,
    }
    Ok(ExitCode::SUCCESS)
}
