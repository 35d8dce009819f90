// SPDX-License-Identifier: GPL-2.0-or-later
//! Units of systemd, through `systemctl`.

use std::time::{Duration, Instant};

use crate::core::effect::Operation;
use crate::core::input::Outcome;

use super::process::{End, Ended, Program};
use super::underway::Underway;
use super::Done;

/// Between two looks at a unit that is on its way.
const PAUSE: Duration = Duration::from_millis(200);

/// What a unit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    OnItsWay,
    /// systemd sees to it that nothing of a failed unit runs.
    Inactive,
    Missing,
}

/// Reads the answer of `systemctl show`.
fn state(output: &str) -> Option<State> {
    let value = |key: &str| {
        let mut lines = output.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    if matches!(
        value("LoadState")?,
        "not-found" | "bad-setting" | "error" | "masked"
    ) {
        return Some(State::Missing);
    }
    Some(match value("ActiveState")? {
        "active" | "reloading" | "refreshing" => State::Active,
        "activating" | "deactivating" | "maintenance" => State::OnItsWay,
        _ => State::Inactive,
    })
}

async fn look(unit: &str, limit: Duration) -> Result<State, Ended> {
    let arguments = ["show", "--property=LoadState,ActiveState", "--", unit];
    let ended = Program::new("systemctl", &arguments).run(limit).await;
    match (ended.code(), state(&ended.output)) {
        (Some(0), Some(state)) => Ok(state),
        (Some(_) | None, _) => Err(ended),
    }
}

fn failed(ended: &Ended) -> Done {
    let outcome = match &ended.end {
        End::TimedOut => Outcome::TimedOut,
        End::NotStarted(_) => Outcome::FailedHere,
        // No such unit.
        End::Exited(5) => Outcome::FailedHere,
        End::Exited(_) | End::Killed(_) => Outcome::Failed,
    };
    Done::new(outcome, ended.story())
}

/// Acts on a unit.
pub(super) async fn act(
    unit: &str,
    operation: Operation,
    underway: &Underway,
    limit: Duration,
) -> Done {
    let begun = Instant::now();
    let left = || limit.saturating_sub(begun.elapsed());
    let verbs: &[&[&str]] = match operation {
        Operation::Probe | Operation::Monitor => &[],
        Operation::Start => &[&["start", "--", unit]],
        Operation::Stop => &[&["stop", "--", unit]],
        Operation::KillAndStop => &[
            &["kill", "--signal=SIGKILL", "--", unit],
            &["stop", "--", unit],
        ],
        Operation::Outdate => {
            return Done::new(Outcome::FailedEverywhere, "a unit can't be outdated")
        }
    };
    for (at, verb) in verbs.iter().enumerate() {
        let program = Program::new("systemctl", verb);
        let ended = underway
            .run(program, operation == Operation::Start, left())
            .await;
        // Nothing left to be killed is fine.
        if at + 1 == verbs.len() && ended.code() != Some(0) {
            return failed(&ended);
        }
    }
    settle(unit, operation, limit, begun).await
}

/// Waits until the unit is what it is, and tells whether that is what was wanted.
async fn settle(unit: &str, operation: Operation, limit: Duration, begun: Instant) -> Done {
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        let state = match look(unit, left.max(PAUSE)).await {
            Ok(state) => state,
            Err(ended) => return failed(&ended),
        };
        let stops = matches!(operation, Operation::Stop | Operation::KillAndStop);
        return match state {
            State::Active if stops => Done::new(Outcome::Failed, "still active"),
            State::Active => Done::new(Outcome::Ok, "active"),
            State::Inactive if stops => Done::new(Outcome::Ok, "inactive"),
            State::Inactive => Done::new(Outcome::NotRunning, "inactive"),
            State::Missing if stops => Done::new(Outcome::Ok, "there is no such unit"),
            State::Missing => {
                let what =
                    format!("there is no unit {unit}, or it is masked: systemctl status {unit}");
                Done::new(Outcome::FailedHere, what)
            }
            State::OnItsWay if left > PAUSE => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            State::OnItsWay => Done::new(Outcome::TimedOut, "neither active nor inactive in time"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_systemctl_shows() {
        let text = |load: &str, active: &str| format!("LoadState={load}\nActiveState={active}\n");
        let cases = [
            ("loaded", "active", State::Active),
            ("loaded", "reloading", State::Active),
            ("loaded", "activating", State::OnItsWay),
            ("loaded", "deactivating", State::OnItsWay),
            ("loaded", "inactive", State::Inactive),
            ("loaded", "failed", State::Inactive),
            ("not-found", "inactive", State::Missing),
            ("masked", "inactive", State::Missing),
        ];
        for (load, active, wanted) in cases {
            assert_eq!(state(&text(load, active)), Some(wanted), "{load} {active}");
        }
        assert_eq!(state(""), None);
    }
}
