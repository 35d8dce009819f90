// SPDX-License-Identifier: GPL-2.0-or-later
//! Recordings, and the states that outputs of the reference were recorded in.

use drbd_core::genl::state::{ConnectionState, DiskState, ReplicationState, Role, WriteOrdering};
use drbd_core::genl::PeerDeviceStatistics;
use drbd_netlink::recording::Recording;
use drbd_netlink::{OptionValue, Snapshot};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn recording(name: &str) -> Recording {
    Recording::read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../core/tests/golden/drbd9/nl")
            .join(name),
    )
}

pub(crate) fn snapshot_of(recording: &Recording) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for message in recording
        .messages
        .iter()
        .filter(|message| !message.from_user)
    {
        if let Some(message) = message.drbd() {
            snapshot.add(&message).unwrap();
        }
    }
    snapshot.sort();
    snapshot
}

pub(crate) fn base() -> Snapshot {
    snapshot_of(&recording("39-dumps.txt"))
}

/// The output of a command in a recorded state.
pub(crate) fn state(file: &str, command: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/state")
        .join(file);
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text
        .split_once(&format!("### {command}\n"))
        .unwrap_or_else(|| panic!("{file}: no {command}"));
    rest.split("### rc=").next().unwrap().to_owned()
}

/// The state `12-established-uptodate-primary`.
pub(crate) fn uptodate_primary() -> Snapshot {
    let mut snapshot = base();
    snapshot.resources[0].info.role = Role::Primary;
    snapshot.devices[0].statistics.read = 65_496 * 2;
    snapshot.devices[0].statistics.written = 0;
    snapshot.devices[0].statistics.al_writes = 0;
    snapshot.devices[0].statistics.bm_writes = 9;
    snapshot.peer_devices[0].statistics.sent = 65_496 * 2;
    for (nr, value) in [(1, 409_600), (2, 0), (5, 409_600), (6, 1024)] {
        snapshot.peer_devices[0]
            .options
            .set(nr, OptionValue::Int(value));
    }
    snapshot
}

/// A diskless, unconnected node: the state `03-standalone-diskless`.
pub(crate) fn standalone_diskless() -> Snapshot {
    let mut snapshot = base();
    snapshot.resources[0].statistics.write_ordering = WriteOrdering::None;
    snapshot.devices[0].info.disk_state = DiskState::Diskless;
    snapshot.devices[0].info.backing_dev_path = Default::default();
    snapshot.devices[0].statistics = Default::default();
    snapshot.devices[0].disk = None;
    snapshot.connections[0].info.connection_state = ConnectionState::StandAlone;
    snapshot.connections[0].info.peer_role = Role::Unknown;
    snapshot.connections[0].paths.clear();
    snapshot.peer_devices[0].info.replication_state = ReplicationState::Off;
    snapshot.peer_devices[0].info.peer_disk_state = DiskState::DUnknown;
    snapshot.peer_devices[0].statistics = PeerDeviceStatistics::default();
    snapshot
}

/// The same JSON, numbers, names and their order included.
pub(crate) fn assert_same_json(ours: &str, theirs: &str) {
    let parse = |text: &str| -> String {
        let value: serde_json::Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        serde_json::to_string_pretty(&value).unwrap()
    };
    assert_eq!(parse(ours), parse(theirs));
}
