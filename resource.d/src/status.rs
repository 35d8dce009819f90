// SPDX-License-Identifier: GPL-2.0-or-later
//! What one look at the driver says of the resource.
//!
//! `drbdsetup status --json` of generation 9, or `drbdsetup sh-status` of generation 8.4.

use serde::Deserialize;

/// A disk, here or at a peer, as far as the agent cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disk {
    /// There is none, or it is of no use.
    Useless,
    /// Nobody knows.
    Unknown,
    /// It is about to be something else.
    Transitional,
    /// Consistent: it may be good.
    Consistent,
    /// UpToDate.
    Good,
}

impl Disk {
    fn of(word: &str) -> Self {
        match word {
            "UpToDate" => Disk::Good,
            "Consistent" => Disk::Consistent,
            "Attaching" | "Negotiating" => Disk::Transitional,
            "DUnknown" => Disk::Unknown,
            _ => Disk::Useless,
        }
    }
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// It is Primary.
    pub(crate) primary: bool,
    /// There is a connection.
    pub(crate) connected: bool,
    /// Its disk for each volume.
    pub(crate) disks: Vec<Disk>,
}

/// A resource that the driver knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// This node is Primary.
    pub(crate) primary: bool,
    /// The disk of each volume here.
    pub(crate) disks: Vec<Disk>,
    /// It has no disks on purpose.
    pub(crate) client: bool,
    /// Every volume has quorum, or needs none.
    pub(crate) quorum: bool,
    /// The peers.
    pub(crate) peers: Vec<Peer>,
}

fn all_good(disks: &[Disk]) -> bool {
    !disks.is_empty() && disks.iter().all(|disk| *disk == Disk::Good)
}

impl Facts {
    /// Every disk here is UpToDate.
    pub(crate) fn good(&self) -> bool {
        all_good(&self.disks)
    }

    /// Every disk here is Consistent or better.
    pub(crate) fn consistent(&self) -> bool {
        !self.disks.is_empty() && self.disks.iter().all(|disk| *disk >= Disk::Consistent)
    }

    /// Some disk here is about to be something else.
    pub(crate) fn transitional(&self) -> bool {
        self.disks.contains(&Disk::Transitional)
    }

    /// Some peer is Primary.
    pub(crate) fn peer_primary(&self) -> bool {
        self.peers.iter().any(|peer| peer.primary)
    }

    /// Some peer has every disk UpToDate.
    pub(crate) fn a_peer_good(&self) -> bool {
        self.peers.iter().any(|peer| all_good(&peer.disks))
    }

    /// Every peer has every disk UpToDate.
    pub(crate) fn all_peers_good(&self) -> bool {
        !self.peers.is_empty() && self.peers.iter().all(|peer| all_good(&peer.disks))
    }

    /// Of some peer's disk nobody knows.
    pub(crate) fn a_peer_unknown(&self) -> bool {
        let mut disks = self.peers.iter().flat_map(|peer| &peer.disks);
        disks.any(|disk| *disk == Disk::Unknown)
    }

    /// Some peer is connected.
    pub(crate) fn connected(&self) -> bool {
        self.peers.iter().any(|peer| peer.connected)
    }
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
    #[serde(default)]
    client: bool,
    #[serde(default = "yes")]
    quorum: bool,
}

fn yes() -> bool {
    true
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
}

/// Reads the JSON of `drbdsetup status`; `None` when `name` is not in it.
///
/// # Errors
///
/// When it is something else.
pub(crate) fn of_json(text: &str, name: &str) -> serde_json::Result<Option<Facts>> {
    let all: Vec<Resource> = serde_json::from_str(text)?;
    let found = all.into_iter().find(|resource| resource.name == name);
    Ok(found.map(|resource| Facts {
        primary: resource.role == "Primary",
        disks: resource
            .devices
            .iter()
            .map(|device| Disk::of(&device.disk))
            .collect(),
        client: !resource.devices.is_empty() && resource.devices.iter().all(|device| device.client),
        quorum: resource.devices.iter().all(|device| device.quorum),
        peers: resource.connections.iter().map(peer).collect(),
    }))
}

fn peer(connection: &Connection) -> Peer {
    Peer {
        primary: connection.role == "Primary",
        connected: connection.state == "Connected",
        disks: connection
            .peer_devices
            .iter()
            .map(|device| Disk::of(&device.disk))
            .collect(),
    }
}

/// Reads the assignments of `drbdsetup sh-status`; `None` when there is no volume in them.
pub(crate) fn of_assignments(text: &str) -> Option<Facts> {
    let mut facts = Facts {
        quorum: true,
        ..Facts::default()
    };
    let mut peer = Peer::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once('=') else {
            continue;
        };
        let value = value.trim_matches(|quote| quote == '\'' || quote == '"');
        match name {
            "_role" => facts.primary |= value == "Primary",
            "_peer" => peer.primary |= value == "Primary",
            "_cstate" => peer.connected |= is_connected(value),
            "_disk" if value != "Unconfigured" => facts.disks.push(Disk::of(value)),
            "_pdsk" => peer.disks.push(Disk::of(value)),
            _ => {}
        }
    }
    facts.peers.push(peer);
    (!facts.disks.is_empty()).then_some(facts)
}

/// Reads `/proc/drbd` of generation 8.4 for the devices `minors`; `None` when none of them is there.
pub(crate) fn of_proc(text: &str, minors: &[u32]) -> Option<Facts> {
    let mut facts = Facts {
        quorum: true,
        ..Facts::default()
    };
    let mut peer = Peer::default();
    for line in text.lines() {
        let Some((minor, rest)) = line.trim_start().split_once(':') else {
            continue;
        };
        if !minor.parse().is_ok_and(|minor| minors.contains(&minor)) {
            continue;
        }
        let words = rest
            .split_whitespace()
            .filter_map(|word| word.split_once(':'));
        for (name, value) in words {
            let (own, other) = value.split_once('/').unwrap_or((value, ""));
            match name {
                "cs" => peer.connected |= is_connected(value),
                "ro" => {
                    facts.primary |= own == "Primary";
                    peer.primary |= other == "Primary";
                }
                "ds" => {
                    facts.disks.push(Disk::of(own));
                    peer.disks.push(Disk::of(other));
                }
                _ => {}
            }
        }
    }
    if facts.disks.is_empty() {
        return None;
    }
    // A volume that is not there has no good data.
    facts
        .disks
        .resize(minors.len().max(facts.disks.len()), Disk::Useless);
    facts.peers.push(peer);
    Some(facts)
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

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"[{"name":"r0","node-id":0,"role":"Secondary","devices":[{"volume":0,"minor":0,
        "disk-state":"UpToDate","client":false,"quorum":true}],"connections":[{"peer-node-id":1,"name":"beta",
        "connection-state":"Connected","peer-role":"Primary","peer_devices":[{"volume":0,
        "replication-state":"Established","peer-disk-state":"UpToDate"}]}]}]"#;

    #[test]
    fn generation_9_in_json() {
        let facts = of_json(JSON, "r0").unwrap().unwrap();
        assert!(!facts.primary && facts.good() && facts.peer_primary() && facts.all_peers_good());
        assert!(facts.connected() && facts.quorum && !facts.client && !facts.a_peer_unknown());
        assert_eq!(of_json(JSON, "r1").unwrap(), None);
        assert_eq!(of_json("[]", "r0").unwrap(), None);
        assert!(of_json("{", "r0").is_err());
    }

    #[test]
    fn generation_8_4_in_assignments() {
        let text = "_minor=0\n_res_name=r0\n_cstate=WFConnection\n_role=Primary\n_peer=Unknown\n_disk=UpToDate\n_pdsk=DUnknown\n";
        let facts = of_assignments(text).unwrap();
        assert!(facts.primary && facts.good() && facts.a_peer_unknown() && !facts.connected());
        assert_eq!(of_assignments("_minor=0\n_cstate=Unconfigured\n"), None);
    }

    #[test]
    fn generation_8_4_in_proc() {
        let text = "version: 8.4.11 (api:1/proto:86-101)\n 0: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n    \
            ns:0 nr:0 dw:4\n 1: cs:Unconfigured\n12: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n";
        let lost = of_proc(text, &[0]).unwrap();
        assert!(lost.primary && lost.good() && lost.a_peer_unknown() && !lost.connected());
        let well = of_proc(text, &[12]).unwrap();
        assert!(!well.primary && well.all_peers_good() && well.peer_primary() && well.connected());
        assert!(!of_proc(text, &[0, 12]).unwrap().all_peers_good());
        assert_eq!(of_proc(text, &[1]), None);
        assert_eq!(of_proc(text, &[]), None);
    }
}
