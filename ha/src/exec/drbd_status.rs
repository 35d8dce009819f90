// SPDX-License-Identifier: GPL-2.0-or-later
//! What `drbdsetup` and `drbdadm` say of a resource, as the core wants it: the worst of its volumes.

use serde::Deserialize;

use crate::core::drbd::{Disk, DrbdBrief, Role};

fn disk(word: &str) -> Disk {
    match word {
        "UpToDate" => Disk::UpToDate,
        "Consistent" => Disk::Consistent,
        "Outdated" => Disk::Outdated,
        "Inconsistent" => Disk::Inconsistent,
        "Diskless" | "Failed" | "Attaching" | "Detaching" | "Negotiating" => Disk::Diskless,
        _ => Disk::Unknown,
    }
}

fn role(word: &str) -> Role {
    match word {
        "Primary" => Role::Primary,
        "Secondary" => Role::Secondary,
        _ => Role::Unknown,
    }
}

fn worst(disks: impl Iterator<Item = Disk>) -> Disk {
    disks.min().unwrap_or_default()
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    role: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(rename = "disk-state")]
    disk: String,
}

#[derive(Deserialize)]
struct Connection {
    #[serde(rename = "connection-state")]
    state: String,
    #[serde(rename = "peer-role", default)]
    role: String,
    #[serde(default)]
    peer_devices: Vec<PeerDevice>,
}

#[derive(Deserialize)]
struct PeerDevice {
    #[serde(rename = "peer-disk-state")]
    disk: String,
    #[serde(rename = "out-of-sync", default)]
    out_of_sync_kib: u64,
}

/// Reads the JSON of `drbdsetup status`; `None` when `name` is not in it.
pub(super) fn of_json(text: &str, name: &str) -> serde_json::Result<Option<DrbdBrief>> {
    let all: Vec<Resource> = serde_json::from_str(text)?;
    let Some(found) = all.into_iter().find(|resource| resource.name == name) else {
        return Ok(None);
    };
    let connection = found.connections.first();
    let connected = connection.is_some_and(|connection| connection.state == "Connected");
    let peers = || connection.into_iter().flat_map(|c| &c.peer_devices);
    Ok(Some(DrbdBrief {
        role: role(&found.role),
        disk: worst(found.devices.iter().map(|device| disk(&device.disk))),
        peer_disk: if connected {
            worst(peers().map(|device| disk(&device.disk)))
        } else {
            Disk::Unknown
        },
        peer_role: match connection {
            Some(connection) if connected => role(&connection.role),
            Some(_) | None => Role::Unknown,
        },
        connected,
        generation: 0,
        out_of_sync_kib: peers().map(|device| device.out_of_sync_kib).sum(),
    }))
}

/// Reads the assignments of `drbdsetup sh-status`; `None` when there is no volume in them.
pub(super) fn of_assignments(text: &str) -> Option<DrbdBrief> {
    let mut disks = Vec::new();
    let mut peer_disks = Vec::new();
    let mut brief = DrbdBrief::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once('=') else {
            continue;
        };
        let value = value.trim_matches(['"', '\'']);
        match name {
            "_role" => brief.role = brief.role.max(role(value)),
            "_peer" => brief.peer_role = brief.peer_role.max(role(value)),
            "_cstate" => brief.connected |= is_connected(value),
            "_disk" if value != "Unconfigured" => disks.push(disk(value)),
            "_pdsk" => peer_disks.push(disk(value)),
            _ => {}
        }
    }
    if disks.is_empty() {
        return None;
    }
    brief.disk = worst(disks.into_iter());
    if brief.connected {
        brief.peer_disk = worst(peer_disks.into_iter());
    } else {
        brief.peer_role = Role::Unknown;
    }
    Some(brief)
}

fn is_connected(word: &str) -> bool {
    let alone = [
        "",
        "StandAlone",
        "Disconnecting",
        "Unconnected",
        "Timeout",
        "BrokenPipe",
        "NetworkFailure",
        "ProtocolError",
        "TearDown",
        "WFConnection",
        "WFReportParams",
        "Unconfigured",
    ];
    !alone.contains(&word)
}

/// Reads `drbdadm get-gi`: of each volume the current UUID, without the bit that says Primary. Several volumes make one
/// number, which is equal where all of theirs are.
pub(super) fn generation(text: &str) -> u64 {
    let current = |line: &str| {
        let first = line.trim().split(':').next()?;
        let digits = first.trim_start_matches("0x");
        (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
    };
    let all: Vec<u64> = text
        .lines()
        .filter_map(current)
        .map(|uuid| uuid & !1)
        .collect();
    match all.as_slice() {
        [] => 0,
        [one] => *one,
        more => more.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, uuid| {
            (hash ^ uuid).wrapping_mul(0x0100_0000_01b3)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"[{"name":"r0","role":"Primary","devices":[{"volume":0,"disk-state":"UpToDate"},
        {"volume":1,"disk-state":"Inconsistent"}],"connections":[{"peer-node-id":1,"name":"b",
        "connection-state":"Connected","peer-role":"Secondary","peer_devices":[
        {"volume":0,"peer-disk-state":"UpToDate","out-of-sync":0},
        {"volume":1,"peer-disk-state":"Outdated","out-of-sync":12}]}]}]"#;

    #[test]
    fn generation_9_in_json() {
        let wanted = DrbdBrief {
            role: Role::Primary,
            disk: Disk::Inconsistent,
            peer_disk: Disk::Outdated,
            peer_role: Role::Secondary,
            connected: true,
            generation: 0,
            out_of_sync_kib: 12,
        };
        assert_eq!(of_json(JSON, "r0").unwrap(), Some(wanted));
        assert_eq!(of_json(JSON, "r1").unwrap(), None);
        assert!(of_json("[{", "r0").is_err());
        // What is said of a peer that is not there is old.
        let alone = JSON.replace("\"Connected\"", "\"Connecting\"");
        let brief = of_json(&alone, "r0").unwrap().unwrap();
        assert_eq!(
            (brief.peer_disk, brief.peer_role),
            (Disk::Unknown, Role::Unknown)
        );
    }

    #[test]
    fn generation_8_4_in_assignments() {
        let text = "_minor=0\n_res_name=r0\n_cstate=Connected\n_role=Secondary\n_peer=Primary\n_disk=UpToDate\n_pdsk=UpToDate\n";
        let brief = of_assignments(text).unwrap();
        assert_eq!(
            (brief.role, brief.peer_role),
            (Role::Secondary, Role::Primary)
        );
        assert!(brief.connected && brief.disk == Disk::UpToDate);
        let alone = of_assignments(&text.replace("Connected", "WFConnection")).unwrap();
        assert!(!alone.connected && alone.peer_role == Role::Unknown);
        assert_eq!(
            of_assignments("_minor=0\n_cstate=Unconfigured\n_disk=Unconfigured\n"),
            None
        );
    }

    #[test]
    fn generations_are_equal_where_all_are() {
        let one =
            "A1B2C3D4E5F60709:0000000000000004:0000000000000000:0000000000000000:1:1:0:1:0:0:0\n";
        assert_eq!(generation(one), 0xA1B2_C3D4_E5F6_0708);
        assert_eq!(generation(&one.replace("0709", "0708")), generation(one));
        let two = format!("{one}{one}");
        assert_eq!(generation(&two), generation(&two));
        assert_ne!(
            generation(&two),
            generation(&two.replacen("A1B2", "A1B3", 1))
        );
        assert_eq!(generation("no metadata\n"), 0);
    }
}
