// SPDX-License-Identifier: GPL-2.0-or-later
//! Why metadata is refused.

use core::fmt;

/// A reason to refuse metadata, a device or a size.
///
/// Each reason carries the numbers a message needs. [`MdError::code`] is the answer an
/// administrator's tool gets through netlink (metadata.md 8.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MdError {
    /// No known magic at the place of the superblock.
    NoMagic {
        /// The four bytes found at offset 60.
        found: u32,
    },
    /// Metadata of DRBD 0.7 or older.
    OldFormat,
    /// The activity log was not applied to the bitmap since the last use.
    Unclean,
    /// A bitmap granularity other than 4096 bytes a bit.
    BytesPerBit {
        /// The value found.
        found: u32,
    },
    /// Activity-log striping that cannot be.
    AlStriping {
        /// Number of stripes.
        stripes: u32,
        /// Size of a stripe in 4 KiB blocks.
        stripe_size_4k: u32,
    },
    /// `al_offset` is not where the layout puts the activity log.
    AlOffset {
        /// Sectors relative to the superblock, as found.
        found: i64,
        /// Sectors relative to the superblock, as computed.
        expected: i64,
    },
    /// `bm_offset` is not where the layout puts the bitmap.
    BitmapOffset {
        /// Sectors relative to the superblock, as found.
        found: i64,
        /// Sectors relative to the superblock, as computed (external: the least allowed).
        expected: i64,
    },
    /// `md_size_sect` is not what the layout needs.
    MdSize {
        /// Sectors found.
        found: u64,
        /// Sectors expected.
        expected: u64,
    },
    /// The bitmap area cannot hold a bit for each block of the agreed size.
    BitmapTooSmall {
        /// Sectors of bitmap the agreed size needs.
        needed: u64,
        /// Sectors of bitmap there are.
        available: u64,
    },
    /// `bm_max_peers` outside 1..=31.
    MaxPeers {
        /// The value found.
        found: u32,
    },
    /// A node id outside -1..=31.
    NodeId {
        /// The value found.
        found: i32,
    },
    /// A bitmap index outside -1..max_peers, or used by two peers.
    BitmapIndex {
        /// Node id of the peer.
        peer: u32,
        /// The index found.
        found: i32,
    },
    /// All bitmap slots belong to other peers.
    NoBitmapSlot {
        /// Number of slots in this metadata.
        max_peers: u32,
    },
    /// A fixed index outside 0..=255, or an internal index on a separate device (or the reverse).
    IndexInvalid {
        /// The index as configured.
        index: i64,
    },
    /// The metadata device is smaller than its layout.
    MdDeviceTooSmall {
        /// Sectors needed.
        needed: u64,
        /// Sectors there are.
        available: u64,
    },
    /// The data device is smaller than the size asked for.
    DiskTooSmall {
        /// Sectors needed.
        needed: u64,
        /// Usable sectors there are.
        available: u64,
    },
    /// The device is smaller than the size it had with consistent data.
    Shrinks {
        /// Sectors last agreed with the peer.
        agreed: u64,
        /// Usable sectors now.
        available: u64,
    },
    /// More than [`MAX_SECTORS`](super::MAX_SECTORS), or offsets that do not fit their fields.
    DeviceTooLarge {
        /// Sectors of the device.
        sectors: u64,
    },
}

impl MdError {
    /// The admin return code of this refusal (drbd9-api.md, `enum drbd_ret_code`).
    pub const fn code(self) -> u32 {
        match self {
            MdError::DiskTooSmall { .. } => 111,
            MdError::MdDeviceTooSmall { .. } => 112,
            MdError::IndexInvalid { .. } => 116,
            MdError::Unclean => 165,
            MdError::Shrinks { .. } => 170,
            MdError::NoMagic { .. }
            | MdError::OldFormat
            | MdError::BytesPerBit { .. }
            | MdError::AlStriping { .. }
            | MdError::AlOffset { .. }
            | MdError::BitmapOffset { .. }
            | MdError::MdSize { .. }
            | MdError::BitmapTooSmall { .. }
            | MdError::MaxPeers { .. }
            | MdError::NodeId { .. }
            | MdError::BitmapIndex { .. }
            | MdError::NoBitmapSlot { .. }
            | MdError::DeviceTooLarge { .. } => 119,
        }
    }
}

impl fmt::Display for MdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MdError::NoMagic { found } => write!(
                f,
                "no DRBD magic where the superblock should be (found {found:#010x})"
            ),
            MdError::OldFormat => f.write_str("metadata of DRBD 0.7 or older"),
            MdError::Unclean => f.write_str("the activity log was not applied since the last use"),
            MdError::BytesPerBit { found } => write!(
                f,
                "bitmap granularity of {found} bytes per bit (only 4096 is supported)"
            ),
            MdError::AlStriping {
                stripes,
                stripe_size_4k,
            } => {
                write!(
                    f,
                    "activity log striping of {stripes} x {stripe_size_4k} blocks is not possible"
                )
            }
            MdError::AlOffset { found, expected } => {
                write!(
                    f,
                    "the activity log is at sector offset {found}, expected {expected}"
                )
            }
            MdError::BitmapOffset { found, expected } => {
                write!(
                    f,
                    "the bitmap is at sector offset {found}, expected {expected}"
                )
            }
            MdError::MdSize { found, expected } => {
                write!(
                    f,
                    "the metadata area is {found} sectors, expected {expected}"
                )
            }
            MdError::BitmapTooSmall { needed, available } => {
                write!(
                    f,
                    "the bitmap area has {available} sectors, the agreed size needs {needed}"
                )
            }
            MdError::MaxPeers { found } => {
                write!(f, "bitmaps for {found} peers (1..=31 are possible)")
            }
            MdError::NodeId { found } => write!(f, "node id {found} (-1..=31 are possible)"),
            MdError::BitmapIndex { peer, found } => {
                write!(f, "bitmap index {found} of peer {peer} is not possible")
            }
            MdError::NoBitmapSlot { max_peers } => {
                write!(f, "all {max_peers} bitmap slots belong to other peers")
            }
            MdError::IndexInvalid { index } => {
                write!(f, "metadata index {index} does not fit the device")
            }
            MdError::MdDeviceTooSmall { needed, available } => {
                write!(
                    f,
                    "the metadata device has {available} sectors, {needed} are needed"
                )
            }
            MdError::DiskTooSmall { needed, available } => {
                write!(
                    f,
                    "the disk has {available} usable sectors, {needed} are needed"
                )
            }
            MdError::Shrinks { agreed, available } => {
                write!(
                    f,
                    "the disk has {available} usable sectors, {agreed} were agreed with the peer"
                )
            }
            MdError::DeviceTooLarge { sectors } => {
                write!(f, "a device of {sectors} sectors is too large")
            }
        }
    }
}
