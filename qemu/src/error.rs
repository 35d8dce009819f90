// SPDX-License-Identifier: GPL-2.0-or-later
//! What can go wrong with virtual machines, with all one needs to see why.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request to the harness failed.
///
/// The messages are long on purpose: a failed test in a machine room nobody
/// sits in must be understood from its output alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no VM image, or it is not usable.
    #[error("no virtual machine image: {0}\n  prepare it:  cargo xtask setup")]
    Image(String),

    /// A program or file of the host is missing or failed.
    #[error("{0}")]
    Host(String),

    /// A file operation on the host failed.
    #[error("{}: {source}", path.display())]
    File {
        /// What was to be read or written.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },

    /// Something did not happen in time.
    #[error("{node}: waited {limit:?} for {what}, in vain{context}")]
    Timeout {
        /// Name of the node.
        node: String,
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// Output so far and the last lines of the console.
        context: Context,
    },

    /// The node is not running (any more), so it cannot do what was asked.
    #[error("{node}: {what}: {state}{context}")]
    Gone {
        /// Name of the node.
        node: String,
        /// What was being done.
        what: String,
        /// What became of the node.
        state: String,
        /// The last lines of the console.
        context: Context,
    },

    /// A command in the guest ended with an error.
    #[error("{node}: `{command}` ended with {status}{context}")]
    Command {
        /// Name of the node.
        node: String,
        /// The command.
        command: String,
        /// Exit status or signal.
        status: String,
        /// Its output and the last lines of the console.
        context: Context,
    },

    /// QEMU refused a monitor command.
    #[error("{node}: QEMU monitor: {what}: {why}")]
    Monitor {
        /// Name of the node.
        node: String,
        /// The command.
        what: String,
        /// QEMU's answer.
        why: String,
    },

    /// The consoles hold reports of kernel errors.
    #[error("kernel errors on the consoles:\n{0}")]
    Console(String),

    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
        move |source| Error::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// Named pieces of text shown below an error's first line.
#[derive(Clone, Debug, Default)]
pub struct Context(Vec<(String, String)>);

impl Context {
    /// Adds a piece unless it is empty.
    #[must_use]
    pub fn with(mut self, name: &str, text: &str) -> Self {
        if !text.trim().is_empty() {
            self.0.push((name.to_owned(), text.trim_end().to_owned()));
        }
        self
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in &self.0 {
            write!(f, "\n  {name}:")?;
            for line in text.lines() {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

/// The last `count` lines of `text`, for error messages.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(count);
    lines.into_iter().skip(skip).collect::<Vec<_>>().join("\n")
}
