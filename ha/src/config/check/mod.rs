// SPDX-License-Identifier: GPL-2.0-or-later
//! What no table can say alone: numbers that depend on each other, names that have to exist, what has to be fenced.

mod fencing;
mod groups;
mod nodes;

use std::net::SocketAddr;

use super::finding::Finding;
use super::schema::{File, Timing};

/// Letters of a name: it becomes part of file names, of labels and of messages.
fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name.len() <= 63
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
}

const NAME_HELP: &str =
    "use letters, digits, '_', '-' and '.', at most 63, not beginning with '-' or '.'";

/// Whether the cluster lives by the rule of two nodes when nobody says so.
pub(super) fn goes_by_two(file: &File) -> bool {
    let votes: u32 = file
        .node
        .iter()
        .map(|node| u32::from(node.as_ref().votes))
        .sum();
    let voters = file.node.iter().filter(|node| node.as_ref().votes > 0);
    voters.count() == 2 && votes == 2
}

/// Everything that is wrong with a file whose tables can be read.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    cluster(file, &mut findings);
    timing(file, &mut findings);
    nodes::check(file, &mut findings);
    quorum(file, &mut findings);
    fencing::check(file, &mut findings);
    groups::check(file, &mut findings);
    local(file, &mut findings);
    findings
}

fn cluster(file: &File, findings: &mut Vec<Finding>) {
    let name = &file.cluster.name;
    if !is_name(name.as_ref()) {
        let what = format!("'{}' is no name of a cluster", name.as_ref());
        findings.push(Finding::error(name.span(), what, NAME_HELP));
    }
    if file.cluster.keyfile_next.as_ref() == Some(&file.cluster.keyfile) {
        let what = "keyfile_next is the same file as keyfile";
        findings.push(Finding::error(
            name.span(),
            what,
            "leave keyfile_next out unless keys are being changed",
        ));
    }
}

fn timing(file: &File, findings: &mut Vec<Finding>) {
    let Some(table) = &file.timing else {
        return;
    };
    let span = table.span();
    let Timing {
        keepalive,
        warntime,
        deadtime,
        initdead,
    } = *table.as_ref();
    let mut error = |what: String, help: String| {
        findings.push(Finding::error(span.clone(), what, help));
    };
    if !(50..=60_000).contains(&keepalive) {
        error(
            format!("keepalive is {keepalive} ms"),
            "50 to 60000 ms are possible".to_owned(),
        );
        return;
    }
    if deadtime < 4 * keepalive || deadtime > 600_000 {
        error(
            format!("deadtime is {deadtime} ms with a keepalive of {keepalive} ms: a few lost packets would fence a healthy node"),
            format!("at least four times keepalive:  deadtime = {}", 4 * keepalive),
        );
    }
    if warntime <= keepalive || warntime >= deadtime {
        error(
            format!("warntime is {warntime} ms: it has to be between keepalive and deadtime"),
            format!(
                "type:  warntime = {}",
                keepalive.saturating_add(deadtime) / 2
            ),
        );
    }
    if initdead < deadtime.saturating_mul(2) || initdead > 3_600_000 {
        error(
            format!("initdead is {initdead} ms with a deadtime of {deadtime} ms: nodes that are still booting would be fenced"),
            format!("at least twice deadtime:  initdead = {}", deadtime.saturating_mul(2)),
        );
    }
}

fn quorum(file: &File, findings: &mut Vec<Finding>) {
    if let Some(said) = &file.quorum.two_node {
        if *said.as_ref() && !goes_by_two(file) {
            findings.push(Finding::error(
                said.span(),
                "two_node is for exactly two nodes with one vote each: with more, two halves would both act",
                "leave two_node out",
            ));
        }
    }
    let votes: u32 = file
        .node
        .iter()
        .map(|node| u32::from(node.as_ref().votes))
        .sum();
    if votes == 0 {
        findings.push(Finding::error(
            None,
            "no node has a vote",
            "type:  votes = 1",
        ));
    } else if votes % 2 == 0 && votes > 2 {
        findings.push(Finding::warning(
            None,
            format!("{votes} votes: when the cluster falls into two halves, neither acts"),
            "add a node with role = \"arbiter\", on any small machine",
        ));
    }
    for address in &file.quorum.ping_group {
        if address.as_ref().parse::<std::net::IpAddr>().is_err() {
            let what = format!("'{}' is no IP address", address.as_ref());
            findings.push(Finding::error(
                address.span(),
                what,
                "ping_group takes addresses like 10.9.0.254",
            ));
        }
    }
}

/// What a node has for itself.
fn local(file: &File, findings: &mut Vec<Finding>) {
    let watchdog = file.watchdog();
    let span = file.watchdog.as_ref().map(toml::Spanned::span);
    if watchdog.device == "none" {
        let what = "there is no watchdog: a node that hangs, or can't stop a service, keeps running until somebody fences it";
        findings.push(if file.cluster.allow_unsafe {
            Finding::warning(span, what, "type:  device = \"/dev/watchdog\"")
        } else {
            Finding::error(
                span,
                what,
                "type:  device = \"/dev/watchdog\" (module softdog if there is no hardware), or allow_unsafe = true in [cluster]",
            )
        });
    } else if !(2..=600).contains(&watchdog.timeout) {
        findings.push(Finding::error(
            span,
            format!("the watchdog's timeout is {} s", watchdog.timeout),
            "2 to 600 s are possible; 10 fits most",
        ));
    }
    let listen = &file.metrics.listen;
    if listen != "none" && listen.parse::<SocketAddr>().is_err() {
        findings.push(Finding::error(
            None,
            format!("[metrics] listen: '{listen}' is no address with a port"),
            "type:  listen = \"127.0.0.1:9943\", or \"none\"",
        ));
    }
    for hook in &file.hook {
        let program = hook.as_ref().run.first();
        if program.is_none_or(|program| !program.starts_with('/')) {
            findings.push(Finding::error(
                hook.span(),
                "a hook needs a program with its whole path",
                "type:  run = [\"/usr/local/bin/tell-me\"]",
            ));
        }
    }
}
