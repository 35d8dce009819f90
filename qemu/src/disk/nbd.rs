// SPDX-License-Identifier: GPL-2.0-or-later
//! The part of the NBD protocol that QEMU speaks: fixed newstyle negotiation
//! and simple replies (doc/proto.md of the nbd project).

use std::io::{self, Read, Write};

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const MAGIC_OPTION: u64 = 0x4948_4156_454f_5054;
const MAGIC_OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const MAGIC_REQUEST: u32 = 0x2560_9513;
const MAGIC_REPLY: u32 = 0x6744_6698;

const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

const OPTION_EXPORT_NAME: u32 = 1;
const OPTION_ABORT: u32 = 2;
const OPTION_INFO: u32 = 6;
const OPTION_GO: u32 = 7;

const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const REPLY_UNSUPPORTED: u32 = 0x8000_0001;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Has flags, flush, FUA, trim, write zeroes.
const EXPORT_FLAGS: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6;

/// Longest request in bytes.
pub(crate) const REQUEST_BYTES_MAX: u32 = 32 * 1024 * 1024;
const OPTION_BYTES_MAX: u32 = 64 * 1024;

const FLAG_FUA: u16 = 1;

/// The client asks for something invalid.
pub(crate) const EINVAL: u32 = 22;
/// The disk errs.
pub(crate) const EIO: u32 = 5;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Disconnect,
    Flush,
    Trim,
    WriteZeroes,
    Unknown,
}

/// A request without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) through: bool,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Agrees with the client on a disk of `size` bytes with blocks of
/// `block_size`; false if the client wants nothing further.
pub(crate) fn negotiate(
    stream: &mut (impl Read + Write),
    size: u64,
    block_size: u32,
) -> io::Result<bool> {
    let mut hello = Vec::new();
    hello.extend(MAGIC.to_be_bytes());
    hello.extend(MAGIC_OPTION.to_be_bytes());
    hello.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    stream.write_all(&hello)?;
    let client = u32::from_be_bytes(read(stream)?);
    loop {
        if u64::from_be_bytes(read(stream)?) != MAGIC_OPTION {
            return Err(bad("no option where one is due"));
        }
        let option = u32::from_be_bytes(read(stream)?);
        let length = u32::from_be_bytes(read(stream)?);
        if length > OPTION_BYTES_MAX {
            return Err(bad("option too long"));
        }
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data)?;
        match option {
            OPTION_EXPORT_NAME => {
                let mut answer = size.to_be_bytes().to_vec();
                answer.extend(EXPORT_FLAGS.to_be_bytes());
                if client & u32::from(NO_ZEROES) == 0 {
                    answer.extend([0; 124]);
                }
                stream.write_all(&answer)?;
                return Ok(true);
            }
            OPTION_ABORT => {
                reply(stream, option, REPLY_ACK, &[])?;
                return Ok(false);
            }
            OPTION_INFO | OPTION_GO => {
                let mut info = INFO_EXPORT.to_be_bytes().to_vec();
                info.extend(size.to_be_bytes());
                info.extend(EXPORT_FLAGS.to_be_bytes());
                reply(stream, option, REPLY_INFO, &info)?;
                let mut info = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
                for bytes in [block_size, 4096, REQUEST_BYTES_MAX] {
                    info.extend(bytes.to_be_bytes());
                }
                reply(stream, option, REPLY_INFO, &info)?;
                reply(stream, option, REPLY_ACK, &[])?;
                if option == OPTION_GO {
                    return Ok(true);
                }
            }
            _ => reply(stream, option, REPLY_UNSUPPORTED, &[])?,
        }
    }
}

fn reply(stream: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut bytes = MAGIC_OPTION_REPLY.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    stream.write_all(&bytes)
}

/// Reads the next request; the data of a write follows in the stream.
pub(crate) fn read_request(stream: &mut impl Read) -> io::Result<Request> {
    if u32::from_be_bytes(read(stream)?) != MAGIC_REQUEST {
        return Err(bad("no request where one is due"));
    }
    let flags = u16::from_be_bytes(read(stream)?);
    let kind = match u16::from_be_bytes(read(stream)?) {
        0 => Kind::Read,
        1 => Kind::Write,
        2 => Kind::Disconnect,
        3 => Kind::Flush,
        4 => Kind::Trim,
        6 => Kind::WriteZeroes,
        _ => Kind::Unknown,
    };
    let cookie = u64::from_be_bytes(read(stream)?);
    let offset = u64::from_be_bytes(read(stream)?);
    let length = u32::from_be_bytes(read(stream)?);
    if matches!(kind, Kind::Read | Kind::Write) && length > REQUEST_BYTES_MAX {
        return Err(bad("request too long"));
    }
    Ok(Request {
        kind,
        through: flags & FLAG_FUA != 0,
        cookie,
        offset,
        length,
    })
}

/// Answers a request: `error` is 0 or an NBD error, `data` what was read.
pub(crate) fn answer(
    stream: &mut impl Write,
    cookie: u64,
    error: u32,
    data: &[u8],
) -> io::Result<()> {
    let mut bytes = MAGIC_REPLY.to_be_bytes().to_vec();
    bytes.extend(error.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(data);
    stream.write_all(&bytes)
}
