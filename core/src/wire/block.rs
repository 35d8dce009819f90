// SPDX-License-Identifier: GPL-2.0-or-later
//! Structures of the data path: writes, requests, acks, barriers (wire-protocol sections 4 and 6).
//!
//! Sectors are 512 bytes, sizes are bytes. Whether a range lies inside the device is the caller's question; here it
//! is only made sure that its end can be computed.

use super::cursor::{Reader, Writer};
use super::error::WireError;
use super::flags::flag_set;

/// Bytes of a sector.
pub const SECTOR_BYTES: u32 = 512;
/// Largest write, read or resync request in bytes.
pub const MAX_BIO_BYTES: u32 = 1024 * 1024;
/// Largest discard or write-zeroes in bytes.
pub const MAX_DISCARD_BYTES: u32 = 128 * 1024 * 1024;
/// From here on the end of a request in bytes might not fit into 64 bits.
pub(super) const SECTOR_END: u64 = 1 << 54;

flag_set! {
    /// Flags of a replicated write (wire-protocol section 4.1).
    pub struct DpFlags(u32) {
        /// Never sent, ignored.
        HARDBARRIER = 1;
        /// The write is synchronous.
        RW_SYNC = 2;
        /// The receiver may answer with [`super::Command::RsWriteAck`].
        MAY_SET_IN_SYNC = 4;
        /// Never sent, ignored.
        UNPLUG = 8;
        /// Force unit access.
        FUA = 16;
        /// Flush before the write.
        FLUSH = 32;
        /// Discard; with [`Self::ZEROES`]: unmapping is allowed.
        DISCARD = 64;
        /// Answer with P_RECV_ACK (protocol B).
        SEND_RECEIVE_ACK = 128;
        /// Answer with P_WRITE_ACK (protocol C, or anything during a resync).
        SEND_WRITE_ACK = 256;
        /// Not sent by these versions any more.
        WSAME = 512;
        /// Write zeroes.
        ZEROES = 1024;
    }
}

/// The requester's own handle of a request: the peer stores and echoes the eight bytes and never looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId(pub u64);

impl BlockId {
    /// Resync and verify traffic; never a handle.
    pub const SYNCER: Self = Self(u64::MAX);
    /// In P_OV_RESULT: the blocks are equal.
    pub const IN_SYNC: Self = Self(4711);
    /// In P_OV_RESULT: the blocks differ.
    pub const OUT_OF_SYNC: Self = Self(4712);
}

/// Refuses a sector from which the end of a request could not be computed.
fn sector(reader: &mut Reader<'_>) -> Result<u64, WireError> {
    match reader.u64()? {
        sector if sector < SECTOR_END => Ok(sector),
        value => Err(WireError::BadValue {
            field: "sector",
            value,
        }),
    }
}

/// Refuses a size that is zero, not a multiple of a sector, or above `most`.
fn size(reader: &mut Reader<'_>, most: u32) -> Result<u32, WireError> {
    match reader.u32()? {
        size if size > 0 && size <= most && size % SECTOR_BYTES == 0 => Ok(size),
        value => Err(WireError::BadValue {
            field: "size",
            value: u64::from(value),
        }),
    }
}

/// Structure before the data of P_DATA, P_DATA_REPLY and P_RS_DATA_REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockData {
    /// First sector.
    pub sector: u64,
    /// Handle of the sender, or of the request this answers.
    pub block_id: BlockId,
    /// Number in the volume's sequence; 0 in replies.
    pub seq_num: u32,
    /// What kind of write; 0 in replies.
    pub flags: DpFlags,
}

impl BlockData {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            sector: sector(reader)?,
            block_id: BlockId(reader.u64()?),
            seq_num: reader.u32()?,
            flags: DpFlags::from_bits(reader.u32()?),
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u64(self.sector)?;
        writer.u64(self.block_id.0)?;
        writer.u32(self.seq_num)?;
        writer.u32(self.flags.bits())
    }
}

/// P_TRIM and P_ZEROES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// As for a write.
    pub data: BlockData,
    /// Bytes affected: a multiple of 512, 1 to 128 MiB.
    pub size: u32,
}

impl Trim {
    /// `must` is the flag without which the packet makes no sense.
    pub(super) fn decode(reader: &mut Reader<'_>, must: DpFlags) -> Result<Self, WireError> {
        let data = BlockData::decode(reader)?;
        if !data.flags.contains(must) {
            return Err(WireError::BadValue {
                field: "dp_flags",
                value: u64::from(data.flags.bits()),
            });
        }
        Ok(Self {
            data,
            size: size(reader, MAX_DISCARD_BYTES)?,
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        self.data.encode(writer)?;
        writer.u32(self.size)
    }
}

/// Every ack of a block. The fields echo a request and are compared with it by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockAck {
    /// First sector.
    pub sector: u64,
    /// Handle of the request; the result in P_OV_RESULT; garbage in P_RS_IS_IN_SYNC.
    pub block_id: BlockId,
    /// Bytes; meaningless in the P_NEG_ACK of a discard by a node without a disk.
    pub size: u32,
    /// Number in the volume's sequence.
    pub seq_num: u32,
}

impl BlockAck {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            sector: reader.u64()?,
            block_id: BlockId(reader.u64()?),
            size: reader.u32()?,
            seq_num: reader.u32()?,
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u64(self.sector)?;
        writer.u64(self.block_id.0)?;
        writer.u32(self.size)?;
        writer.u32(self.seq_num)
    }
}

/// Every request for a block. Four bytes of garbage end it: ignored when received, zero when sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRequest {
    /// First sector.
    pub sector: u64,
    /// Handle of the requester, or [`BlockId::SYNCER`].
    pub block_id: BlockId,
    /// Bytes: a multiple of 512, 512 to 1 MiB.
    pub size: u32,
}

impl BlockRequest {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let request = Self {
            sector: sector(reader)?,
            block_id: BlockId(reader.u64()?),
            size: size(reader, MAX_BIO_BYTES)?,
        };
        reader.u32()?;
        Ok(request)
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u64(self.sector)?;
        writer.u64(self.block_id.0)?;
        writer.u32(self.size)?;
        writer.u32(0)
    }
}

/// A range, in P_OUT_OF_SYNC and P_RS_DEALLOCATED. Ends with four bytes of garbage like a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockDesc {
    /// First sector.
    pub sector: u64,
    /// Bytes: a multiple of 512, 512 to 128 MiB.
    pub size: u32,
}

impl BlockDesc {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let desc = Self {
            sector: sector(reader)?,
            size: size(reader, MAX_DISCARD_BYTES)?,
        };
        reader.u32()?;
        Ok(desc)
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u64(self.sector)?;
        writer.u32(self.size)?;
        writer.u32(0)
    }
}

/// P_BARRIER: the epoch with this number is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Opaque for the receiver, who echoes it; the stock driver sends it in its own byte order.
    pub number: u32,
}

impl Barrier {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let number = reader.u32()?;
        reader.u32()?;
        Ok(Self { number })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u32(self.number)?;
        writer.u32(0)
    }
}

/// P_BARRIER_ACK: every write of the epoch is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierAck {
    /// The number of the barrier, as it came.
    pub number: u32,
    /// Writes in the epoch; never 0 from a peer that works.
    pub set_size: u32,
}

impl BarrierAck {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            number: reader.u32()?,
            set_size: reader.u32()?,
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u32(self.number)?;
        writer.u32(self.set_size)
    }
}

/// P_DELAY_PROBE: received and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayProbe {
    /// Which probe.
    pub seq_num: u32,
    /// Microseconds between the probes of both sockets.
    pub offset_us: u32,
}

impl DelayProbe {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            seq_num: reader.u32()?,
            offset_us: reader.u32()?,
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u32(self.seq_num)?;
        writer.u32(self.offset_us)
    }
}
