// SPDX-License-Identifier: GPL-2.0-or-later
//! The state of a cluster for people.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::Table;

use crate::core::id::NodeId;
use crate::core::status::{GroupStatus, NodeStatus};
use crate::daemon::protocol::{LinkReport, Report};
use crate::fence::Entry;

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(head.iter().copied());
    table
}

fn yes(is: bool, word: &'static str) -> &'static str {
    if is {
        word
    } else {
        ""
    }
}

fn name(report: &Report, id: NodeId) -> String {
    let mut nodes = report.core.nodes.iter();
    let found = nodes.find(|node| node.id == id);
    found.map_or_else(|| id.to_string(), |node| node.name.clone())
}

fn links(links: Option<&Vec<LinkReport>>) -> String {
    let links = links.into_iter().flatten();
    let words = links.map(|link| if link.up { "up" } else { "DOWN" });
    words.collect::<Vec<_>>().join(" ")
}

fn node(report: &Report, node: &NodeStatus) -> [String; 5] {
    let said = node.state.map(|state| format!("{state:?}"));
    let notes = [
        yes(node.standby, "standby"),
        yes(!node.same_config, "OTHER CONFIGURATION"),
        yes(report.core.coordinator == Some(node.id), "coordinator"),
    ];
    let notes: Vec<&str> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    [
        node.name.clone(),
        format!("{:?}", node.peer),
        said.unwrap_or_default(),
        links(report.links.get(&node.name)),
        notes.join(", "),
    ]
}

fn group(report: &Report, group: &GroupStatus) -> [String; 4] {
    let holders = group.holders.iter();
    let holders = holders.map(|(id, holding)| format!("{} ({holding:?})", name(report, *id)));
    let holders: Vec<String> = holders.collect();
    [
        group.name.clone(),
        if holders.is_empty() {
            "nowhere".to_owned()
        } else {
            holders.join(", ")
        },
        group
            .owner
            .map_or_else(|| "-".to_owned(), |id| name(report, id)),
        group.reason.clone(),
    ]
}

/// All of it.
pub(super) fn status(report: &Report) -> String {
    let core = &report.core;
    let mut text = String::new();
    let quorum = if core.quorate { "quorum" } else { "NO QUORUM" };
    let mut line = |text_line: String| {
        // Writing to memory does not fail.
        let _ = writeln!(text, "{text_line}");
    };
    line(format!(
        "Cluster {}, seen from {}: {quorum} ({})",
        report.cluster, report.node, core.quorum_reason
    ));
    if core.maintenance {
        line("MAINTENANCE: nothing is started, stopped or fenced".to_owned());
    }
    let mut nodes = table(&["Node", "State", "Says", "Links", ""]);
    for one in &core.nodes {
        nodes.add_row(node(report, one));
    }
    line(format!("\n{nodes}"));
    let mut groups = table(&["Group", "Runs on", "Owner", "Why"]);
    for one in &core.groups {
        groups.add_row(group(report, one));
    }
    line(format!("\n{groups}"));
    let mut resources = table(&["Resource here", "State", "Failures", "Last action"]);
    for one in &core.groups {
        for resource in &one.resources {
            let key = format!("{}/{}", one.name, resource.name);
            let last = report.actions.get(&key);
            let last =
                last.map(|last| format!("{}: {}: {}", last.operation, last.outcome, last.story));
            resources.add_row([
                key,
                format!("{:?}", resource.state),
                resource.fails.to_string(),
                last.unwrap_or_default(),
            ]);
        }
    }
    line(format!("\n{resources}"));
    for one in &core.fencing {
        line(format!(
            "fencing of {}: {:?}, {} failed: {}",
            name(report, one.target),
            one.phase,
            one.failed,
            one.detail
        ));
    }
    if report.watchdog.is_none() {
        line("there is no watchdog on this node".to_owned());
    }
    text
}

/// The links, with figures.
pub(super) fn all_links(report: &Report) -> String {
    let mut links = table(&[
        "Node",
        "Address",
        "",
        "Heard",
        "Round trip",
        "Lost",
        "Sent",
        "Received",
    ]);
    for (node, list) in &report.links {
        for link in list {
            links.add_row([
                node.clone(),
                link.address.clone(),
                if link.up { "up" } else { "DOWN" }.to_owned(),
                link.age_ms
                    .map_or_else(|| "never".to_owned(), |age| format!("{age} ms ago")),
                link.rtt_us
                    .map_or_else(String::new, |rtt| format!("{rtt} us")),
                format!("{}.{} %", link.loss_permille / 10, link.loss_permille % 10),
                link.sent.to_string(),
                link.received.to_string(),
            ]);
        }
    }
    let refused = report.refused.iter().filter(|(_, count)| **count > 0);
    let refused: Vec<String> = refused
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    if refused.is_empty() {
        format!("{links}")
    } else {
        format!("{links}\nthrown away: {}", refused.join(", "))
    }
}

/// Who was fenced.
pub(super) fn history(entries: &[Entry]) -> String {
    let mut lines = table(&[
        "When (s since 1970)",
        "Node",
        "Result",
        "With",
        "By",
        "Took",
        "",
    ]);
    for entry in entries {
        lines.add_row([
            entry.when.to_string(),
            entry.target.clone(),
            if entry.ok { "off" } else { "FAILED" }.to_owned(),
            entry.devices.join(" and "),
            entry.by.clone(),
            format!("{} ms", entry.took_ms),
            entry.detail.clone(),
        ]);
    }
    format!("{lines}")
}
