// SPDX-License-Identifier: GPL-2.0-or-later
//! Virtual machines by hand.

mod exec;
mod pair;
mod session;
mod shell;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Boots virtual machines with DRBD and runs commands in them.
#[derive(Parser)]
#[command(name = "drbd-vm", version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Boot nodes, run scripts in them, and end with the last one's status.
    Exec(exec::Arguments),
    /// Boot two nodes and give a shell in each.
    Pair(pair::Arguments),
    /// Open a shell in a node of a running pair, or run a command there.
    Shell(shell::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::Exec(arguments) => exec::run(arguments),
        What::Pair(arguments) => pair::run(&arguments),
        What::Shell(arguments) => shell::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("drbd-vm: {error:#}");
        ExitCode::from(125)
    })
}
