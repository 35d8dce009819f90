// SPDX-License-Identifier: GPL-2.0-or-later
//! Which hosts are connected, over which addresses.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::dialect::Dialect;
use crate::hostname::same_host;
use crate::model::{Address, Connection, Host, Path, PathHost, Resource};
use crate::source::Span;

/// For 8.4: the one connection of a resource with more than two hosts, to the
/// peer that was asked for. With two hosts there is no choice.
pub(super) fn one_peer(resource: &mut Resource, peer: Option<&str>, diagnostics: &mut Diagnostics) {
    let (Some(local), true) = (resource.local, resource.hosts.len() > 2) else {
        return;
    };
    let names: Vec<String> = resource
        .hosts
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != local)
        .map(|(_, host)| host.joined_name())
        .collect();
    let found = resource.hosts.iter().enumerate().position(|(index, host)| {
        index != local
            && peer.is_some_and(|peer| {
                host.joined_name() == peer || host.names.iter().any(|name| same_host(name, peer))
            })
    });
    let Some((found, theirs)) =
        found.and_then(|found| Some((found, resource.hosts.get(found)?.span)))
    else {
        let what = match peer {
            Some(peer) => format!("`{peer}` is no peer in resource {}", resource.name),
            None => format!("resource {} has more than one peer", resource.name),
        };
        diagnostics.push(Diagnostic::error(resource.span, what).help(format!(
            "choose one with `--peer NAME`: {}",
            names.join(", ")
        )));
        return;
    };
    let mut ends = [end(None, resource.span), end(None, theirs)];
    ends[0].host = Some(local);
    ends[1].host = Some(found);
    resource.connections.push(derived(ends, resource.span));
}

/// Adds the connections the text only implies and completes all of them.
pub(super) fn complete(resource: &mut Resource, dialect: Dialect, diagnostics: &mut Diagnostics) {
    let meshes = std::mem::take(&mut resource.meshes);
    for mesh in &meshes {
        for (index, (left, left_span)) in mesh.hosts.iter().enumerate() {
            for (right, right_span) in mesh.hosts.iter().skip(index + 1) {
                let ends = [
                    end(Some(left.clone()), *left_span),
                    end(Some(right.clone()), *right_span),
                ];
                let mut connection = derived(ends, mesh.span);
                connection.net.clone_from(&mesh.net);
                resource.connections.push(connection);
            }
        }
    }
    resource.meshes = meshes;
    if resource.connections.is_empty() {
        match resource.hosts.as_slice() {
            [] | [_] => {}
            [left, right] => {
                let mut ends = [end(None, left.span), end(None, right.span)];
                ends[0].host = Some(0);
                ends[1].host = Some(1);
                let connection = derived(ends, resource.span);
                resource.connections.push(connection);
            }
            // The peer could not be told, which has been said; or the resource
            // is for others.
            _ if dialect.is_84() => {}
            _ => diagnostics.push(
                Diagnostic::error(
                    resource.span,
                    format!(
                        "resource {} has more than two hosts and does not say which are connected",
                        resource.name
                    ),
                )
                .help("add `connection-mesh { hosts A B C; }`, or a `connection` for each pair"),
            ),
        }
    }
    let name = resource.name.clone();
    let hosts = resource.hosts.clone();
    for connection in &mut resource.connections {
        for path in &mut connection.paths {
            for end in &mut path.hosts {
                complete_end(&name, &hosts, end, diagnostics);
            }
        }
        same_pair(connection, diagnostics);
        add_peer_devices(&hosts, connection);
    }
    twice(&hosts, &resource.connections, diagnostics);
}

fn end(name: Option<String>, span: Span) -> PathHost {
    PathHost {
        name,
        address: None,
        port: None,
        proxy: None,
        outside_address: None,
        span,
        host: None,
    }
}

fn derived(ends: [PathHost; 2], span: Span) -> Connection {
    Connection {
        name: None,
        paths: vec![Path {
            hosts: ends.to_vec(),
            implicit: false,
            span,
        }],
        net: Vec::new(),
        disk: Vec::new(),
        peer_devices: Vec::new(),
        span,
        derived: true,
    }
}

fn complete_end(resource: &str, hosts: &[Host], end: &mut PathHost, diagnostics: &mut Diagnostics) {
    if end.host.is_none() {
        end.host = find_host(hosts, end);
    }
    let Some(host) = end.host.and_then(|index| hosts.get(index)) else {
        let names: Vec<String> = hosts.iter().map(Host::joined_name).collect();
        let what = match (&end.name, &end.address) {
            (Some(name), _) => format!("host `{name}`"),
            (None, Some(address)) => format!("host with the address {address}"),
            (None, None) => "such host".into(),
        };
        diagnostics.push(
            Diagnostic::error(end.span, format!("resource {resource} has no {what}"))
                .help(format!("the hosts are {}", names.join(", "))),
        );
        return;
    };
    if end.address.is_none() {
        end.address = host.address.clone().map(|address| Address {
            port: end.port.unwrap_or(address.port),
            ..address
        });
    }
    if end.proxy.is_none() {
        end.proxy.clone_from(&host.proxy);
    }
    if end.address.is_none() {
        diagnostics.push(
            Diagnostic::error(
                end.span,
                format!(
                    "resource {resource}, `{}`: `address` is missing",
                    host.title()
                ),
            )
            .help("add `address A.B.C.D:PORT;` to the host section"),
        );
    }
}

/// An end means the host it names, or the one with its address. An exact name
/// wins over one that is only the same machine.
fn find_host(hosts: &[Host], end: &PathHost) -> Option<usize> {
    match (&end.name, &end.address) {
        (Some(name), _) => hosts
            .iter()
            .position(|host| host.names.contains(name) || host.joined_name() == *name)
            .or_else(|| {
                hosts
                    .iter()
                    .position(|host| host.names.iter().any(|known| same_host(known, name)))
            }),
        (None, Some(address)) => hosts.iter().position(|host| {
            host.address
                .as_ref()
                .is_some_and(|known| known.host == address.host)
        }),
        (None, None) => None,
    }
}

/// All paths of a connection join the same two hosts, and not one with itself.
fn same_pair(connection: &Connection, diagnostics: &mut Diagnostics) {
    let pair = |path: &Path| match path.hosts.as_slice() {
        [left, right] => Some((left.host?.min(right.host?), left.host?.max(right.host?))),
        _ => None,
    };
    let Some(first) = connection.paths.first() else {
        return;
    };
    for path in &connection.paths {
        let Some((low, high)) = pair(path) else {
            continue;
        };
        if low == high {
            diagnostics.push(Diagnostic::error(
                path.span,
                "both ends of this connection are the same host",
            ));
        } else if pair(first).is_some_and(|first| first != (low, high)) {
            diagnostics.push(
                Diagnostic::error(path.span, "this path joins other hosts than the first one")
                    .see(first.span, "the first path")
                    .help("paths of one connection join the same two hosts"),
            );
        }
    }
}

/// Two hosts have one connection.
fn twice(hosts: &[Host], connections: &[Connection], diagnostics: &mut Diagnostics) {
    let mut seen: Vec<([usize; 2], Span)> = Vec::new();
    for connection in connections {
        let Some(mut ends) = connection.ends() else {
            continue;
        };
        ends.sort_unstable();
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == ends) {
            let name = |index: usize| hosts.get(index).map(Host::joined_name).unwrap_or_default();
            diagnostics.push(
                Diagnostic::error(
                    connection.span,
                    format!(
                        "a second connection between {} and {}",
                        name(ends[0]),
                        name(ends[1])
                    ),
                )
                .see(*first, "the first one is here")
                .help("put several `path` sections into one connection"),
            );
        } else {
            seen.push((ends, connection.span));
        }
    }
}

fn add_peer_devices(hosts: &[Host], connection: &mut Connection) {
    let Some(ends) = connection.ends() else {
        return;
    };
    let numbers: Vec<u32> = ends
        .iter()
        .filter_map(|index| hosts.get(*index))
        .flat_map(|host| host.volumes.iter().map(|volume| volume.number))
        .collect();
    for number in numbers {
        if !connection
            .peer_devices
            .iter()
            .any(|known| known.number == number)
        {
            connection.peer_devices.push(crate::model::PeerDevice {
                number,
                options: Vec::new(),
                derived: true,
                span: connection.span,
            });
        }
    }
}
