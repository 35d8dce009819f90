// SPDX-License-Identifier: GPL-2.0-or-later
//! Connections, paths and peer devices.

use drbd_conf::model::{Connection, Host};
use drbd_conf::running::{Pair, RunningConnection};
use drbd_conf::schema::{self, Scope};
use drbd_conf::Running;

use super::{compare, connection_call, peer_call};
use crate::call::{Call, Limit};
use crate::queue::{Queue, Stage};
use crate::select::Selection;
use crate::steps::{path_addresses, path_call, Steps};

/// Queues what differs.
pub(super) fn changes(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    running: &Running,
    queue: &mut Queue,
) {
    let mut wanted = selection.connections();
    // Connections that are down anyway are put right before those that work.
    wanted.sort_by_key(|(_, peer)| {
        find(running, peer).and_then(|old| old.state.as_deref()) == Some("Connected")
    });
    for (connection, peer) in &wanted {
        match find(running, peer) {
            Some(old) => change(steps, selection, connection, peer, old, queue),
            None => create(steps, selection, connection, peer, queue),
        }
    }
    for old in &running.connections {
        let gone = !wanted
            .iter()
            .any(|(_, peer)| peer.node_id == Some(old.peer_node_id));
        if gone {
            let name = &selection.resource.name;
            if !old.standalone {
                let call = connection_call("disconnect", name, old.peer_node_id);
                queue.add(Stage::Disconnect, call);
            }
            queue.add(
                Stage::PeerDown,
                connection_call("del-peer", name, old.peer_node_id),
            );
        }
    }
}

fn find<'a>(running: &'a Running, peer: &Host) -> Option<&'a RunningConnection> {
    running
        .connections
        .iter()
        .find(|old| Some(old.peer_node_id) == peer.node_id)
}

fn create(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    connection: &Connection,
    peer: &Host,
    queue: &mut Queue,
) {
    let resource = selection.resource;
    queue.add(Stage::PeerUp, steps.new_peer(resource, connection, peer));
    for call in steps.paths("new-path", resource, selection.local, connection, peer) {
        queue.add(Stage::Path, call);
    }
    for volume in &selection.host.volumes {
        let options = steps.peer_device_options(connection, peer, volume.number);
        if !options.is_empty() {
            let call = Steps::peer_device("peer-device-options", resource, peer, volume.number);
            queue.add(Stage::PeerDevice, call.with(options));
        }
    }
    queue.add(Stage::Connect, steps.connect(resource, peer));
}

fn change(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    connection: &Connection,
    peer: &Host,
    old: &RunningConnection,
    queue: &mut Queue,
) {
    let resource = selection.resource;
    let wanted = steps.net_options(connection, peer);
    if fixed_differ(&wanted, &old.net) {
        // What only holds for a new connection needs a new one.
        if !old.standalone {
            queue.add(
                Stage::Disconnect,
                peer_call("disconnect", &resource.name, peer),
            );
        }
        queue.add(Stage::PeerDown, peer_call("del-peer", &resource.name, peer));
        create(steps, selection, connection, peer, queue);
        return;
    }
    if compare::differ(&[Scope::Net], &wanted, &old.net) {
        let call = Call::setup(
            &resource.name,
            Limit::Short,
            [
                "net-options",
                &resource.name,
                &old.peer_node_id.to_string(),
                "--set-defaults",
            ],
        );
        queue.add(Stage::Net, call.with(wanted));
    }
    let reconnect = paths(selection, connection, peer, old, queue);
    peer_devices(steps, selection, connection, peer, old, queue);
    if reconnect || old.standalone {
        queue.add(Stage::Connect, steps.connect(resource, peer));
    }
}

/// Options that cannot be changed on a connection that is there.
fn fixed_differ(wanted: &[String], running: &[Pair]) -> bool {
    let fixed: Vec<&str> = schema::options(Scope::Net)
        .filter(|spec| !spec.changeable)
        .map(|spec| spec.name)
        .collect();
    let wanted: Vec<String> = wanted
        .iter()
        .filter(|option| {
            let name = option.trim_start_matches('-').split('=').next();
            name.is_some_and(|name| fixed.contains(&name))
        })
        .cloned()
        .collect();
    let running: Vec<Pair> = running
        .iter()
        .filter(|(name, _)| fixed.contains(&name.as_str()))
        .cloned()
        .collect();
    compare::differ(&[Scope::Net], &wanted, &running)
}

/// Adds and removes paths; true if the connection has to be made again.
fn paths(
    selection: &Selection<'_>,
    connection: &Connection,
    peer: &Host,
    old: &RunningConnection,
    queue: &mut Queue,
) -> bool {
    let name = &selection.resource.name;
    let wanted: Vec<(String, String)> = connection
        .paths
        .iter()
        .filter_map(|path| path_addresses(path, selection.local))
        .collect();
    let gone: Vec<&Pair> = old
        .paths
        .iter()
        .filter(|path| !wanted.contains(path))
        .collect();
    let new: Vec<&Pair> = wanted
        .iter()
        .filter(|path| !old.paths.contains(path))
        .collect();
    // Without one path that stays, the connection cannot live on.
    let all_gone = !gone.is_empty() && gone.len() == old.paths.len();
    if all_gone && !old.standalone {
        queue.add(Stage::Disconnect, peer_call("disconnect", name, peer));
    }
    for (ours, theirs) in gone {
        queue.add(
            Stage::PeerDown,
            path_call("del-path", name, peer, ours, theirs),
        );
    }
    for (ours, theirs) in new {
        queue.add(Stage::Path, path_call("new-path", name, peer, ours, theirs));
    }
    all_gone
}

fn peer_devices(
    steps: &Steps<'_>,
    selection: &Selection<'_>,
    connection: &Connection,
    peer: &Host,
    old: &RunningConnection,
    queue: &mut Queue,
) {
    for volume in &selection.host.volumes {
        let wanted = steps.peer_device_options(connection, peer, volume.number);
        let running = old
            .peer_devices
            .iter()
            .find(|(number, _)| *number == volume.number)
            .map(|(_, options)| options.clone())
            .unwrap_or_default();
        if compare::differ(&[Scope::PeerDevice], &wanted, &running) {
            let call = Steps::peer_device(
                "peer-device-options",
                selection.resource,
                peer,
                volume.number,
            );
            let call = call.with(["--set-defaults".to_owned()]).with(wanted);
            queue.add(Stage::PeerDevice, call);
        }
    }
}
