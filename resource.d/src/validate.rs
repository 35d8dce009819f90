// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to hold before an action.

use crate::agent::Action;
use crate::code::{Code, Failure};
use crate::environment::Environment;
use crate::parameters::{self, Parameters};
use crate::tools;

/// Peers of the last generation that knew only one.
const GENERATION_OF_MANY: u32 = 9;

fn misconfigured(reason: String) -> Failure {
    Failure::new(Code::NotConfigured, reason)
}

fn missing(reason: String) -> Failure {
    Failure::new(Code::NotInstalled, reason)
}

fn driver(parameters: &Parameters) -> Result<parameters::Version, Failure> {
    let found = tools::driver_version()
        .ok_or_else(|| missing("no DRBD driver: install one, then modprobe drbd".to_owned()))?;
    let version = parameters::version(&found)
        .ok_or_else(|| missing(format!("the driver's version is '{found}'")))?;
    if parameters.oldest.is_some_and(|oldest| version < oldest) {
        return Err(missing(format!(
            "the driver is {found}, older than require_drbd_module_version_ge"
        )));
    }
    if parameters.too_new.is_some_and(|too_new| version >= too_new) {
        return Err(missing(format!(
            "the driver is {found}, not older than require_drbd_module_version_lt"
        )));
    }
    Ok(version)
}

/// The clone: one instance on a node, and not more of them than the driver has nodes.
fn clone(
    action: Action,
    env: &Environment,
    parameters: &Parameters,
    driver: parameters::Version,
) -> Result<(), Failure> {
    let most = |what: &str, names: &[&str], most: u32| match env.meta_number(names) {
        Some(number) if number > most => Err(misconfigured(format!(
            "{what} is {number}, and can be {most} at most"
        ))),
        Some(_) | None => Ok(()),
    };
    most("clone-node-max", &["clone_node_max"], 1)?;
    most(
        "promoted-node-max",
        &["promoted_node_max", "master_node_max"],
        1,
    )?;
    most("promoted-max", &["promoted_max", "master_max"], 2)?;
    let [generation, ..] = driver;
    if generation < GENERATION_OF_MANY {
        most("clone-max", &["clone_max"], 2)?;
    }
    let told = env
        .meta("notify")
        .is_some_and(|value| ["true", "yes", "1", "on"].contains(&value));
    let is_clone = env.meta("clone_max").is_some();
    if action.needs_notifications() && is_clone && !told && !parameters.without_notifications {
        return Err(misconfigured(
            "the clone has no notify=true: set it, or ignore_missing_notifications=true".to_owned(),
        ));
    }
    Ok(())
}

fn two_primaries(env: &Environment, parameters: &Parameters) -> Result<(), Failure> {
    if env
        .meta_number(&["promoted_max", "master_max"])
        .unwrap_or(1)
        < 2
    {
        return Ok(());
    }
    let dump = tools::drbdadm_text(parameters, "dump")?.unwrap_or_default();
    let allowed = dump.lines().any(|line| {
        let words: Vec<&str> = line
            .trim()
            .trim_end_matches(';')
            .split_whitespace()
            .collect();
        words == ["allow-two-primaries"] || words == ["allow-two-primaries", "yes"]
    });
    if allowed {
        Ok(())
    } else {
        Err(misconfigured(
            "promoted-max is 2, but the resource has no allow-two-primaries".to_owned(),
        ))
    }
}

/// Checks node, clone and configuration.
///
/// # Errors
///
/// Where the cluster may try instead: nowhere (6), on another node (5); 7 for a probe of what is not configured here.
pub(crate) fn check(
    action: Action,
    env: &Environment,
    parameters: &Parameters,
) -> Result<(), Failure> {
    for program in ["drbdadm", "drbdsetup"] {
        if !tools::is_installed(program) {
            return Err(missing(format!("{program} is not installed")));
        }
    }
    if let Err(error) = std::fs::File::open(&parameters.conf) {
        return Err(missing(format!("cannot read {}: {error}", parameters.conf)));
    }
    let version = driver(parameters)?;
    if action != Action::Stop {
        clone(action, env, parameters, version)?;
    }
    if tools::drbdadm_text(parameters, "sh-dev")?.is_none() {
        let reason = format!(
            "{} has no resource '{}'",
            parameters.conf, parameters.resource
        );
        if action == Action::Monitor && env.is_probe() {
            return Err(Failure::new(Code::NotRunning, reason));
        }
        tools::set_score(None);
        return Err(missing(reason));
    }
    if matches!(action, Action::Start | Action::Promote) {
        two_primaries(env, parameters)?;
    }
    Ok(())
}
