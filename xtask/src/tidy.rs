// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask tidy`: rules about the source that no compiler knows.

mod dependencies;
mod files;
mod lints;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::problem::Problem;
use crate::process::captured;
use crate::workspace;

/// A broken rule and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File, relative to the top of the checkout.
    pub file: PathBuf,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The rule and what broke it.
    pub what: String,
}

impl Finding {
    fn new(file: &Path, line: usize, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Text files of the checkout by their relative path.
pub type Sources = BTreeMap<PathBuf, String>;

/// Checks the checkout and prints what it finds.
///
/// # Errors
///
/// When a rule is broken.
pub fn run() -> Result<()> {
    let findings = check()?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        format!("{} places break a rule", findings.len()),
        "each line above names one",
        "mend them, then:  cargo xtask tidy",
    )
    .into())
}

/// Everything that breaks a rule, sorted by place.
///
/// # Errors
///
/// When the checkout cannot be read.
pub fn check() -> Result<Vec<Finding>> {
    let sources = read()?;
    let metadata = captured(workspace::cargo().args([
        "metadata",
        "--no-deps",
        "--format-version=1",
        "--offline",
    ]))?;
    let mut findings = files::check(&sources);
    findings.extend(tokens::check(&sources));
    findings.extend(lints::check(&sources));
    findings.extend(dependencies::check(&metadata)?);
    findings.sort();
    Ok(findings)
}

fn read() -> Result<Sources> {
    let root = workspace::root();
    let mut sources = Sources::new();
    for file in workspace::files()? {
        let content = fs::read(root.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        // What is not text (golden bytes) has no rules.
        if let Ok(text) = String::from_utf8(content) {
            sources.insert(file, text);
        }
    }
    Ok(sources)
}
