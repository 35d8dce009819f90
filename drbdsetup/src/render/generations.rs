// SPDX-License-Identifier: GPL-2.0-or-later
//! `get-gi` and `show-gi`: data generation identifiers.

use drbd_core::genl::state::{disk_flags, peer_flags};
use drbd_netlink::{Device, PeerDevice};

const DISK_FLAGS: [(u32, &str); 7] = [
    (disk_flags::CONSISTENT, "Data is consistent"),
    (disk_flags::WAS_UP_TO_DATE, "Data is or was UpToDate"),
    (disk_flags::PRIMARY_IND, "Node is or was Primary"),
    (
        disk_flags::CRASHED_PRIMARY,
        "Node crashed as Primary and has not met its peer since",
    ),
    (
        disk_flags::AL_CLEAN,
        "Activity log is applied, the disk can be attached",
    ),
    (
        disk_flags::AL_DISABLED,
        "Activity log was off, peer is completely out of sync",
    ),
    (
        disk_flags::PRIMARY_LOST_QUORUM,
        "Node was Primary when it lost quorum",
    ),
];
const PEER_FLAGS: [(u32, &str); 5] = [
    (peer_flags::CONNECTED, "Peer is or was connected"),
    (
        peer_flags::OUTDATED,
        "Peer's disk is Outdated or Inconsistent",
    ),
    (
        peer_flags::FENCING,
        "A fencing policy other than dont-care is in force",
    ),
    (
        peer_flags::FULL_SYNC,
        "Marking all blocks as out of sync was under way",
    ),
    (
        peer_flags::DEVICE_SEEN,
        "Peer was seen with a disk at least once",
    ),
];
/// Column of the first flag: behind four UUIDs of 16 digits with their colons.
const FLAGS_COLUMN: usize = 4 * 17;

/// The identifiers in one line; `None` without a disk.
pub fn generations(device: &Device, peer_device: &PeerDevice) -> Option<String> {
    let history = device.statistics.history_uuids?;
    let uuids = [
        device.statistics.current_uuid,
        peer_device.statistics.bitmap_uuid,
        history[0],
        history[1],
    ];
    let mut parts: Vec<String> = uuids.iter().map(|uuid| format!("{uuid:016X}")).collect();
    let flag = |word: u32, bit: u32| u32::from(word & bit != 0).to_string();
    parts.extend(
        DISK_FLAGS
            .iter()
            .map(|(bit, _)| flag(device.statistics.disk_flags, *bit)),
    );
    parts.extend(
        PEER_FLAGS
            .iter()
            .map(|(bit, _)| flag(peer_device.statistics.flags, *bit)),
    );
    Some(parts.join(":"))
}

/// The line of [`generations`] with explanations above and below.
pub fn explain_generations(line: &str) -> String {
    let labels: Vec<&str> = DISK_FLAGS
        .iter()
        .chain(&PEER_FLAGS)
        .map(|(_, label)| *label)
        .collect();
    explain(line, &labels)
}

/// The line of identifiers and flags, with one label for every flag.
pub(super) fn explain(line: &str, labels: &[&str]) -> String {
    let mut text = String::from(
        "\n       +--<  Current data generation UUID  >-\n       \
         |               +--<  Bitmap's base data generation UUID  >-\n       \
         |               |                 +--<  younger history UUID  >-\n       \
         |               |                 |         +-<  older history  >-\n       \
         V               V                 V         V\n",
    );
    text.push_str(line);
    text.push('\n');
    text.push_str(&" ".repeat(FLAGS_COLUMN));
    text.push_str(&vec!["^"; labels.len()].join(" "));
    text.push('\n');
    for (index, label) in labels.iter().enumerate() {
        let pointer = format!("-<  {label}  >--");
        text.push_str(&format!(
            "{pointer:>width$}+",
            width = FLAGS_COLUMN + 2 * index
        ));
        text.push_str(&" |".repeat(labels.len() - index - 1));
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_its_pointer() {
        let line = "2534FD5CE0D769C3:7DECE082FF5A7FE5:0000000000000000:0000000000000000:1:1:1:1:0:0:0:1:1:0:0:1";
        let text = explain_generations(line);
        let flags: Vec<usize> = line
            .match_indices(':')
            .skip(3)
            .map(|(at, _)| at + 1)
            .collect();
        assert_eq!(flags.len(), 12);
        for (label, at) in text.lines().filter(|row| row.contains(">--+")).zip(flags) {
            assert_eq!(
                label.find(">--+").map(|place| place + 3),
                Some(at),
                "{label}"
            );
        }
    }
}
