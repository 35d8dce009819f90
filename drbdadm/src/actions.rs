// SPDX-License-Identifier: GPL-2.0-or-later
//! From a command to its calls.

mod old;
mod unit;
mod units;

use drbd_conf::Resolved;

use crate::call::{Call, Limit, Runner};
use crate::cli::Request;
use crate::command::{Act, Works};
use crate::failure::{Failure, CANNOT_EXECUTE, CONFIG, USAGE};
use crate::queue::Queue;
use crate::select::{select, Selection};
use crate::steps::Steps;
use crate::{adjust, context, driver, explain, inspect, json, registry, top};

/// Carries out what was asked for; returns the exit status.
pub(crate) fn perform(request: &Request) -> Result<i32, Failure> {
    if request.command.works == Works::Alone {
        inspect::hidden_commands(request.json);
        return Ok(0);
    }
    let found;
    let request = match handlers_file(request) {
        Some(with_file) => {
            found = with_file;
            &found
        }
        None => request,
    };
    let resolved = context::load(request)?;
    if request.command.works == Works::OnConfiguration {
        return inspect::configuration(request, &resolved);
    }
    let selected = select(&resolved, request)?;
    if request.command.needs_address() {
        addresses(request, &resolved, &selected)?;
    }
    let runner = Runner::new(request, &resolved.config.global);
    let steps = Steps {
        resolved: &resolved,
        backend: &request.backend,
    };
    let is_84 = driver::dialect().is_84();
    let whole = !is_84 || request.json;
    if request.command.name == "status" && request.selectors.is_empty() && whole {
        // All the kernel has, in one piece.
        let call = Call::setup("all", Limit::Short, ["status"]).with(request.backend.clone());
        return Ok(runner.run(&call));
    }
    match request.command.act {
        Act::Up => {
            let mut queue = Queue::default();
            let bare = Steps {
                resolved: &resolved,
                backend: &[],
            };
            for selection in &selected {
                if driver::dialect().is_84() {
                    queue.up_84(&bare, selection);
                } else {
                    queue.up(&bare, selection);
                }
            }
            Ok(queue.run(&runner, &resolved, false))
        }
        Act::Adjust => adjust::perform(request, &runner, &resolved, &selected),
        Act::Top => top::perform(request, &runner, &resolved, &selected),
        Act::Explain => explain::perform(request, &runner, &resolved.nodename, &selected),
        Act::Inspect => inspect::selected(request, &resolved, &selected),
        Act::ShellStatus => Ok(old::shell_status(&runner, &resolved, &selected)),
        _ => one_by_one(request, &runner, &steps, &selected),
    }
}

/// A handler is started with a name only: the file comes from the registry.
fn handlers_file(request: &Request) -> Option<Request> {
    let wants = request.command.act == Act::Handler || request.command.name == "sh-udev";
    if !wants || request.config.is_some() {
        return None;
    }
    let name = request.selectors.first()?;
    let key = if name.starts_with("minor-") {
        name.clone()
    } else {
        format!("resource-{name}")
    };
    match registry::lookup(&key) {
        Some(file) => Some(Request {
            program: request.program.clone(),
            selectors: request.selectors.clone(),
            backend: request.backend.clone(),
            config: Some(file),
            config_to_test: Vec::new(),
            variable: request.variable.clone(),
            drbdsetup: request.drbdsetup.clone(),
            drbdmeta: request.drbdmeta.clone(),
            peer: request.peer.clone(),
            ..*request
        }),
        None => {
            eprintln!(
                "Don't know which config file belongs to resource {name}, trying default ones..."
            );
            None
        }
    }
}

/// This node must have the addresses its host sections say.
fn addresses(
    request: &Request,
    resolved: &Resolved,
    selected: &[Selection<'_>],
) -> Result<(), Failure> {
    let unattended_dry_run = request.dry_run && !context::interactive();
    if resolved.config.global.disable_ip_verification || unattended_dry_run {
        return Ok(());
    }
    let mut text = String::new();
    for selection in selected {
        if selection.resource.is_stacked() {
            continue;
        }
        for (connection, _) in selection.connections() {
            let own = connection
                .paths
                .iter()
                .filter_map(|path| path.seen_from(selection.local))
                .filter_map(|(ours, _)| ours.address.as_ref());
            for address in own.filter(|address| !context::has_address(address)) {
                let finding = drbd_conf::Diagnostic::error(
                    address.span,
                    format!(
                        "resource {}: no interface that is up has the address {}",
                        selection.resource.name, address.host
                    ),
                )
                .help("see `ip addr`; or write `disable-ip-verification;` into `global { }`");
                let rendered = finding.render(&resolved.config.sources);
                if !text.contains(&rendered) {
                    text.push_str(&rendered);
                }
            }
        }
    }
    if text.is_empty() {
        Ok(())
    } else {
        Err(Failure::ready(CONFIG, text))
    }
}
/// Commands that are some calls for each selected thing.
///
/// The first failing volume ends its resource, the others go on; the highest
/// status is the result, and one of 20 or more ends the run.
fn one_by_one(
    request: &Request,
    runner: &Runner,
    steps: &Steps<'_>,
    selected: &[Selection<'_>],
) -> Result<i32, Failure> {
    let mut worst = 0;
    let mut answers = Vec::new();
    // `status` and `dump-superblock` print their own.
    let ask = request.json && matches!(request.command.act, Act::Setup | Act::SetupOrMeta);
    let ask = ask && request.command.name != "status" && !runner.is_dry();
    for selection in selected {
        let list = if driver::dialect().is_84() {
            old::units(request, steps, selection)
        } else {
            units::units(request, steps, selection)?
        };
        for unit in list {
            if ask {
                match unit.answer(request, runner, selection) {
                    Some(answer) => answers.push(answer),
                    None => worst = USAGE,
                }
                continue;
            }
            let status = unit.run(request, runner, steps, selection);
            worst = worst.max(status);
            if status >= CANNOT_EXECUTE {
                return Ok(status);
            }
            if status != 0 {
                break;
            }
        }
    }
    if ask {
        json::print(&answers);
    }
    Ok(worst)
}
