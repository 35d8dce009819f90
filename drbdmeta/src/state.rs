// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands that read or change the superblock alone.

use std::io::{self, Write as _};

use drbd_core::meta::{Format, MdFlags, PeerFlags, PeerSlot, Superblock};

use crate::failure::{Failure, EXIT_FAILED, EXIT_IO, EXIT_REFUSED};
use crate::identifiers::{self, fields, flag, UUID_MEANINGS};
use crate::lkbd;
use crate::question::confirm;
use crate::volume::{Found, Volume};

/// Exit code of outdate when there is nothing that could be outdated.
const EXIT_NOT_CONSISTENT: u8 = 5;

/// get-gi.
pub(crate) fn get_gi(volume: &Volume) -> Result<(), Failure> {
    let found = volume.require()?;
    print(&format!(
        "{}\n",
        identifiers::print(&found.superblock, peer(volume)?)
    ))
}

/// show-gi.
pub(crate) fn show_gi(volume: &Volume) -> Result<(), Failure> {
    let found = volume.require()?;
    print(&explained(&found.superblock, peer(volume)?))
}

/// set-gi.
pub(crate) fn set_gi(volume: &mut Volume, line: &str) -> Result<(), Failure> {
    let Found {
        mut superblock,
        layout,
    } = volume.require()?;
    let peer = peer(volume)?;
    let before = identifiers::print(&superblock, peer);
    identifiers::apply(&mut superblock, peer, line).map_err(|why| {
        Failure::new(
            EXIT_REFUSED,
            "these are no generation identifiers",
            why,
            "use the form that get-gi prints",
        )
    })?;
    let after = identifiers::print(&superblock, peer);
    print(&format!("previously {before}\nGI will be {after}\n"))?;
    if confirm(&volume.options, "Write new GI to disk?").is_err() {
        return Ok(());
    }
    volume.allow(&layout);
    volume.write_superblock(&superblock, &layout)
}

/// dstate.
pub(crate) fn dstate(volume: &Volume) -> Result<(), Failure> {
    let found = volume.require()?;
    print(&format!("{}\n", disk_state(&found.superblock)))
}

/// outdate.
pub(crate) fn outdate(volume: &mut Volume) -> Result<(), Failure> {
    let Found {
        mut superblock,
        layout,
    } = volume.require()?;
    if !superblock.flags.contains(MdFlags::CONSISTENT) {
        return Err(Failure::new(
            EXIT_NOT_CONSISTENT,
            "the disk cannot be outdated",
            "its data is not consistent in the first place",
            "nothing needs to be done",
        ));
    }
    superblock.flags = superblock.flags.without(MdFlags::WAS_UP_TO_DATE);
    volume.allow(&layout);
    volume.write_superblock(&superblock, &layout)
}

/// invalidate.
pub(crate) fn invalidate(volume: &mut Volume) -> Result<(), Failure> {
    let Found {
        mut superblock,
        layout,
    } = volume.require()?;
    superblock.flags = superblock
        .flags
        .without(MdFlags::CONSISTENT)
        .without(MdFlags::WAS_UP_TO_DATE);
    for peer in superblock
        .peers
        .iter_mut()
        .filter(|peer| peer.bitmap_index >= 0)
    {
        peer.flags = peer.flags.with(PeerFlags::FULL_SYNC);
    }
    volume.allow(&layout);
    volume.write_superblock(&superblock, &layout)
}

/// read-dev-uuid.
pub(crate) fn read_dev_uuid(volume: &Volume) -> Result<(), Failure> {
    let found = volume.require()?;
    print(&format!("{:016X}\n", found.superblock.device_uuid))
}

/// write-dev-uuid.
pub(crate) fn write_dev_uuid(volume: &mut Volume, uuid: u64) -> Result<(), Failure> {
    let Found {
        mut superblock,
        layout,
    } = volume.require()?;
    superblock.device_uuid = uuid;
    volume.allow(&layout);
    volume.write_superblock(&superblock, &layout)?;
    lkbd::save(volume, &superblock);
    Ok(())
}

/// forget-peer.
pub(crate) fn forget_peer(volume: &mut Volume) -> Result<(), Failure> {
    let Found {
        mut superblock,
        layout,
    } = volume.require()?;
    let next = "forget-peer --node-id=N, for v09 metadata";
    let refused = |why: &str| Failure::new(EXIT_REFUSED, "cannot forget a peer", why, next);
    if superblock.format == Format::V08 {
        return Err(refused("v08 metadata has only one"));
    }
    let node_id = volume
        .options
        .node_id
        .ok_or_else(|| refused("--node-id is missing"))?;
    let place = superblock
        .peer_mut(node_id)
        .ok_or_else(|| refused("there is no such node id"))?;
    if *place == PeerSlot::UNUSED {
        return Err(Failure::new(
            EXIT_FAILED,
            format!("no peer with node id {node_id}"),
            "the metadata knows nothing of it",
            "show the peers it knows: dump-md",
        ));
    }
    *place = PeerSlot::UNUSED;
    volume.allow(&layout);
    volume.write_superblock(&superblock, &layout)
}

/// The state of the disk in DRBD's words.
fn disk_state(superblock: &Superblock) -> &'static str {
    let mut known = superblock
        .peers
        .iter()
        .filter(|peer| peer.bitmap_index >= 0)
        .peekable();
    let peers_outdated =
        known.peek().is_some() && known.all(|peer| peer.flags.contains(PeerFlags::OUTDATED));
    if !superblock.flags.contains(MdFlags::CONSISTENT) {
        "Inconsistent"
    } else if !superblock.flags.contains(MdFlags::WAS_UP_TO_DATE) {
        "Outdated"
    } else if peers_outdated {
        "UpToDate"
    } else {
        "Consistent"
    }
}

/// The identifiers with an arrow from each meaning.
fn explained(superblock: &Superblock, peer: u32) -> String {
    let line = identifiers::print(superblock, peer);
    let mut text = String::from("\n");
    // Above the line: one arrow down to the middle of each UUID.
    let columns = [8, 25, 42, 59];
    for (row, meaning) in UUID_MEANINGS.iter().enumerate() {
        text.push_str(&arrows(
            &columns[..row],
            columns[row],
            &format!("+--<  {meaning}  >-"),
        ));
    }
    text.push_str(&arrows(&[8, 25, 42], 59, "V").replace('|', "V"));
    text.push_str(&format!("{line}\n"));
    // Below: one arrow up to each flag, the last flag first.
    let fields = fields(superblock.format);
    let columns: Vec<usize> = (0..fields.len()).map(|flag| 68 + 2 * flag).collect();
    if let Some((last, others)) = columns.split_last() {
        text.push_str(&arrows(others, *last, "^").replace('|', "^"));
    }
    for (row, field) in fields.iter().enumerate().rev() {
        let mark = if flag(superblock, peer, *field) {
            ""
        } else {
            "  (not set)"
        };
        text.push_str(&arrows(
            &columns[..row],
            columns[row],
            &format!("+--<  {}{mark}", field.meaning),
        ));
    }
    text.push('\n');
    if superblock.format == Format::V08 {
        text.push_str(&summary(superblock));
    }
    match superblock.effective_sectors {
        0 => text.push_str("last agreed size: 0 (not attached yet)\n"),
        sectors => {
            let agreed = format!(
                "last agreed size: {} ({sectors} sectors)\n",
                pretty(sectors)
            );
            text.push_str(&agreed);
            text.push_str(&format!(
                "last agreed max bio size: {} Byte\n",
                superblock.peer_max_bio_bytes
            ));
        }
    }
    text
}

/// One line: bars at the columns of `bars`, then `tail` at column `at`.
fn arrows(bars: &[usize], at: usize, tail: &str) -> String {
    let mut line = String::new();
    for bar in bars {
        line.push_str(&" ".repeat(bar - line.chars().count()));
        line.push('|');
    }
    line.push_str(&" ".repeat(at - line.chars().count()));
    line.push_str(tail);
    line.push('\n');
    line
}

fn summary(superblock: &Superblock) -> String {
    let peer = superblock.peers.first().unwrap_or(&PeerSlot::UNUSED);
    let own = |flag| superblock.flags.contains(flag);
    let role = if own(MdFlags::PRIMARY_IND) {
        "Primary"
    } else {
        "Secondary"
    };
    let link = if peer.flags.contains(PeerFlags::CONNECTED) {
        "Connected"
    } else {
        "StandAlone"
    };
    let mut extras = String::new();
    for (on, name) in [
        (
            peer.flags.contains(PeerFlags::FULL_SYNC),
            ", need full sync",
        ),
        (peer.flags.contains(PeerFlags::OUTDATED), ", peer Outdated"),
        (own(MdFlags::CRASHED_PRIMARY), ", crashed primary"),
        (own(MdFlags::AL_DISABLED), ", activity log disabled"),
    ] {
        if on {
            extras.push_str(name);
        }
    }
    let clean = if superblock.needs_apply_al() {
        "need apply-al"
    } else {
        "clean"
    };
    format!(
        "flags: {role}, {link}, {}{extras}\nmeta-data: {clean}\n",
        disk_state(superblock)
    )
}

/// A size for reading.
fn pretty(sectors: u64) -> String {
    let kib = sectors / 2;
    match kib {
        0..=9999 => format!("{kib} KB"),
        10_000..=10_239_999 => format!("{} MB", kib >> 10),
        10_240_000..=10_485_759_999 => format!("{} GB", kib >> 20),
        _ => format!("{} TB", kib >> 30),
    }
}

/// The peer a command concerns.
fn peer(volume: &Volume) -> Result<u32, Failure> {
    match (volume.options.node_id, volume.format) {
        (Some(node_id), _) => Ok(node_id),
        (None, Format::V08) => Ok(0),
        (None, Format::V09) => Err(Failure::new(
            EXIT_REFUSED,
            "which peer?",
            "v09 metadata keeps identifiers for each of them",
            "add --node-id=N with the node id of the peer",
        )),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| {
        Failure::new(
            EXIT_IO,
            "cannot print",
            error,
            "check where the output goes",
        )
    })
}
