// SPDX-License-Identifier: GPL-2.0-or-later
//! Connections, paths, meshes, proxies.

use super::{endpoint, quoted, section, Out};
use crate::model::{Connection, HostKind, HostProxy, Mesh, PathHost, Resource};

pub(super) fn connection(
    out: &mut Out,
    resource: &Resource,
    connection: &Connection,
    expanded: bool,
) {
    match &connection.name {
        Some(name) => out.open(&format!("connection {}", quoted(name))),
        None => out.open("connection"),
    }
    for path in &connection.paths {
        let own_section = expanded || !path.implicit;
        if own_section {
            out.open("path");
        }
        for end in &path.hosts {
            path_host(out, resource, end);
        }
        if own_section {
            out.close();
        }
    }
    section::options(out, "net", &connection.net);
    section::options(out, "disk", &connection.disk);
    for device in &connection.peer_devices {
        out.open(&format!("volume {}", device.number));
        section::options(out, "disk", &device.options);
        out.close();
    }
    out.close();
}

fn path_host(out: &mut Out, resource: &Resource, end: &PathHost) {
    let host = end.host.and_then(|index| resource.hosts.get(index));
    if let (Some(host), Some(address)) = (host, &end.address) {
        if let HostKind::Stacked { .. } = host.kind {
            // The comment swallows the rest of the line, so the statement ends
            // on the next one, too.
            out.line(&format!(
                "{:16} {}; # on {}",
                "address",
                endpoint(address),
                host.joined_name()
            ));
            out.text.push_str(";\n");
            return;
        }
    }
    let mut line = String::new();
    let name = match (&end.name, host) {
        (_, Some(host)) => Some(host.joined_name()),
        (Some(name), None) => Some(name.clone()),
        (None, None) => None,
    };
    // Values of a host statement are set apart by one more indentation.
    let gap = " ".repeat(4 * out.level + 1);
    if let Some(name) = &name {
        line.push_str(&format!("host {}", quoted(name)));
        if end.address.is_some() {
            line.push_str(&gap);
        }
    }
    match (&end.address, end.port) {
        (Some(address), _) => line.push_str(&format!("{:15} {}", "address", endpoint(address))),
        (None, Some(port)) => line.push_str(&format!(" port {port}")),
        (None, None) => {}
    }
    if let Some(outside) = &end.outside_address {
        line.push_str(&format!("{gap}via outside-address {}", endpoint(outside)));
    }
    match &end.proxy {
        None => out.line(&format!("{line};")),
        Some(proxy) => {
            out.open(&format!(
                "{line}{gap}via proxy on {}",
                proxy.names.join(" ")
            ));
            host_proxy_body(out, proxy);
            out.close();
        }
    }
}

/// `proxy on NAME {` and its addresses; the caller closes it.
pub(super) fn host_proxy(out: &mut Out, proxy: &HostProxy) {
    out.open(&format!("proxy on {}", proxy.names.join(" ")));
    host_proxy_body(out, proxy);
}

fn host_proxy_body(out: &mut Out, proxy: &HostProxy) {
    for (word, address) in [("inside", &proxy.inside), ("outside", &proxy.outside)] {
        if let Some(address) = address {
            out.line(&format!("{word:16} {};", endpoint(address)));
        }
    }
    if !proxy.options.is_empty() {
        out.open("options");
        for opt in &proxy.options.options {
            out.line(&format!("{} {};", opt.name, quoted(&opt.value)));
        }
        if !proxy.options.plugins.is_empty() {
            out.open("plugin");
            for plugin in &proxy.options.plugins {
                out.line(&format!("{plugin};"));
            }
            out.close();
        }
        out.close();
    }
}

pub(super) fn mesh(out: &mut Out, mesh: &Mesh) {
    out.open("connection-mesh");
    let names: Vec<String> = mesh.hosts.iter().map(|(name, _)| quoted(name)).collect();
    out.line(&format!("hosts {};", names.join(" ")));
    section::options(out, "net", &mesh.net);
    out.close();
}
