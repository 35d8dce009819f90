// SPDX-License-Identifier: GPL-2.0-or-later
//! Groups and what they consist of.

use std::collections::{BTreeMap, BTreeSet};

use super::{is_name, NAME_HELP};
use crate::config::finding::Finding;
use crate::config::schema::{File, Group, Resource, Role};
use crate::config::{resource_name, GROUPS_MAX, RESOURCES_MAX};

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    if file.group.len() > GROUPS_MAX {
        let what = format!("{} groups", file.group.len());
        findings.push(Finding::error(
            None,
            what,
            format!("at most {GROUPS_MAX} are possible"),
        ));
    }
    let mut names = BTreeSet::new();
    let mut drbd = BTreeMap::new();
    for group in &file.group {
        let group = group.as_ref();
        let name = group.name.as_ref().as_str();
        if !is_name(name) {
            let what = format!("'{name}' is no name of a group");
            findings.push(Finding::error(group.name.span(), what, NAME_HELP));
        }
        if !names.insert(name) {
            let what = format!("there are two groups '{name}'");
            findings.push(Finding::error(
                group.name.span(),
                what,
                "each has a name of its own",
            ));
        }
        nodes(file, group, findings);
        limits(group, findings);
        others(file, group, findings);
        resources(group, &mut drbd, findings);
    }
    circles(file, findings);
}

fn nodes(file: &File, group: &Group, findings: &mut Vec<Finding>) {
    let name = group.name.as_ref();
    if group.nodes.is_empty() {
        let what = format!("group '{name}' has no nodes");
        findings.push(Finding::error(
            group.name.span(),
            what,
            "type:  nodes = [\"n1\", \"n2\"]",
        ));
    }
    let mut seen = BTreeSet::new();
    for node in &group.nodes {
        let known = file.node.iter().map(toml::Spanned::as_ref);
        let mut known = known.filter(|known| known.name.as_ref() == node.as_ref());
        match known.next() {
            None => {
                let what = format!("there is no node '{}'", node.as_ref());
                findings.push(Finding::error(
                    node.span(),
                    what,
                    "nodes are names of [[node]]",
                ));
            }
            Some(known) if known.role == Role::Arbiter => {
                let what = format!("'{}' is an arbiter and runs nothing", node.as_ref());
                findings.push(Finding::error(
                    node.span(),
                    what,
                    "leave it out, or leave its role out",
                ));
            }
            Some(_) => {}
        }
        if !seen.insert(node.as_ref()) {
            let what = format!("'{}' twice", node.as_ref());
            findings.push(Finding::error(node.span(), what, "each node once"));
        }
    }
    let uses_drbd = group.resource.iter().any(|r| r.as_ref().drbd.is_some());
    if uses_drbd && group.nodes.len() > 2 {
        findings.push(Finding::error(
            group.name.span(),
            format!("group '{name}' has DRBD and {} nodes", group.nodes.len()),
            "a resource has two hosts: write those",
        ));
    }
}

fn limits(group: &Group, findings: &mut Vec<Finding>) {
    let mut error = |what: String, help: &str| {
        let what = format!("group '{}': {what}", group.name.as_ref());
        findings.push(Finding::error(group.name.span(), what, help));
    };
    if group.stickiness > 1000 {
        error(
            format!("stickiness is {}", group.stickiness),
            "0 to 1000 are possible",
        );
    }
    if group.migration_threshold == 0 || group.migration_threshold > 1000 {
        error(
            format!("migration_threshold is {}", group.migration_threshold),
            "1 to 1000 are possible",
        );
    }
    if group.failure_timeout > 30 * 86400 || group.failback_delay > 86400 {
        error(
            "failure_timeout or failback_delay is too long".to_owned(),
            "they are in seconds: up to a month and a day",
        );
    }
    if group.priority.unsigned_abs() > 1_000_000 {
        error(
            format!("priority is {}", group.priority),
            "-1000000 to 1000000 are possible",
        );
    }
    if group.resource.is_empty() || group.resource.len() > RESOURCES_MAX {
        error(
            format!("{} resources", group.resource.len()),
            "write 1 to 64 [[group.resource]] below it",
        );
    }
}

/// Other groups, and capacities.
fn others(file: &File, group: &Group, findings: &mut Vec<Finding>) {
    for (word, list) in [("after", &group.after), ("avoid", &group.avoid)] {
        for other in list {
            let mut known = file.group.iter().map(toml::Spanned::as_ref);
            if !known.any(|known| known.name.as_ref() == other.as_ref()) {
                let what = format!("there is no group '{}'", other.as_ref());
                findings.push(Finding::error(
                    other.span(),
                    what,
                    format!("{word} takes names of [[group]]"),
                ));
            } else if other.as_ref() == group.name.as_ref() {
                let what = format!("group '{}' names itself", other.as_ref());
                findings.push(Finding::error(
                    other.span(),
                    what,
                    format!("leave it out of {word}"),
                ));
            }
        }
    }
    if group.avoid_hard && group.avoid.is_empty() {
        findings.push(Finding::error(
            group.name.span(),
            format!(
                "group '{}' has avoid_hard and nothing to avoid",
                group.name.as_ref()
            ),
            "write avoid = [..], or leave avoid_hard out",
        ));
    }
    for (kind, amount) in &group.uses {
        let rooms = file.node.iter().map(toml::Spanned::as_ref);
        let fits = rooms
            .filter(|node| {
                group
                    .nodes
                    .iter()
                    .any(|name| name.as_ref() == node.name.as_ref())
            })
            .any(|node| {
                node.capacity
                    .get(kind.as_ref())
                    .is_none_or(|room| room >= amount)
            });
        if !fits {
            let what = format!(
                "group '{}' uses {amount} of '{}', and none of its nodes has so much",
                group.name.as_ref(),
                kind.as_ref()
            );
            findings.push(Finding::error(
                kind.span(),
                what,
                "give a node more capacity, or use less",
            ));
        }
    }
}

fn resources<'a>(
    group: &'a Group,
    drbd: &mut BTreeMap<&'a str, &'a str>,
    findings: &mut Vec<Finding>,
) {
    let mut names = BTreeSet::new();
    for (at, spanned) in group.resource.iter().enumerate() {
        let resource = spanned.as_ref();
        one(spanned, findings);
        if let Some(name) = &resource.drbd {
            if let Some(other) = drbd.insert(name.as_ref(), group.name.as_ref()) {
                let what = format!(
                    "DRBD resource '{}' is in group '{other}' already",
                    name.as_ref()
                );
                let help = "a resource belongs to one group: what needs it goes there too";
                findings.push(Finding::error(name.span(), what, help));
            }
            let before = group.resource.get(..at).unwrap_or_default();
            if before.iter().any(|before| before.as_ref().drbd.is_none()) {
                let what = format!(
                    "DRBD resource '{}' comes after something else",
                    name.as_ref()
                );
                let help = "write DRBD first: what follows runs where it is Primary";
                findings.push(Finding::error(name.span(), what, help));
            }
        }
        let name = resource_name(resource);
        if !names.insert(name.clone()) {
            let what = format!("group '{}' has two resources '{name}'", group.name.as_ref());
            findings.push(Finding::error(
                spanned.span(),
                what,
                "give each a name of its own:  name = \"data\"",
            ));
        }
    }
}

fn one(spanned: &toml::Spanned<Resource>, findings: &mut Vec<Finding>) {
    let resource = spanned.as_ref();
    let kinds = [&resource.drbd, &resource.ocf, &resource.systemd];
    if kinds.iter().filter(|kind| kind.is_some()).count() != 1 {
        findings.push(Finding::error(
            spanned.span(),
            "a resource is exactly one of drbd, ocf and systemd",
            "type one of:  drbd = \"r0\"   ocf = \"heartbeat:Filesystem\"   systemd = \"postgresql.service\"",
        ));
    }
    if let Some(ocf) = &resource.ocf {
        let parts: Vec<&str> = ocf.as_ref().split(':').collect();
        if parts.len() != 2 || parts.iter().any(|part| !is_name(part)) {
            let what = format!("'{}' is no OCF agent", ocf.as_ref());
            findings.push(Finding::error(
                ocf.span(),
                what,
                "type PROVIDER:TYPE, like \"heartbeat:IPaddr2\"",
            ));
        }
    } else if !resource.params.is_empty() {
        findings.push(Finding::error(
            spanned.span(),
            "params are for OCF agents",
            "leave them out",
        ));
    }
    if let Some(unit) = &resource.systemd {
        let unit_name = unit.as_ref();
        let kinds = [
            ".service", ".socket", ".target", ".mount", ".timer", ".path", ".scope",
        ];
        if unit_name.starts_with('-') || !kinds.iter().any(|kind| unit_name.ends_with(kind)) {
            let what = format!("'{unit_name}' is no unit");
            findings.push(Finding::error(
                unit.span(),
                what,
                "type its whole name, like \"postgresql.service\"",
            ));
        }
    }
    if let Some(name) = &resource.drbd {
        if !is_name(name.as_ref()) {
            let what = format!("'{}' is no name of a resource", name.as_ref());
            findings.push(Finding::error(name.span(), what, NAME_HELP));
        }
    }
    let ids = resource.params.keys();
    for key in ids.filter(|key| {
        !key.chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    }) {
        let what = format!("'{key}' is no name of a parameter");
        findings.push(Finding::error(
            spanned.span(),
            what,
            "letters, digits and '_'",
        ));
    }
    let timeout = resource.timeout;
    for (word, value) in [
        ("start", timeout.start),
        ("stop", timeout.stop),
        ("monitor", timeout.monitor),
    ] {
        if !(1..=3600).contains(&value) {
            let what = format!("the timeout of {word} is {value} s");
            findings.push(Finding::error(
                spanned.span(),
                what,
                "1 to 3600 s are possible",
            ));
        }
    }
    if resource.monitor > 86400 {
        let what = format!("monitor is {} s", resource.monitor);
        findings.push(Finding::error(
            spanned.span(),
            what,
            "0 (only at start) to 86400 s are possible",
        ));
    }
}

/// No group waits for itself.
fn circles(file: &File, findings: &mut Vec<Finding>) {
    let groups: BTreeMap<&str, &Group> = file
        .group
        .iter()
        .map(toml::Spanned::as_ref)
        .map(|group| (group.name.as_ref().as_str(), group))
        .collect();
    for group in groups.values() {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&str> = group
            .after
            .iter()
            .map(|name| name.as_ref().as_str())
            .collect();
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                let next = groups.get(name).map(|group| group.after.iter());
                open.extend(
                    next.into_iter()
                        .flatten()
                        .map(|name| name.as_ref().as_str()),
                );
            }
        }
        let own = group.name.as_ref().as_str();
        // What names itself directly is told elsewhere.
        if reached.contains(own) && !group.after.iter().any(|name| name.as_ref() == own) {
            let what = format!("group '{own}' waits for itself, by way of what it comes after");
            findings.push(Finding::error(
                group.name.span(),
                what,
                "break the circle of after",
            ));
        }
    }
}
