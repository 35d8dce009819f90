// SPDX-License-Identifier: GPL-2.0-or-later
//! drbdadm: high-level administration of drbd resources.
//!
//! Reads drbd.conf, finds out what a command means on this node, and calls
//! `drbdsetup` and `drbdmeta` in the right order. It never talks to the kernel
//! itself; those of this package run in one process beside it (`worker`).

mod actions;
mod adjust;
mod arguments;
mod call;
mod cli;
mod command;
mod context;
mod driver;
mod explain;
mod failure;
mod inside;
mod inspect;
mod json;
mod kernel;
mod manual;
mod metadata;
mod progress;
mod queue;
mod registry;
mod select;
mod steps;
mod top;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let words = argv.get(1..).unwrap_or(&[]);
    if matches!(words, [word] if word == worker::WORD) {
        return ExitCode::from(worker::serve());
    }
    let definition = || cli::definition(drbd_conf::Dialect::V9);
    if let Some(code) = drbd_pages::serve(words, definition, || vec![manual::drbd_conf()]) {
        return ExitCode::from(code);
    }
    let status = match run(&argv) {
        Ok(status) => status,
        Err(failure) => {
            // The command line may be what is wrong: it is looked at as it is.
            if words.iter().any(|word| word == "--json") {
                json::print_failure(&failure);
            } else {
                failure.print();
            }
            failure.status
        }
    };
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

fn run(argv: &[String]) -> Result<i32, failure::Failure> {
    let Some(request) = cli::parse(argv)? else {
        return Ok(0);
    };
    actions::perform(&request)
}
