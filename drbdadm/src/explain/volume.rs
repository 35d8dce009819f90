// SPDX-License-Identifier: GPL-2.0-or-later
//! Disks of this node, and whether it can be promoted.

use drbd_conf::model::Volume;

use super::{Asked, Finding};
use crate::{kernel, metadata};

/// What would keep the disks of a resource that is down from being attached.
pub(super) fn unattached(asked: &Asked<'_>) -> Vec<Finding> {
    let volumes = asked.selection.volumes();
    let with_disk = volumes.into_iter().filter(|volume| !volume.is_diskless());
    with_disk
        .filter_map(|volume| unusable(asked, volume))
        .collect()
}

/// Why a disk cannot be attached, as far as looking at it tells.
fn unusable(asked: &Asked<'_>, volume: &Volume) -> Option<Finding> {
    let about = format!("volume {}", volume.number);
    let device = metadata::device(volume);
    let disk = volume.disk.clone().unwrap_or_default();
    for path in [&disk, &device] {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Some(
                    Finding::new(about, format!("{path} does not exist"))
                        .because("the logical volume or partition is not there, or not active")
                        .type_here("look for it", &["lsblk", "vgchange -ay"]),
                );
            }
            _ => {}
        }
    }
    let selector = asked.volume_selector(volume.number);
    match metadata::probe(volume) {
        metadata::Probe::None => Some(
            Finding::new(about, format!("{device} holds no drbd metadata"))
                .because("a new disk needs it once; on one that was in use it is at another place, or was overwritten")
                .type_here("on a new disk", &[&format!("drbdadm create-md {selector}")]),
        ),
        metadata::Probe::Found(_) | metadata::Probe::Unreadable => None,
    }
}

/// A volume of a resource that is up.
pub(super) fn explain(
    asked: &Asked<'_>,
    running: &kernel::Resource,
    volume: &Volume,
) -> Option<Finding> {
    let about = format!("volume {}", volume.number);
    let selector = asked.volume_selector(volume.number);
    let name = asked.name();
    let found = running
        .devices
        .iter()
        .find(|device| device.volume == volume.number);
    let Some(device) = found else {
        return Some(
            Finding::new(about, "the kernel does not know it")
                .because("it was added to the configuration after the resource was brought up")
                .type_here("add it", &[&format!("drbdadm adjust {name}")]),
        );
    };
    let peers = || {
        running.connections.iter().flat_map(|connection| {
            let devices = connection.peer_devices.iter();
            devices
                .filter(|theirs| theirs.volume == volume.number)
                .map(move |theirs| (connection, theirs))
        })
    };
    let good_peer = peers().find(|(connection, theirs)| {
        connection.is_connected() && theirs.peer_disk_state == "UpToDate"
    });
    let fetching = peers().any(|(_, theirs)| theirs.replication_state.ends_with("SyncTarget"));
    match device.disk_state.as_str() {
        "UpToDate" => None,
        "Diskless" if volume.is_diskless() => None,
        "Diskless" => Some(unusable(asked, volume).unwrap_or_else(|| {
            Finding::new(about, "its disk is not attached")
                .because("it was detached, by hand or after an I/O error: see `journalctl -k`")
                .type_here("attach it", &[&format!("drbdadm attach {selector}")])
        })),
        "Failed" | "Detaching" => Some(
            Finding::new(about, "its disk has failed and is being let go")
                .because("see `journalctl -k` and the disk's own health")
                .type_here(
                    "when the disk is sound, or has been replaced",
                    &[
                        &format!("drbdadm create-md {selector}   # a new disk only"),
                        &format!("drbdadm attach {selector}"),
                    ],
                ),
        ),
        // What runs is told of the peer.
        "Inconsistent" if fetching => None,
        "Inconsistent" if good_peer.is_some() => Some(
            Finding::new(
                about,
                "its data is incomplete, and nothing is being fetched",
            )
            .type_here(
                "let a paused resync go on",
                &[&format!("drbdadm resume-sync {selector}")],
            )
            .type_here(
                "fetch everything again",
                &[&format!("drbdadm invalidate {selector}")],
            ),
        ),
        "Inconsistent" => {
            let finding = Finding::new(
                about,
                "its data is incomplete, and no peer has a complete copy at hand",
            );
            let both = peers().all(|(connection, theirs)| {
                connection.is_connected() && theirs.peer_disk_state == "Inconsistent"
            });
            Some(if both && peers().next().is_some() {
                finding
                    .because("all disks are new: somebody has to say which data counts")
                    .type_here(
                        "this node's data counts",
                        &[&format!("drbdadm primary --force {name}")],
                    )
                    .type_here(
                        "the disks hold nothing yet",
                        &[&format!(
                            "drbdadm new-current-uuid --clear-bitmap {name}/{}",
                            volume.number
                        )],
                    )
            } else {
                finding
                    .because("it was receiving data when the peer was lost")
                    .type_here("find the peer again", &[&format!("drbdadm connect {name}")])
                    .type_here(
                        "give up the peer's copy: part of the data here is old or missing",
                        &[&format!("drbdadm primary --force {name}")],
                    )
            })
        }
        "Outdated" | "Consistent" if good_peer.is_some() || fetching => None,
        state @ ("Outdated" | "Consistent") => Some(
            Finding::new(
                about,
                format!("its data is {state}: another node may have newer data"),
            )
            .type_here(
                "connect to that node",
                &[&format!("drbdadm connect {name}")],
            )
            .type_here(
                "give up what the other node has written since",
                &[&format!("drbdadm primary --force {name}")],
            ),
        ),
        state => Some(
            Finding::new(about, format!("its disk is {state}")).because("this passes by itself"),
        ),
    }
    .map(|finding| {
        if device.client && !volume.is_diskless() {
            finding.because("the kernel has it as diskless on purpose, the configuration does not")
        } else {
            finding
        }
    })
}

/// Whether this node can become Primary without force, and if not why not.
pub(super) fn promotable(asked: &Asked<'_>, running: &kernel::Resource) -> (bool, Option<Finding>) {
    if running.role == "Primary" {
        return (true, None);
    }
    let about = format!("resource {}", asked.name());
    let two = asked
        .selection
        .resource
        .connections
        .iter()
        .any(|connection| {
            let opt = connection
                .net
                .iter()
                .find(|opt| opt.name == "allow-two-primaries");
            opt.is_some_and(|opt| opt.value == "yes")
        });
    let primary = running
        .connections
        .iter()
        .find(|connection| connection.peer_role == "Primary");
    if let (Some(peer), false) = (primary, two) {
        let finding = Finding::new(about, format!("cannot be Primary here: {} is", peer.name))
            .type_on(
                &peer.name,
                "to move it: stop what uses it there, then",
                &[&format!("drbdadm secondary {}", asked.name())],
            );
        return (false, Some(finding));
    }
    let usable = |device: &kernel::Device| {
        device.disk_state == "UpToDate"
            || running.connections.iter().any(|connection| {
                connection.is_connected()
                    && connection.peer_devices.iter().any(|theirs| {
                        theirs.volume == device.volume && theirs.peer_disk_state == "UpToDate"
                    })
            })
    };
    let lacking = running.devices.iter().find(|device| !usable(device));
    match lacking {
        None => (!running.devices.is_empty(), None),
        // The disk's own finding says what to do.
        Some(device) => (
            false,
            Some(Finding::new(
                about,
                format!(
                    "cannot be Primary: no UpToDate copy of volume {} is at hand",
                    device.volume
                ),
            )),
        ),
    }
}
