// SPDX-License-Identifier: GPL-2.0-or-later
//! The demonstration: two machines, one disk, a power cut, nothing lost.
//!
//! Prints what it does and what it sees, measures as it goes, and ends with an
//! error when anything is not as it must be.

mod ha;
mod narrator;
mod story;

use std::process::ExitCode;

use clap::Parser;

use crate::narrator::Narrator;

/// Replicates a disk between two virtual machines, cuts the power of one and goes on with the other
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Options {
    /// Size of the disk in MiB
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(256..=65536))]
    disk_mib: u64,
    /// Change one byte on the second node before it is checked: the demonstration must fail then
    #[arg(long)]
    break_a_byte: bool,
    /// The same with drbd-had on both machines, which takes over by itself: a power cut, and when what was done
    #[arg(long)]
    ha: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut narrator = Narrator::new();
    let told = if options.ha {
        ha::tell(&options, &mut narrator)
    } else {
        story::tell(&options, &mut narrator)
    };
    narrator.print_timings();
    match told {
        Ok(()) if options.ha => {
            println!("\nNothing was lost: every acknowledged record is there, and nobody had to do anything.");
            ExitCode::SUCCESS
        }
        Ok(()) => {
            println!("\nNothing was lost: every acknowledged record and every file is there, and the disks are equal.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nerror: the demonstration failed\n  {error:#}");
            ExitCode::FAILURE
        }
    }
}
