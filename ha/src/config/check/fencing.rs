// SPDX-License-Identifier: GPL-2.0-or-later
//! Fence devices and their levels.

use std::collections::BTreeSet;

use super::{is_name, NAME_HELP};
use crate::config::finding::Finding;
use crate::config::schema::{FenceAction, FenceDevice, File, Role};

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let mut names = BTreeSet::new();
    for device in &file.fence_device {
        let device = device.as_ref();
        let name = device.name.as_ref();
        if !is_name(name) {
            let what = format!("'{name}' is no name of a fence device");
            findings.push(Finding::error(device.name.span(), what, NAME_HELP));
        }
        if !names.insert(name) {
            let what = format!("there are two fence devices '{name}'");
            findings.push(Finding::error(
                device.name.span(),
                what,
                "each has a name of its own",
            ));
        }
        one(file, device, findings);
    }
    delays(file, findings);
    levels(file, findings);
    everybody(file, findings);
}

fn one(file: &File, device: &FenceDevice, findings: &mut Vec<Finding>) {
    let agent = device.agent.as_ref();
    if agent.is_empty() || (agent.contains('/') && !agent.starts_with('/')) {
        findings.push(Finding::error(
            device.agent.span(),
            format!("'{agent}' is no fence agent"),
            "type a name like \"fence_ipmilan\", or the whole path of a program",
        ));
    }
    if !(1..=600).contains(&device.timeout) {
        findings.push(Finding::error(
            device.name.span(),
            format!(
                "the timeout of '{}' is {} s",
                device.name.as_ref(),
                device.timeout
            ),
            "1 to 600 s are possible",
        ));
    }
    if device.targets.is_empty() {
        findings.push(Finding::error(
            device.name.span(),
            format!("'{}' has no targets", device.name.as_ref()),
            "type:  targets = { n1 = \"1\" }, node and its plug",
        ));
    }
    for target in device.targets.keys() {
        if !knows(file, target.as_ref()) {
            let what = format!("there is no node '{}'", target.as_ref());
            findings.push(Finding::error(
                target.span(),
                what,
                "targets are names of [[node]]",
            ));
        }
    }
    for reserved in ["action", "option", "plug", "port", "nodename"] {
        if device.params.contains_key(reserved) {
            findings.push(Finding::error(
                device.name.span(),
                format!("'{reserved}' is set by drbd-had for each call"),
                "leave it out of params; plugs belong into targets",
            ));
        }
    }
    let lines = device.params.iter().map(|(key, value)| (key, value.text()));
    for (key, value) in lines {
        if key.is_empty() || key.contains(['=', '\n']) || value.contains('\n') {
            findings.push(Finding::error(
                device.name.span(),
                format!("the parameter '{key}' would not reach the agent as one line key=value"),
                "neither '=' in the key nor line breaks are possible",
            ));
        }
    }
}

fn delays(file: &File, findings: &mut Vec<Finding>) {
    let Some(table) = &file.fencing else {
        return;
    };
    let fencing = table.as_ref();
    if fencing.delay_priority < fencing.delay_random.saturating_mul(2) {
        findings.push(Finding::error(
            table.span(),
            format!(
                "delay_priority is {} ms with a delay_random of {} ms: chance would decide who survives",
                fencing.delay_priority, fencing.delay_random
            ),
            format!("at least twice:  delay_priority = {}", fencing.delay_random.saturating_mul(2)),
        ));
    }
    let longest = [
        fencing.delay_base,
        fencing.delay_priority,
        fencing.delay_random,
    ];
    if longest.iter().any(|delay| *delay > 300_000) {
        findings.push(Finding::error(
            table.span(),
            "a delay of more than five minutes",
            "delays are in ms",
        ));
    }
    if fencing.max_attempts == 0 {
        findings.push(Finding::error(
            table.span(),
            "max_attempts is 0",
            "at least 1",
        ));
    }
    if fencing.action == FenceAction::Reboot {
        findings.push(Finding::warning(
            table.span(),
            "a node that is back before anybody looked can't be seen to have been off",
            "off can be verified:  action = \"off\"",
        ));
    }
}

fn levels(file: &File, findings: &mut Vec<Finding>) {
    let Some(table) = &file.fencing else {
        return;
    };
    for (node, levels) in &table.as_ref().levels {
        let name = node.as_ref();
        if !knows(file, name) {
            let what = format!("there is no node '{name}'");
            findings.push(Finding::error(
                node.span(),
                what,
                "levels are given by names of [[node]]",
            ));
            continue;
        }
        if levels.is_empty() || levels.len() > 9 || levels.iter().any(Vec::is_empty) {
            let what = format!(
                "'{name}' has {} levels, or one without devices",
                levels.len()
            );
            findings.push(Finding::error(
                node.span(),
                what,
                "1 to 9 levels, each with at least one device",
            ));
        }
        for device in levels.iter().flatten() {
            let mut devices = file.fence_device.iter().map(toml::Spanned::as_ref);
            match devices.find(|known| known.name.as_ref() == device.as_ref()) {
                None => {
                    let what = format!("there is no fence device '{}'", device.as_ref());
                    findings.push(Finding::error(
                        device.span(),
                        what,
                        "write a [[fence_device]] with that name",
                    ));
                }
                Some(known) if !known.targets.contains_key(name.as_str()) => {
                    let what = format!("'{}' can't fence '{name}'", device.as_ref());
                    let help = format!("add the plug:  targets = {{ {name} = \"...\" }}");
                    findings.push(Finding::error(device.span(), what, help));
                }
                Some(_) => {}
            }
        }
    }
}

/// Every node that can own something can be fenced.
fn everybody(file: &File, findings: &mut Vec<Finding>) {
    for node in file.node.iter().map(toml::Spanned::as_ref) {
        let name = node.name.as_ref();
        let owns = file.group.iter().map(toml::Spanned::as_ref).any(|group| {
            group.nodes.len() > 1 && group.nodes.iter().any(|member| member.as_ref() == name)
        });
        let mut devices = file.fence_device.iter().map(toml::Spanned::as_ref);
        if node.role == Role::Arbiter
            || !owns
            || devices.any(|device| device.targets.contains_key(name.as_str()))
        {
            continue;
        }
        let what = format!(
            "nothing can fence '{name}': when it is silent, nobody knows whether it still writes"
        );
        findings.push(if file.cluster.allow_unsafe {
            Finding::warning(
                node.name.span(),
                what,
                format!("its groups stay where they are until somebody types  drbd-hactl confirm-fenced {name}"),
            )
        } else {
            Finding::error(
                node.name.span(),
                what,
                format!("write a [[fence_device]] with targets = {{ {name} = \"...\" }}, or allow_unsafe = true in [cluster]"),
            )
        });
    }
}

fn knows(file: &File, name: &str) -> bool {
    let mut nodes = file.node.iter().map(toml::Spanned::as_ref);
    nodes.any(|node| node.name.as_ref() == name)
}
