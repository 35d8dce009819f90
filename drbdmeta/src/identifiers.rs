// SPDX-License-Identifier: GPL-2.0-or-later
//! The line of generation identifiers: `CURRENT:BITMAP:YOUNGER:OLDER:flag:flag:...`.

use drbd_core::meta::{Format, MdFlags, PeerFlags, Superblock};

/// One flag of the line.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) meaning: &'static str,
    flag: Flag,
}

#[derive(Clone, Copy)]
enum Flag {
    Own(MdFlags),
    Peer(PeerFlags),
}

const fn own(meaning: &'static str, flag: MdFlags) -> Field {
    Field {
        meaning,
        flag: Flag::Own(flag),
    }
}

const fn peer(meaning: &'static str, flag: PeerFlags) -> Field {
    Field {
        meaning,
        flag: Flag::Peer(flag),
    }
}

const FIELDS_V08: [Field; 7] = [
    own("Data consistency flag", MdFlags::CONSISTENT),
    own("Data was/is currently up-to-date", MdFlags::WAS_UP_TO_DATE),
    own("Node was/is currently primary", MdFlags::PRIMARY_IND),
    peer("Node was/is currently connected", PeerFlags::CONNECTED),
    peer(
        "Node was in the progress of setting all bits in the bitmap",
        PeerFlags::FULL_SYNC,
    ),
    peer(
        "The peer's disk was out-dated or inconsistent",
        PeerFlags::OUTDATED,
    ),
    own(
        "This node was a crashed primary, and has not seen its peer since",
        MdFlags::CRASHED_PRIMARY,
    ),
];

const FIELDS_V09: [Field; 12] = [
    own("Data consistency flag", MdFlags::CONSISTENT),
    own("Data was/is currently up-to-date", MdFlags::WAS_UP_TO_DATE),
    own("Node was/is currently primary", MdFlags::PRIMARY_IND),
    own(
        "This node was a crashed primary, and has not seen its peer since",
        MdFlags::CRASHED_PRIMARY,
    ),
    own(
        "The activity-log was applied, the disk can be attached",
        MdFlags::AL_CLEAN,
    ),
    own(
        "The activity-log was disabled, peer is completely out of sync",
        MdFlags::AL_DISABLED,
    ),
    own(
        "This node was primary when it lost quorum",
        MdFlags::PRIMARY_LOST_QUORUM,
    ),
    peer("Node was/is currently connected", PeerFlags::CONNECTED),
    peer(
        "The peer's disk was out-dated or inconsistent",
        PeerFlags::OUTDATED,
    ),
    peer(
        "A fencing policy other than dont-care was used",
        PeerFlags::FENCING,
    ),
    peer(
        "Node was in the progress of marking all blocks as out of sync",
        PeerFlags::FULL_SYNC,
    ),
    peer(
        "At least once we saw this node with a backing device attached",
        PeerFlags::DEVICE_SEEN,
    ),
];

/// Meaning of the UUIDs.
pub(crate) const UUID_MEANINGS: [&str; 4] = [
    "Current data generation UUID",
    "Bitmap's base data generation UUID",
    "younger history UUID",
    "older history UUID",
];

/// The flags a format has, in their order.
pub(crate) fn fields(format: Format) -> &'static [Field] {
    match format {
        Format::V08 => &FIELDS_V08,
        Format::V09 => &FIELDS_V09,
    }
}

/// The UUIDs towards a peer.
pub(crate) fn uuids(superblock: &Superblock, peer: u32) -> [u64; 4] {
    let [younger, older, ..] = superblock.history_uuids;
    let bitmap = superblock.peer(peer).map_or(0, |peer| peer.bitmap_uuid);
    [superblock.current_uuid, bitmap, younger, older]
}

/// Whether a flag is set.
pub(crate) fn flag(superblock: &Superblock, peer: u32, field: Field) -> bool {
    match field.flag {
        Flag::Own(flag) => superblock.flags.contains(flag),
        Flag::Peer(flag) => superblock
            .peer(peer)
            .is_some_and(|peer| peer.flags.contains(flag)),
    }
}

/// The whole line.
pub(crate) fn print(superblock: &Superblock, peer: u32) -> String {
    let uuids = uuids(superblock, peer).map(|uuid| format!("{uuid:016X}"));
    let flags = fields(superblock.format)
        .iter()
        .map(|field| u8::from(flag(superblock, peer, *field)).to_string());
    uuids.into_iter().chain(flags).collect::<Vec<_>>().join(":")
}

/// Changes a superblock as a line says; empty and missing fields stay.
pub(crate) fn apply(superblock: &mut Superblock, peer: u32, line: &str) -> Result<(), String> {
    let parts: Vec<&str> = line.split(':').map(str::trim).collect();
    let fields = fields(superblock.format);
    if parts.len() > UUID_MEANINGS.len() + fields.len() {
        return Err(format!(
            "{} fields, at most {} are possible",
            parts.len(),
            UUID_MEANINGS.len() + fields.len()
        ));
    }
    let mut uuids = uuids(superblock, peer);
    for ((uuid, meaning), part) in uuids.iter_mut().zip(UUID_MEANINGS).zip(&parts) {
        if part.is_empty() {
            continue;
        }
        let digits = part.strip_prefix("0x").unwrap_or(part);
        let number = Some(digits).filter(|digits| digits.len() <= 16 && !digits.starts_with('+'));
        *uuid = number
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| format!("'{part}' is no UUID (field '{meaning}')"))?;
    }
    let mut changes = Vec::new();
    for (field, part) in fields.iter().zip(parts.iter().skip(UUID_MEANINGS.len())) {
        match *part {
            "" => {}
            "0" => changes.push((field.flag, false)),
            "1" => changes.push((field.flag, true)),
            _ => {
                return Err(format!(
                    "'{part}' is neither 0 nor 1 (field '{}')",
                    field.meaning
                ))
            }
        }
    }
    let [current, bitmap, younger, older] = uuids;
    superblock.current_uuid = current;
    superblock.history_uuids[..2].copy_from_slice(&[younger, older]);
    for (flag, on) in &changes {
        if let Flag::Own(flag) = flag {
            superblock.flags = superblock.flags.set(*flag, *on);
        }
    }
    let Some(place) = superblock.peer_mut(peer) else {
        return Ok(());
    };
    place.bitmap_uuid = bitmap;
    for (flag, on) in changes {
        if let Flag::Peer(flag) = flag {
            place.flags = place.flags.set(flag, on);
        }
    }
    Ok(())
}
