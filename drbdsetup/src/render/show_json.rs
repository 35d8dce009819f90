// SPDX-License-Identifier: GPL-2.0-or-later
//! `drbdsetup show --json`, in the form of drbd-utils 9.29 and later.

use drbd_core::config::{OptionSpec, Value as OptionValue};
use drbd_netlink::{Connection, Device, Resource, Snapshot};
use serde::Serialize;
use serde_json::{Map, Value};

use super::show_text::{is_no_key, meta_disk, Groups};
use super::status_json::HostJson;
use super::Style;

#[derive(Serialize)]
struct ResourceJson<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    options: Map<String, Value>,
    #[serde(rename = "_this_host")]
    this_host: ThisHostJson<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<ConnectionJson>,
}

#[derive(Serialize)]
struct ThisHostJson<'a> {
    #[serde(rename = "node-id")]
    node_id: i64,
    volumes: Vec<VolumeJson<'a>>,
}

#[derive(Serialize)]
struct VolumeJson<'a> {
    volume_nr: u32,
    device_minor: u32,
    #[serde(rename = "backing-disk", skip_serializing_if = "Option::is_none")]
    backing_disk: Option<&'a str>,
    #[serde(rename = "meta-disk", skip_serializing_if = "Option::is_none")]
    meta_disk: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    disk: Map<String, Value>,
}

#[derive(Serialize)]
struct ConnectionJson {
    paths: Vec<PathJson>,
    #[serde(rename = "_cstate")]
    connection_state: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    net: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<PeerVolumeJson>,
    #[serde(rename = "_peer_node_id")]
    peer_node_id: u32,
}

#[derive(Serialize)]
struct PathJson {
    this_host: HostJson,
    remote_host: HostJson,
}

#[derive(Serialize)]
struct PeerVolumeJson {
    volume_nr: u32,
    disk: Map<String, Value>,
}

/// The resources as a JSON array; the reference tells the defaults in any case.
///
/// # Errors
///
/// Serde's; these structs have none.
pub fn show_json(snapshot: &Snapshot, resources: &[&Resource]) -> serde_json::Result<String> {
    let groups = Groups {
        all: true,
        style: Style::Utils934,
        snapshot,
    };
    let array: Vec<_> = resources
        .iter()
        .map(|resource| resource_json(&groups, resource))
        .collect();
    serde_json::to_string_pretty(&array)
}

fn resource_json<'a>(groups: &Groups<'a>, resource: &'a Resource) -> ResourceJson<'a> {
    let snapshot = groups.snapshot;
    ResourceJson {
        resource: &resource.name,
        options: options(&groups.resource(resource)),
        this_host: ThisHostJson {
            node_id: resource.options.number("node_id").unwrap_or(-1),
            volumes: snapshot
                .devices_of(&resource.name)
                .map(|device| volume(groups, device))
                .collect(),
        },
        connections: snapshot
            .connections_of(&resource.name)
            .map(|peer| connection(groups, peer))
            .collect(),
    }
}

fn volume<'a>(groups: &Groups<'a>, device: &'a Device) -> VolumeJson<'a> {
    let disk = device.disk.as_ref();
    VolumeJson {
        volume_nr: device.volume,
        device_minor: device.minor,
        backing_disk: disk.and_then(|disk| disk.text("backing_dev")),
        meta_disk: disk.map(|disk| meta_disk(disk).replace('"', "")),
        disk: options(&groups.device(device)),
    }
}

fn connection(groups: &Groups<'_>, connection: &Connection) -> ConnectionJson {
    ConnectionJson {
        paths: connection
            .paths
            .iter()
            .map(|path| PathJson {
                this_host: HostJson::new(&path.my_addr),
                remote_host: HostJson::new(&path.peer_addr),
            })
            .collect(),
        connection_state: connection.info.connection_state.name(),
        net: options(&groups.net(connection)),
        volumes: groups
            .snapshot
            .peer_devices_of(connection)
            .map(|peer_device| PeerVolumeJson {
                volume_nr: peer_device.volume,
                disk: options(&groups.peer_device(&peer_device.options)),
            })
            .collect(),
        peer_node_id: connection.peer_node_id,
    }
}

/// Flags are booleans, everything else is a string with its unit, as in the text.
fn options(rows: &[(&'static OptionSpec, OptionValue<'_>, bool)]) -> Map<String, Value> {
    rows.iter()
        .map(|(spec, value, _)| {
            let shown = match value {
                OptionValue::Bool(flag) => Value::Bool(*flag),
                value if is_no_key(spec, *value) => Value::String(String::new()),
                value => Value::String(spec.show(*value).to_string()),
            };
            (spec.option.unwrap_or(spec.field).to_owned(), shown)
        })
        .collect()
}
