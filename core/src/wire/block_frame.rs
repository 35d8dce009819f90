// SPDX-License-Identifier: GPL-2.0-or-later
//! Header and structure of the packets that travel with every block, in one step.
//!
//! P_DATA and the acknowledgements of writes are all that a busy connection sends and receives. Since version 100
//! each is 40 bytes before its payload, and a receiver may ask its socket for so many at once. What is decoded here
//! is exactly what [`super::dispatch`] and [`super::Packet::decode`] would accept; everything else is left to them,
//! who also know what is wrong with it.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{BlockAck, BlockData, BlockId, DpFlags, MAX_BIO_BYTES, SECTOR_END};
use super::command::{Command, MAX_DIGEST};
use super::frame::Frame;
use super::header::MAGIC_100;

/// Bytes of header and structure.
pub const BLOCK_FRAME: usize = 40;

/// Bytes of the structure.
const FIXED: u32 = 24;

/// Numbers that are looked up once, when this is compiled.
const DATA: u16 = Command::Data.id();
const RECV_ACK: u16 = Command::RecvAck.id();
const WRITE_ACK: u16 = Command::WriteAck.id();
const BARRIER: u16 = Command::Barrier.id();
const BARRIER_ACK: u16 = Command::BarrierAck.id();

/// P_DATA and its like, or an acknowledgement: they differ in the last two fields.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: U32,
    volume: U16,
    command: U16,
    length: U32,
    pad: U32,
    sector: U64,
    block_id: U64,
    third: U32,
    fourth: U32,
}

const _: () = assert!(core::mem::size_of::<Raw>() == BLOCK_FRAME);

/// What both begin with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    volume: U16,
    command: U16,
    length: U32,
}

/// P_DATA of `volume` with `payload_len` bytes behind it, for a peer of version 100 or later
/// ([`super::Dialect::has_volumes`]).
#[must_use]
#[inline]
pub fn encode_data(volume: u16, data: &BlockData, payload_len: u32) -> [u8; BLOCK_FRAME] {
    bytes(&Raw {
        magic: U32::new(MAGIC_100),
        volume: U16::new(volume),
        command: U16::new(DATA),
        length: U32::new(payload_len.saturating_add(FIXED)),
        pad: U32::ZERO,
        sector: U64::new(data.sector),
        block_id: U64::new(data.block_id.0),
        third: U32::new(data.seq_num),
        fourth: U32::new(data.flags.bits()),
    })
}

/// Acknowledgement `command` of `volume`, for a peer of version 100 or later.
#[must_use]
#[inline]
pub fn encode_ack(volume: u16, command: Command, ack: &BlockAck) -> [u8; BLOCK_FRAME] {
    bytes(&Raw {
        magic: U32::new(MAGIC_100),
        volume: U16::new(volume),
        command: U16::new(match command {
            Command::WriteAck => WRITE_ACK,
            Command::RecvAck => RECV_ACK,
            other => other.id(),
        }),
        length: U32::new(FIXED),
        pad: U32::ZERO,
        sector: U64::new(ack.sector),
        block_id: U64::new(ack.block_id.0),
        third: U32::new(ack.size),
        fourth: U32::new(ack.seq_num),
    })
}

/// P_BARRIER or P_BARRIER_ACK: a number, and a count or nothing.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawBarrier {
    magic: U32,
    volume: U16,
    command: U16,
    length: U32,
    pad: U32,
    number: U32,
    set_size: U32,
}

/// Bytes of header and structure of P_BARRIER and P_BARRIER_ACK.
pub const BARRIER_FRAME: usize = 24;

/// Bytes of their structure.
const BARRIER_FIXED: u32 = 8;

const _: () = assert!(core::mem::size_of::<RawBarrier>() == BARRIER_FRAME);

#[inline]
fn barrier_bytes(command: u16, number: u32, set_size: u32) -> [u8; BARRIER_FRAME] {
    let raw = RawBarrier {
        magic: U32::new(MAGIC_100),
        volume: U16::ZERO,
        command: U16::new(command),
        length: U32::new(BARRIER_FIXED),
        pad: U32::ZERO,
        number: U32::new(number),
        set_size: U32::new(set_size),
    };
    let mut bytes = [0; BARRIER_FRAME];
    // Both have the same size.
    let _ = raw.write_to(&mut bytes);
    bytes
}

/// P_BARRIER, for a peer of version 100 or later.
#[must_use]
#[inline]
pub fn encode_barrier(number: u32) -> [u8; BARRIER_FRAME] {
    barrier_bytes(BARRIER, number, 0)
}

/// P_BARRIER_ACK, for a peer of version 100 or later.
#[must_use]
#[inline]
pub fn encode_barrier_ack(number: u32, set_size: u32) -> [u8; BARRIER_FRAME] {
    barrier_bytes(BARRIER_ACK, number, set_size)
}

#[inline]
fn barrier_of(command: u16, bytes: &[u8]) -> Option<&RawBarrier> {
    let (raw, _) = RawBarrier::ref_from_prefix(bytes).ok()?;
    let sound = raw.magic.get() == MAGIC_100
        && raw.pad.get() == 0
        && raw.command.get() == command
        && raw.length.get() == BARRIER_FIXED;
    sound.then_some(raw)
}

/// The number of the P_BARRIER at the start of `bytes`; `None` as for [`decode_data`].
#[must_use]
#[inline]
pub fn decode_barrier(bytes: &[u8]) -> Option<u32> {
    barrier_of(BARRIER, bytes).map(|raw| raw.number.get())
}

/// Number and count of the P_BARRIER_ACK at the start of `bytes`; `None` as for
/// [`decode_ack`].
#[must_use]
#[inline]
pub fn decode_barrier_ack(bytes: &[u8]) -> Option<(u32, u32)> {
    barrier_of(BARRIER_ACK, bytes).map(|raw| (raw.number.get(), raw.set_size.get()))
}

#[inline]
fn bytes(raw: &Raw) -> [u8; BLOCK_FRAME] {
    let mut bytes = [0; BLOCK_FRAME];
    // Both have the same size.
    let _ = raw.write_to(&mut bytes);
    bytes
}

#[inline]
fn raw(bytes: &[u8]) -> Option<&Raw> {
    let (raw, _) = Raw::ref_from_prefix(bytes).ok()?;
    (raw.magic.get() == MAGIC_100 && raw.pad.get() == 0).then_some(raw)
}

/// Whether `bytes` begin with the header of a P_DATA of version 100 or later, of which at least the
/// structure follows.
#[must_use]
#[inline]
pub fn is_data(bytes: &[u8]) -> bool {
    RawHeader::ref_from_prefix(bytes).is_ok_and(|(raw, _)| {
        raw.magic.get() == MAGIC_100 && raw.command.get() == DATA && raw.length.get() >= FIXED
    })
}

/// P_DATA at the start of `bytes`. `None` for anything that is not a sound one of version 100 or later.
#[must_use]
#[inline]
pub fn decode_data(bytes: &[u8]) -> Option<(Frame, BlockData)> {
    let raw = raw(bytes)?;
    let payload_len = raw.length.get().checked_sub(FIXED)?;
    let sector = raw.sector.get();
    let sound = raw.command.get() == DATA
        && payload_len <= MAX_BIO_BYTES.saturating_add(MAX_DIGEST)
        && sector < SECTOR_END;
    if !sound {
        return None;
    }
    let frame = Frame {
        command: Command::Data,
        volume: Some(raw.volume.get()),
        fixed_len: FIXED as usize,
        payload_len,
    };
    let data = BlockData {
        sector,
        block_id: BlockId(raw.block_id.get()),
        seq_num: raw.third.get(),
        flags: DpFlags::from_bits(raw.fourth.get()),
    };
    Some((frame, data))
}

/// P_WRITE_ACK or P_RECV_ACK at the start of `bytes`, and its volume: the peer has a write, as far as the protocol
/// wants it to. `None` for anything that is not a sound one of version 100 or later.
#[must_use]
#[inline]
pub fn decode_ack(bytes: &[u8]) -> Option<(u16, BlockAck)> {
    let raw = raw(bytes)?;
    if !matches!(raw.command.get(), WRITE_ACK | RECV_ACK) || raw.length.get() != FIXED {
        return None;
    }
    let ack = BlockAck {
        sector: raw.sector.get(),
        block_id: BlockId(raw.block_id.get()),
        size: raw.third.get(),
        seq_num: raw.fourth.get(),
    };
    Some((raw.volume.get(), ack))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::wire::{
        dispatch, Barrier, BarrierAck, Dialect, Features, Header, Packet, Stage, MAX_FRAME,
    };
    use proptest::prelude::*;
    use std::vec::Vec;

    fn dialect() -> Dialect {
        Dialect::new(101, Features::ALL).unwrap()
    }

    /// The long way.
    fn decode(stage: Stage, bytes: &[u8]) -> Option<(Frame, Packet)> {
        let header = Header::decode(dialect(), bytes).ok()?;
        let frame = dispatch(dialect(), stage, &header).ok()?;
        let packet = Packet::decode(dialect(), &frame, &bytes[16..]).ok()?;
        Some((frame, packet))
    }

    /// Frames that are nearly right: each field is often, but not always, what it should be.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let magic = prop_oneof![9 => Just(MAGIC_100), 1 => any::<u32>()];
        let command = prop_oneof![4 => Just(0u16), 4 => Just(0x16), 1 => 0u16..0x38];
        let length = prop_oneof![
            4 => Just(24u32), 4 => Just(24 + 4096),
            1 => (24 + MAX_BIO_BYTES)..(24 + MAX_BIO_BYTES + 130), 1 => 0u32..50, 1 => any::<u32>()
        ];
        let pad = prop_oneof![9 => Just(0u32), 1 => any::<u32>()];
        let sector = prop_oneof![8 => 0..SECTOR_END, 1 => any::<u64>(), 1 => Just(SECTOR_END)];
        let head = (magic, any::<u16>(), command, length, pad);
        let body = (sector, any::<u64>(), any::<u32>(), any::<u32>());
        (head, body).prop_map(|(head, body)| {
            let mut bytes = Vec::new();
            bytes.extend(head.0.to_be_bytes());
            bytes.extend(head.1.to_be_bytes());
            bytes.extend(head.2.to_be_bytes());
            bytes.extend(head.3.to_be_bytes());
            bytes.extend(head.4.to_be_bytes());
            bytes.extend(body.0.to_be_bytes());
            bytes.extend(body.1.to_be_bytes());
            bytes.extend(body.2.to_be_bytes());
            bytes.extend(body.3.to_be_bytes());
            bytes
        })
    }

    proptest! {
        #[test]
        fn takes_what_the_long_way_takes(bytes in nearly()) {
            let long = match decode(Stage::Data, &bytes) {
                Some((frame, Packet::Data(data))) => Some((frame, data)),
                _ => None,
            };
            prop_assert_eq!(decode_data(&bytes), long);
            // Whoever waits for the rest of what this promises gets it.
            prop_assert!(long.is_none() || is_data(&bytes[..16]));
            let data = Header::decode(dialect(), &bytes)
                .is_ok_and(|header| header.command == 0 && header.length >= 24);
            prop_assert!(!data || is_data(&bytes[..16]));
            let long = match decode(Stage::Meta, &bytes) {
                Some((frame, Packet::WriteAck(ack) | Packet::RecvAck(ack))) => {
                    frame.volume.map(|volume| (volume, ack))
                }
                _ => None,
            };
            prop_assert_eq!(decode_ack(&bytes), long);
        }

        #[test]
        fn barriers_are_those_of_the_long_way(
            id in prop_oneof![3 => Just(0x03u16), 3 => Just(0x1c), 1 => 0u16..0x38],
            length in prop_oneof![9 => Just(8u32), 1 => 0u32..30],
            pad in prop_oneof![9 => Just(0u32), 1 => any::<u32>()],
            number: u32, set_size: u32, cut in prop_oneof![9 => Just(40usize), 1 => 0usize..40],
        ) {
            let mut long = [0; MAX_FRAME];
            let packet = Packet::Barrier(Barrier { number });
            let n = packet.encode_frame(dialect(), 0, 0, &mut long).unwrap();
            prop_assert_eq!(&encode_barrier(number)[..], &long[..n]);
            let packet = Packet::BarrierAck(BarrierAck { number, set_size });
            let n = packet.encode_frame(dialect(), 0, 0, &mut long).unwrap();
            prop_assert_eq!(&encode_barrier_ack(number, set_size)[..], &long[..n]);

            let mut bytes = [0u8; 40];
            bytes[..24].copy_from_slice(&encode_barrier_ack(number, set_size));
            bytes[6..8].copy_from_slice(&id.to_be_bytes());
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[12..16].copy_from_slice(&pad.to_be_bytes());
            let bytes = &bytes[..cut];
            let rest = |stage| if cut < 16 { None } else { decode(stage, bytes) };
            let long = match rest(Stage::Data) {
                Some((_, Packet::Barrier(barrier))) => Some(barrier.number),
                _ => None,
            };
            prop_assert_eq!(decode_barrier(bytes), long);
            let long = match rest(Stage::Meta) {
                Some((_, Packet::BarrierAck(ack))) => Some((ack.number, ack.set_size)),
                _ => None,
            };
            prop_assert_eq!(decode_barrier_ack(bytes), long);
        }

        #[test]
        fn writes_what_the_long_way_writes(
            volume: u16, sector: u64, id: u64, third: u32, flags in 0u32..2048,
            len in 0u32..(MAX_BIO_BYTES + MAX_DIGEST),
        ) {
            let block_id = BlockId(id);
            let mut long = [0; MAX_FRAME];
            let flags = dialect().dp_flags(DpFlags::from_bits(flags));
            let data = BlockData { sector, block_id, seq_num: third, flags };
            let n = Packet::Data(data).encode_frame(dialect(), volume, len, &mut long).unwrap();
            prop_assert_eq!(&encode_data(volume, &data, len)[..], &long[..n]);
            let ack = BlockAck { sector, block_id, size: third, seq_num: len };
            for (command, packet) in [
                (Command::WriteAck, Packet::WriteAck(ack)),
                (Command::RecvAck, Packet::RecvAck(ack)),
                (Command::NegAck, Packet::NegAck(ack)),
                (Command::RsWriteAck, Packet::RsWriteAck(ack)),
            ] {
                let n = packet.encode_frame(dialect(), volume, 0, &mut long).unwrap();
                prop_assert_eq!(&encode_ack(volume, command, &ack)[..], &long[..n]);
            }
        }
    }

    #[test]
    fn a_short_piece_is_nothing() {
        let data = BlockData {
            sector: 8,
            block_id: BlockId(1),
            seq_num: 1,
            flags: DpFlags::NONE,
        };
        let bytes = encode_data(0, &data, 4096);
        assert!(decode_data(&bytes).is_some());
        assert!(decode_data(&bytes[..39]).is_none());
    }
}
