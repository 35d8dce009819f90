// SPDX-License-Identifier: GPL-2.0-or-later
//! `top`: a live view of roles, disks, rates, progress and what limits them.
//!
//! Rates are differences of the kernel's counters between two looks. What is
//! shown is made by [`view`], which knows nothing of terminals.

mod screen;
mod view;

use std::time::{Duration, Instant};

use drbd_conf::Resolved;

use crate::call::Runner;
use crate::cli::Request;
use crate::failure::{Failure, CANNOT_EXECUTE, USAGE};
use crate::kernel;
use crate::select::Selection;
use screen::Screen;

/// Seconds between two looks.
const INTERVAL_S: f64 = 2.0;
/// The shortest interval: the kernel has better things to do.
const INTERVAL_MIN_S: f64 = 0.1;

/// What the kernel said at a time.
struct Look {
    at: Instant,
    resources: Vec<kernel::Resource>,
}

/// Shows the selected resources until `q` is pressed; without a terminal, or
/// with `--count`, a number of times.
pub(crate) fn perform(
    request: &Request,
    runner: &Runner,
    resolved: &Resolved,
    selected: &[Selection<'_>],
) -> Result<i32, Failure> {
    let given = |name: &str| {
        let prefix = format!("--{name}=");
        let found = request
            .backend
            .iter()
            .find_map(|option| option.strip_prefix(&prefix));
        found.map(|text| {
            text.parse::<f64>()
                .ok()
                .filter(|n| n.is_finite() && *n > 0.0)
        })
    };
    let wrong = |name: &str| {
        Failure::new(
            USAGE,
            format!("--{name} takes a number greater than 0"),
            &["type for example:   drbdadm top --interval=2 --count=10"],
        )
    };
    let interval = match given("interval") {
        None => INTERVAL_S,
        Some(seconds) => seconds
            .ok_or_else(|| wrong("interval"))?
            .max(INTERVAL_MIN_S),
    };
    let interval = Duration::from_secs_f64(interval);
    let count = match given("count") {
        None => None,
        Some(count) => Some(count.ok_or_else(|| wrong("count"))?),
    };
    let mut screen = Screen::open(count.is_none());
    // One picture needs two looks.
    let mut left = count.unwrap_or(if screen.is_live() { f64::INFINITY } else { 1.0 });
    let mut before = look(runner, selected)?;
    while left > 0.0 {
        if screen.wait(interval) {
            break;
        }
        let now = look(runner, selected)?;
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let text = view::view(resolved, &before.resources, &now.resources, seconds);
        screen.show(&resolved.nodename, &text);
        before = now;
        left -= 1.0;
    }
    Ok(0)
}

fn look(runner: &Runner, selected: &[Selection<'_>]) -> Result<Look, Failure> {
    let all = kernel::status(runner).ok_or_else(|| {
        Failure::new(
            CANNOT_EXECUTE,
            "the driver does not say what it does",
            &["it is not loaded:   modprobe drbd", "or you are not root"],
        )
    })?;
    let is_selected = |resource: &kernel::Resource| {
        selected
            .iter()
            .any(|selection| selection.resource.name == resource.name)
    };
    Ok(Look {
        at: Instant::now(),
        resources: all.into_iter().filter(is_selected).collect(),
    })
}
