// SPDX-License-Identifier: GPL-2.0-or-later
//! What is wrong with a configuration: where, why, and what to type.

use std::fmt;
use std::ops::Range;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// It is used, and somebody should know.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Bytes of the file that are meant; `None` when the whole file is.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub what: String,
    /// What to type instead; may be empty.
    pub help: String,
}

impl Finding {
    /// Something that keeps the configuration from being used.
    pub fn error(
        span: impl Into<Option<Range<usize>>>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Finding {
            severity: Severity::Error,
            span: span.into(),
            what: what.into(),
            help: help.into(),
        }
    }

    /// Something that somebody should know.
    pub fn warning(
        span: impl Into<Option<Range<usize>>>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Finding {
            severity: Severity::Warning,
            ..Finding::error(span, what, help)
        }
    }
}

/// The findings in a file, with its text at hand to show the lines.
#[derive(Debug, Clone)]
pub struct Findings {
    /// Name of the file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What was found, by place.
    pub list: Vec<Finding>,
}

impl Findings {
    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }
}

/// Line and column, both from 1, of a byte; and the text of that line.
fn place(text: &str, at: usize) -> (usize, usize, &str) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text
        .get(begin..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let column = before
        .get(begin..)
        .unwrap_or_default()
        .chars()
        .count()
        .saturating_add(1);
    (number, column, line)
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.list {
            let word = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            match &finding.span {
                None => writeln!(f, "{}: {word}: {}", self.file, finding.what)?,
                Some(span) => {
                    let (line, column, text) = place(&self.text, span.start);
                    writeln!(f, "{}:{line}:{column}: {word}: {}", self.file, finding.what)?;
                    let marked = self.text.get(span.clone()).unwrap_or_default();
                    let length = marked.lines().next().unwrap_or_default().chars().count();
                    writeln!(f, "  {text}")?;
                    let caret = "^".repeat(length.max(1));
                    writeln!(f, "  {}{caret}", " ".repeat(column - 1))?;
                }
            }
            if !finding.help.is_empty() {
                writeln!(f, "  {}", finding.help)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_and_in_letters() {
        let text = "a = 1\nä = 2\n";
        assert_eq!(place(text, 0), (1, 1, "a = 1"));
        assert_eq!(place(text, 6), (2, 1, "ä = 2"));
        assert_eq!(place(text, 11), (2, 5, "ä = 2"));
        assert_eq!(place(text, 99), (3, 1, ""));
        assert_eq!(place("", 0), (1, 1, ""));
    }

    #[test]
    fn shows_the_line_and_what_to_type() {
        let findings = Findings {
            file: "a.toml".to_owned(),
            text: "x = 1\nname = \"n 1\"\n".to_owned(),
            list: vec![
                Finding::error(13..18, "a name with a space", "type: n1"),
                Finding::warning(None, "no node", ""),
            ],
        };
        assert!(findings.has_errors());
        assert_eq!(
            findings.to_string(),
            "a.toml:2:8: error: a name with a space\n  name = \"n 1\"\n         ^^^^^\n  type: n1\n\
             a.toml: warning: no node\n"
        );
    }
}
