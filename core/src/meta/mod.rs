// SPDX-License-Identifier: GPL-2.0-or-later
//! What lies on disk beside the data: superblock, activity log, bitmap.
//!
//! Two formats exist, v08 (two nodes) and v09 (up to 32 nodes). Both are read into one
//! [`Superblock`] and one [`Layout`], so that nothing above this module asks which one it is.
//! Everything here is arithmetic on values and 4 KiB blocks: no I/O.

mod admission;
pub mod al;
mod convert;
pub mod crc32c;
mod error;
mod flags;
mod growth;
mod layout;
mod superblock;
mod v08;
mod v09;

pub use admission::{attach_check, layout_of, Candidate};
pub use convert::{to_v08, to_v09};
pub use error::MdError;
pub use flags::{MdFlags, PeerFlags};
pub use layout::{device_sectors_for, AlGeometry, Layout, Placement};
pub use superblock::{Format, PeerSlot, Superblock};

/// Bytes of a superblock, of an activity-log transaction and of a bitmap page.
pub const BLOCK_BYTES: usize = 4096;
/// Sectors (512 B) in [`BLOCK_BYTES`].
pub const BLOCK_SECTORS: u64 = 8;
/// Sectors covered by one bitmap bit (4 KiB).
pub const SECTORS_PER_BIT: u64 = 8;
/// Bytes covered by one bitmap bit: the only granularity the engine works with.
pub const BYTES_PER_BIT: u32 = 4096;
/// Sectors covered by one activity-log extent (4 MiB).
pub const SECTORS_PER_AL_EXTENT: u64 = 8192;
/// Bitmap bits of one activity-log extent.
pub const BITS_PER_AL_EXTENT: u64 = 1024;
/// Bitmap bits of one resync extent (16 MiB).
pub const BITS_PER_RESYNC_EXTENT: u64 = 4096;
/// Current UUID of metadata that never held data.
pub const UUID_JUST_CREATED: u64 = 4;
/// Added to a bitmap UUID when its owner becomes sync source.
pub const UUID_NEW_BM_OFFSET: u64 = 0x0001_0000_0000_0000;
/// Largest supported device in sectors (1 PiB).
pub const MAX_SECTORS: u64 = 1 << 41;
/// Places for peers in a superblock; a v08 superblock uses place 0 only.
pub const PEERS_MAX: usize = 32;
/// History UUIDs in a superblock; a v08 superblock keeps the first two.
pub const HISTORY_UUIDS: usize = 32;
/// Bitmap slots v09 metadata can have.
pub const BITMAP_SLOTS_MAX: u32 = 31;
/// Slots of the activity log that create-md writes down; attach replaces it by al-extents.
pub const AL_EXTENTS_CREATED: u32 = 257;
/// Smallest al-extents an administrator can set.
pub const AL_EXTENTS_MIN: u32 = 67;
/// Largest al-extents: slot numbers from here on are not valid on disk.
pub const AL_EXTENTS_MAX: u32 = 65534;

/// One block as it lies on disk.
pub type Block = [u8; BLOCK_BYTES];
