// SPDX-License-Identifier: GPL-2.0-or-later
//! Starting other programs: with a log file, on the terminal, or for their output.
//!
//! Every failure names the program and shows the end of what it said.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::problem::Problem;

/// Lines of a program's output that a failure message shows.
const TAIL_LINES: usize = 12;

/// Runs `command` with its output going to the file `log`.
///
/// # Errors
///
/// A [`Problem`] with the end of the log when the program fails or is not installed; `next` is its third part.
pub fn logged(command: &mut Command, log: &Path, what: &str, next: &str) -> Result<()> {
    let mut file = open_log(log)?;
    writeln!(file, "+ {}", shown(command))?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let status = command
        .status()
        .map_err(|error| cannot_start(command, &error))?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let why = format!(
        "{status}; the last lines of {}:\n{}",
        log.display(),
        tail(&String::from_utf8_lossy(&said), TAIL_LINES)
    );
    Err(Problem::new(what, why, next).into())
}

/// Runs a compiler silently; when it fails, prints everything it said.
///
/// # Errors
///
/// A [`Problem`] saying `what` when the program fails or is not installed.
pub fn compiled(command: &mut Command, what: &str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        return Ok(());
    }
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    Err(Problem::new(what, "the compiler's messages are above", "").into())
}

/// Runs `command` and returns what it printed to its standard output.
///
/// # Errors
///
/// When the program fails, is not installed, or prints something that is not UTF-8.
pub fn captured(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if !output.status.success() {
        let why = format!(
            "{}\n{}",
            output.status,
            tail(&String::from_utf8_lossy(&output.stderr), TAIL_LINES)
        );
        return Err(Problem::new(format!("{} failed", shown(command)), why, "").into());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} did not print UTF-8", shown(command)))
}

/// True when a program called `name` is found in `PATH` or in the administrator's directories.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .any(|dir| dir.join(name).is_file())
}

/// The last `count` lines of `text`.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .join("\n")
}

fn open_log(log: &Path) -> Result<File> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open {}", log.display()))
}

fn cannot_start(command: &Command, error: &std::io::Error) -> anyhow::Error {
    let program = command.get_program().to_string_lossy();
    let next = if error.kind() == ErrorKind::NotFound {
        "cargo xtask setup"
    } else {
        ""
    };
    Problem::new(format!("cannot start {program}"), error.to_string(), next).into()
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_keeps_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }

    #[test]
    fn a_failing_program_shows_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/one.log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo out of cheese >&2; exit 3"]);
        let error = logged(&mut command, &log, "no cheese", "buy some").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("no cheese\n"), "{text}");
        assert!(text.contains("out of cheese"), "{text}");
        assert!(text.ends_with("\n  buy some"), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = captured(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"));
        assert!(!is_installed("no-such-program-here"));
        assert!(is_installed("sh"));
    }
}
