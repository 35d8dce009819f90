// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel knows of a resource, as `drbdsetup status --json` tells it.

use drbd_conf::model::Host;
use serde::Deserialize;

use crate::call::{Call, Limit, Runner};
use crate::driver;

/// A resource.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) suspended_user: bool,
    pub(crate) suspended_no_data: bool,
    pub(crate) suspended_fencing: bool,
    pub(crate) suspended_quorum: bool,
    pub(crate) devices: Vec<Device>,
    pub(crate) connections: Vec<Connection>,
}

/// A volume on this node. Sizes are KiB.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Device {
    pub(crate) volume: u32,
    pub(crate) minor: u32,
    pub(crate) disk_state: String,
    pub(crate) client: bool,
    pub(crate) size: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) upper_pending: u64,
    pub(crate) lower_pending: u64,
}

/// A connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Connection {
    pub(crate) peer_node_id: u32,
    pub(crate) name: String,
    pub(crate) connection_state: String,
    pub(crate) peer_role: String,
    pub(crate) congested: bool,
    #[serde(rename = "peer_devices")]
    pub(crate) peer_devices: Vec<PeerDevice>,
}

/// A volume at a peer. Sizes are KiB.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct PeerDevice {
    pub(crate) volume: u32,
    pub(crate) replication_state: String,
    pub(crate) peer_disk_state: String,
    pub(crate) resync_suspended: String,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) out_of_sync: u64,
    pub(crate) pending: u64,
    pub(crate) unacked: u64,
    pub(crate) percent_in_sync: f64,
    /// Of the resync or verify that runs.
    #[serde(rename = "percent-resync-done")]
    pub(crate) percent_done: Option<f64>,
    #[serde(rename = "estimated-seconds-to-finish")]
    pub(crate) seconds_left: Option<i64>,
}

impl Connection {
    pub(crate) fn is_connected(&self) -> bool {
        self.connection_state == "Connected"
    }

    /// Whether it leads to this host; a driver of generation 8.4 has one connection, and no numbers for nodes.
    pub(crate) fn leads_to(&self, peer: &Host) -> bool {
        driver::dialect().is_84() || Some(self.peer_node_id) == peer.node_id
    }
}

impl PeerDevice {
    /// Whether a resync or a verify runs, or would if it were not paused.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(
            self.replication_state.as_str(),
            "SyncSource" | "SyncTarget" | "PausedSyncS" | "PausedSyncT" | "VerifyS" | "VerifyT"
        )
    }
}

/// Resources of a text that `drbdsetup status --json` printed.
pub(crate) fn parse(text: &str) -> Option<Vec<Resource>> {
    serde_json::from_str(text).ok()
}

/// All resources in the kernel; `None` if it cannot be asked, which it cannot
/// as long as no driver is loaded.
pub(crate) fn status(runner: &Runner) -> Option<Vec<Resource>> {
    let args = ["status", "--json", "--verbose", "--statistics"];
    parse(&runner.output(&Call::setup("all", Limit::Short, args))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_skipped_and_what_is_missing_has_a_default() {
        let text = r#"[{"name": "r0", "new-thing": [1], "devices": [{"volume": 0, "minor": 7}],
            "connections": [{"name": "n2", "peer_devices": [{"volume": 0, "out-of-sync": 4}]}]}]"#;
        let list = parse(text).unwrap();
        assert_eq!(list[0].devices[0].minor, 7);
        assert_eq!(list[0].connections[0].peer_devices[0].out_of_sync, 4);
        assert!(parse("# No currently configured DRBD found.").is_none());
    }
}
