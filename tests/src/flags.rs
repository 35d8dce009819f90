// SPDX-License-Identifier: GPL-2.0-or-later
//! Services of the lab that are nothing but a file on the node where they run: for what a cluster does with groups, whatever
//! they are. Looks go to the files, not to the cluster manager.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::services::LIMIT;
use crate::side::Side;
use crate::wait;

const AGENT: &str = include_str!("../guest/flag.sh");

/// Which flags are up, each with the node it is on.
pub type Placed = BTreeMap<String, String>;

/// Gives a node the agent `lab:Flag`.
///
/// # Errors
///
/// If the node is gone.
pub fn install(side: &Side) -> Result<()> {
    let directory = "/usr/lib/ocf/resource.d/lab";
    side.sh(&format!("mkdir -p {directory} /run/flags"))?;
    let agent = format!("{directory}/Flag");
    Ok(side.node.put_mode(&agent, AGENT.as_bytes(), 0o755)?)
}

/// The flags on one node; none on one that is off.
fn on(side: &Side) -> Result<Vec<String>> {
    if !side.node.is_running() {
        return Ok(Vec::new());
    }
    match side.sh("ls /run/flags") {
        Ok(said) => {
            let names = said.split_whitespace().filter(|name| !name.contains('.'));
            Ok(names.map(str::to_owned).collect())
        }
        // It may be shot while it is asked.
        Err(_) if !side.node.is_running() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Where each flag is.
///
/// # Errors
///
/// If one is on two nodes, or a node does not answer.
pub fn placed(sides: &[&Side]) -> Result<Placed> {
    let mut placed: BTreeMap<String, &Side> = BTreeMap::new();
    for side in sides {
        for name in on(side)? {
            let Some(before) = placed.insert(name.clone(), side) else {
                continue;
            };
            // It may have moved since the look before.
            if on(before)?.contains(&name) {
                bail!(
                    "{name} is on {} and on {} at once",
                    before.name(),
                    side.name()
                );
            }
        }
    }
    let named = placed.into_iter();
    Ok(named
        .map(|(flag, side)| (flag, side.name().to_owned()))
        .collect())
}

/// Waits until exactly these flags are up, each on its node.
///
/// # Errors
///
/// After [`LIMIT`]; if one is on two nodes at any look.
pub fn wait_placed(sides: &[&Side], wanted: &[(&str, &Side)]) -> Result<()> {
    let wanted: Placed = wanted
        .iter()
        .map(|(flag, side)| ((*flag).to_owned(), side.name().to_owned()))
        .collect();
    let what = format!("flags {wanted:?}");
    wait::until(&what, LIMIT, || placed(sides), |seen| *seen == wanted).map(drop)
}

/// Fails if for that long anything is up elsewhere, or not at all, for a moment.
///
/// # Errors
///
/// With what was seen.
pub fn stay_placed(sides: &[&Side], wanted: &[(&str, &Side)], pause: Duration) -> Result<()> {
    let before = stories(sides)?;
    wait_placed(sides, wanted)?;
    std::thread::sleep(pause);
    wait_placed(sides, wanted)?;
    let after = stories(sides)?;
    anyhow::ensure!(before == after, "before: {before:?}\nafter: {after:?}");
    Ok(())
}

/// What was started and stopped on a node since it booted, one a line.
///
/// # Errors
///
/// If the node is gone.
pub fn story(side: &Side) -> Result<String> {
    side.sh("cat /run/flags.log 2>/dev/null; true")
        .with_context(|| format!("the story of {}", side.name()))
}

fn stories(sides: &[&Side]) -> Result<Vec<String>> {
    let on = sides.iter().filter(|side| side.node.is_running());
    on.map(|side| story(side)).collect()
}
