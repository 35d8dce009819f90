// SPDX-License-Identifier: GPL-2.0-or-later
//! The parts of drbdsetup.
//!
//! `cli` turns arguments into requests with the option table of `drbd_core::config`; `command` carries the
//! commands out; `render` turns what the kernel tells into text and JSON. The command line, the output formats
//! and the exit codes are those of drbdsetup 9 (drbd9-cli.md).

pub mod cli;
mod command;
pub mod exit;
mod failure;
mod lock;
pub mod render;
mod session;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::ErrorKind;

use cli::Generation;
pub use failure::Failure;
pub use session::Session;

/// Stands in every binary of this program: drbdadm takes it for granted there.
pub const MARK: &str = concat!("drbdsetup of drbd-rs ", env!("CARGO_PKG_VERSION"));

/// Runs the program with the arguments after its name; the result is its exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    call(arguments, &mut Session::default())
}

/// As [`main`], one of several calls in a process: they share the session's socket.
pub fn call(arguments: impl Iterator<Item = OsString>, session: &mut Session) -> u8 {
    let given: Vec<OsString> = arguments.collect();
    let words: Vec<String> = given
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some(code) = drbd_pages::serve(&words, cli::program, Vec::new) {
        return code;
    }
    let generation = Generation::of_call(std::env::args_os().next().as_deref());
    let arguments = cli::normalize(given, generation);
    let matches = match session
        .program(generation)
        .try_get_matches_from_mut(arguments)
    {
        Ok(matches) => matches,
        Err(error) => {
            // Nothing can be done when even this cannot be written.
            let _ = error.print();
            tell_of_the_other(&words, generation);
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => exit::OK,
                _ => exit::USAGE,
            };
        }
    };
    match command::run(&matches, generation, session) {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

/// A command of the other generation is no misspelling.
fn tell_of_the_other(words: &[String], generation: Generation) {
    let known = |generation: Generation, word: &String| {
        generation.commands().iter().any(|spec| spec.name == word)
    };
    let other = match generation {
        Generation::V84 => Generation::V9,
        Generation::V9 => Generation::V84,
    };
    let foreign = words
        .iter()
        .take(2)
        .find(|word| known(other, word) && !known(generation, word));
    if let Some(word) = foreign {
        eprintln!(
            "  `{word}` belongs to DRBD {other}, and the driver here is of generation {generation}"
        );
        eprintln!("  try: cat /proc/drbd; drbdsetup help");
    }
}
