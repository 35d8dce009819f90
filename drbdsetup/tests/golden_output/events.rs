// SPDX-License-Identifier: GPL-2.0-or-later
//! events2.

use super::recorded::recording;
use drbd_core::genl::state::{DiskState, Role, UUID_FLAG_STABLE};
use drbd_netlink::Event;
use drbdsetup::render::{EventOptions, EventPrinter, Style};

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
