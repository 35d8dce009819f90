// SPDX-License-Identifier: GPL-2.0-or-later
//! Outputs against recordings of drbd-utils 9.22 and 9.34 with DRBD 9.3.3.
//!
//! Where the messages behind an output were recorded too, the output is made of them. For other states the
//! objects of one recording are set to what the recorded output says.

use std::fs;
use std::path::{Path, PathBuf};

use drbd_core::genl::state::{
    ConnectionState, DiskState, ReplicationState, Role, WriteOrdering, UUID_FLAG_STABLE,
};
use drbd_core::genl::{PathInfo, PeerDeviceStatistics};
use drbd_netlink::recording::Recording;
use drbd_netlink::{Event, OptionValue, Path as PathObject, Snapshot};
use drbdsetup::render::{
    explain_generations, generations, show_json, show_text, status_json, status_text, EventOptions,
    EventPrinter, StatusOptions, Style,
};

fn recording(name: &str) -> Recording {
    Recording::read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../core/tests/golden/drbd9/nl")
            .join(name),
    )
}

fn snapshot_of(recording: &Recording) -> Snapshot {
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

fn base() -> Snapshot {
    snapshot_of(&recording("39-dumps.txt"))
}

/// The output of a command in a recorded state.
fn state(file: &str, command: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/state")
        .join(file);
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text
        .split_once(&format!("### {command}\n"))
        .unwrap_or_else(|| panic!("{file}: no {command}"));
    rest.split("### rc=").next().unwrap().to_owned()
}

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

/// The same JSON, numbers, names and their order included.
fn assert_same_json(ours: &str, theirs: &str) {
    let parse = |text: &str| -> String {
        let value: serde_json::Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        serde_json::to_string_pretty(&value).unwrap()
    };
    assert_eq!(parse(ours), parse(theirs));
}

fn json(snapshot: &Snapshot, style: Style) -> String {
    let resources: Vec<_> = snapshot.resources.iter().collect();
    status_json(snapshot, &resources, style).unwrap()
}

/// The state `12-established-uptodate-primary`.
fn uptodate_primary() -> Snapshot {
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
fn standalone_diskless() -> Snapshot {
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

fn show(snapshot: &Snapshot, all: bool, style: Style) -> String {
    show_text(snapshot, &snapshot.resources[0], all, style)
}

#[test]
fn show_of_an_established_connection() {
    let snapshot = uptodate_primary();
    let file = "12-established-uptodate-primary.txt";
    assert_eq!(
        show(&snapshot, false, Style::Utils922),
        state(file, "drbdsetup show")
    );
    assert_eq!(
        show(&snapshot, true, Style::Utils922),
        state(file, "drbdsetup show --show-defaults")
    );
}

#[test]
fn show_in_the_newest_form() {
    let mut snapshot = uptodate_primary();
    snapshot.peer_devices[0]
        .options
        .set(6, OptionValue::Int(250));
    let file = "51-utils-9.34-uptodate.txt";
    assert_eq!(
        show(&snapshot, false, Style::Utils934),
        state(file, "drbdsetup-9.34 show")
    );
    assert_eq!(
        show(&snapshot, true, Style::Utils934),
        state(file, "drbdsetup-9.34 show --show-defaults")
    );
    // Two slips of the reference: a flag as a string, and what C prints for a missing string.
    let theirs = state(file, "drbdsetup-9.34 show --json")
        .replace("\"diskless\": \"no\"", "\"diskless\": false")
        .replace("(null)", "");
    assert_same_json(
        &show_json(&snapshot, &snapshot.resources.iter().collect::<Vec<_>>()).unwrap(),
        &theirs,
    );
}

#[test]
fn show_of_what_is_not_there_yet() {
    let snapshot = standalone_diskless();
    assert_eq!(
        show(&snapshot, false, Style::Utils922),
        state("03-standalone-diskless.txt", "drbdsetup show")
    );
    assert_eq!(
        show(&snapshot, true, Style::Utils922),
        state(
            "03-standalone-diskless.txt",
            "drbdsetup show --show-defaults"
        )
    );
    let mut alone = snapshot;
    alone.devices.clear();
    alone.connections.clear();
    alone.peer_devices.clear();
    assert_eq!(
        show(&alone, false, Style::Utils922),
        state("01-resource-only.txt", "drbdsetup show")
    );
    let mut quorum = uptodate_primary();
    quorum.resources[0].options.set(11, OptionValue::Int(2));
    quorum.peer_devices[0].options = base().peer_devices[0].options.clone();
    assert_eq!(
        show(&quorum, false, Style::Utils922),
        state("21-no-quorum-suspended.txt", "drbdsetup show")
    );
}

#[test]
fn generations_of_a_resync() {
    let mut snapshot = uptodate_primary();
    let device = &mut snapshot.devices[0].statistics;
    device.current_uuid = 0x2534_fd5c_e0d7_69c3;
    device.disk_flags = 0x1 | 0x10 | 0x2 | 0x40;
    let peer = &mut snapshot.peer_devices[0].statistics;
    peer.bitmap_uuid = 0x7dec_e082_ff5a_7fe5;
    peer.flags = 0x1 | 0x2 | 0x10;
    let line = generations(&snapshot.devices[0], &snapshot.peer_devices[0]).unwrap();
    let theirs = state("09-syncsource.txt", "drbdsetup get-gi r0 1 0");
    assert_eq!(format!("{line}\n"), theirs);
    // The words are ours, the picture is that of the reference.
    let geometry = |text: &str| -> Vec<usize> {
        text.lines()
            .filter(|line| line.contains(">--+"))
            .map(|line| line.find(">--+").unwrap())
            .collect()
    };
    let recorded = geometry(&state("09-syncsource.txt", "drbdsetup show-gi r0 1 0"));
    let ours = geometry(&explain_generations(&line));
    assert_eq!((ours.len(), &ours[..11]), (12, &recorded[..11]));
    snapshot.devices[0].statistics.history_uuids = None;
    assert_eq!(
        generations(&snapshot.devices[0], &snapshot.peer_devices[0]),
        None
    );
}

fn printed(events: Vec<Event>, options: EventOptions) -> String {
    let mut printer = EventPrinter::new(options);
    events
        .into_iter()
        .flat_map(|event| printer.feed(event))
        .map(|line| line + "\n")
        .collect()
}

fn old_style() -> EventOptions {
    EventOptions {
        style: Style::Utils922,
        ..EventOptions::default()
    }
}

#[test]
fn events_of_the_initial_state() {
    let recording = recording("38-initial-state.txt");
    assert_eq!(printed(recording.events(), old_style()), recording.output);
    let newest = printed(recording.events(), EventOptions::default());
    assert_eq!(
        newest,
        recording.output.replace(" quorum:", " open:no quorum:")
    );
    let other = EventOptions {
        resource: Some("r1".into()),
        ..old_style()
    };
    assert_eq!(printed(recording.events(), other), "exists -\n");
}

/// Applies the initial state of one recording and then the notifications of another.
fn replay(changes: &str, prepare: impl Fn(&mut Event), options: EventOptions) -> Vec<String> {
    let mut printer = EventPrinter::new(options);
    for mut event in recording("38-initial-state.txt").events() {
        prepare(&mut event);
        printer.feed(event);
    }
    recording(changes)
        .events()
        .into_iter()
        .flat_map(|event| printer.feed(event))
        .collect()
}

#[test]
fn a_demotion_is_told_with_what_it_means() {
    use drbd_netlink::EventObject;
    let primary = |event: &mut Event| {
        if let EventObject::Resource {
            info: Some(info), ..
        } = &mut event.object
        {
            info.role = Role::Primary;
        }
    };
    let lines = replay("32-secondary.txt", primary, old_style());
    assert_eq!(
        lines,
        [
            "change resource name:r0 role:Secondary may_promote:yes promotion_score:10102",
            "change peer-device name:r0 peer-node-id:1 conn-name:n2 volume:0",
        ]
    );
}

#[test]
fn tear_down_is_told_in_order() {
    let lines = replay("42-down.txt", |_| (), old_style());
    let ends: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("destroy"))
        .map(String::as_str)
        .collect();
    assert_eq!(
        ends,
        [
            "destroy path name:r0 peer-node-id:1 conn-name:n2 local:ipv4:10.9.0.1:7788 peer:ipv4:10.9.0.2:7788",
            "destroy peer-device name:r0 peer-node-id:1 conn-name:n2 volume:0",
            "destroy connection name:r0 peer-node-id:1 conn-name:n2",
            "destroy device name:r0 volume:0",
            "destroy resource name:r0",
        ]
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("change resource name:r0 may_promote:")),
        "{lines:#?}"
    );
}

#[test]
fn creation_and_rename_are_told() {
    let lines: Vec<_> = ["01-new-resource.txt", "02-new-minor.txt", "36-rename.txt"]
        .iter()
        .flat_map(|name| {
            printed(recording(name).events(), old_style())
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(lines[0], "create resource name:r0 role:Secondary suspended:no force-io-failures:no may_promote:no promotion_score:0");
    assert!(lines.contains(
        &"create device name:r0 volume:0 minor:0 backing_dev:none disk:Diskless client:no quorum:yes".to_owned()
    ));
    assert_eq!(
        lines[lines.len() - 2..],
        [
            "rename resource name:r0 new_name:r9",
            "rename resource name:r9 new_name:r0"
        ]
    );
}

#[test]
fn gaps_are_told_and_a_refresh_tells_only_what_is_new() {
    let mut events = recording("09-primary-force.txt").events();
    events.remove(1);
    let lines = printed(events, old_style());
    assert!(lines.contains("- skipped 1\n"), "{lines}");

    let initial = recording("38-initial-state.txt").events();
    let mut printer = EventPrinter::new(old_style());
    initial
        .iter()
        .for_each(|event| drop(printer.feed(event.clone())));
    assert_eq!(printer.refresh(initial.clone()), Vec::<String>::new());
    let mut changed = initial.clone();
    for event in &mut changed {
        if let drbd_netlink::EventObject::Connection {
            info: Some(info), ..
        } = &mut event.object
        {
            info.peer_role = Role::Primary;
        }
    }
    assert_eq!(
        printer.refresh(changed),
        [
            "change resource name:r0 may_promote:no promotion_score:10102",
            "change connection name:r0 peer-node-id:1 conn-name:n2 role:Primary",
        ]
    );
    let lines = printer.refresh(Vec::new());
    assert!(
        lines.contains(&"destroy resource name:r0".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn promotion_needs_stable_data_within_reach() {
    use drbd_netlink::EventObject;
    let score = |own: DiskState, peer: DiskState, flags: u64| {
        let mut events = recording("38-initial-state.txt").events();
        for event in &mut events {
            match &mut event.object {
                EventObject::Device {
                    info: Some(info), ..
                } => info.disk_state = own,
                EventObject::PeerDevice {
                    info: Some(info),
                    statistics,
                    ..
                } => {
                    info.peer_disk_state = peer;
                    statistics.uuid_flags = flags;
                }
                _ => {}
            }
        }
        let text = printed(events, old_style());
        let line = text.lines().next().unwrap().to_owned();
        line.split("may_promote:").nth(1).unwrap().to_owned()
    };
    assert_eq!(
        score(DiskState::UpToDate, DiskState::UpToDate, 0),
        "yes promotion_score:10102"
    );
    assert_eq!(
        score(DiskState::UpToDate, DiskState::DUnknown, 0),
        "yes promotion_score:10101"
    );
    assert_eq!(
        score(DiskState::Inconsistent, DiskState::UpToDate, 0),
        "no promotion_score:10001"
    );
    assert_eq!(
        score(DiskState::Diskless, DiskState::UpToDate, UUID_FLAG_STABLE),
        "yes promotion_score:1"
    );
    assert_eq!(
        score(DiskState::Outdated, DiskState::DUnknown, 0),
        "no promotion_score:0"
    );
}
