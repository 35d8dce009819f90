// SPDX-License-Identifier: GPL-2.0-or-later
//! Nodes and their links.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{is_name, NAME_HELP};
use crate::config::finding::Finding;
use crate::config::schema::{File, Node, Role};
use crate::config::{LINKS_MAX, NODES_MAX};

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let count = file.node.len();
    if !(2..=NODES_MAX).contains(&count) {
        findings.push(Finding::error(
            None,
            format!("{count} nodes: a cluster has 2 to {NODES_MAX}"),
            "write one [[node]] for each",
        ));
    }
    let mut names = BTreeMap::new();
    let mut ids = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for node in &file.node {
        let node = node.as_ref();
        let name = node.name.as_ref();
        if !is_name(name) {
            let what = format!("'{name}' is no name of a node");
            findings.push(Finding::error(node.name.span(), what, NAME_HELP));
        }
        if names.insert(name, ()).is_some() {
            let what = format!("there are two nodes '{name}'");
            findings.push(Finding::error(
                node.name.span(),
                what,
                "each has a name of its own",
            ));
        }
        let id = *node.id.as_ref();
        if !(1..=63).contains(&id) {
            let what = format!("node '{name}' has the id {id}");
            findings.push(Finding::error(node.id.span(), what, "1 to 63 are possible"));
        }
        if let Some(other) = ids.insert(id, name) {
            let what = format!("nodes '{other}' and '{name}' both have the id {id}");
            findings.push(Finding::error(
                node.id.span(),
                what,
                "each has an id of its own",
            ));
        }
        if node.votes > 1 {
            let what = format!("node '{name}' has {} votes", node.votes);
            findings.push(Finding::error(
                node.name.span(),
                what,
                "a node has one vote, or none:  votes = 1",
            ));
        }
        if node.role == Role::Arbiter && node.votes == 0 {
            let what = format!("node '{name}' neither runs anything nor votes");
            findings.push(Finding::error(
                node.name.span(),
                what,
                "leave votes out, or the node",
            ));
        }
        links(node, &mut addresses, findings);
    }
    same_links(file, findings);
}

fn links<'a>(
    node: &'a Node,
    addresses: &mut BTreeMap<SocketAddr, &'a str>,
    findings: &mut Vec<Finding>,
) {
    let name = node.name.as_ref().as_str();
    if node.links.is_empty() || node.links.len() > LINKS_MAX {
        findings.push(Finding::error(
            node.name.span(),
            format!("node '{name}' has {} links", node.links.len()),
            format!("1 to {LINKS_MAX} are possible:  links = [\"10.9.0.1:7700\"]"),
        ));
    }
    for link in &node.links {
        let Ok(address) = link.as_ref().parse::<SocketAddr>() else {
            let what = format!("'{}' is no address with a port", link.as_ref());
            let help = "type:  \"10.9.0.1:7700\" or \"[fd00::1]:7700\"";
            findings.push(Finding::error(link.span(), what, help));
            continue;
        };
        if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
            let what = format!("'{address}' is nothing that another node could send to");
            findings.push(Finding::error(
                link.span(),
                what,
                "write the node's own address and a port",
            ));
        }
        if let Some(other) = addresses.insert(address, name) {
            let what = format!("'{other}' and '{name}' both have the address {address}");
            findings.push(Finding::error(
                link.span(),
                what,
                "each link has an address of its own",
            ));
        }
    }
}

/// Link i pairs with link i of the others: all have the same number, each of one family.
fn same_links(file: &File, findings: &mut Vec<Finding>) {
    let Some(first) = file.node.first().map(toml::Spanned::as_ref) else {
        return;
    };
    let family = |link: &toml::Spanned<String>| {
        let address = link.as_ref().parse::<SocketAddr>();
        address.ok().map(|address| address.is_ipv4())
    };
    for node in file.node.iter().skip(1).map(toml::Spanned::as_ref) {
        if node.links.len() != first.links.len() {
            let what = format!(
                "node '{}' has {} links, '{}' has {}",
                node.name.as_ref(),
                node.links.len(),
                first.name.as_ref(),
                first.links.len()
            );
            let help = "link for link they talk with each other: all nodes have the same number";
            findings.push(Finding::error(node.name.span(), what, help));
        }
        for (link, other) in node.links.iter().zip(&first.links) {
            if let (Some(one), Some(two)) = (family(link), family(other)) {
                if one != two {
                    let what = format!("'{}' can't reach '{}'", link.as_ref(), other.as_ref());
                    findings.push(Finding::error(
                        link.span(),
                        what,
                        "a link is IPv4 on all nodes or IPv6 on all nodes",
                    ));
                }
            }
        }
    }
    if first.links.len() == 1 {
        findings.push(Finding::warning(
            first.links.first().map(toml::Spanned::span),
            "there is one link: when it fails, a healthy node is fenced",
            "give each node a second one, on another network",
        ));
    }
}
