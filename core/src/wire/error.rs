// SPDX-License-Identifier: GPL-2.0-or-later
//! Why bytes were refused, and what that means for the connection.

use core::fmt;

use super::command::{Command, Stage};

/// Why a header, a packet or a payload length was refused, or could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The header starts with a magic the dialect does not accept.
    BadMagic {
        /// First four bytes, big endian.
        magic: u32,
    },
    /// The pad of a 16-byte header is not zero.
    HeaderPad {
        /// What was there.
        pad: u32,
    },
    /// No packet has this number, or it has no handler in these versions.
    UnknownCommand {
        /// The number in the header.
        command: u16,
    },
    /// The packet exists but may not come at this point.
    Unexpected {
        /// The packet that came.
        command: Command,
    },
    /// The agreed version or the agreed features do not have this packet.
    NotInDialect {
        /// The packet.
        command: Command,
        /// The agreed version.
        version: u8,
    },
    /// The length in the header is smaller than the packet's structure (plus the least payload).
    TooShort {
        /// The packet.
        command: Command,
        /// Bytes after the header, as the header says.
        length: u32,
        /// Fewest bytes this packet has.
        least: u32,
    },
    /// The length in the header is larger than this packet may be.
    TooLong {
        /// The packet.
        command: Command,
        /// Bytes after the header, as the header says.
        length: u32,
        /// Most bytes this packet has.
        most: u32,
    },
    /// The caller handed in fewer bytes than the structure has.
    Truncated {
        /// Bytes needed.
        needed: usize,
        /// Bytes there were.
        have: usize,
    },
    /// The caller's buffer is too small for what is to be written.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes there are.
        have: usize,
    },
    /// A field has a value that the protocol does not allow.
    BadValue {
        /// Name of the field.
        field: &'static str,
        /// The value (of a text: its length).
        value: u64,
    },
    /// A setting that both nodes must share has a value no node can have.
    BadSetting {
        /// Name of the setting.
        field: &'static str,
        /// The value.
        value: u64,
    },
    /// The version ranges of the two nodes do not overlap.
    NoCommonVersion {
        /// The peer's lowest version.
        peer_min: u32,
        /// The peer's highest version.
        peer_max: u32,
    },
    /// A bitmap packet has another length than the position in the transfer asks for.
    BitmapLength {
        /// Bytes that came.
        length: usize,
        /// Bytes that had to come (for a compressed packet: the most there may be).
        wanted: usize,
    },
    /// A compressed bitmap packet uses an encoding nobody defined.
    BitmapEncoding {
        /// The encoding number.
        encoding: u8,
    },
    /// A run of a compressed bitmap packet goes past the end of the bitmap.
    BitmapOverflow {
        /// First bit of the run.
        start: u64,
        /// Length of the run in bits.
        run: u64,
    },
    /// A compressed bitmap packet ends within a code.
    BitmapTruncated,
    /// A bitmap packet came after the transfer was complete.
    BitmapAfterEnd,
}

/// What the connection does about a refused packet (wire-protocol section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Close this socket only and go on trying to connect.
    CloseSocket,
    /// Close both sockets, wait a second and connect again.
    Retry,
    /// Give up: Disconnecting, then StandAlone.
    Disconnecting,
    /// Connection state ProtocolError, then reconnect.
    ProtocolError,
    /// Connection state NetworkFailure, then reconnect.
    NetworkFailure,
}

impl WireError {
    /// What the connection does about this error, at the stage in which it was found.
    #[must_use]
    pub fn reaction(self, stage: Stage) -> Reaction {
        match (stage, self) {
            (_, Self::BadSetting { .. } | Self::NoCommonVersion { .. }) => Reaction::Disconnecting,
            (Stage::First, _) => Reaction::CloseSocket,
            (Stage::Features | Stage::AuthChallenge, _) => Reaction::Disconnecting,
            (Stage::AuthResponse, _) => Reaction::Retry,
            (Stage::Data, _) => Reaction::ProtocolError,
            (
                Stage::Meta,
                Self::UnknownCommand { .. } | Self::Unexpected { .. } | Self::NotInDialect { .. },
            ) => Reaction::Disconnecting,
            (Stage::Meta, _) => Reaction::NetworkFailure,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadMagic { magic } => write!(f, "wrong magic value 0x{magic:08x}"),
            Self::HeaderPad { pad } => write!(f, "header padding is 0x{pad:08x}, not zero"),
            Self::UnknownCommand { command } => write!(f, "unknown packet 0x{command:04x}"),
            Self::Unexpected { command } => {
                write!(f, "packet {} not expected here", command.log_name())
            }
            Self::NotInDialect { command, version } => {
                write!(
                    f,
                    "packet {} does not exist in the agreed protocol {version}",
                    command.log_name()
                )
            }
            Self::TooShort {
                command,
                length,
                least,
            } => {
                write!(
                    f,
                    "packet {} has {length} bytes, at least {least} expected",
                    command.log_name()
                )
            }
            Self::TooLong {
                command,
                length,
                most,
            } => {
                write!(
                    f,
                    "packet {} has {length} bytes, at most {most} expected",
                    command.log_name()
                )
            }
            Self::Truncated { needed, have } => write!(f, "{needed} bytes needed, {have} given"),
            Self::BufferTooSmall { needed, have } => {
                write!(f, "a buffer of {needed} bytes needed, {have} given")
            }
            Self::BadValue { field, value } => {
                write!(f, "{field} has the impossible value {value} (0x{value:x})")
            }
            Self::BadSetting { field, value } => {
                write!(f, "incompatible {field} settings: unknown value {value}")
            }
            Self::NoCommonVersion { peer_min, peer_max } => {
                write!(
                    f,
                    "no common protocol version, the peer speaks {peer_min} to {peer_max}"
                )
            }
            Self::BitmapLength { length, wanted } => {
                write!(f, "bitmap packet of {length} bytes, not {wanted}")
            }
            Self::BitmapEncoding { encoding } => write!(f, "unknown bitmap encoding {encoding}"),
            Self::BitmapOverflow { start, run } => {
                write!(
                    f,
                    "bitmap run of {run} bits at {start} passes the end of the bitmap"
                )
            }
            Self::BitmapTruncated => f.write_str("compressed bitmap packet ends within a code"),
            Self::BitmapAfterEnd => f.write_str("bitmap packet after the end of the bitmap"),
        }
    }
}
