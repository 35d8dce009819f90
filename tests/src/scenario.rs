// SPDX-License-Identifier: GPL-2.0-or-later
//! The frame around every scenario.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;
use drbd_qemu::Lab;

use crate::cluster::{Cluster, Setup};
use crate::side::Side;

/// Boots a pair, plays `story`, checks the consoles and says how long it took.
///
/// # Panics
///
/// If the story fails: with the reason, what both nodes say about the resource
/// and where the consoles are.
pub fn scenario(name: &str, setup: &Setup, story: impl FnOnce(&Cluster) -> Result<()>) {
    let started = Instant::now();
    let cluster = match Cluster::boot(name, setup) {
        Ok(cluster) => cluster,
        Err(error) => panic!("{name}: the pair does not boot: {error:#}"),
    };
    let told = story(&cluster);
    conclude(name, &cluster.lab, &cluster.sides(), told, started);
}

/// Checks the consoles of a scenario that was told, and says how long it took.
///
/// # Panics
///
/// If the story failed or a kernel reported an error: with the reason, what the nodes say about the resource and where the
/// consoles are.
pub fn conclude(name: &str, lab: &Lab, sides: &[&Side], told: Result<()>, started: Instant) {
    // A kernel's report explains the story's failure, not the other way round.
    let consoles = lab.check_consoles().map_err(anyhow::Error::from);
    if let Err(error) = told {
        if let Err(report) = &consoles {
            eprintln!("{report}");
        }
        for side in sides {
            match side.view() {
                Ok(view) => eprintln!("{}: {view:?}", side.name()),
                Err(reason) => eprintln!("{}: no view: {reason:#}", side.name()),
            }
            let text = side.node.console_text();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.len().saturating_sub(40);
            for line in lines.iter().skip(tail) {
                eprintln!("  {}| {line}", side.name());
            }
        }
        let logs = lab.log_dir().display().to_string();
        panic!("{name}: {error:#}\nconsoles: {logs}");
    }
    if let Err(report) = consoles {
        panic!("{name}: {report}");
    }
    for side in sides.iter().filter(|_| lab.has_lockdep()) {
        // A node that is off by now has said what it had to say.
        let said = side
            .node
            .run("cat /proc/lockdep_stats", drbd_qemu::SH_LIMIT);
        if said.is_ok_and(|output| !lockdep_is_on(&output.stdout)) {
            panic!("{name}: lockdep of {} gave up before the end", side.name());
        }
    }
    println!("{name}: {:.1} s", started.elapsed().as_secs_f64());
}

/// Whether lockdep still watches: it does not after a report, or for want of room for what it learns.
fn lockdep_is_on(stats: &str) -> bool {
    let line = stats
        .lines()
        .find_map(|line| line.trim().strip_prefix("debug_locks:"));
    line.is_some_and(|count| count.trim() == "1")
}

/// Runs a step and says how long it took.
///
/// # Errors
///
/// The step's.
pub fn step<T>(what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = act();
    println!("  {what}: {:.1} s", started.elapsed().as_secs_f64());
    result
}

/// What `script` says on each node, for the reader of a failure. A node that says nothing is named with the reason.
#[must_use]
pub fn last_words<'a>(sides: impl IntoIterator<Item = &'a Side>, script: &str) -> String {
    let mut text = String::new();
    for side in sides {
        let said = match side.node.run(script, drbd_qemu::SH_LIMIT) {
            Ok(output) => output.stdout + &output.stderr,
            Err(error) => error.to_string(),
        };
        let _ = writeln!(text, "--- {}\n{said}", side.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::lockdep_is_on;

    #[test]
    fn lockdep_is_on_until_it_says_otherwise() {
        let stats = |count: u32| {
            format!(" lock-classes:  1024 [max: 8192]\n debug_locks:             {count:11}\n")
        };
        assert!(lockdep_is_on(&stats(1)));
        assert!(!lockdep_is_on(&stats(0)));
        assert!(!lockdep_is_on(""));
    }
}
