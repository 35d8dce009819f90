// SPDX-License-Identifier: GPL-2.0-or-later
//! Conversion between v08 and v09 (metadata.md 9).
//!
//! Only the superblock changes; activity log and bitmap stay where they are, so the new layout
//! must place them there. The reference loses the bitmap UUID on the way to v09 although the
//! bitmap itself stays; here it is kept with the peer at place 0.

use super::superblock::{Format, PeerSlot};
use super::{v08, Layout, MdError, Superblock, HISTORY_UUIDS, PEERS_MAX};

/// Turns a v08 superblock into one of v09 with one bitmap slot.
///
/// The own node id is unset. What v08 knows about its peer goes to place 0, without a bitmap
/// index, as the peer's node id is not known either.
///
/// # Errors
///
/// [`MdError::MaxPeers`] if `layout` has more than one bitmap slot.
pub fn to_v09(old: &Superblock, layout: &Layout) -> Result<Superblock, MdError> {
    if layout.max_peers != 1 {
        return Err(MdError::MaxPeers {
            found: layout.max_peers,
        });
    }
    let mut peers = [PeerSlot::UNUSED; PEERS_MAX];
    if let (Some(new), Some(old)) = (peers.first_mut(), old.peers.first()) {
        *new = PeerSlot {
            flags: old.flags,
            ..PeerSlot::UNUSED
        };
    }
    Ok(Superblock {
        format: Format::V09,
        peers,
        ..moved(old, layout)
    })
}

/// Turns a v09 superblock into one of v08 that describes the peer with node id 0.
///
/// # Errors
///
/// [`MdError::MaxPeers`] if the bitmap has more than one slot: v08 could not read it.
pub fn to_v08(old: &Superblock, layout: &Layout) -> Result<Superblock, MdError> {
    if old.max_peers != 1 {
        return Err(MdError::MaxPeers {
            found: old.max_peers,
        });
    }
    let mut peers = [PeerSlot::UNUSED; PEERS_MAX];
    if let (Some(new), Some(old)) = (peers.first_mut(), old.peers.first()) {
        *new = PeerSlot {
            bitmap_index: 0,
            bitmap_dagtag: 0,
            ..*old
        };
    }
    let mut history_uuids = [0; HISTORY_UUIDS];
    for (new, old) in history_uuids.iter_mut().zip(old.history_uuids).take(2) {
        *new = old;
    }
    // The flags v08 knows, through its own flag word.
    let peer_flags = peers.first().unwrap_or(&PeerSlot::UNUSED).flags;
    let (flags, peer_flags) = v08::split_flags(v08::join_flags(old.flags, peer_flags) & 0x1ff);
    if let Some(peer) = peers.first_mut() {
        peer.flags = peer_flags;
    }
    Ok(Superblock {
        format: Format::V08,
        members: 0,
        history_uuids,
        flags,
        peers,
        ..moved(old, layout)
    })
}

/// The parts both formats share, at the places of the new layout.
fn moved(old: &Superblock, layout: &Layout) -> Superblock {
    Superblock {
        md_size_sectors: layout.md_size_sectors,
        al_offset: layout.al_offset,
        bm_offset: layout.bm_offset,
        al: layout.al,
        max_peers: layout.max_peers,
        node_id: -1,
        unclean_magic: false,
        ..*old
    }
}
