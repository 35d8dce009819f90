// SPDX-License-Identifier: GPL-2.0-or-later
//! Leaves events out of a failing story as long as it still fails.

use crate::keep::Keep;
use crate::run::{play, Failure, Options};

/// The same failure with as few events of the workload as `plays` tries find, and which they are.
///
/// What counts as the same is the place that found it: the words hold numbers that change.
pub fn shrink(failure: &Failure, options: &Options, plays: u32) -> (Failure, Keep) {
    let mut best = failure.clone();
    let mut events: Vec<u64> = (0..=failure.event)
        .filter(|number| options.keep.has(*number))
        .collect();
    let mut left = plays;
    let mut fails = |events: &[u64]| {
        left = left.checked_sub(1)?;
        let options = Options {
            keep: Keep::only(events.to_vec()),
            trace: false,
            ..options.clone()
        };
        let found = play(failure.seed, &options).err();
        Some(found.filter(|found| found.place == failure.place))
    };
    // The end of the story, then ever smaller parts of its middle.
    let mut chunk = events.len().div_ceil(2);
    'tries: while chunk > 0 {
        let mut from = 0;
        while from < events.len() {
            let mut fewer = events.clone();
            fewer.drain(from..(from + chunk).min(events.len()));
            match fails(&fewer) {
                None => break 'tries,
                Some(Some(found)) => {
                    best = found;
                    events = fewer;
                }
                Some(None) => from += chunk,
            }
        }
        chunk /= 2;
    }
    (best, Keep::only(events))
}
