// SPDX-License-Identifier: GPL-2.0-or-later
//! `get-gi` and `show-gi` of generation 8.4: seven flags, all of them the disk's.

use drbd_core::genl::state::{disk_flags, DiskState};
use drbd_netlink::v1::MinorStatus;

use super::generations::explain;

/// Flags that version 2 keeps for the peer (control-plane.md section 8.1).
const CONNECTED: u32 = 4;
const FULL_SYNC: u32 = 8;
const PEER_OUTDATED: u32 = 32;

const FLAGS: [(u32, &str); 7] = [
    (disk_flags::CONSISTENT, "Data is consistent"),
    (disk_flags::WAS_UP_TO_DATE, "Data is or was UpToDate"),
    (disk_flags::PRIMARY_IND, "Node is or was Primary"),
    (CONNECTED, "Node is or was connected"),
    (FULL_SYNC, "Marking all blocks as out of sync was under way"),
    (PEER_OUTDATED, "Peer's disk is Outdated or Inconsistent"),
    (
        disk_flags::CRASHED_PRIMARY,
        "Node crashed as Primary and has not met its peer since",
    ),
];

/// The identifiers in one line; `None` without a disk.
pub fn generations_84(status: &MinorStatus) -> Option<String> {
    let mut parts: Vec<String> = status
        .uuids?
        .iter()
        .map(|uuid| format!("{uuid:016X}"))
        .collect();
    parts.extend(
        FLAGS
            .iter()
            .map(|(bit, _)| u32::from(status.disk_flags & bit != 0).to_string()),
    );
    Some(parts.join(":"))
}

/// The line of [`generations_84`] with explanations, and the flags in words.
pub fn explain_generations_84(line: &str, status: &MinorStatus) -> String {
    let flags = status.disk_flags;
    let labels = FLAGS.map(|(_, label)| label);
    let mut words = Vec::new();
    if flags & disk_flags::CRASHED_PRIMARY != 0 {
        words.push("crashed Primary".to_owned());
    } else {
        words.push(status.state.role().to_string());
    }
    words.push(
        if status.state.is_connected() {
            "Connected"
        } else {
            "StandAlone"
        }
        .to_owned(),
    );
    words.push(disk_word(flags).to_string());
    if flags & FULL_SYNC != 0 {
        words.push("need full sync".to_owned());
    }
    if flags & PEER_OUTDATED != 0 {
        words.push("peer Outdated".to_owned());
    }
    let log = if flags & disk_flags::AL_CLEAN != 0 {
        "clean"
    } else {
        "need apply-al"
    };
    format!(
        "{}flags: {}\nmeta-data: {log}",
        explain(line, &labels),
        words.join(", ")
    )
}

fn disk_word(flags: u32) -> DiskState {
    if flags & disk_flags::CONSISTENT == 0 {
        DiskState::Inconsistent
    } else if flags & disk_flags::WAS_UP_TO_DATE == 0 {
        DiskState::Outdated
    } else {
        DiskState::UpToDate
    }
}
