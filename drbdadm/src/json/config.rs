// SPDX-License-Identifier: GPL-2.0-or-later
//! `dump --json`: the configuration as commands see it, options inherited.

use drbd_conf::model::{
    Address, Connection, Host, HostKind, MetaIndex, Opt, Path, Resource, Volume,
};
use drbd_conf::Resolved;
use serde_json::{json, Map, Value};

/// The resources of these names.
pub(crate) fn dump(resolved: &Resolved, names: &[&str]) -> Value {
    let sources = &resolved.config.sources;
    let resources: Vec<Value> = resolved
        .full
        .iter()
        .filter(|resource| names.contains(&resource.name.as_str()))
        .map(|resource| {
            let mut value = one(resource);
            value["file"] = sources.name(resource.open).into();
            value["line"] = sources.position(resource.open).line.into();
            value
        })
        .collect();
    json!({
        "config": resolved.config.path,
        "node": resolved.nodename,
        "resources": resources,
    })
}

fn one(resource: &Resource) -> Value {
    let sections = &resource.sections;
    json!({
        "name": resource.name,
        "local": resource.local_host().map(Host::joined_name),
        "stacked": resource.is_stacked(),
        "options": options(&sections.options),
        "net": options(&sections.net),
        "startup": options(&sections.startup),
        "handlers": options(&sections.handlers),
        "hosts": resource.hosts.iter().map(host).collect::<Vec<_>>(),
        "connections": resource
            .connections
            .iter()
            .map(|each| connection(resource, each))
            .collect::<Vec<_>>(),
    })
}

fn options(list: &[Opt]) -> Value {
    let map: Map<String, Value> = list
        .iter()
        .map(|opt| (opt.name.clone(), opt.value.as_str().into()))
        .collect();
    map.into()
}

fn host(host: &Host) -> Value {
    let kind = match &host.kind {
        HostKind::On => "on",
        HostKind::Floating => "floating",
        HostKind::Stacked { .. } => "stacked-on-top-of",
    };
    json!({
        "names": host.names,
        "kind": kind,
        "node-id": host.node_id,
        "address": host.address.as_ref().map(address),
        "volumes": host.volumes.iter().map(volume).collect::<Vec<_>>(),
    })
}

fn address(address: &Address) -> Value {
    json!({
        "family": address.family.word(),
        "address": address.host,
        "port": address.port,
    })
}

fn volume(volume: &Volume) -> Value {
    let meta = volume.meta_disk.as_ref().filter(|_| !volume.is_diskless());
    let index = meta.map(|meta| match meta.index {
        MetaIndex::Internal | MetaIndex::FlexInternal => Value::from("internal"),
        MetaIndex::Flexible => "flexible".into(),
        MetaIndex::Slot(slot) => slot.into(),
    });
    let mut disk = volume.options.disk.clone();
    disk.extend(volume.options.device.iter().cloned());
    json!({
        "volume": volume.number,
        "device": volume.device_path(),
        "minor": volume.minor,
        "disk": volume.disk.as_ref().filter(|_| !volume.is_diskless()),
        "meta-disk": meta.map(|meta| meta.device.clone()),
        "meta-disk-index": index,
        "options": options(&disk),
    })
}

fn connection(resource: &Resource, connection: &Connection) -> Value {
    let name = |index: Option<usize>| {
        let host = index.and_then(|index| resource.hosts.get(index));
        host.map(Host::joined_name)
    };
    let path = |path: &Path| -> Vec<Value> {
        path.hosts
            .iter()
            .map(|end| json!({ "host": name(end.host), "address": end.address.as_ref().map(address) }))
            .collect()
    };
    let devices: Vec<Value> = connection
        .peer_devices
        .iter()
        .map(|device| json!({ "volume": device.number, "options": options(&device.options) }))
        .collect();
    json!({
        "hosts": connection.ends().map(|ends| ends.map(|end| name(Some(end)))),
        "paths": connection.paths.iter().map(path).collect::<Vec<_>>(),
        "net": options(&connection.net),
        "volumes": devices,
    })
}
