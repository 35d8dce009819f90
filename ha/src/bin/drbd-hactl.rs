// SPDX-License-Identifier: GPL-2.0-or-later
//! drbd-hactl: asks and directs drbd-had.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use drbd_ha::ctl::{run, Cli};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = drbd_pages::serve(&words, Cli::command, Vec::new) {
        return ExitCode::from(code);
    }
    match run(&Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
