// SPDX-License-Identifier: GPL-2.0-or-later
//! The same commands for a driver of generation 8.4 (drbdadm.md section 9,
//! column A8): most of them name a minor, a connection is its two addresses.

use std::io::Write as _;

use drbd_conf::hostname::same_host;
use drbd_conf::model::{HostKind, Volume};
use drbd_conf::Resolved;

use super::unit::Unit;
use crate::call::{Call, Limit, Runner};
use crate::cli::Request;
use crate::command::{Act, Works};
use crate::driver;
use crate::select::Selection;
use crate::steps::{meta_found, meta_options, minor, Steps};

/// The work for one selected resource or volume.
pub(super) fn units(request: &Request, steps: &Steps<'_>, selection: &Selection<'_>) -> Vec<Unit> {
    match request.command.act {
        Act::Handler => handler(request, selection),
        Act::Promote => vec![Unit::Promote(promotions(steps, selection))],
        _ if request.command.works_in(driver::dialect()) == Works::OnResource => {
            let call = resource_call(request.command.name, steps, selection);
            let with = |call: Call| call.with(request.backend.clone());
            vec![Unit::Together(call.map(with).into_iter().collect())]
        }
        _ => selection
            .volumes()
            .into_iter()
            .map(|volume| volume_unit(request, steps, selection, volume))
            .collect(),
    }
}

fn handler(request: &Request, selection: &Selection<'_>) -> Vec<Unit> {
    let handlers = &selection.resource.sections.handlers;
    let found = handlers.iter().find(|opt| opt.name == request.command.name);
    found
        .map(|opt| Unit::Handler(opt.value.clone()))
        .into_iter()
        .collect()
}

/// A call about a whole resource; none if it is for a connection and there is
/// nobody to connect to.
fn resource_call(name: &str, steps: &Steps<'_>, selection: &Selection<'_>) -> Option<Call> {
    let resource = selection.resource;
    let setup = |limit, args: &[&str]| Call::setup(&resource.name, limit, args.iter().copied());
    Some(match name {
        "connect" => steps.connect_84(selection)?,
        "net-options" | "disconnect" => {
            let (ours, theirs) = Steps::addresses_84(selection)?;
            setup(Limit::Short, &[name, &ours, &theirs])
        }
        "new-resource" => steps.new_resource(resource, selection.host),
        "down" => setup(Limit::Medium, &[name, &resource.name]),
        _ => setup(Limit::Short, &[name, &resource.name]),
    })
}

fn volume_unit(
    request: &Request,
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    volume: &Volume,
) -> Unit {
    let name = request.command.name;
    let resource = selection.resource;
    let backend = request.backend.clone();
    let setup = |limit| Call::setup(&resource.name, limit, [name, &minor(volume)]);
    let meta = |name: &str| meta_found(resource, volume, &[name]);
    match (request.command.act, name) {
        (Act::Attach, _) => {
            let mut calls = steps.attach(resource, volume);
            if let Some(attach) = calls.pop() {
                calls.push(attach.with(backend));
            }
            Unit::Together(calls)
        }
        (Act::CreateMd, _) => Unit::CreateMd(steps.create_md(selection, volume), volume.clone()),
        (Act::Meta, _) => {
            let mut call = meta(name).with(meta_options(&backend));
            if matches!(name, "wipe-md" | "set-gi") {
                // They ask first.
                call.limit = Limit::None;
            }
            Unit::Together(vec![call])
        }
        (Act::SetupOrMeta, _) | (_, "show-gi" | "get-gi") => {
            let mut second = meta(name);
            second.limit = Limit::None;
            Unit::Fallback(setup(Limit::Medium).with(backend).quiet(), second)
        }
        (Act::Outdate, _) => Unit::Outdate(setup(Limit::Medium).with(backend).quiet(), meta(name)),
        (Act::Resize | Act::CheckResize, _) => resize(request, steps, selection, volume),
        (Act::Wait, _) => {
            let call = setup(Limit::None).with(wait_options(steps, selection));
            Unit::Together(vec![call.with(backend)])
        }
        (_, "new-minor" | "sh-new-minor") => {
            Unit::Together(vec![steps.new_minor(resource, volume).with(backend)])
        }
        _ => {
            let limit = match name {
                "primary" | "secondary" | "detach" | "invalidate-remote" => Limit::Medium,
                _ => Limit::Short,
            };
            Unit::Together(vec![setup(limit).with(backend)])
        }
    }
}

fn resize(
    request: &Request,
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    volume: &Volume,
) -> Unit {
    let resource = selection.resource;
    let size = volume.options.disk.iter().find(|opt| opt.name == "size");
    let call = |name: &str| Call::setup(&resource.name, Limit::Short, [name, &minor(volume)]);
    let mut first = call("resize")
        .with(steps.options(size.map(std::slice::from_ref).unwrap_or(&[])))
        .with(request.backend.clone());
    let quiet = request.command.act == Act::CheckResize;
    if quiet {
        first = first.quiet();
    }
    let last = quiet.then(|| meta_found(resource, volume, &["check-resize"]));
    Unit::Resize(first, call("check-resize").quiet(), last)
}

/// Options of `startup`. A stacked resource waits a little only, unless told
/// otherwise: the one below has waited already.
fn wait_options(steps: &Steps<'_>, selection: &Selection<'_>) -> Vec<String> {
    /// Seconds to wait if the configuration has no connect-int.
    const STACKED_WAIT_S: u64 = 20;
    let sections = &selection.resource.sections;
    if selection.resource.is_stacked() && !sections.stacked_timeouts {
        let interval = sections.net.iter().find(|opt| opt.name == "connect-int");
        let seconds = interval
            .and_then(|opt| opt.value.parse::<u64>().ok())
            .map_or(STACKED_WAIT_S, |interval| interval.saturating_mul(2));
        return vec![format!("--wfc-timeout={seconds}")];
    }
    steps.options(&sections.startup)
}

/// `sh-b-pri`: primary for every volume, if `become-primary-on` says so.
fn promotions(steps: &Steps<'_>, selection: &Selection<'_>) -> Vec<Call> {
    let resource = selection.resource;
    let own = &steps.resolved.nodename;
    let names = &resource.sections.become_primary_on;
    if !names
        .iter()
        .any(|name| name == "both" || same_host(name, own))
    {
        return Vec::new();
    }
    selection
        .volumes()
        .into_iter()
        .map(|volume| Call::setup(&resource.name, Limit::Medium, ["primary", &minor(volume)]))
        .collect()
}

/// `sh-status`: what the configuration and the kernel know, as shell variables.
pub(super) fn shell_status(
    runner: &Runner,
    resolved: &Resolved,
    selected: &[Selection<'_>],
) -> i32 {
    let sources = &resolved.config.sources;
    let mut out = std::io::stdout();
    let mut worst = 0;
    let version = env!("CARGO_PKG_VERSION");
    let path = &resolved.config.path;
    let _ = writeln!(
        out,
        "_drbd_version={version}\n_drbd_api=1\n_config_file={path}\n\n"
    );
    for selection in selected {
        let resource = selection.resource;
        let _ = writeln!(
            out,
            "_conf_res_name={}\n_conf_file_line={}:{}\n",
            resource.name,
            sources.name(resource.open),
            sources.position(resource.open).line
        );
        let below = match &selection.host.kind {
            HostKind::Stacked { lower } => resolved.resource(lower),
            _ => None,
        };
        for volume in selection.volumes() {
            let under = below
                .and_then(|lower| lower.local_host())
                .and_then(|host| host.volume(volume.number));
            let _ = writeln!(
                out,
                "_stacked_on={}\n_stacked_on_device={}\n_stacked_on_minor={}\n_conf_volume={}",
                below.map_or("", |lower| lower.name.as_str()),
                under.map(Volume::device_path).unwrap_or_default(),
                under.map(minor).unwrap_or_default(),
                volume.number
            );
            let call = Call::setup(&resource.name, Limit::Short, ["sh-status", &minor(volume)]);
            worst = worst.max(runner.run(&call));
        }
    }
    worst
}

/// What a handler is told of the peer. The address the kernel gave is left
/// alone.
pub(super) fn peer_of_handler(child: &mut std::process::Command, selection: &Selection<'_>) {
    let Some((_, peer)) = selection.connections().into_iter().next() else {
        return;
    };
    child
        .env("DRBD_PEER", peer.names.first().cloned().unwrap_or_default())
        .env("DRBD_PEERS", peer.names.join(" "));
    if let (Some(address), None) = (&peer.address, std::env::var_os("DRBD_PEER_ADDRESS")) {
        child
            .env("DRBD_PEER_AF", address.family.word())
            .env("DRBD_PEER_ADDRESS", &address.host);
    }
}
