// SPDX-License-Identifier: GPL-2.0-or-later
//! From two looks at the kernel to a table.

use comfy_table::presets::NOTHING;
use comfy_table::Table;
use drbd_conf::schema::{self, Scope};
use drbd_conf::value::{self, Meaning};
use drbd_conf::Resolved;

use crate::explain::{duration, kib};
use crate::kernel::{Connection, Device, PeerDevice, Resource};

/// What part of a limit counts as having reached it.
const NEARLY: f64 = 0.9;
/// `c-max-rate` without one in the configuration, KiB/s.
const C_MAX_RATE_KIB: i64 = 102_400;

const HEADS: [&str; 13] = [
    "VOLUME",
    "ROLE",
    "DISK",
    "READ",
    "WRITTEN",
    "PEER",
    "STATE",
    "THEIR DISK",
    "SENT",
    "RECEIVED",
    "OUT OF SYNC",
    "PROGRESS",
    "LIMITED BY",
];

/// The table; `seconds` lie between the two looks.
pub(super) fn view(
    resolved: &Resolved,
    before: &[Resource],
    now: &[Resource],
    seconds: f64,
) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(HEADS);
    for resource in now {
        let old = before.iter().find(|old| old.name == resource.name);
        for device in &resource.devices {
            for row in rows(resolved, old, resource, device, seconds) {
                table.add_row(row);
            }
        }
    }
    if now.is_empty() {
        return "no resource of the configuration is up\n".into();
    }
    format!("{table}\n")
}

fn rows(
    resolved: &Resolved,
    old: Option<&Resource>,
    resource: &Resource,
    device: &Device,
    seconds: f64,
) -> Vec<Vec<String>> {
    let old_device = old.and_then(|old| old.devices.iter().find(|d| d.volume == device.volume));
    let rate = |now: u64, before: Option<u64>| rate(now, before, seconds);
    let head = vec![
        format!("{}/{}", resource.name, device.volume),
        resource.role.clone(),
        device.disk_state.clone(),
        rate(device.read, old_device.map(|d| d.read)),
        rate(device.written, old_device.map(|d| d.written)),
    ];
    let mut list = Vec::new();
    for connection in &resource.connections {
        let Some(peer) = connection
            .peer_devices
            .iter()
            .find(|theirs| theirs.volume == device.volume)
        else {
            continue;
        };
        let old_peer = old
            .and_then(|old| {
                let mut all = old.connections.iter();
                all.find(|c| c.peer_node_id == connection.peer_node_id)
            })
            .and_then(|c| c.peer_devices.iter().find(|p| p.volume == device.volume));
        let mut row = if list.is_empty() {
            head.clone()
        } else {
            vec![String::new(); head.len()]
        };
        let busy = old_device.map_or(0, |old| device.written.saturating_sub(old.written));
        row.extend([
            connection.name.clone(),
            state(connection, peer),
            peer.peer_disk_state.clone(),
            rate(peer.sent, old_peer.map(|p| p.sent)),
            rate(peer.received, old_peer.map(|p| p.received)),
            match peer.out_of_sync {
                0 => "-".into(),
                amount => kib(amount),
            },
            progress(peer),
            limit(
                resource,
                device,
                connection,
                peer,
                &Pace {
                    resync: resync_rate(peer, old_peer, seconds),
                    resync_max: c_max_rate(resolved, &resource.name, peer.volume),
                    application: busy > 0,
                },
            ),
        ]);
        list.push(row);
    }
    if list.is_empty() {
        list.push(head);
    }
    list
}

fn state(connection: &Connection, peer: &PeerDevice) -> String {
    let quiet = matches!(peer.replication_state.as_str(), "Established" | "Off" | "");
    if connection.is_connected() && !quiet {
        peer.replication_state.clone()
    } else {
        connection.connection_state.clone()
    }
}

fn rate(now: u64, before: Option<u64>, seconds: f64) -> String {
    match before.and_then(|before| now.checked_sub(before)) {
        Some(0) => "-".into(),
        Some(amount) => format!("{}/s", kib(per_second(amount, seconds))),
        // A counter that began anew, or is seen for the first time.
        None => "-".into(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "`as` saturates, and the value is for display"
)]
fn per_second(amount: u64, seconds: f64) -> u64 {
    (amount as f64 / seconds.max(0.001)).round() as u64
}

fn progress(peer: &PeerDevice) -> String {
    /// Cells of the bar.
    const CELLS: usize = 10;
    if !peer.is_busy() {
        return "-".into();
    }
    let done = peer.percent_done.unwrap_or(peer.percent_in_sync);
    let full = (0..CELLS)
        .filter(|cell| f64::from(u32::try_from(*cell + 1).unwrap_or(0)) * 10.0 <= done)
        .count();
    let mut text = format!(
        "{}{} {done:.1}%",
        "#".repeat(full),
        ".".repeat(CELLS - full)
    );
    if let Some(seconds) = peer.seconds_left.filter(|seconds| *seconds > 0) {
        text.push_str(&format!(" {} left", duration(seconds)));
    }
    text
}

/// How fast things go, KiB/s.
struct Pace {
    resync: u64,
    resync_max: u64,
    /// Whether the application writes.
    application: bool,
}

/// Out-of-sync data that went away, KiB/s.
fn resync_rate(peer: &PeerDevice, old: Option<&PeerDevice>, seconds: f64) -> u64 {
    let gone = old.map_or(0, |old| old.out_of_sync.saturating_sub(peer.out_of_sync));
    per_second(gone, seconds)
}

/// `c-max-rate` of a volume, KiB/s.
fn c_max_rate(resolved: &Resolved, resource: &str, volume: u32) -> u64 {
    let found = resolved.resource(resource).and_then(|resource| {
        let devices = resource.connections.iter().flat_map(|c| &c.peer_devices);
        let mut options = devices
            .filter(|device| device.number == volume)
            .flat_map(|device| &device.options);
        options.find(|opt| opt.name == "c-max-rate")
    });
    let meaning = found.and_then(|opt| {
        let spec = schema::find(&[Scope::PeerDevice], "c-max-rate")?;
        value::check(&spec, Some(&opt.value)).ok()
    });
    let rate = match meaning {
        Some(Meaning::Number(rate)) => rate,
        _ => C_MAX_RATE_KIB,
    };
    u64::try_from(rate).unwrap_or(0)
}

/// What holds a volume up, as far as the counters tell.
fn limit(
    resource: &Resource,
    device: &Device,
    connection: &Connection,
    peer: &PeerDevice,
    pace: &Pace,
) -> String {
    let suspended = resource.suspended_user
        || resource.suspended_no_data
        || resource.suspended_fencing
        || resource.suspended_quorum;
    let resync = matches!(peer.replication_state.as_str(), "SyncSource" | "SyncTarget");
    let nearly = |rate: u64, limit: u64| limit > 0 && share(rate, limit) >= NEARLY;
    let word = if suspended {
        "suspended I/O"
    } else if peer.replication_state.starts_with("PausedSync") {
        return format!("paused: {}", peer.resync_suspended);
    } else if connection.congested {
        "network"
    } else if resync && nearly(pace.resync, pace.resync_max) {
        "c-max-rate"
    } else if resync && pace.application {
        "application I/O"
    } else if device.lower_pending > 0 && device.lower_pending >= peer.pending {
        "own disk"
    } else if peer.unacked > 0 {
        "own disk, for the peer"
    } else if peer.pending > 0 {
        "network, their disk"
    } else {
        "-"
    };
    word.to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "a share is for comparing")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
