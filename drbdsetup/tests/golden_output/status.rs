// SPDX-License-Identifier: GPL-2.0-or-later
//! status, as text and JSON.

use super::recorded::{
    assert_same_json, recording, snapshot_of, standalone_diskless, state, uptodate_primary,
};
use drbd_core::genl::state::{ConnectionState, DiskState, ReplicationState, Role};
use drbd_core::genl::{PathInfo, PeerDeviceStatistics};
use drbd_netlink::Path as PathObject;
use drbd_netlink::Snapshot;
use drbdsetup::render::{status_json, status_text, StatusOptions, Style};

fn text(snapshot: &Snapshot, verbose: bool, statistics: bool, style: Style) -> String {
    let options = StatusOptions {
        verbose,
        statistics,
        terminal: false,
        style,
    };
    snapshot
        .resources
        .iter()
        .map(|resource| status_text(snapshot, resource, options))
        .collect()
}

fn json(snapshot: &Snapshot, style: Style) -> String {
    let resources: Vec<_> = snapshot.resources.iter().collect();
    status_json(snapshot, &resources, style).unwrap()
}

#[test]
fn json_of_recorded_dumps_is_that_of_the_reference() {
    let recording = recording("39-dumps.txt");
    assert_same_json(
        &json(&snapshot_of(&recording), Style::Utils922),
        &recording.output,
    );
}

#[test]
fn an_unprivileged_dump_gives_the_same_status() {
    let recording = recording("48-unprivileged-dump.txt");
    let snapshot = snapshot_of(&recording);
    assert_eq!(snapshot.connections[0].net.text("shared_secret"), None);
    // The recorded command ended after five lines.
    let begin: String = json(&snapshot, Style::Utils922)
        .split_whitespace()
        .collect();
    assert!(
        begin.starts_with(r#"[{"name":"r0","node-id":0,"role":"Primary","#),
        "{begin}"
    );
}

#[test]
fn status_of_two_established_nodes() {
    let snapshot = uptodate_primary();
    let file = "12-established-uptodate-primary.txt";
    assert_eq!(
        text(&snapshot, false, false, Style::Utils922),
        state(file, "drbdsetup status")
    );
    assert_eq!(
        text(&snapshot, true, false, Style::Utils922),
        state(file, "drbdsetup status --verbose")
    );
    assert_eq!(
        text(&snapshot, true, true, Style::Utils922),
        state(file, "drbdsetup status --verbose --statistics")
    );
    assert_same_json(
        &json(&snapshot, Style::Utils922),
        &state(file, "drbdsetup status --json"),
    );
}

#[test]
fn status_without_disk_and_peer() {
    let snapshot = standalone_diskless();
    let file = "03-standalone-diskless.txt";
    assert_eq!(
        text(&snapshot, false, false, Style::Utils922),
        state(file, "drbdsetup status")
    );
    assert_eq!(
        text(&snapshot, true, false, Style::Utils922),
        state(file, "drbdsetup status --verbose")
    );
    assert_eq!(
        text(&snapshot, true, true, Style::Utils922),
        state(file, "drbdsetup status --verbose --statistics")
    );
    assert_same_json(
        &json(&snapshot, Style::Utils922),
        &state(file, "drbdsetup status --json"),
    );
}

#[test]
fn status_of_a_resource_alone() {
    let mut snapshot = standalone_diskless();
    snapshot.devices.clear();
    snapshot.connections.clear();
    snapshot.peer_devices.clear();
    let file = "01-resource-only.txt";
    assert_eq!(
        text(&snapshot, false, false, Style::Utils922),
        state(file, "drbdsetup status")
    );
    assert_eq!(
        text(&snapshot, true, true, Style::Utils922),
        state(file, "drbdsetup status --verbose --statistics")
    );
    assert_same_json(
        &json(&snapshot, Style::Utils922),
        &state(file, "drbdsetup status --json"),
    );
}

#[test]
fn status_of_suspended_and_blocked_devices() {
    let mut snapshot = uptodate_primary();
    snapshot.resources[0].info.suspended_user = true;
    snapshot.devices[0].statistics.upper_blocked = true;
    snapshot.devices[0].statistics.read = 196_488 * 2;
    let file = "14-suspended-user.txt";
    assert_eq!(
        text(&snapshot, false, false, Style::Utils922),
        state(file, "drbdsetup status")
    );
    assert_eq!(
        text(&snapshot, true, true, Style::Utils922),
        state(file, "drbdsetup status --verbose --statistics")
    );
    assert_same_json(
        &json(&snapshot, Style::Utils922),
        &state(file, "drbdsetup status --json"),
    );
}

#[test]
fn status_without_quorum() {
    let mut snapshot = uptodate_primary();
    snapshot.resources[0].info.suspended_quorum = true;
    let device = &mut snapshot.devices[0];
    device.info.has_quorum = false;
    device.statistics.upper_blocked = true;
    (device.statistics.read, device.statistics.written) = (130_992 * 2, 24);
    (device.statistics.al_writes, device.statistics.bm_writes) = (1, 11);
    snapshot.connections[0].info.connection_state = ConnectionState::Connecting;
    snapshot.connections[0].info.peer_role = Role::Unknown;
    snapshot.peer_devices[0].info.replication_state = ReplicationState::Off;
    snapshot.peer_devices[0].info.peer_disk_state = DiskState::DUnknown;
    snapshot.peer_devices[0].statistics.sent = 0;
    let file = "21-no-quorum-suspended.txt";
    assert_eq!(
        text(&snapshot, false, false, Style::Utils922),
        state(file, "drbdsetup status")
    );
    assert_eq!(
        text(&snapshot, true, true, Style::Utils922),
        state(file, "drbdsetup status --verbose --statistics")
    );
    assert_same_json(
        &json(&snapshot, Style::Utils922),
        &state(file, "drbdsetup status --json"),
    );
}

fn paused(source: bool) -> Snapshot {
    let mut snapshot = uptodate_primary();
    let info = &mut snapshot.peer_devices[0].info;
    (info.replication_state, info.peer_disk_state) = if source {
        (ReplicationState::PausedSyncS, DiskState::Inconsistent)
    } else {
        (ReplicationState::PausedSyncT, DiskState::UpToDate)
    };
    info.resync_suspended_user = source;
    info.resync_suspended_peer = !source;
    let statistics = &mut snapshot.peer_devices[0].statistics;
    *statistics = PeerDeviceStatistics {
        sent: 23_552 * 2,
        out_of_sync: 41_944 * 2,
        rs_total: 130_992,
        rs_dt_start_ms: 11_528,
        rs_dt0_ms: 11_528,
        rs_db0_sectors: 47_104,
        rs_dt1_ms: 5472,
        rs_db1_sectors: 20_480,
        ..PeerDeviceStatistics::default()
    };
    snapshot
}

#[test]
fn status_of_a_resync() {
    let mut snapshot = paused(true);
    let file = "10-pausedsyncsource.txt";
    assert_eq!(
        text(&snapshot, false, false, Style::Utils922),
        state(file, "drbdsetup status")
    );
    assert_eq!(
        text(&snapshot, true, false, Style::Utils922),
        state(file, "drbdsetup status --verbose")
    );
    let device = &mut snapshot.devices[0].statistics;
    (device.read, device.bm_writes) = (23_552 * 2, 0);
    let theirs = state(file, "drbdsetup status --json");
    let read: u64 = field(&theirs, "\"read\": ");
    let bm_writes: u64 = field(&theirs, "\"bm-writes\": ");
    (
        snapshot.devices[0].statistics.read,
        snapshot.devices[0].statistics.bm_writes,
    ) = (read * 2, bm_writes);
    assert_same_json(&json(&snapshot, Style::Utils922), &theirs);

    let mut target = paused(false);
    target.resources[0].info.role = Role::Secondary;
    target.devices[0].info.disk_state = DiskState::Inconsistent;
    target.connections[0].name = "n1".into();
    target.connections[0].peer_node_id = 0;
    target.connections[0].info.peer_role = Role::Primary;
    target.peer_devices[0].peer_node_id = 0;
    let file = "10-pausedsynctarget.txt";
    assert_eq!(
        text(&target, false, false, Style::Utils922),
        state(file, "drbdsetup status")
    );
}

fn field<T: std::str::FromStr>(json: &str, name: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    let (_, rest) = json.split_once(name).unwrap();
    rest.split([',', '\n']).next().unwrap().parse().unwrap()
}

#[test]
fn status_of_a_verify() {
    let mut snapshot = uptodate_primary();
    snapshot.devices[0].statistics.read = 133_792 * 2;
    snapshot.peer_devices[0].info.replication_state = ReplicationState::VerifyS;
    snapshot.peer_devices[0].statistics = PeerDeviceStatistics {
        sent: 65_496 * 2,
        rs_total: 130_992,
        rs_dt_start_ms: 1652,
        rs_dt0_ms: 1652,
        rs_db0_sectors: 5600,
        rs_dt1_ms: 1652,
        rs_db1_sectors: 5600,
        ov_stop_sector: u64::MAX,
        ov_position: 5600,
        ov_left: 125_392,
        rs_c_sync_rate: 1000,
        ..PeerDeviceStatistics::default()
    };
    assert_same_json(
        &json(&snapshot, Style::Utils922),
        &state("13-verify.txt", "drbdsetup status --json"),
    );
    let statistics = &mut snapshot.peer_devices[0].statistics;
    // 4.12 per cent after 1.59 s.
    (statistics.ov_left, statistics.pending) = (130_992 - 5400, 25);
    (statistics.rs_dt1_ms, statistics.rs_db1_sectors) = (1592, 5400);
    snapshot.devices[0].statistics.read = 133_692 * 2;
    let theirs = state("13-verify.txt", "drbdsetup status --verbose --statistics");
    assert_eq!(text(&snapshot, true, true, Style::Utils922), theirs);
}

#[test]
fn status_in_the_newest_form() {
    let mut snapshot = uptodate_primary();
    let device = &mut snapshot.devices[0].statistics;
    (
        device.read,
        device.written,
        device.al_writes,
        device.bm_writes,
    ) = (196_488 * 2, 24, 1, 18);
    let file = "51-utils-9.34-uptodate.txt";
    assert_eq!(
        text(&snapshot, false, false, Style::Utils934),
        state(file, "drbdsetup-9.34 status")
    );
    let verbose = state(file, "drbdsetup-9.34 status --verbose --statistics");
    assert_eq!(text(&snapshot, true, true, Style::Utils934), verbose);
    let connection = &snapshot.connections[0];
    snapshot.paths = Some(vec![PathObject {
        resource: "r0".into(),
        peer_node_id: 1,
        connection: "n2".into(),
        addresses: connection.paths[0],
        info: PathInfo { established: true },
    }]);
    assert_same_json(
        &json(&snapshot, Style::Utils934),
        &state(file, "drbdsetup-9.34 status --json"),
    );
}

#[test]
fn a_long_line_of_a_resync_in_the_newest_form() {
    let mut snapshot = paused(true);
    let device = &mut snapshot.devices[0].statistics;
    (
        device.read,
        device.written,
        device.al_writes,
        device.bm_writes,
    ) = (134_320 * 2, 24, 1, 13);
    snapshot.peer_devices[0].info.replication_state = ReplicationState::SyncSource;
    snapshot.peer_devices[0].info.resync_suspended_user = false;
    let statistics = &mut snapshot.peer_devices[0].statistics;
    (
        statistics.sent,
        statistics.out_of_sync,
        statistics.pending,
        statistics.unacked,
    ) = (6400, 124_592, 1, 1);
    (statistics.rs_dt1_ms, statistics.rs_db1_sectors) = (3200, 6400);
    let theirs = state(
        "50-utils-9.34-syncsource.txt",
        "drbdsetup-9.34 status --verbose --statistics",
    );
    assert_eq!(text(&snapshot, true, true, Style::Utils934), theirs);
}
