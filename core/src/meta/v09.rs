// SPDX-License-Identifier: GPL-2.0-or-later
//! The superblock of v09, byte by byte (metadata.md 9).

use zerocopy::byteorder::big_endian::{I32, U32, U64};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::superblock::{Format, PeerSlot, Superblock};
use super::{
    AlGeometry, Block, MdError, MdFlags, PeerFlags, BITMAP_SLOTS_MAX, BLOCK_BYTES, HISTORY_UUIDS,
    PEERS_MAX,
};

/// Magic; there is no unclean one.
pub(super) const MAGIC: u32 = 0x8374_026d;

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct PeerOnDisk {
    bitmap_uuid: U64,
    bitmap_dagtag: U64,
    flags: U32,
    bitmap_index: I32,
    reserved: [U32; 2],
}

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct OnDisk {
    effective_size: U64,
    current_uuid: U64,
    members: U64,
    reserved_24: [U64; 3],
    device_uuid: U64,
    flags: U32,
    magic: U32,
    md_size_sect: U32,
    al_offset: I32,
    al_nr_extents: U32,
    bm_offset: I32,
    bm_bytes_per_bit: U32,
    la_peer_max_bio_size: U32,
    bm_max_peers: U32,
    node_id: I32,
    al_stripes: U32,
    al_stripe_size_4k: U32,
    reserved_104: [U32; 2],
    peers: [PeerOnDisk; PEERS_MAX],
    history_uuids: [U64; HISTORY_UUIDS],
    unused: [u8; 2704],
}

const _: () = assert!(size_of::<OnDisk>() == BLOCK_BYTES);

/// Reads a block whose magic is that of v09.
pub(super) fn decode(block: &Block) -> Result<Superblock, MdError> {
    let disk = OnDisk::ref_from_bytes(block).map_err(|_| MdError::NoMagic { found: 0 })?;
    let max_peers = disk.bm_max_peers.get();
    if max_peers == 0 || max_peers > BITMAP_SLOTS_MAX {
        return Err(MdError::MaxPeers { found: max_peers });
    }
    let node_id = disk.node_id.get();
    if !(-1..=31).contains(&node_id) {
        return Err(MdError::NodeId { found: node_id });
    }
    let mut history_uuids = [0; HISTORY_UUIDS];
    for (place, uuid) in history_uuids.iter_mut().zip(&disk.history_uuids) {
        *place = uuid.get();
    }
    let mut peers = [PeerSlot::UNUSED; PEERS_MAX];
    let mut slots_seen = 0u32;
    for ((place, on_disk), peer) in peers.iter_mut().zip(&disk.peers).zip(0u32..) {
        let bitmap_index = on_disk.bitmap_index.get();
        if bitmap_index != -1 {
            let invalid = MdError::BitmapIndex {
                peer,
                found: bitmap_index,
            };
            let slot = u32::try_from(bitmap_index).map_err(|_| invalid)?;
            let bit = 1u32
                .checked_shl(slot)
                .filter(|_| slot < max_peers)
                .ok_or(invalid)?;
            if slots_seen & bit != 0 {
                return Err(invalid);
            }
            slots_seen |= bit;
        }
        *place = PeerSlot {
            bitmap_uuid: on_disk.bitmap_uuid.get(),
            bitmap_dagtag: on_disk.bitmap_dagtag.get(),
            flags: PeerFlags::from_bits(on_disk.flags.get()),
            bitmap_index,
        };
    }
    Ok(Superblock {
        format: Format::V09,
        effective_sectors: disk.effective_size.get(),
        current_uuid: disk.current_uuid.get(),
        history_uuids,
        members: disk.members.get(),
        device_uuid: disk.device_uuid.get(),
        flags: MdFlags::from_bits(disk.flags.get()),
        unclean_magic: false,
        md_size_sectors: disk.md_size_sect.get(),
        al_offset: disk.al_offset.get(),
        al_nr_extents: disk.al_nr_extents.get(),
        bm_offset: disk.bm_offset.get(),
        bytes_per_bit: disk.bm_bytes_per_bit.get(),
        peer_max_bio_bytes: disk.la_peer_max_bio_size.get(),
        max_peers,
        node_id,
        al: AlGeometry::new(disk.al_stripes.get(), disk.al_stripe_size_4k.get())?,
        peers,
    })
}

/// Writes the whole block.
pub(super) fn encode(superblock: &Superblock, block: &mut Block) {
    block.fill(0);
    let Ok(disk) = OnDisk::mut_from_bytes(block) else {
        return;
    };
    disk.effective_size.set(superblock.effective_sectors);
    disk.current_uuid.set(superblock.current_uuid);
    disk.members.set(superblock.members);
    disk.device_uuid.set(superblock.device_uuid);
    disk.flags.set(superblock.flags.bits());
    disk.magic.set(MAGIC);
    disk.md_size_sect.set(superblock.md_size_sectors);
    disk.al_offset.set(superblock.al_offset);
    disk.al_nr_extents.set(superblock.al_nr_extents);
    disk.bm_offset.set(superblock.bm_offset);
    disk.bm_bytes_per_bit.set(superblock.bytes_per_bit);
    disk.la_peer_max_bio_size.set(superblock.peer_max_bio_bytes);
    disk.bm_max_peers.set(superblock.max_peers);
    disk.node_id.set(superblock.node_id);
    disk.al_stripes.set(superblock.al.stripes());
    disk.al_stripe_size_4k.set(superblock.al.stripe_size_4k());
    for (place, peer) in disk.peers.iter_mut().zip(&superblock.peers) {
        place.bitmap_uuid.set(peer.bitmap_uuid);
        place.bitmap_dagtag.set(peer.bitmap_dagtag);
        place.flags.set(peer.flags.bits());
        place.bitmap_index.set(peer.bitmap_index);
    }
    for (place, uuid) in disk.history_uuids.iter_mut().zip(superblock.history_uuids) {
        place.set(uuid);
    }
}
