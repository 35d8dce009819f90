// SPDX-License-Identifier: GPL-2.0-or-later
//! Some stories of the simulator with every test run; `drbd-ha-sim` plays as many as one likes.

use drbd_ha::sim::{play, Options};

const SEEDS: u64 = 60;

#[test]
fn nothing_runs_twice_and_everything_runs_again() {
    let options = Options::default();
    let (mut steps, mut fenced) = (0, 0);
    for seed in 0..SEEDS {
        match play(seed, &options) {
            Ok(played) => {
                steps += played.steps;
                fenced += played.fenced;
            }
            Err(failure) => panic!("{failure}; replay: drbd-ha-sim --seed {seed}"),
        }
    }
    // A world in which nothing happens proves nothing.
    assert!(
        steps > 100_000 && fenced > 30,
        "{steps} steps, {fenced} fencings"
    );
}

/// The same seed is the same story, to the last step.
#[test]
fn a_story_repeats_itself() {
    let options = Options::default();
    for seed in 0..5 {
        let told = |_| {
            play(seed, &options)
                .map(|played| (played.steps, played.fenced))
                .ok()
        };
        assert_eq!(told(1), told(2), "seed {seed}");
    }
}
