// SPDX-License-Identifier: GPL-2.0-or-later
//! Trying again what fails for a reason that passes: a mirror that does not answer, a lock that another apt holds.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

/// Waits before the second, third and fourth try; together longer than a mirror takes to change over to a new state.
pub const PAUSES: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(60),
];

/// For commands of apt on this machine: another apt may be at work, at the start of a machine above all.
pub const APT_WAITS_FOR_LOCK: [&str; 2] = ["-o", "DPkg::Lock::Timeout=300"];

/// Does `work`, again after each of `pauses` while it fails, and says so each time.
///
/// # Errors
///
/// The last error.
pub fn patiently<T>(
    what: &str,
    pauses: &[Duration],
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    for pause in pauses {
        match work() {
            Err(error) => eprintln!("{what}, again in {} s: {error:#}", pause.as_secs()),
            done => return done,
        }
        sleep(*pause);
    }
    work()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const NONE: [Duration; 2] = [Duration::ZERO; 2];

    #[test]
    fn stops_with_the_first_success() {
        let mut tries = 0;
        let done = patiently("x", &NONE, || {
            tries += 1;
            if tries < 2 {
                bail!("not yet");
            }
            Ok(tries)
        });
        assert_eq!(done.unwrap(), 2);
    }

    #[test]
    fn gives_the_last_error_when_patience_ends() {
        let mut tries = 0;
        let failed: Result<()> = patiently("x", &NONE, || {
            tries += 1;
            bail!("try {tries}")
        });
        assert_eq!(failed.unwrap_err().to_string(), "try 3");
    }
}
