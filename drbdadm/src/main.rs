// SPDX-License-Identifier: GPL-2.0-or-later
//! drbdadm: high-level administration of drbd resources.
//!
//! Reads drbd.conf, finds out what a command means on this node, and calls
//! `drbdsetup` and `drbdmeta` in the right order. It never talks to the kernel
//! itself.

mod actions;
mod adjust;
mod arguments;
mod call;
mod cli;
mod command;
mod context;
mod driver;
mod failure;
mod inspect;
mod metadata;
mod queue;
mod registry;
mod select;
mod steps;

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let status = match run(&argv) {
        Ok(status) => status,
        Err(failure) => {
            failure.print();
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
