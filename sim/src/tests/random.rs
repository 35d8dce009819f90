// SPDX-License-Identifier: GPL-2.0-or-later
//! Short random stories.

use crate::story::setup;

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 60;
const EVENTS: u64 = 120;

/// Seeds that found something: a promotion that was not taken back, a Primary without disk that
/// wrote to a disk which began no new generation, a target that finished and lost its disk before
/// the source had ended the resync.
const ONCE_BAD: [u64; 5] = [14076, 23387, 3691, 9373, 10244];

#[test]
fn stories_that_once_ended_badly() {
    for seed in ONCE_BAD {
        eprintln!("ENGINE_SEED={seed}");
        let mut play = setup(seed);
        play.play(EVENTS);
        play.calm_down();
    }
}

#[test]
fn random_stories_end_well() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let only: Option<u64> = number("ENGINE_SEED");
    let first = only.unwrap_or(number("ENGINE_FIRST").unwrap_or(0));
    let count = only.map_or(number("ENGINE_STORIES").unwrap_or(SEEDS), |_| 1);
    for seed in first..first + count {
        let story = std::panic::catch_unwind(|| {
            let mut play = setup(seed);
            play.play(EVENTS);
            play.calm_down();
        });
        if let Err(panic) = story {
            eprintln!("replay: ENGINE_SEED={seed} cargo test -p drbd-sim random_stories");
            std::panic::resume_unwind(panic);
        }
    }
}
