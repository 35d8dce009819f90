// SPDX-License-Identifier: GPL-2.0-or-later
//! What is wrong with a configuration, and how it is told.
//!
//! A message has three parts: what is wrong and where (`file:line:col`, the
//! line itself and a caret), why, and what to write instead. Parsing goes on
//! after an error, so that one run shows all of them.

use std::fmt::Write as _;

use crate::source::{SourceMap, Span};

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth a look; nothing is refused.
    Warning,
    /// The configuration is not used: exit 10, nothing changed.
    Error,
    /// Like `Error`, but the node ids could not be derived: exit 20.
    NoNodeIds,
}

/// A second place that belongs to a diagnostic.
#[derive(Clone, Debug)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What is there, e.g. "first used here".
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The offending text.
    pub span: Span,
    /// One sentence, without a full stop.
    pub message: String,
    /// Other places, in the order they are printed.
    pub related: Vec<Related>,
    /// What to do: printed after `help:`.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            span,
            message: message.into(),
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(span, message)
        }
    }

    /// Adds a second place.
    #[must_use]
    pub fn see(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.related.push(Related {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a line of advice.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(text.into());
        self
    }

    /// The diagnostic as printed on stderr, with a final newline.
    #[must_use]
    pub fn render(&self, sources: &SourceMap) -> String {
        let kind = match self.severity {
            Severity::Warning => "warning",
            Severity::Error | Severity::NoNodeIds => "error",
        };
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{}: {kind}: {}",
            place(sources, self.span),
            self.message
        );
        out.push_str(&excerpt(sources, self.span));
        for related in &self.related {
            let _ = writeln!(
                out,
                "{}: note: {}",
                place(sources, related.span),
                related.text
            );
            out.push_str(&excerpt(sources, related.span));
        }
        for help in &self.help {
            let _ = writeln!(out, "  help: {help}");
        }
        out
    }
}

/// `file:line:col` of a span.
#[must_use]
pub fn place(sources: &SourceMap, span: Span) -> String {
    let at = sources.position(span);
    format!("{}:{}:{}", sources.name(span), at.line, at.column)
}

/// The source line and a row of carets under the span.
fn excerpt(sources: &SourceMap, span: Span) -> String {
    let line = sources.line(span);
    if line.trim().is_empty() {
        return String::new();
    }
    let at = sources.position(span);
    let lead: String = line
        .chars()
        .take(at.column.saturating_sub(1) as usize)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let covered = sources.text(span);
    let on_this_line = covered.split('\n').next().unwrap_or("").chars().count();
    let carets = "^".repeat(on_this_line.clamp(1, 60));
    let number = at.line.to_string();
    let gutter = " ".repeat(number.len());
    format!(" {number} | {line}\n {gutter} | {lead}{carets}\n")
}

/// Most findings that are kept.
const FINDINGS_MAX: usize = 100;

/// The findings of one run, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Notes a finding. The same message at the same place is kept once: a
    /// resource section is looked at for every host it has.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        // Nobody reads more, and a file of garbage must not take for ever. An
        // error is kept in any case if there is none: the verdict needs it.
        let full = self.list.len() >= FINDINGS_MAX;
        let decided = self.exit_code() == Some(10);
        if full && (decided || diagnostic.severity == Severity::Warning) {
            return;
        }
        let known = self
            .list
            .iter()
            .any(|old| old.span == diagnostic.span && old.message == diagnostic.message);
        if !known {
            self.list.push(diagnostic);
        }
    }

    /// All findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Number of findings of any severity.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The exit status the findings call for: 10 for an error, 20 when only the
    /// node ids are missing, `None` if there are just warnings.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        let mut code = None;
        for diagnostic in &self.list {
            match diagnostic.severity {
                Severity::Warning => {}
                Severity::Error => return Some(10),
                Severity::NoNodeIds => code = Some(20),
            }
        }
        code
    }

    /// Everything as text.
    #[must_use]
    pub fn render(&self, sources: &SourceMap) -> String {
        self.list.iter().map(|d| d.render(sources)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caret_stands_under_the_token_even_behind_tabs() {
        let mut map = SourceMap::default();
        let file = map.add("f".into(), "x\n\tnet { tmeout 3; }\n".into());
        let span = Span {
            file,
            start: 9,
            end: 15,
        };
        let text = Diagnostic::error(span, "no such option")
            .help("did you mean `timeout`?")
            .render(&map);
        assert_eq!(
            text,
            "f:2:8: error: no such option\n 2 | \tnet { tmeout 3; }\n   | \t      ^^^^^^\n  help: did you mean `timeout`?\n"
        );
    }

    #[test]
    fn garbage_is_told_in_part_and_the_verdict_stays() {
        let mut all = Diagnostics::default();
        for at in 0..1000 {
            all.push(Diagnostic::warning(Span::default(), format!("w{at}")));
        }
        all.push(Diagnostic::error(Span::default(), "e"));
        all.push(Diagnostic::error(Span::default(), "f"));
        assert_eq!(all.len(), FINDINGS_MAX + 1);
        assert_eq!(all.exit_code(), Some(10));
    }

    #[test]
    fn warnings_do_not_fail_a_run() {
        let mut all = Diagnostics::default();
        all.push(Diagnostic::warning(Span::default(), "w"));
        assert_eq!(all.exit_code(), None);
        all.push(Diagnostic {
            severity: Severity::NoNodeIds,
            ..Diagnostic::error(Span::default(), "n")
        });
        assert_eq!(all.exit_code(), Some(20));
        all.push(Diagnostic::error(Span::default(), "e"));
        assert_eq!(all.exit_code(), Some(10));
    }
}
