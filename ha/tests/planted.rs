// SPDX-License-Identifier: GPL-2.0-or-later
//! The simulator finds what it is there for: each planted bug within the stories that an idle core plays in a minute.

use std::time::Instant;

use drbd_ha::core::planted::{plant, Bug};
use drbd_ha::sim::{play, Options};

const SEEDS: u64 = 1400;

/// One after another: a planted bug is everybody's.
#[test]
fn every_planted_bug_is_found() {
    let options = Options::default();
    let mut missed = Vec::new();
    for (name, bug) in Bug::ALL {
        plant(Some(bug));
        let begin = Instant::now();
        let found = (0..SEEDS).find_map(|seed| play(seed, &options).err());
        plant(None);
        let took = begin.elapsed().as_secs_f64();
        match found {
            Some(failure) => {
                println!("{name}: {took:.1} s, {failure:.150}");
                let healthy = play(failure.seed, &options).err();
                assert!(healthy.is_none(), "without {name} as well: {healthy:?}");
            }
            None => {
                println!("{name}: {took:.1} s, not found");
                missed.push(name);
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
