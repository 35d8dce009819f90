// SPDX-License-Identifier: GPL-2.0-or-later
//! The superblock in memory: one model for both formats.
//!
//! v08 knows one peer without a node id; it is place 0 here. v09 keeps a place for each node id.
//! Code above uses [`Superblock::peer_index`] and never asks for the format.

use super::{
    v08,
    v09,
    AlGeometry,
    Block,
    Layout,
    MdError,
    MdFlags,
    PeerFlags,
    AL_EXTENTS_CREATED,
    BYTES_PER_BIT,
    HISTORY_UUIDS,
    PEERS_MAX,
    UUID_JUST_CREATED, //
};

/// Offset of the magic in all formats since v08.
const MAGIC_OFFSET: usize = 60;
/// Offset of the magic in v07.
const MAGIC_OFFSET_V07: usize = 28;
/// Magic of v07.
const MAGIC_V07: u32 = 0x8374_026a;

/// On-disk format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// DRBD 8: two nodes.
    V08,
    /// DRBD 9: up to 32 nodes.
    V09,
}

/// What the superblock says about one peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerSlot {
    /// Generation since which the bits of this peer's bitmap are collected; 0: none.
    pub bitmap_uuid: u64,
    /// v09: dagtag at the time `bitmap_uuid` was set.
    pub bitmap_dagtag: u64,
    /// Flags.
    pub flags: PeerFlags,
    /// Bitmap slot of this peer, -1 if it has none.
    pub bitmap_index: i32,
}

impl PeerSlot {
    /// A place no peer uses.
    pub const UNUSED: PeerSlot = PeerSlot {
        bitmap_uuid: 0,
        bitmap_dagtag: 0,
        flags: PeerFlags::NONE,
        bitmap_index: -1,
    };
}

/// A superblock in memory, of either format.
///
/// It is large: keep it where it is, and pass references.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Superblock {
    /// The format it is read from and written as.
    pub format: Format,
    /// Size agreed with the peers, sectors; 0 before the first attach.
    pub effective_sectors: u64,
    /// Current generation; bit 0 tells that the node was Primary with it.
    pub current_uuid: u64,
    /// Older generations, youngest first.
    pub history_uuids: [u64; HISTORY_UUIDS],
    /// v09: bit mask of the member node ids.
    pub members: u64,
    /// Recognises metadata after an offline resize; 0: not set.
    pub device_uuid: u64,
    /// Flags of the local disk.
    pub flags: MdFlags,
    /// v08: written with the magic of a kernel that did not apply its activity log.
    pub unclean_magic: bool,
    /// Sectors of superblock, activity log and bitmap.
    pub md_size_sectors: u32,
    /// Start of the activity log, sectors relative to the superblock.
    pub al_offset: i32,
    /// Slots of the activity log that last used this metadata.
    pub al_nr_extents: u32,
    /// Start of the bitmap, sectors relative to the superblock.
    pub bm_offset: i32,
    /// Granularity of the bitmap; only 4096 can be attached.
    pub bytes_per_bit: u32,
    /// Largest request the peer took when it was last seen, bytes; 0: unknown.
    pub peer_max_bio_bytes: u32,
    /// Bitmap slots, 1..=31.
    pub max_peers: u32,
    /// v09: the own node id, -1 while unset; always -1 for v08.
    pub node_id: i32,
    /// Striping of the activity log.
    pub al: AlGeometry,
    /// Peers by node id (v09), or the peer at place 0 (v08).
    pub peers: [PeerSlot; PEERS_MAX],
}

impl Superblock {
    /// A superblock of nothing, to fill new storage with.
    pub const EMPTY: Superblock = Superblock {
        format: Format::V09,
        effective_sectors: 0,
        current_uuid: 0,
        history_uuids: [0; HISTORY_UUIDS],
        members: 0,
        device_uuid: 0,
        flags: MdFlags::NONE,
        unclean_magic: false,
        md_size_sectors: 0,
        al_offset: 0,
        al_nr_extents: 0,
        bm_offset: 0,
        bytes_per_bit: BYTES_PER_BIT,
        peer_max_bio_bytes: 0,
        max_peers: 1,
        node_id: -1,
        al: AlGeometry::DEFAULT,
        peers: [PeerSlot::UNUSED; PEERS_MAX],
    };

    /// What create-md writes: a new generation, no data, a clean activity log.
    pub fn create(format: Format, layout: &Layout) -> Superblock {
        let mut peers = [PeerSlot::UNUSED; PEERS_MAX];
        if format == Format::V08 {
            if let Some(peer) = peers.first_mut() {
                peer.bitmap_index = 0;
            }
        }
        Superblock {
            format,
            effective_sectors: 0,
            current_uuid: UUID_JUST_CREATED,
            history_uuids: [0; HISTORY_UUIDS],
            members: 0,
            device_uuid: 0,
            flags: MdFlags::AL_CLEAN,
            unclean_magic: false,
            md_size_sectors: layout.md_size_sectors,
            al_offset: layout.al_offset,
            al_nr_extents: AL_EXTENTS_CREATED,
            bm_offset: layout.bm_offset,
            bytes_per_bit: BYTES_PER_BIT,
            peer_max_bio_bytes: 0,
            max_peers: layout.max_peers,
            node_id: -1,
            al: layout.al,
            peers,
        }
    }

    /// Reads a block of either format and checks every field that can be checked without
    /// knowing the device.
    ///
    /// # Errors
    ///
    /// No magic, or a field outside its range.
    pub fn decode(block: &Block) -> Result<Superblock, MdError> {
        match magic_at(block, MAGIC_OFFSET) {
            v08::MAGIC | v08::MAGIC_UNCLEAN => v08::decode(block),
            v09::MAGIC => v09::decode(block),
            _ if magic_at(block, MAGIC_OFFSET_V07) == MAGIC_V07 => Err(MdError::OldFormat),
            found => Err(MdError::NoMagic { found }),
        }
    }

    /// Writes the whole block. Unknown bytes that were on disk are not kept, as the reference
    /// does not keep them either.
    pub fn encode(&self, block: &mut Block) {
        match self.format {
            Format::V08 => v08::encode(self, block),
            Format::V09 => v09::encode(self, block),
        }
    }

    /// Device and peer flags as the one word v08 keeps (metadata.md 2).
    pub fn v08_flags(&self) -> u32 {
        let peer = self.peers.first().unwrap_or(&PeerSlot::UNUSED);
        v08::join_flags(self.flags, peer.flags)
    }

    /// Sets device flags and those of the peer at place 0 from the word of v08.
    pub fn set_v08_flags(&mut self, word: u32) {
        let (flags, peer_flags) = v08::split_flags(word);
        self.flags = flags;
        if let Some(peer) = self.peers.first_mut() {
            peer.flags = peer_flags;
        }
    }

    /// Whether the activity log must be applied to the bitmap before an attach.
    pub fn needs_apply_al(&self) -> bool {
        self.unclean_magic || !self.flags.contains(MdFlags::AL_CLEAN)
    }

    /// The place in `peers` of the peer with this node id.
    pub fn peer_index(&self, peer_node_id: u32) -> usize {
        match self.format {
            Format::V08 => 0,
            Format::V09 => usize::try_from(peer_node_id).unwrap_or(usize::MAX),
        }
    }

    /// The place of a peer; none for a node id that does not exist.
    pub fn peer(&self, peer_node_id: u32) -> Option<&PeerSlot> {
        self.peers.get(self.peer_index(peer_node_id))
    }

    /// The place of a peer; none for a node id that does not exist.
    pub fn peer_mut(&mut self, peer_node_id: u32) -> Option<&mut PeerSlot> {
        let index = self.peer_index(peer_node_id);
        self.peers.get_mut(index)
    }

    /// The bitmap slot of a peer, giving it the lowest free one if it has none.
    ///
    /// # Errors
    ///
    /// [`MdError::NoBitmapSlot`] if all belong to others, [`MdError::NodeId`] if there is no such
    /// node id.
    pub fn claim_bitmap_slot(&mut self, peer_node_id: u32) -> Result<u32, MdError> {
        let max_peers = self.max_peers;
        let known = self.peer(peer_node_id).map(|peer| peer.bitmap_index);
        let unknown = MdError::NodeId {
            found: i32::try_from(peer_node_id).unwrap_or(i32::MAX),
        };
        if let Ok(index) = u32::try_from(known.ok_or(unknown)?) {
            return Ok(index);
        }
        let taken = |slot: i32| self.peers.iter().any(|peer| peer.bitmap_index == slot);
        let free = (0..i32::try_from(max_peers).unwrap_or(0)).find(|slot| !taken(*slot));
        let free = free.ok_or(MdError::NoBitmapSlot { max_peers })?;
        let peer = self.peer_mut(peer_node_id).ok_or(unknown)?;
        peer.bitmap_index = free;
        u32::try_from(free).map_err(|_| unknown)
    }
}

fn magic_at(block: &Block, offset: usize) -> u32 {
    let bytes = block.get(offset..).and_then(|tail| tail.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
