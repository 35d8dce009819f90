// SPDX-License-Identifier: GPL-2.0-or-later
//! Sizes and queue limits of a volume, P_SIZES (wire-protocol section 5.6).

use super::cursor::{Reader, Writer};
use super::dialect::Dialect;
use super::error::WireError;
use super::flags::flag_set;

flag_set! {
    /// Flags of P_SIZES (93 and later).
    pub struct DdsFlags(u16) {
        /// The resize was forced.
        FORCED = 1;
        /// Do not resync the new part.
        NO_RESYNC = 2;
    }
}

/// Limits of the sender's backing device, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Physical block size.
    pub physical_block_size: u32,
    /// Logical block size.
    pub logical_block_size: u32,
    /// Offset of the first aligned byte.
    pub alignment_offset: u32,
    /// Preferred smallest request.
    pub io_min: u32,
    /// Preferred request.
    pub io_opt: u32,
    /// 1 if discards are possible.
    pub discard_enabled: u8,
    /// Sent as 0.
    pub discard_zeroes_data: u8,
    /// Always sent as 0: a 1 makes older peers send P_WSAME, which nobody handles any more.
    pub write_same_capable: u8,
}

impl QueueLimits {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let limits = Self {
            physical_block_size: reader.u32()?,
            logical_block_size: reader.u32()?,
            alignment_offset: reader.u32()?,
            io_min: reader.u32()?,
            io_opt: reader.u32()?,
            discard_enabled: reader.u8()?,
            discard_zeroes_data: reader.u8()?,
            write_same_capable: reader.u8()?,
        };
        reader.u8()?;
        Ok(limits)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u32(self.physical_block_size)?;
        writer.u32(self.logical_block_size)?;
        writer.u32(self.alignment_offset)?;
        writer.u32(self.io_min)?;
        writer.u32(self.io_opt)?;
        writer.bytes(&[
            self.discard_enabled,
            self.discard_zeroes_data,
            self.write_same_capable,
            0,
        ])
    }
}

/// P_SIZES. Sizes are in sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Usable size of the sender's backing device; 0 without a disk.
    pub d_size: u64,
    /// Configured size; 0 for none.
    pub u_size: u64,
    /// Current size of the device; 0 asks for an answer (online resize).
    pub c_size: u64,
    /// Largest request of the sender in bytes.
    pub max_bio_size: u32,
    /// Sent as 0.
    pub queue_order_type: u16,
    /// How a resize is meant.
    pub dds_flags: DdsFlags,
    /// There exactly when the dialect has them.
    pub queue_limits: Option<QueueLimits>,
}

impl Sizes {
    pub(super) fn decode(dialect: Dialect, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            d_size: reader.u64()?,
            u_size: reader.u64()?,
            c_size: reader.u64()?,
            max_bio_size: reader.u32()?,
            queue_order_type: reader.u16()?,
            dds_flags: DdsFlags::from_bits(reader.u16()?),
            queue_limits: if dialect.has_queue_limits() {
                Some(QueueLimits::decode(reader)?)
            } else {
                None
            },
        })
    }

    /// Limits are left out if the dialect has none, and must be given if it has.
    pub(super) fn encode(
        &self,
        dialect: Dialect,
        writer: &mut Writer<'_>,
    ) -> Result<(), WireError> {
        writer.u64(self.d_size)?;
        writer.u64(self.u_size)?;
        writer.u64(self.c_size)?;
        writer.u32(self.max_bio_size)?;
        writer.u16(self.queue_order_type)?;
        writer.u16(self.dds_flags.bits())?;
        match (dialect.has_queue_limits(), &self.queue_limits) {
            (false, _) => Ok(()),
            (true, Some(limits)) => limits.encode(writer),
            (true, None) => Err(WireError::BadValue {
                field: "queue limits",
                value: 0,
            }),
        }
    }
}
