// SPDX-License-Identifier: GPL-2.0-or-later
//! show and show-gi.

use super::recorded::{assert_same_json, base, standalone_diskless, state, uptodate_primary};
use drbd_netlink::{OptionValue, Snapshot};
use drbdsetup::render::{explain_generations, generations, show_json, show_text, Style};

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
