// SPDX-License-Identifier: GPL-2.0-or-later
//! The superblock of v08, byte by byte (metadata.md 2).

use zerocopy::byteorder::big_endian::{I32, U32, U64};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::superblock::{Format, PeerSlot, Superblock};
use super::{
    AlGeometry, Block, MdError, MdFlags, PeerFlags, BLOCK_BYTES, HISTORY_UUIDS, PEERS_MAX,
};

/// Magic while the activity log is applied.
pub(super) const MAGIC: u32 = 0x8374_026b;
/// Magic the kernel writes.
pub(super) const MAGIC_UNCLEAN: u32 = 0x8374_026c;

/// Device flags that v09 keeps with the peer, and where.
const PEER_FLAGS: [(u32, PeerFlags); 3] = [
    (0x004, PeerFlags::CONNECTED),
    (0x008, PeerFlags::FULL_SYNC),
    (0x020, PeerFlags::OUTDATED),
];
/// The bits of [`PEER_FLAGS`].
const PEER_FLAG_BITS: u32 = 0x02c;

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct OnDisk {
    la_size_sect: U64,
    current_uuid: U64,
    bitmap_uuid: U64,
    history_uuids: [U64; 2],
    device_uuid: U64,
    reserved: U64,
    flags: U32,
    magic: U32,
    md_size_sect: U32,
    al_offset: I32,
    al_nr_extents: U32,
    bm_offset: I32,
    bm_bytes_per_bit: U32,
    la_peer_max_bio_size: U32,
    al_stripes: U32,
    al_stripe_size_4k: U32,
    unused: [u8; 4000],
}

const _: () = assert!(size_of::<OnDisk>() == BLOCK_BYTES);

/// The v08 flag word as device and peer flags.
pub(super) fn split_flags(word: u32) -> (MdFlags, PeerFlags) {
    let mut peer = PeerFlags::NONE;
    for (bit, flag) in PEER_FLAGS {
        peer = peer.set(flag, word & bit != 0);
    }
    (MdFlags::from_bits(word & !PEER_FLAG_BITS), peer)
}

/// Device and peer flags as the v08 flag word. Flags v08 does not know are left out.
pub(super) fn join_flags(device: MdFlags, peer: PeerFlags) -> u32 {
    let mut word = device.bits() & !PEER_FLAG_BITS;
    for (bit, flag) in PEER_FLAGS {
        if peer.contains(flag) {
            word |= bit;
        }
    }
    word
}

/// Reads a block whose magic is one of v08.
pub(super) fn decode(block: &Block) -> Result<Superblock, MdError> {
    let disk = OnDisk::ref_from_bytes(block).map_err(|_| MdError::NoMagic { found: 0 })?;
    let (flags, peer_flags) = split_flags(disk.flags.get());
    let mut history_uuids = [0; HISTORY_UUIDS];
    for (place, uuid) in history_uuids.iter_mut().zip(disk.history_uuids) {
        *place = uuid.get();
    }
    let mut peers = [PeerSlot::UNUSED; PEERS_MAX];
    if let Some(peer) = peers.first_mut() {
        *peer = PeerSlot {
            bitmap_uuid: disk.bitmap_uuid.get(),
            bitmap_dagtag: 0,
            flags: peer_flags,
            bitmap_index: 0,
        };
    }
    Ok(Superblock {
        format: Format::V08,
        effective_sectors: disk.la_size_sect.get(),
        current_uuid: disk.current_uuid.get(),
        history_uuids,
        members: 0,
        device_uuid: disk.device_uuid.get(),
        flags,
        unclean_magic: disk.magic.get() == MAGIC_UNCLEAN,
        md_size_sectors: disk.md_size_sect.get(),
        al_offset: disk.al_offset.get(),
        al_nr_extents: disk.al_nr_extents.get(),
        bm_offset: disk.bm_offset.get(),
        bytes_per_bit: disk.bm_bytes_per_bit.get(),
        peer_max_bio_bytes: disk.la_peer_max_bio_size.get(),
        max_peers: 1,
        node_id: -1,
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
    let peer = superblock.peers.first().unwrap_or(&PeerSlot::UNUSED);
    disk.la_size_sect.set(superblock.effective_sectors);
    disk.current_uuid.set(superblock.current_uuid);
    disk.bitmap_uuid.set(peer.bitmap_uuid);
    for (place, uuid) in disk.history_uuids.iter_mut().zip(superblock.history_uuids) {
        place.set(uuid);
    }
    disk.device_uuid.set(superblock.device_uuid);
    disk.flags.set(join_flags(superblock.flags, peer.flags));
    disk.magic.set(if superblock.unclean_magic {
        MAGIC_UNCLEAN
    } else {
        MAGIC
    });
    disk.md_size_sect.set(superblock.md_size_sectors);
    disk.al_offset.set(superblock.al_offset);
    disk.al_nr_extents.set(superblock.al_nr_extents);
    disk.bm_offset.set(superblock.bm_offset);
    disk.bm_bytes_per_bit.set(superblock.bytes_per_bit);
    disk.la_peer_max_bio_size.set(superblock.peer_max_bio_bytes);
    disk.al_stripes.set(superblock.al.stripes());
    disk.al_stripe_size_4k.set(superblock.al.stripe_size_4k());
}
