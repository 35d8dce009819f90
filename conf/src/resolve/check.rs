// SPDX-License-Identifier: GPL-2.0-or-later
//! Contradictions between parts that are each right by themselves.

use std::collections::BTreeMap;

use super::{minor_of, LocalHost};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::dialect::Dialect;
use crate::hostname::same_host;
use crate::model::{Address, Family, Host, HostKind, MetaIndex, Opt, Resource};
use crate::source::Span;

/// Things that one machine can use once, by kind, machine and name.
#[derive(Default)]
struct Uses {
    first: BTreeMap<(&'static str, String, String), Span>,
}

impl Uses {
    fn note(
        &mut self,
        kind: &'static str,
        machine: &str,
        name: String,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) {
        let key = (kind, machine.to_ascii_lowercase(), name);
        if let Some(first) = self.first.get(&key) {
            // Something the resource says once for two hosts conflicts on both
            // of them; the first is told.
            let told = diagnostics
                .iter()
                .any(|old| old.span == span && old.message.starts_with(kind));
            if !told {
                diagnostics.push(
                    Diagnostic::error(span, format!("{kind} {} is used twice on {machine}", key.2))
                        .see(*first, "it is used here already"),
                );
            }
        } else {
            self.first.insert(key, span);
        }
    }
}

/// Checks completed resources against each other.
pub(super) fn check(resources: &[Resource], dialect: Dialect, diagnostics: &mut Diagnostics) {
    let mut uses = Uses::default();
    let mut endpoints: BTreeMap<(Family, String, u16, String), (usize, Span)> = BTreeMap::new();
    for (index, resource) in resources.iter().enumerate() {
        let mut ids: BTreeMap<u32, Span> = BTreeMap::new();
        for (place, host) in resource.hosts.iter().enumerate() {
            if let Some(id) = host.node_id {
                if let Some(first) = ids.insert(id, host.node_id_span) {
                    diagnostics.push(
                        Diagnostic::error(
                            host.node_id_span,
                            format!("resource {}: node-id {id} is used twice", resource.name),
                        )
                        .see(first, "it is used here already"),
                    );
                }
            }
            device_names(resource, place, host, diagnostics);
            for machine in machines(host) {
                host_uses(host, &machine, &mut uses, diagnostics);
            }
        }
        for connection in &resource.connections {
            for path in &connection.paths {
                for end in &path.hosts {
                    let (Some(address), Some(host)) =
                        (&end.address, end.host.and_then(|h| resource.hosts.get(h)))
                    else {
                        continue;
                    };
                    let key = endpoint_key(address, host);
                    let (owner, first) = *endpoints.entry(key).or_insert((index, address.span));
                    if owner != index {
                        let other = resources.get(owner).map_or("?", |r| r.name.as_str());
                        diagnostics.push(
                            Diagnostic::error(
                                address.span,
                                format!("{address} is used in two resources"),
                            )
                            .see(first, format!("resource {other} uses it here"))
                            .help("give each resource a port of its own"),
                        );
                    }
                }
                if let [left, right] = path.hosts.as_slice() {
                    // Without node ids the same address has been reported already.
                    let known = resource.hosts.iter().all(|host| host.node_id.is_some());
                    if known || dialect.is_84() {
                        same_endpoint(left, right, diagnostics);
                    }
                }
            }
        }
    }
}

fn same_endpoint(
    left: &crate::model::PathHost,
    right: &crate::model::PathHost,
    diagnostics: &mut Diagnostics,
) {
    let (Some(a), Some(b)) = (&left.address, &right.address) else {
        return;
    };
    // Behind proxies each host may be 127.0.0.1 to itself.
    if a.same(b) && left.proxy.is_none() && right.proxy.is_none() {
        diagnostics.push(
            Diagnostic::error(b.span, format!("{b} is used for both ends of a connection"))
                .see(a.span, "the other end"),
        );
    }
}

fn endpoint_key(address: &Address, host: &Host) -> (Family, String, u16, String) {
    let machine = if address.is_loopback() {
        host.joined_name()
    } else {
        String::new()
    };
    let text = address
        .host
        .parse::<std::net::IpAddr>()
        .map_or_else(|_| address.host.clone(), |ip| ip.to_string());
    (address.family, text, address.port, machine)
}

/// Machines a host section may be.
fn machines(host: &Host) -> Vec<String> {
    match host.kind {
        HostKind::On | HostKind::Stacked { .. } => host.names.clone(),
        HostKind::Floating => vec![host.joined_name()],
    }
}

fn host_uses(host: &Host, machine: &str, uses: &mut Uses, diagnostics: &mut Diagnostics) {
    let stacked = matches!(host.kind, HostKind::Stacked { .. });
    for volume in &host.volumes {
        if let Some(minor) = volume.minor {
            let text = minor.to_string();
            uses.note("minor", machine, text, volume.device_span, diagnostics);
        }
        if stacked {
            continue;
        }
        if let Some(disk) = volume.disk.as_ref().filter(|disk| *disk != "none") {
            uses.note("disk", machine, disk.clone(), volume.disk_span, diagnostics);
        }
        let external = volume.meta_disk.as_ref().filter(|meta| !meta.is_internal());
        if let Some(meta) = external {
            let name = match meta.index {
                MetaIndex::Slot(slot) => format!("{}[{slot}]", meta.device),
                _ => meta.device.clone(),
            };
            uses.note(
                "metadata place",
                machine,
                name,
                volume.meta_disk_span,
                diagnostics,
            );
        }
    }
}

/// The name of the local device must be one udev and the kernel agree on.
fn device_names(resource: &Resource, place: usize, host: &Host, diagnostics: &mut Diagnostics) {
    // What the devices of another machine are called is that machine's affair.
    if resource.local.is_some_and(|local| local != place) {
        return;
    }
    for volume in &host.volumes {
        if let Some(name) = &volume.device {
            if !name.starts_with("/dev/drbd") {
                diagnostics.push(
                    Diagnostic::error(
                        volume.device_span,
                        format!("the device name {name} does not begin with /dev/drbd"),
                    )
                    .help("write `device minor N;`"),
                );
            }
        }
    }
}

/// Checks option values that name other parts of the configuration.
pub(super) fn check_options(
    resources: &[Resource],
    local: &LocalHost<'_>,
    diagnostics: &mut Diagnostics,
) {
    for resource in resources {
        let nets = resource
            .connections
            .iter()
            .map(|connection| &connection.net)
            .chain([&resource.sections.net]);
        for opt in nets.flatten() {
            discard_node(resource, opt, diagnostics);
        }
        let Some(host) = resource.local_host() else {
            continue;
        };
        for opt in host.volumes.iter().flat_map(|v| &v.options.disk) {
            if opt.name == "resync-after"
                && opt.value != "-1"
                && minor_of(resources, &opt.value).is_none()
            {
                let mut finding = Diagnostic::error(
                    opt.span,
                    format!("`resync-after`: there is no volume `{}` here", opt.value),
                )
                .help("write RESOURCE or RESOURCE/VOLUME");
                if !local.interactive {
                    finding.severity = Severity::Warning;
                    finding = finding.help("this run goes on without the option");
                }
                diagnostics.push(finding);
            }
        }
    }
}

fn discard_node(resource: &Resource, opt: &Opt, diagnostics: &mut Diagnostics) {
    let Some(name) = opt.value.strip_prefix("discard-node-") else {
        return;
    };
    let known = resource
        .hosts
        .iter()
        .any(|host| host.names.iter().any(|known| same_host(known, name)));
    if opt.name == "after-sb-0pri" && !known {
        diagnostics.push(
            Diagnostic::error(
                opt.span,
                format!(
                    "`{}`: resource {} has no host `{name}`",
                    opt.value, resource.name
                ),
            )
            .help("`discard-node-NAME` names one of the hosts"),
        );
    }
}
