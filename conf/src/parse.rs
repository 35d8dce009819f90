// SPDX-License-Identifier: GPL-2.0-or-later
//! Tokens to the tree (drbdadm.md section 4).
//!
//! One method per statement. A method that meets something unexpected reports
//! it and returns [`Abandon`]; the loop around it skips to the next statement
//! and goes on, so that one run shows every error of a file.

mod connection;
mod cursor;
mod file;
mod host;
mod options;
mod resource;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostics;
use crate::dialect::Dialect;
use crate::lexer::Token;
use crate::model::Config;
use crate::source::Span;

/// Includes may nest this deep; a file includes itself only once anyway.
const INCLUDE_DEPTH_MAX: usize = 64;

/// A statement could not be read; the reason has been reported.
struct Abandon;

type Parsed<T> = Result<T, Abandon>;

/// What all files of one run share.
#[derive(Default)]
struct Shared {
    config: Config,
    diagnostics: Diagnostics,
    /// Real paths of the files read: a file is read once.
    seen: BTreeSet<PathBuf>,
    depth: usize,
    resources: BTreeMap<String, Span>,
    global: Option<Span>,
}

/// One file on its way.
struct Parser<'a> {
    shared: &'a mut Shared,
    tokens: Vec<Token>,
    at: usize,
    /// Directory that relative includes start from.
    directory: PathBuf,
}

/// The first file could not be read.
#[derive(Debug)]
pub struct LoadError {
    /// Its name.
    pub path: String,
    /// Why.
    pub error: std::io::Error,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path, self.error)
    }
}

impl std::error::Error for LoadError {}

/// Reads a configuration file and everything it includes.
///
/// The tree is what could be understood; use it only if the diagnostics hold no
/// error.
///
/// # Errors
///
/// [`LoadError`] if the first file cannot be read. An include that cannot be
/// read is a diagnostic.
pub fn load(path: &str) -> Result<(Config, Diagnostics), LoadError> {
    load_as(path, Dialect::V9)
}

/// Like [`load`], in the language of a generation.
///
/// # Errors
///
/// As [`load`].
pub fn load_as(path: &str, dialect: Dialect) -> Result<(Config, Diagnostics), LoadError> {
    let text = read(Path::new(path)).map_err(|error| LoadError {
        path: path.to_owned(),
        error,
    })?;
    Ok(load_text_at(path, text, Path::new(path), dialect))
}

/// Parses a text; includes are relative to the current directory.
#[must_use]
pub fn load_text(name: &str, text: String) -> (Config, Diagnostics) {
    load_text_as(name, text, Dialect::V9)
}

/// Like [`load_text`], in the language of a generation.
#[must_use]
pub fn load_text_as(name: &str, text: String, dialect: Dialect) -> (Config, Diagnostics) {
    load_text_at(name, text, Path::new(name), dialect)
}

/// More than any configuration has: `/dev/zero` has no end.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes that are not UTF-8 become the replacement character, which is an
/// error wherever it matters and harmless in a comment.
fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it has more than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A file that another one names: opening a pipe or a terminal would wait for ever.
fn read_named(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        let why = "it is no regular file";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    read(path)
}

fn load_text_at(name: &str, text: String, path: &Path, dialect: Dialect) -> (Config, Diagnostics) {
    let mut shared = Shared::default();
    shared.config.dialect = dialect;
    shared.config.path = name.to_owned();
    if let Ok(real) = path.canonicalize() {
        shared.seen.insert(real);
    }
    parse_text(&mut shared, name, text, path);
    (shared.config, shared.diagnostics)
}

fn parse_text(shared: &mut Shared, name: &str, text: String, path: &Path) {
    parser(shared, name, text, path).file();
}

fn parser<'a>(shared: &'a mut Shared, name: &str, text: String, path: &Path) -> Parser<'a> {
    let file = shared.config.sources.add(name.to_owned(), text);
    let tokens = crate::lexer::tokens(&shared.config.sources, file);
    Parser {
        shared,
        tokens,
        at: 0,
        directory: path.parent().map(Path::to_path_buf).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let (config, found) = load_text("test.conf", text.to_owned());
        found.render(&config.sources)
    }

    #[test]
    fn only_regular_files_are_included() {
        for name in ["/dev/zero", "/dev", "/dev/null"] {
            let told = told(&format!("include \"{name}\";"));
            assert!(told.contains("no regular file"), "{told}");
        }
        let told = told("resource r0 { template-file \"/dev/zero\"; }");
        assert!(told.contains("no regular file"), "{told}");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let error = load("/dev/zero").unwrap_err();
        assert!(error.to_string().contains("more than 64 MiB"), "{error}");
    }
}
