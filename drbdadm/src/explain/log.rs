// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel said when it refused a peer.
//!
//! The reason is in no interface; it is in the kernel's log, which is read from
//! `/dev/kmsg`. Nothing depends on it but a better sentence.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// A read of the log must not wait for its next record.
const O_NONBLOCK: i32 = nix::libc::O_NONBLOCK;
/// Longest record.
const RECORD_BYTES_MAX: usize = 8192;
/// Parts of sentences with which our driver and the stock ones turn a peer away.
const REFUSALS: &[&str] = &[
    "split brain",
    "split-brain",
    "unrelated data",
    "newer data is inconsistent",
    "take over the peer's data",
    "too small",
    "incompatible",
    "authentication",
    "other data than this diskless",
    "discard-my-data",
];

/// The last refusal that the log has of a resource.
pub(super) fn last_refusal(resource: &str) -> Option<String> {
    let text = match std::env::var("DRBDADM_KMSG") {
        Ok(path) => std::fs::read_to_string(path).ok()?,
        Err(_) => kernel_log()?,
    };
    last_in(&text, resource)
}

fn last_in(text: &str, resource: &str) -> Option<String> {
    text.lines()
        .filter(|line| names(line, resource))
        .rfind(|line| {
            let lower = line.to_ascii_lowercase();
            REFUSALS.iter().any(|part| lower.contains(part))
        })
        .map(|line| {
            // `6,1234,567890,-;drbd r0: message`
            let message = line.split_once(';').map_or(line, |(_, message)| message);
            message.trim().to_owned()
        })
}

/// Whether a line has the resource's name as a word of its own.
fn names(line: &str, resource: &str) -> bool {
    line.contains("drbd")
        && line
            .split(|c: char| c.is_whitespace() || matches!(c, ':' | '/' | ';' | ','))
            .any(|word| word == resource)
}

/// Whether a refusal was for a split brain.
pub(super) fn is_split_brain(said: &str) -> bool {
    let lower = said.to_ascii_lowercase();
    lower.contains("split brain") || lower.contains("split-brain")
}

fn kernel_log() -> Option<String> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open("/dev/kmsg")
        .ok()?;
    let mut text = String::new();
    let mut record = [0; RECORD_BYTES_MAX];
    loop {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                text.push_str(&String::from_utf8_lossy(record.get(..length)?));
            }
            // The record was overwritten while it was to be read: the next one.
            Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_refusal_of_this_resource_is_found() {
        let text = "6,1,1,-;drbd r0: unrelated data: the two disks\n\
             6,2,2,-;drbd r00: split brain: both disks\n\
             6,3,3,-;drbd r0: split brain: both disks changed without the other\n\
             6,4,4,-;drbd r0: connected\n";
        let said = last_in(text, "r0").unwrap();
        assert_eq!(
            said,
            "drbd r0: split brain: both disks changed without the other"
        );
        assert!(is_split_brain(&said));
        assert_eq!(last_in(text, "r1"), None);
    }
}
