// SPDX-License-Identifier: GPL-2.0-or-later
//! Chance that can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Environment variable that sets the seed.
const VARIABLE: &str = "DRBD_SEED";

/// A source of random numbers for one scenario; the seed is `DRBD_SEED`, or fresh, and is printed either way.
///
/// # Errors
///
/// If `DRBD_SEED` is no number.
pub fn dice() -> Result<fastrand::Rng> {
    let fresh = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis() as u64
    };
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{VARIABLE}={text} is no number"))?,
        Err(_) => fresh(),
    };
    println!("{VARIABLE}={seed} repeats these dice");
    Ok(fastrand::Rng::with_seed(seed))
}

/// How often a scenario does something: what the environment says in `variable`, or the usual number.
///
/// # Errors
///
/// If that is no number.
pub fn count(variable: &str, usual: u32) -> Result<u32> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{variable}={text} is no number")),
        Err(_) => Ok(usual),
    }
}
