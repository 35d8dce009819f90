// SPDX-License-Identifier: GPL-2.0-or-later
//! What a node says about the resource, in one form for both drivers.
//!
//! Ours answers with the JSON of `drbdsetup status`, the distribution's 8.4
//! driver with `/proc/drbd`; the words are those of DRBD 9.

use anyhow::{bail, Context, Result};
use serde::Deserialize;

/// State of one volume of the resource as one node sees it.
///
/// Counters are in KiB and start at zero when the minor is made (8.4) or the
/// peer device is (9).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Own role.
    pub role: String,
    /// Why I/O is suspended; empty if it is not, and for the old driver.
    pub suspended: String,
    /// Own disk state.
    pub disk: String,
    /// Connection state; `Connected` whatever the volume does.
    pub connection: String,
    /// Replication state; `Off` without a connection.
    pub replication: String,
    /// The peer's role.
    pub peer_role: String,
    /// The peer's disk state.
    pub peer_disk: String,
    /// Bits set, in KiB.
    pub out_of_sync_kib: u64,
    /// Sent to the peer: writes and resync.
    pub sent_kib: u64,
    /// Received from the peer: writes and resync.
    pub received_kib: u64,
    /// Written to the own disk by the node's own device.
    pub written_kib: u64,
    /// Activity log transactions.
    pub al_writes: u64,
}

impl View {
    /// Connected, nothing to resynchronise, both disks good.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.connection == "Connected"
            && self.replication == "Established"
            && self.disk == "UpToDate"
            && self.peer_disk == "UpToDate"
    }

    /// What was sent to the peer and written by the node's own device since
    /// `before`, in KiB. The connection's counters may have begun anew with it.
    #[must_use]
    pub fn sent_and_written_since(&self, before: &View) -> (u64, u64) {
        let sent_kib = self
            .sent_kib
            .checked_sub(before.sent_kib)
            .unwrap_or(self.sent_kib);
        (
            sent_kib,
            self.written_kib.saturating_sub(before.written_kib),
        )
    }

    /// A resync runs, either way.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        matches!(self.replication.as_str(), "SyncSource" | "SyncTarget")
    }

    /// From `drbdsetup status --json --statistics --verbose` of one resource: of its only volume, or 0.
    ///
    /// # Errors
    ///
    /// If it is no such JSON, or no resource is there.
    pub fn from_json(text: &str) -> Result<View> {
        View::of_volume(text, 0)
    }

    /// The same of another volume.
    ///
    /// # Errors
    ///
    /// As [`View::from_json`].
    pub fn of_volume(text: &str, volume: u16) -> Result<View> {
        let all: Vec<Resource> =
            serde_json::from_str(text).with_context(|| format!("no status JSON: {text}"))?;
        let Some(resource) = all.into_iter().next() else {
            bail!("the resource is not configured");
        };
        let mut devices = resource.devices.into_iter();
        let device = devices.find(|device| device.volume == volume);
        let device = device.unwrap_or_default();
        let connection = resource.connections.into_iter().next().unwrap_or_default();
        let mut peers = connection.peer_devices.into_iter();
        let peer = peers.find(|peer| peer.volume == volume);
        let peer = peer.unwrap_or_default();
        Ok(View {
            role: resource.role,
            suspended: [
                ("user", resource.suspended_user),
                ("no-data", resource.suspended_no_data),
                ("fencing", resource.suspended_fencing),
            ]
            .iter()
            .filter(|(_, on)| *on)
            .map(|(why, _)| *why)
            .collect::<Vec<_>>()
            .join(","),
            disk: device.disk_state,
            connection: connection.connection_state,
            replication: peer.replication_state,
            peer_role: connection.peer_role,
            peer_disk: peer.peer_disk_state,
            out_of_sync_kib: peer.out_of_sync,
            sent_kib: peer.sent,
            received_kib: peer.received,
            written_kib: device.written,
            al_writes: device.al_writes,
        })
    }

    /// From minor 0 in `/proc/drbd` of the 8.4 driver.
    ///
    /// # Errors
    ///
    /// If the minor is not there.
    pub fn from_proc(text: &str) -> Result<View> {
        View::of_minor(text, 0)
    }

    /// The same of another minor.
    ///
    /// # Errors
    ///
    /// As [`View::from_proc`].
    pub fn of_minor(text: &str, minor: u16) -> Result<View> {
        let Some((_, at)) = text.split_once(&format!("\n {minor}: ")) else {
            bail!("minor {minor} is not in /proc/drbd:\n{text}");
        };
        let end = at.find(&format!("\n {}: ", minor + 1)).unwrap_or(at.len());
        let words: Vec<&str> = at.get(..end).unwrap_or(at).split_whitespace().collect();
        let field = |key: &str| {
            let value = words
                .iter()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix(':'));
            value.unwrap_or_default()
        };
        let number = |key: &str| field(key).parse().unwrap_or_default();
        let pair = |key: &str| {
            let (own, peer) = field(key).split_once('/').unwrap_or_default();
            (own.to_owned(), peer.to_owned())
        };
        if field("cs") == "Unconfigured" {
            bail!("minor {minor} is not configured");
        }
        let (connection, replication) = connection_of(field("cs"));
        let (role, peer_role) = pair("ro");
        let (disk, peer_disk) = pair("ds");
        Ok(View {
            role,
            suspended: String::new(),
            disk,
            connection,
            replication,
            peer_role,
            peer_disk,
            out_of_sync_kib: number("oos"),
            sent_kib: number("ns"),
            received_kib: number("nr"),
            written_kib: number("dw"),
            al_writes: number("al"),
        })
    }
}

/// The one state of 8.4, in two words.
fn connection_of(cs: &str) -> (String, String) {
    let (connection, replication) = match cs {
        "WFConnection" => ("Connecting", "Off"),
        "StandAlone" | "Disconnecting" | "Unconnected" | "Timeout" | "BrokenPipe"
        | "NetworkFailure" | "ProtocolError" | "TearDown" => (cs, "Off"),
        "WFReportParams" => ("Connected", "Off"),
        "Connected" => ("Connected", "Established"),
        other => ("Connected", other),
    };
    (connection.to_owned(), replication.to_owned())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Resource {
    role: String,
    #[serde(default)]
    suspended_user: bool,
    #[serde(default)]
    suspended_no_data: bool,
    #[serde(default)]
    suspended_fencing: bool,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Device {
    volume: u16,
    disk_state: String,
    written: u64,
    al_writes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Connection {
    connection_state: String,
    peer_role: String,
    #[serde(rename = "peer_devices")]
    peer_devices: Vec<PeerDevice>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct PeerDevice {
    volume: u16,
    replication_state: String,
    peer_disk_state: String,
    out_of_sync: u64,
    sent: u64,
    received: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROC: &str = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: B81 \n 0: cs:SyncSource \
        ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----\n    ns:1360 nr:2 dw:131467 dr:67971 \
        al:10 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:340\n\t[>...] sync'ed: 2% (340/1024)K\n";

    #[test]
    fn the_old_words_become_the_new_ones() {
        let view = View::from_proc(PROC).unwrap();
        assert_eq!(
            (view.connection.as_str(), view.replication.as_str()),
            ("Connected", "SyncSource")
        );
        assert_eq!(
            (view.disk.as_str(), view.peer_disk.as_str()),
            ("UpToDate", "Inconsistent")
        );
        assert_eq!(
            (view.sent_kib, view.received_kib, view.out_of_sync_kib),
            (1360, 2, 340)
        );
        assert!(view.is_syncing() && !view.is_healthy());
        let healthy = PROC
            .replace("SyncSource", "Connected")
            .replace("Inconsistent", "UpToDate");
        assert!(View::from_proc(&healthy).unwrap().is_healthy());
    }

    #[test]
    fn a_missing_minor_is_no_view() {
        assert!(View::from_proc("version: 8.4.11\nsrcversion: 1\n").is_err());
        assert!(View::from_proc("v\n 0: cs:Unconfigured\n").is_err());
        assert!(View::from_json("[]").is_err());
    }

    #[test]
    fn each_volume_has_a_view() {
        let both = "version: 8.4.11\nsrcversion: 1\n 0: cs:Connected ro:Primary/Secondary \
            ds:UpToDate/UpToDate C r-----\n    ns:1 oos:0\n 1: cs:SyncSource ro:Primary/Secondary \
            ds:UpToDate/Inconsistent C r-----\n    ns:2 oos:340\n";
        let views = [0, 1].map(|minor| View::of_minor(both, minor).unwrap());
        assert_eq!(views[0].replication, "Established");
        assert_eq!(views[1].replication, "SyncSource");
        assert_eq!(views.map(|view| view.out_of_sync_kib), [0, 340]);
        let text = r#"[{"name":"r0","role":"Primary","devices":[{"volume":0,"disk-state":"UpToDate"},
            {"volume":1,"disk-state":"Failed"}],"connections":[{"peer_devices":[
            {"volume":1,"peer-disk-state":"Outdated"},{"volume":0}]}]}]"#;
        let view = View::of_volume(text, 1).unwrap();
        assert_eq!(
            (view.disk.as_str(), view.peer_disk.as_str()),
            ("Failed", "Outdated")
        );
        assert_eq!(View::of_volume(text, 0).unwrap().disk, "UpToDate");
    }

    #[test]
    fn json_of_a_resource_without_peers_is_enough() {
        let text = r#"[{"name":"r0","role":"Secondary","devices":[{"volume":0,"disk-state":"Diskless"}]}]"#;
        let view = View::from_json(text).unwrap();
        assert_eq!(
            (view.role.as_str(), view.disk.as_str()),
            ("Secondary", "Diskless")
        );
        assert_eq!(view.connection, "");
    }
}
