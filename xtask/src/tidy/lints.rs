// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine is compiled by cargo and by Kbuild, which know nothing of each other's lints: each crate's top file
//! lists them, and the lists are the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{Finding, Sources};

const TOPS: [&str; 2] = ["core/src/drbd_core.rs", "kmod/drbd_main.rs"];

/// What must not happen in a kernel, whatever the lists say.
const WANTED: [&str; 5] = [
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
];

pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut lists = Vec::new();
    for top in TOPS {
        let file = Path::new(top);
        let Some(text) = sources.get(file) else {
            findings.push(Finding::new(file, 0, "is missing"));
            continue;
        };
        let list = denied(text);
        for wanted in WANTED.iter().filter(|wanted| !list.contains(**wanted)) {
            findings.push(Finding::new(file, 1, format!("does not deny {wanted}")));
        }
        lists.push(list);
    }
    if let [one, other] = lists.as_slice() {
        for lint in one.symmetric_difference(other) {
            let lacking = if one.contains(lint) { TOPS[1] } else { TOPS[0] };
            if !WANTED.contains(&lint.as_str()) {
                findings.push(Finding::new(
                    Path::new(lacking),
                    1,
                    format!("does not deny {lint}, the other crate does"),
                ));
            }
        }
    }
    findings
}

/// Clippy lints in the crate's `#![deny(..)]` and `#![forbid(..)]`.
fn denied(text: &str) -> BTreeSet<String> {
    let mut lints = BTreeSet::new();
    let Ok(tokens) = TokenStream::from_str(text) else {
        // The rule about tokens reports it.
        return lints;
    };
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for window in tokens.windows(3) {
        let [TokenTree::Punct(hash), TokenTree::Punct(bang), TokenTree::Group(group)] = window
        else {
            continue;
        };
        if hash.as_char() != '#' || bang.as_char() != '!' || group.delimiter() != Delimiter::Bracket
        {
            continue;
        }
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        if let [TokenTree::Ident(level), TokenTree::Group(list)] = inner.as_slice() {
            if level == "deny" || level == "forbid" {
                let list: String = list
                    .stream()
                    .to_string()
                    .chars()
                    .filter(|letter| !letter.is_whitespace())
                    .collect();
                lints.extend(
                    list.split(',')
                        .filter(|lint| lint.starts_with("clippy::"))
                        .map(str::to_owned),
                );
            }
        }
    }
    lints
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "#![forbid(unsafe_code)]\n#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic,\n\
        clippy::indexing_slicing, clippy::arithmetic_side_effects)]\n";

    fn found(core: &str, kmod: &str) -> Vec<String> {
        let sources = Sources::from([
            (TOPS[0].into(), core.to_owned()),
            (TOPS[1].into(), kmod.to_owned()),
        ]);
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn equal_lists_are_fine() {
        assert!(found(FULL, FULL).is_empty());
    }

    #[test]
    fn a_lint_in_one_list_only_is_found() {
        let more = format!("{FULL}#![deny(clippy::todo)]\n");
        assert_eq!(
            found(&more, FULL),
            ["kmod/drbd_main.rs:1: does not deny clippy::todo, the other crate does"]
        );
        assert_eq!(found(FULL, &more).len(), 1);
    }

    #[test]
    fn a_missing_lint_or_file_is_found() {
        let less = FULL.replace("clippy::panic,", "");
        assert_eq!(
            found(FULL, &less),
            ["kmod/drbd_main.rs:1: does not deny clippy::panic"]
        );
        assert_eq!(check(&Sources::new()).len(), 2);
    }

    #[test]
    fn an_allow_is_no_deny() {
        assert_eq!(
            denied("#![allow(clippy::panic)]\n#![cfg_attr(test, deny(clippy::todo))]\n"),
            BTreeSet::new()
        );
    }
}
