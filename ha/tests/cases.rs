// SPDX-License-Identifier: GPL-2.0-or-later
//! What an administrator would do to a cluster to see whether it holds: every case, with some different delays.

use drbd_ha::sim::{cases, play_case, Options};

const SEEDS: u64 = 4;

#[test]
fn every_case_ends_as_it_should() {
    let options = Options::default();
    let mut wrong = Vec::new();
    for name in cases() {
        let failures: Vec<String> = (0..SEEDS)
            .filter_map(|seed| play_case(name, seed, &options)?.err())
            .map(|failure| failure.to_string())
            .collect();
        println!(
            "{name}: {}",
            if failures.is_empty() { "ok" } else { "WRONG" }
        );
        wrong.extend(failures);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_case_that_is_not_there() {
    assert!(play_case("no such case", 0, &Options::default()).is_none());
}
