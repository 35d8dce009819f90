// SPDX-License-Identifier: GPL-2.0-or-later
//! Stories played to their end, and what is known of those that fail.

use std::cell::RefCell;
use std::fmt;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Once;

use crate::keep::Keep;
use crate::kind::Kind;
use crate::story::Play;

/// How stories are played.
#[derive(Clone, Debug)]
pub struct Options {
    /// Steps of the world in each: inputs of an engine.
    pub events: u64,
    /// Only these events of the workload.
    pub keep: Keep,
    /// Tell every step.
    pub trace: bool,
    /// Only stories of this kind; else each seed has its own.
    pub kind: Option<Kind>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            events: 10_000,
            keep: Keep::ALL,
            trace: false,
            kind: None,
        }
    }
}

/// A story that did not end well.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The event of the workload after which it failed.
    pub event: u64,
    /// What the oracle, or an assertion, said.
    pub what: String,
    /// Where.
    pub place: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            seed,
            event,
            what,
            place,
        } = self;
        write!(f, "seed {seed}, event {event}, {place}: {what}")
    }
}

thread_local! {
    static LAST_PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// What a panic says goes to whoever plays the story, not to the terminal.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string);
            let said = info.payload();
            let what = said
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| said.downcast_ref::<&str>().map(ToString::to_string));
            LAST_PANIC.set(Some((what.unwrap_or_default(), place.unwrap_or_default())));
        }));
    });
}

/// A story that ended well.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// Steps it had.
    pub steps: u64,
    /// The nodes refuse each other in the end, and say why: nothing is lost, but an administrator
    /// has to decide.
    pub refused: bool,
    /// Writes of two Primaries that met, and gave way.
    pub conflicts: u64,
}

/// Plays the story of `seed`.
///
/// # Errors
///
/// When an oracle or an assertion of the engine finds something wrong.
pub fn play(seed: u64, options: &Options) -> Result<Played, Failure> {
    listen();
    let event = AtomicU64::new(0);
    let story = || {
        let kind = options.kind.unwrap_or_else(|| Kind::of_seed(seed));
        let mut play = Play::long(seed, kind, options.trace);
        play.tell(seed, options.events, &options.keep, &event);
        let refused = !play.calm_down();
        Played {
            steps: play.world.steps,
            refused,
            conflicts: play.world.conflicts(),
        }
    };
    panic::catch_unwind(panic::AssertUnwindSafe(story)).map_err(|_| {
        let (what, place) = LAST_PANIC.take().unwrap_or_default();
        Failure {
            seed,
            event: event.load(Ordering::Relaxed),
            what,
            place,
        }
    })
}
