// SPDX-License-Identifier: GPL-2.0-or-later
//! JSON for programs: what reading commands print, and what went wrong.
//!
//! Results are one document on standard output. On standard error each line is
//! a document of its own: `{"diagnostics": [...]}` or `{"error": {...}}`. Fields
//! are added, and never change their meaning.

mod config;

use drbd_conf::{Diagnostics, Severity, SourceMap, Span};
use serde::Serialize;
use serde_json::{json, Value};

pub(crate) use config::dump;

use crate::failure::Failure;

/// Prints a result.
pub(crate) fn print<T: Serialize + ?Sized>(value: &T) {
    // Values of ours cannot fail to be written as JSON.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    println!("{text}");
}

/// Prints what a configuration is told to be wrong with; nothing if nothing is.
pub(crate) fn print_diagnostics(diagnostics: &Diagnostics, sources: &SourceMap) {
    if diagnostics.is_empty() {
        return;
    }
    let list: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| {
            let mut value = place(diagnostic.span, sources);
            value["severity"] = match diagnostic.severity {
                Severity::Warning => "warning".into(),
                Severity::Error | Severity::NoNodeIds => "error".into(),
            };
            value["message"] = diagnostic.message.as_str().into();
            value["related"] = diagnostic
                .related
                .iter()
                .map(|related| {
                    let mut value = place(related.span, sources);
                    value["message"] = related.text.as_str().into();
                    value
                })
                .collect();
            value["help"] = diagnostic.help.iter().map(String::as_str).collect();
            value
        })
        .collect();
    eprintln!("{}", json!({ "diagnostics": list }));
}

fn place(span: Span, sources: &SourceMap) -> Value {
    let position = sources.position(span);
    json!({
        "file": sources.name(span),
        "line": position.line,
        "column": position.column,
    })
}

/// Prints why a run ended: the first line of its text, and the others.
pub(crate) fn print_failure(failure: &Failure) {
    let mut lines = failure.text.lines();
    let first = lines.next().unwrap_or("");
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let help: Vec<&str> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    eprintln!(
        "{}",
        json!({ "error": { "status": failure.status, "message": message, "help": help } })
    );
}
