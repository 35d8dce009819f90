// SPDX-License-Identifier: GPL-2.0-or-later
//! Rules about words of the language: where `unsafe` may stand, and who may name C.
//!
//! The text is read as Rust reads it, so that comments, strings and `unsafe_code` do not count.

use std::path::Path;
use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};

use super::{Finding, Sources};

pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in sources {
        if file.extension().is_none_or(|kind| kind != "rs") || may_be_unsafe(file) {
            continue;
        }
        match lines_of(text, "unsafe") {
            Ok(lines) => findings.extend(lines.into_iter().map(|line| {
                Finding::new(
                    file,
                    line,
                    "`unsafe` belongs into kmod/sys.rs and kmod/os/ only",
                )
            })),
            Err(error) => findings.push(Finding::new(file, error.1, error.0)),
        }
    }
    findings
}

fn may_be_unsafe(file: &Path) -> bool {
    file == Path::new("kmod/sys.rs") || file.starts_with("kmod/os")
}

/// Lines of `text` where the word `wanted` stands; else what is wrong with the text, and where.
fn lines_of(text: &str, wanted: &str) -> Result<Vec<usize>, (String, usize)> {
    let tokens = TokenStream::from_str(text)
        .map_err(|error| (format!("is not Rust: {error}"), error.span().start().line))?;
    let mut lines = Vec::new();
    collect(tokens, wanted, &mut lines);
    Ok(lines)
}

fn collect(tokens: TokenStream, wanted: &str, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect(group.stream(), wanted, lines),
            TokenTree::Ident(word) if word == wanted => lines.push(word.span().start().line),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        let sources = Sources::from([(file.into(), text.to_owned())]);
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn finds_the_word_and_its_line() {
        let text = "fn f() {\n    unsafe { g() }\n}\nmacro_rules! m { () => { unsafe {} } }\n";
        let rule = "`unsafe` belongs into kmod/sys.rs and kmod/os/ only";
        let all = [
            format!("core/src/a.rs:2: {rule}"),
            format!("core/src/a.rs:4: {rule}"),
        ];
        assert_eq!(found("core/src/a.rs", text), all);
        assert_eq!(
            found("kmod/device.rs", "unsafe impl Send for X {}").len(),
            1
        );
        assert!(found("kmod/os/bio.rs", text).is_empty());
        assert!(found("kmod/sys.rs", text).is_empty());
    }

    #[test]
    fn comments_strings_and_lints_do_not_count() {
        let text = "//! unsafe\n#![forbid(unsafe_code)]\n/* unsafe */ const A: &str = \"unsafe\";\n\
                    const B: char = 'u'; fn f<'unsafe_>() {} const C: &core::ffi::CStr = c\"unsafe\";\n";
        assert!(found("core/src/a.rs", text).is_empty());
    }

    #[test]
    fn what_is_not_rust_is_found() {
        assert_eq!(found("core/src/a.rs", "fn f( {\n").len(), 1);
    }
}
