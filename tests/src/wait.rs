// SPDX-License-Identifier: GPL-2.0-or-later
//! Waiting with an end.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};

/// Between two looks: a look costs a guest about as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until `good` approves of what `look` found; returns that.
///
/// # Errors
///
/// What `look` fails with; after `limit` a message with `what` and the last
/// thing seen.
pub fn until<T: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T>,
    mut good: impl FnMut(&T) -> bool,
) -> Result<T> {
    let limit = drbd_qemu::patient(limit);
    let start = Instant::now();
    loop {
        let seen = look()?;
        if good(&seen) {
            return Ok(seen);
        }
        if start.elapsed() >= limit {
            bail!("waited {limit:?} for {what}, in vain; last seen: {seen:?}");
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_what_was_good() {
        let mut count = 0;
        let look = || {
            count += 1;
            Ok(count)
        };
        let seen = until("three", Duration::from_secs(5), look, |n| *n == 3).unwrap();
        assert_eq!(seen, 3);
    }

    #[test]
    fn tells_what_it_waited_for() {
        let error = until("Godot", Duration::ZERO, || Ok("a tree"), |_| false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("Godot") && text.contains("a tree"), "{text}");
    }
}
