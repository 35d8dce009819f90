// SPDX-License-Identifier: GPL-2.0-or-later
//! From a command and what was selected to units of work.

use drbd_conf::model::{Connection, Host, Resource, Volume};

use super::unit::Unit;
use crate::call::{Call, Limit};
use crate::cli::Request;
use crate::command::{Act, Works};
use crate::failure::{Failure, CONFIG};
use crate::select::Selection;
use crate::steps::{id, meta_found, meta_options, minor, Steps};

/// The work for one selected resource, connection or volume.
pub(super) fn units(
    request: &Request,
    steps: &Steps<'_>,
    selection: &Selection<'_>,
) -> Result<Vec<Unit>, Failure> {
    let mut list = Vec::new();
    match request.command.works {
        Works::OnVolume | Works::OnOneVolume => {
            for volume in selection.volumes() {
                if request.command.needs_disk() && volume.is_diskless() {
                    if selection.volume.is_some() {
                        return Err(no_disk(request, selection.resource, volume));
                    }
                    continue;
                }
                volume_units(request, steps, selection, volume, &mut list);
            }
        }
        Works::OnConnection => {
            for (connection, peer) in selection.connections() {
                list.push(connection_unit(request, steps, selection, connection, peer));
            }
        }
        Works::OnPath => {
            for (connection, peer) in selection.connections() {
                let name = request.command.name;
                let resource = selection.resource;
                let calls = steps.paths(name, resource, selection.local, connection, peer);
                list.push(Unit::Together(calls));
            }
        }
        Works::OnPeerDevice => {
            for (connection, peer) in selection.connections() {
                for volume in selection.volumes() {
                    list.push(peer_device_unit(
                        request, steps, selection, connection, peer, volume,
                    ));
                }
            }
        }
        Works::OnResource | Works::OnAny | Works::OnConfiguration | Works::Alone => {
            list.extend(resource_unit(request, steps, selection));
        }
    }
    Ok(list)
}

fn no_disk(request: &Request, resource: &Resource, volume: &Volume) -> Failure {
    Failure::new(
        CONFIG,
        format!(
            "{} works on a disk, but {}/{} has none on this host",
            request.command.name, resource.name, volume.number
        ),
        &["the configuration says `disk none`"],
    )
}

fn resource_unit(request: &Request, steps: &Steps<'_>, selection: &Selection<'_>) -> Option<Unit> {
    let name = request.command.name;
    let resource = selection.resource;
    let call = match (request.command.act, name) {
        (Act::Handler, _) => {
            let opt = resource
                .sections
                .handlers
                .iter()
                .find(|opt| opt.name == name)?;
            return Some(Unit::Handler(opt.value.clone()));
        }
        (Act::Down, _) => Call::setup(&resource.name, Limit::Medium, ["down", &resource.name]),
        (Act::Wait, _) => {
            let full = if name.ends_with("-resource") {
                name.to_owned()
            } else {
                format!("{name}-resource")
            };
            Call::setup(&resource.name, Limit::None, [&full, &resource.name])
                .with(steps.options(&resource.sections.startup))
        }
        (_, "new-resource") => steps.new_resource(resource, selection.host),
        _ => {
            let limit = match name {
                "primary" | "secondary" => Limit::Medium,
                _ => Limit::Short,
            };
            Call::setup(&resource.name, limit, [name, &resource.name])
        }
    };
    Some(Unit::Together(vec![call.with(request.backend.clone())]))
}

fn connection_unit(
    request: &Request,
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    connection: &Connection,
    peer: &Host,
) -> Unit {
    let name = request.command.name;
    let resource = selection.resource;
    let plain = |limit| Call::setup(&resource.name, limit, [name, &resource.name, &id(peer)]);
    let call = match name {
        "new-peer" | "net-options" => plain(Limit::Short).with(steps.net_options(connection, peer)),
        "wait-connect-connection" | "wait-sync-connection" => {
            plain(Limit::None).with(steps.options(&resource.sections.startup))
        }
        "disconnect" => plain(Limit::Medium),
        _ => plain(Limit::Short),
    }
    .with(request.backend.clone());
    let mut calls = vec![call];
    if request.command.act == Act::ForgetPeer {
        let node = format!("--node-id={}", id(peer));
        for volume in selection.host.volumes.iter().filter(|v| !v.is_diskless()) {
            calls.push(meta_found(resource, volume, &[&node, "forget-peer"]));
        }
    }
    Unit::Together(calls)
}

fn peer_device_unit(
    request: &Request,
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    connection: &Connection,
    peer: &Host,
    volume: &Volume,
) -> Unit {
    let name = request.command.name;
    let resource = selection.resource;
    let mut call = Steps::peer_device(name, resource, peer, volume.number);
    match name {
        "peer-device-options" => {
            call = call.with(steps.peer_device_options(connection, peer, volume.number));
        }
        "wait-connect-volume" | "wait-sync-volume" => {
            call.limit = Limit::None;
            call = call.with(steps.options(&resource.sections.startup));
        }
        _ => {}
    }
    call = call.with(request.backend.clone());
    if request.command.act == Act::SetupOrMeta && !volume.is_diskless() {
        let node = format!("--node-id={}", id(peer));
        let second = meta_found(resource, volume, &[&node, name]);
        return Unit::Fallback(call.quiet(), second);
    }
    Unit::Together(vec![call])
}

fn volume_units(
    request: &Request,
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    volume: &Volume,
    list: &mut Vec<Unit>,
) {
    let name = request.command.name;
    let resource = selection.resource;
    let backend = request.backend.clone();
    let setup = |limit| Call::setup(&resource.name, limit, [name, &minor(volume)]);
    match request.command.act {
        Act::Attach => {
            let mut calls = steps.attach(resource, volume);
            if let Some(attach) = calls.pop() {
                calls.push(attach.with(backend));
            }
            list.push(Unit::Together(calls));
        }
        Act::CreateMd => list.push(Unit::CreateMd(
            steps.create_md(selection, volume),
            volume.clone(),
        )),
        Act::DumpSuperblock => {
            let args = ["dump-superblock", "--output-format=json"];
            let call = meta_found(resource, volume, &args).with(meta_options(&backend));
            list.push(Unit::Together(vec![call]));
        }
        Act::Meta if name == "set-gi" => {
            for (_, peer) in selection.connections() {
                let node = format!("--node-id={}", id(peer));
                let mut call =
                    meta_found(resource, volume, &[&node, name]).with(meta_options(&backend));
                call.limit = Limit::None;
                list.push(Unit::Together(vec![call]));
            }
        }
        Act::Meta => {
            let mut call = meta_found(resource, volume, &[name]).with(meta_options(&backend));
            if name == "wipe-md" {
                // It asks before it wipes.
                call.limit = Limit::None;
            }
            list.push(Unit::Together(vec![call]));
        }
        Act::SetupOrMeta => {
            let is_force = |option: &String| option.starts_with("--force");
            let (force, rest): (Vec<String>, Vec<String>) = backend.into_iter().partition(is_force);
            let first = setup(Limit::Medium).with(rest).quiet();
            if volume.is_diskless() {
                list.push(Unit::Together(vec![first]));
                return;
            }
            let mut second = meta_found(resource, volume, &[name]).with(meta_options(&force));
            second.limit = Limit::None;
            list.push(Unit::Fallback(first, second));
        }
        Act::Outdate => list.push(Unit::Outdate(
            setup(Limit::Medium).with(backend).quiet(),
            meta_found(resource, volume, &[name]),
        )),
        Act::Resize | Act::CheckResize => {
            let mut first = Call::setup(&resource.name, Limit::Medium, ["resize", &minor(volume)]);
            let size = volume.options.disk.iter().find(|opt| opt.name == "size");
            first = first.with(steps.options(size.map(std::slice::from_ref).unwrap_or(&[])));
            first = first.with(backend);
            let second = Call::setup(
                &resource.name,
                Limit::Short,
                ["check-resize", &minor(volume)],
            )
            .quiet();
            let quiet = request.command.act == Act::CheckResize;
            let last = quiet.then(|| meta_found(resource, volume, &["check-resize"]));
            if quiet {
                first = first.quiet();
            }
            list.push(Unit::Resize(first, second, last));
        }
        _ => {
            let call = match name {
                "new-minor" => steps.new_minor(resource, volume),
                "disk-options" => setup(Limit::Medium).with(steps.disk_options(volume)),
                "detach" | "suspend-io" => setup(Limit::Medium),
                _ => setup(Limit::Short),
            };
            list.push(Unit::Together(vec![call.with(backend)]));
        }
    }
}
