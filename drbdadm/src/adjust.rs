// SPDX-License-Identifier: GPL-2.0-or-later
//! `adjust`: make the kernel agree with the configuration.
//!
//! What the kernel runs is read from `drbdsetup show`, and only what differs is
//! changed. A connection is not dropped for an option that can be changed while
//! it is up.

mod compare;
mod connection;
mod old;
mod volume;

use drbd_conf::schema::Scope;
use drbd_conf::{Resolved, Running};

use crate::call::{Call, Limit, Runner};
use crate::cli::Request;
use crate::driver;
use crate::failure::{Failure, CANNOT_EXECUTE};
use crate::queue::{Queue, Stage};
use crate::select::Selection;
use crate::steps::{id, Steps};

/// What may be touched.
#[derive(Clone, Copy)]
struct Parts {
    disk: bool,
    net: bool,
}

/// Compares and changes what differs.
pub(crate) fn perform(
    request: &Request,
    runner: &Runner,
    resolved: &Resolved,
    selected: &[Selection<'_>],
) -> Result<i32, Failure> {
    let given = |name: &str| request.backend.iter().any(|option| option == name);
    let parts = Parts {
        disk: !given("--skip-disk"),
        net: !given("--skip-net"),
    };
    let steps = Steps {
        resolved,
        backend: &[],
    };
    let mut queue = Queue::default();
    let all = (selected.len() > 1).then(|| show_all(runner)).flatten();
    for selection in selected {
        let shown = match &all {
            Some(all) => one_of(all, &selection.resource.name).to_owned(),
            None => show(runner, &selection.resource.name)?,
        };
        if driver::dialect().is_84() {
            old::changes(&steps, selection, Running::parse(&shown), &mut queue);
            continue;
        }
        match Running::parse(&shown) {
            Some(running) => changes(&steps, selection, &running, parts, &mut queue)?,
            None => from_nothing(&steps, selection, parts, &mut queue),
        }
    }
    let progress = request.command.name == "adjust-with-progress";
    Ok(queue.run(runner, resolved, progress))
}

/// What the kernel runs. An unknown resource is an empty text: `show` fails for
/// it, and it fails when no driver is loaded, which `new-resource` will mend.
fn show(runner: &Runner, name: &str) -> Result<String, Failure> {
    if let Ok(path) = std::env::var("FAKE_DRBDSETUP_SHOW") {
        return std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(CANNOT_EXECUTE, format!("cannot read {path}: {error}"), &[])
        });
    }
    let call = Call::setup(name, Limit::Short, ["show", name]);
    Ok(runner.output(&call).unwrap_or_default())
}

/// What the kernel runs of everything, if our own drbdsetup can tell: asking for
/// one resource after the other takes the kernel a list of all of them each time.
fn show_all(runner: &Runner) -> Option<String> {
    if std::env::var_os("FAKE_DRBDSETUP_SHOW").is_some() || !runner.asks_inside() {
        return None;
    }
    runner.output(&Call::setup("all", Limit::Short, ["show"]))
}

/// The part of a resource, from its name to the brace in the first column.
fn one_of<'a>(shown: &'a str, name: &str) -> &'a str {
    let heads = [
        format!("resource {name} {{\n"),
        format!("resource \"{name}\" {{\n"),
    ];
    let begins = |at: usize| at == 0 || shown.as_bytes().get(at - 1) == Some(&b'\n');
    let mut places = heads
        .iter()
        .flat_map(|head| shown.match_indices(head.as_str()));
    let Some((at, _)) = places.find(|(at, _)| begins(*at)) else {
        return "";
    };
    let rest = shown.get(at..).unwrap_or("");
    let end = rest.find("\n}").map_or(rest.len(), |end| end + 2);
    rest.get(..end).unwrap_or(rest)
}

/// Like `up`, without the parts that may not be touched.
fn from_nothing(steps: &Steps<'_>, selection: &Selection<'_>, parts: Parts, queue: &mut Queue) {
    if parts.disk && parts.net {
        queue.up(steps, selection);
        return;
    }
    let running = Running::default();
    queue.new_resource(steps, selection.resource, selection.host);
    if parts.disk {
        volume::changes(steps, selection, &running, queue);
    }
    if parts.net {
        connection::changes(steps, selection, &running, queue);
    }
}

fn changes(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    running: &Running,
    parts: Parts,
    queue: &mut Queue,
) -> Result<(), Failure> {
    let resource = selection.resource;
    let ours = selection.host.node_id.unwrap_or(0);
    if let Some(theirs) = running.node_id.filter(|theirs| *theirs != ours) {
        return Err(Failure::new(
            crate::failure::USAGE,
            format!(
                "resource {} runs with node-id {theirs}, the configuration says {ours}",
                resource.name
            ),
            &[
                "a node id cannot be changed while the resource is up",
                &format!(
                    "take it down first:   drbdadm down {0} && drbdadm up {0}",
                    resource.name
                ),
            ],
        ));
    }
    let wanted = steps.options(&resource.sections.options);
    if compare::differ(&[Scope::Resource], &wanted, &running.options) {
        let call = Call::setup(
            &resource.name,
            Limit::Short,
            ["resource-options", &resource.name, "--set-defaults"],
        );
        queue.add(Stage::Resource, call.with(wanted));
    }
    if parts.disk {
        volume::changes(steps, selection, running, queue);
    }
    if parts.net {
        connection::changes(steps, selection, running, queue);
    }
    Ok(())
}

/// `RES PEER` of a call about a connection.
fn connection_call(command: &str, resource: &str, peer: u32) -> Call {
    Call::setup(
        resource,
        Limit::Medium,
        [command, resource, &peer.to_string()],
    )
}

/// `RES PEER` of a call about a configured connection.
fn peer_call(command: &str, resource: &str, peer: &drbd_conf::model::Host) -> Call {
    Call::setup(resource, Limit::Medium, [command, resource, &id(peer)])
}

#[cfg(test)]
mod tests {
    use super::one_of;

    #[test]
    fn a_resource_is_found_among_all() {
        let shown = "resource r1 {\n    options {\n    }\n}\n\nresource \"10\" {\n    net {\n    }\n}\n\nresource r {\n}\n\n";
        assert_eq!(
            one_of(shown, "r1"),
            "resource r1 {\n    options {\n    }\n}"
        );
        assert_eq!(
            one_of(shown, "10"),
            "resource \"10\" {\n    net {\n    }\n}"
        );
        assert_eq!(one_of(shown, "r"), "resource r {\n}");
        assert_eq!(one_of(shown, "0"), "");
        assert_eq!(one_of("# No currently configured DRBD found.\n", "r"), "");
    }
}
