// SPDX-License-Identifier: GPL-2.0-or-later
//! Questions before something is overwritten.

use std::io::{stderr, stdin, BufRead as _, IsTerminal as _, Write as _};

use crate::cli::Options;
use crate::failure::Failure;

/// Asks on standard error; only `yes`, typed at a terminal, or --force goes on.
pub(crate) fn confirm(options: &Options, text: &str) -> Result<(), Failure> {
    if !(options.force && options.quiet) {
        eprint!("{text}\n[need to type 'yes' to confirm] ");
        if options.force {
            eprintln!("*** confirmation forced via --force option ***");
        }
    }
    if options.force {
        return Ok(());
    }
    // An unflushed prompt is only ugly.
    let _ = stderr().flush();
    let mut answer = String::new();
    if stdin().is_terminal() {
        if let Err(error) = stdin().lock().read_line(&mut answer) {
            eprintln!("{error}");
        }
    } else {
        eprintln!();
    }
    if answer.trim_end_matches('\n') == "yes" {
        Ok(())
    } else {
        Err(Failure::cancelled())
    }
}
