// SPDX-License-Identifier: GPL-2.0-or-later
//! Questions with a short answer.

use std::io::Write;

use drbd_netlink::{Client, Connection, Device, PeerDevice, Snapshot};

use super::{print, Asked};
use crate::cli::{Place, Query};
use crate::render::{explain_generations, generations};
use crate::{exit, Failure};

pub(super) fn query(
    client: &mut Client,
    asked: &Asked<'_>,
    query: Query,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let snapshot = Snapshot::read(client)?;
    let answer = match query {
        Query::Role => role(&snapshot, asked)?,
        Query::PeerRole => connection(&snapshot, asked)?.info.peer_role.to_string(),
        Query::ConnectionState => connection(&snapshot, asked)?
            .info
            .connection_state
            .to_string(),
        Query::DiskStates => disk_states(&snapshot, device(&snapshot, asked)?),
        Query::Udev => udev(device(&snapshot, asked)?),
        Query::Generations { explained } => {
            let (device, peer_device) = peer_device(&snapshot, asked)?;
            let Some(line) = generations(device, peer_device) else {
                eprintln!("Device has no disk");
                return Ok(exit::NO_DISK);
            };
            if explained {
                explain_generations(&line).trim_end_matches('\n').to_owned() + "\n"
            } else {
                line
            }
        }
    };
    print(out, &format!("{answer}\n"))?;
    Ok(exit::OK)
}

fn none(asked: &Asked<'_>, what: &'static str) -> Failure {
    Failure::NoSuch {
        object: asked.object().to_owned(),
        what,
        hint: "drbdsetup status --verbose   (lists what the kernel knows)".into(),
    }
}

fn role(snapshot: &Snapshot, asked: &Asked<'_>) -> Result<String, Failure> {
    let resource = snapshot
        .resource(asked.text(Place::Resource))
        .ok_or_else(|| none(asked, "Unknown resource"))?;
    Ok(resource.info.role.to_string())
}

fn connection<'s>(snapshot: &'s Snapshot, asked: &Asked<'_>) -> Result<&'s Connection, Failure> {
    let (resource, id) = (asked.text(Place::Resource), asked.number(Place::PeerNodeId));
    snapshot
        .connections
        .iter()
        .find(|connection| connection.resource == resource && connection.peer_node_id == id)
        .ok_or_else(|| none(asked, "No such connection"))
}

fn device<'s>(snapshot: &'s Snapshot, asked: &Asked<'_>) -> Result<&'s Device, Failure> {
    let minor = asked.minor()?;
    snapshot
        .devices
        .iter()
        .find(|device| device.minor == minor)
        .ok_or_else(|| none(asked, "No such device"))
}

fn peer_device<'s>(
    snapshot: &'s Snapshot,
    asked: &Asked<'_>,
) -> Result<(&'s Device, &'s PeerDevice), Failure> {
    let (resource, id) = (asked.text(Place::Resource), asked.number(Place::PeerNodeId));
    let volume = asked.number(Place::Volume);
    let device = snapshot
        .devices
        .iter()
        .find(|device| device.resource == resource && device.volume == volume);
    let peer = snapshot
        .peer_devices
        .iter()
        .find(|peer| peer.resource == resource && peer.peer_node_id == id && peer.volume == volume);
    device
        .zip(peer)
        .ok_or_else(|| none(asked, "No such peer device"))
}

/// Own state and those of the peers.
fn disk_states(snapshot: &Snapshot, device: &Device) -> String {
    let mut states = vec![device.info.disk_state.name()];
    states.extend(
        snapshot
            .peer_devices
            .iter()
            .filter(|peer| peer.resource == device.resource && peer.volume == device.volume)
            .map(|peer| peer.info.peer_disk_state.name()),
    );
    states.join("/")
}

fn udev(device: &Device) -> String {
    let mut lines = vec![
        format!("DEVICE=drbd{}", device.minor),
        format!(
            "SYMLINK_BY_RES=drbd/by-res/{}/{}",
            device.resource, device.volume
        ),
    ];
    // A driver of 8.4 tells it with the options only.
    let configured = device
        .disk
        .as_ref()
        .and_then(|disk| disk.text("backing_dev"));
    let told = Some(device.info.backing_dev_path.as_str()).filter(|path| !path.is_empty());
    let path = told.or(configured).unwrap_or_default();
    if let Some(disk) = path.strip_prefix("/dev/") {
        lines.push(format!("SYMLINK_BY_DISK=drbd/by-disk/{disk}"));
    }
    lines.join("\n")
}
