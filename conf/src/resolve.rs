// SPDX-License-Identifier: GPL-2.0-or-later
//! From what the text says to what it means on one node (drbdadm.md section 5).
//!
//! Hosts get their volumes, volumes their devices, resources their connections
//! and node ids. Then contradictions are looked for, across resources too.

mod check;
mod connections;
mod expand;
mod node_id;
mod volumes;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::hostname::same_host;
use crate::model::{Address, Config, Family, Host, HostKind, Resource};

/// Who is asking.
pub struct LocalHost<'a> {
    /// `uname -n`, or what stands in for it.
    pub nodename: &'a str,
    /// Whether an address is configured on an interface that is up.
    pub has_address: &'a dyn Fn(&Address) -> bool,
    /// Whether somebody sits at a terminal. Nobody does when a cluster manager
    /// asks, and a `resync-after` that leads nowhere must not stop it.
    pub interactive: bool,
    /// Which host is the peer, if asked for: drivers of generation 8.4 have
    /// one, and a resource may have more than two hosts.
    pub peer: Option<&'a str>,
}

/// A configuration as it applies to one node.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The text as written, with the node ids that were derived: what `dump`
    /// prints.
    pub config: Config,
    /// The resources completed, options where they were written: `dump-xml`.
    pub plain: Vec<Resource>,
    /// The resources completed, options inherited: `dump -v`, and what commands
    /// are made from. In the order of `config.resources`.
    pub full: Vec<Resource>,
    /// The name of this node.
    pub nodename: String,
}

impl Resolved {
    /// A completed resource by name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.full.iter().find(|resource| resource.name == name)
    }

    /// The minor number of `RESOURCE` or `RESOURCE/VOLUME` on this node; a
    /// resource alone means its only volume, or its volume 0.
    #[must_use]
    pub fn minor_of(&self, selector: &str) -> Option<u32> {
        minor_of(&self.full, selector)
    }
}

fn minor_of(resources: &[Resource], selector: &str) -> Option<u32> {
    // A resource may have a `/` in its name; the whole text is tried first.
    let whole = resources.iter().find(|r| r.name == selector);
    let (resource, number) = match (whole, selector.rsplit_once('/')) {
        (Some(resource), _) => (resource, None),
        (None, Some((name, number))) => (
            resources.iter().find(|r| r.name == name)?,
            Some(number.parse::<u32>().ok()?),
        ),
        (None, None) => return None,
    };
    let volumes = &resource.local_host()?.volumes;
    let volume = match number {
        Some(number) => volumes.iter().find(|volume| volume.number == number),
        None => volumes.first(),
    };
    volume?.minor
}

/// Completes a configuration. The diagnostics say whether it may be used.
#[must_use]
pub fn resolve(mut config: Config, local: &LocalHost<'_>) -> (Resolved, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let mut plain = config.resources.clone();
    lower_hosts(&mut plain, &mut diagnostics);
    for resource in &mut plain {
        resource.local = local_host(resource, local, &mut diagnostics);
    }
    let is_84 = config.dialect.is_84();
    volumes::complete(&mut plain, config.dialect, &mut diagnostics);
    for resource in &mut plain {
        if is_84 {
            connections::one_peer(resource, local.peer, &mut diagnostics);
        }
        connections::complete(resource, config.dialect, &mut diagnostics);
        if !is_84 {
            node_id::complete(resource, &mut diagnostics);
        }
    }
    for (written, complete) in config.resources.iter_mut().zip(&plain) {
        for (host, complete) in written.hosts.iter_mut().zip(&complete.hosts) {
            host.node_id = complete.node_id;
            // A stacked host's machines are shown, too.
            host.names.clone_from(&complete.names);
        }
    }
    check::check(&plain, config.dialect, &mut diagnostics);
    let mut full = plain.clone();
    for resource in &mut full {
        let common = match &resource.template {
            Some(template) => Some(template.common.clone()),
            None => config.common.clone(),
        };
        expand::expand(resource, common.as_ref());
    }
    check::check_options(&full, local, &mut diagnostics);
    let resolved = Resolved {
        config,
        plain,
        full,
        nodename: local.nodename.to_owned(),
    };
    (resolved, diagnostics)
}

/// `stacked-on-top-of R` is on the machines of R.
fn lower_hosts(resources: &mut [Resource], diagnostics: &mut Diagnostics) {
    let machines: Vec<(String, Vec<String>)> = resources
        .iter()
        .map(|resource| {
            let names = resource
                .hosts
                .iter()
                .filter(|host| !matches!(host.kind, HostKind::Stacked { .. }))
                .flat_map(|host| match host.kind {
                    HostKind::Floating => vec![host.joined_name()],
                    _ => host.names.clone(),
                })
                .collect();
            (resource.name.clone(), names)
        })
        .collect();
    for resource in resources {
        for host in &mut resource.hosts {
            let HostKind::Stacked { lower } = &host.kind else {
                continue;
            };
            match machines.iter().find(|(name, _)| name == lower) {
                Some((name, _)) if *name == resource.name => diagnostics.push(Diagnostic::error(
                    host.span,
                    "a resource cannot be stacked on itself",
                )),
                Some((_, names)) => host.names.clone_from(names),
                None => diagnostics.push(
                    Diagnostic::error(host.span, format!("there is no resource `{lower}`"))
                        .help("name the resource whose device lies below"),
                ),
            }
        }
    }
}

/// Which host section is this node's.
fn local_host(
    resource: &Resource,
    local: &LocalHost<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let mut found: Option<usize> = None;
    for (index, host) in resource.hosts.iter().enumerate() {
        if !is_local(host, local) {
            continue;
        }
        match found.and_then(|first| resource.hosts.get(first)) {
            None => found = Some(index),
            Some(first) => diagnostics.push(
                Diagnostic::error(
                    host.span,
                    format!("a second section for this node ({})", local.nodename),
                )
                .see(first.span, "the first one is here"),
            ),
        }
    }
    found
}

fn is_local(host: &Host, local: &LocalHost<'_>) -> bool {
    match host.kind {
        HostKind::On | HostKind::Stacked { .. } => host
            .names
            .iter()
            .any(|name| same_host(name, local.nodename)),
        HostKind::Floating => host.address.as_ref().is_some_and(|address| {
            // Whether a node has such an address cannot be asked for these two.
            matches!(address.family, Family::Sdp | Family::Ssocks)
                || address.host == local.nodename
                || (local.has_address)(address)
        }),
    }
}
