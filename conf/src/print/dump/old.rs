// SPDX-License-Identifier: GPL-2.0-or-later
//! Resources as the tools of generation 8.4 print them.
//!
//! Everything about a volume stands with its hosts, there are no node ids and
//! no connections.

use super::{connection, device, disk_and_meta, endpoint, quoted, section, Out};
use crate::model::{DiskOptions, Global, Host, HostKind, Resource, Volume};

/// Seconds that the 8.4 tools print for a medium and a long limit when none is
/// given; a parser that knows them as defaults has never been released.
const CMD_TIMEOUT_MEDIUM: u32 = 600;
const CMD_TIMEOUT_LONG: u32 = 0;

/// The limits for calls, which are always printed.
pub(super) fn timeouts(global: &Global, lines: &mut Vec<String>) {
    if let Some(seconds) = global.cmd_timeout_short {
        lines.push(format!("cmd-timeout-short {seconds};"));
    }
    let medium = global.cmd_timeout_medium.unwrap_or(CMD_TIMEOUT_MEDIUM);
    lines.push(format!("cmd-timeout-medium {medium};"));
    let long = global.cmd_timeout_long.unwrap_or(CMD_TIMEOUT_LONG);
    lines.push(format!("cmd-timeout-long {long};"));
}

/// What stands between the braces of a resource.
pub(super) fn body(out: &mut Out, resource: &Resource, expanded: bool) {
    for each in &resource.hosts {
        host(out, resource, each, expanded);
    }
    section::sections(out, &resource.sections);
}

fn host(out: &mut Out, resource: &Resource, host: &Host, expanded: bool) {
    match &host.kind {
        HostKind::On => {
            let names: Vec<String> = host.names.iter().map(|name| quoted(name)).collect();
            out.open(&format!("on {}", names.join(" ")));
        }
        HostKind::Floating => {
            let address = host.address.as_ref().map(endpoint).unwrap_or_default();
            out.open(&format!("floating {address}"));
        }
        HostKind::Stacked { lower } => {
            out.open(&format!("stacked-on-top-of {}", quoted(lower)));
            out.line(&format!("# on {} ", host.names.join(" ")));
        }
    }
    let stacked = matches!(host.kind, HostKind::Stacked { .. });
    for each in &host.volumes {
        volume(out, resource, each, stacked, expanded);
    }
    if host.kind != HostKind::Floating {
        if let Some(address) = &host.address {
            out.line(&format!("{:16} {};", "address", endpoint(address)));
        }
    }
    if let Some(proxy) = &host.proxy {
        connection::host_proxy(out, proxy);
        out.close();
    }
    out.close();
}

fn volume(out: &mut Out, resource: &Resource, volume: &Volume, stacked: bool, expanded: bool) {
    if !volume.implicit {
        out.open(&format!("volume {}", volume.number));
    }
    section::disk_options(out, &options(resource, volume, expanded));
    device(out, volume, expanded);
    if !stacked {
        disk_and_meta(out, volume, expanded);
    }
    if !volume.implicit {
        out.close();
    }
}

/// The options of a volume. Unless they have been inherited already, those that
/// the resource has for the volume stand with it: there is no other place that
/// they could be printed at.
fn options(resource: &Resource, volume: &Volume, expanded: bool) -> DiskOptions {
    let mut options = volume.options.clone();
    let template = resource
        .volumes
        .iter()
        .find(|template| template.number == volume.number);
    if let (Some(template), false) = (template, expanded) {
        for opt in &template.options.disk {
            if !options.disk.iter().any(|own| own.name == opt.name) {
                options.disk.push(opt.clone());
            }
        }
    }
    options
}
