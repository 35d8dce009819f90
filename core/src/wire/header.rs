// SPDX-License-Identifier: GPL-2.0-or-later
//! The three packet headers (wire-protocol section 2).

use super::cursor::{Reader, Writer};
use super::dialect::Dialect;
use super::error::WireError;

/// Which of the three layouts a header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// 8 bytes: magic, command, 16-bit length.
    H80,
    /// 8 bytes: short magic, command, 32-bit length.
    H95,
    /// 16 bytes: magic, volume, command, 32-bit length, zero pad.
    H100,
}

const MAGIC_80: u32 = 0x8374_0267;
const MAGIC_95: u16 = 0x835a;
pub(super) const MAGIC_100: u32 = 0x8620_ec20;

impl HeaderKind {
    /// Bytes on the wire.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::H80 | Self::H95 => 8,
            Self::H100 => 16,
        }
    }

    fn of_magic(magic: u32) -> Option<Self> {
        let [high_0, high_1, _, _] = magic.to_be_bytes();
        match magic {
            MAGIC_80 => Some(Self::H80),
            MAGIC_100 => Some(Self::H100),
            _ if u16::from_be_bytes([high_0, high_1]) == MAGIC_95 => Some(Self::H95),
            _ => None,
        }
    }
}

/// What a header says; the command is not looked up yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Volume within the resource; 0 in the short headers, meaningless for packets of the whole connection.
    pub volume: u16,
    /// Number of the packet.
    pub command: u16,
    /// Bytes after the header.
    pub length: u32,
}

impl Header {
    /// Longest header there is.
    pub const MAX_LEN: usize = HeaderKind::H100.bytes();

    /// Reads the header at the start of `bytes`, which are at least [`Dialect::header_len`].
    ///
    /// # Errors
    ///
    /// [`WireError::BadMagic`] for a magic that is unknown or not of this dialect, [`WireError::HeaderPad`],
    /// [`WireError::Truncated`].
    pub fn decode(dialect: Dialect, bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.u32()?;
        let kind = HeaderKind::of_magic(magic)
            .filter(|kind| dialect.accepts(*kind))
            .ok_or(WireError::BadMagic { magic })?;
        match kind {
            HeaderKind::H80 => Ok(Self {
                volume: 0,
                command: reader.u16()?,
                length: u32::from(reader.u16()?),
            }),
            HeaderKind::H95 => {
                // The command is the lower half of what was read as the magic.
                let [_, _, low_0, low_1] = magic.to_be_bytes();
                Ok(Self {
                    volume: 0,
                    command: u16::from_be_bytes([low_0, low_1]),
                    length: reader.u32()?,
                })
            }
            HeaderKind::H100 => {
                let header = Self {
                    volume: reader.u16()?,
                    command: reader.u16()?,
                    length: reader.u32()?,
                };
                match reader.u32()? {
                    0 => Ok(header),
                    pad => Err(WireError::HeaderPad { pad }),
                }
            }
        }
    }

    /// Writes the header in the form the dialect sends for this length; returns its bytes.
    ///
    /// # Errors
    ///
    /// [`WireError::BadValue`] for a volume or a length the header has no room for, [`WireError::BufferTooSmall`].
    pub fn encode(&self, dialect: Dialect, buffer: &mut [u8]) -> Result<usize, WireError> {
        let kind = dialect.header_kind(self.length);
        if self.volume != 0 && kind != HeaderKind::H100 {
            return Err(WireError::BadValue {
                field: "volume",
                value: u64::from(self.volume),
            });
        }
        let mut writer = Writer::new(buffer);
        match kind {
            HeaderKind::H80 => {
                let length = u16::try_from(self.length).map_err(|_| WireError::BadValue {
                    field: "length",
                    value: u64::from(self.length),
                })?;
                writer.u32(MAGIC_80)?;
                writer.u16(self.command)?;
                writer.u16(length)?;
            }
            HeaderKind::H95 => {
                writer.u16(MAGIC_95)?;
                writer.u16(self.command)?;
                writer.u32(self.length)?;
            }
            HeaderKind::H100 => {
                writer.u32(MAGIC_100)?;
                writer.u16(self.volume)?;
                writer.u16(self.command)?;
                writer.u32(self.length)?;
                writer.u32(0)?;
            }
        }
        Ok(writer.written())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Features;

    fn dialect(version: u8) -> Dialect {
        Dialect::new(version, Features::NONE).unwrap()
    }

    #[test]
    fn kind_follows_version_and_length() {
        // Observed of the stock driver: 4120 bytes short, 32792 bytes long, never long before 95.
        for (version, length, kind) in [
            (88, 4120, HeaderKind::H80),
            (94, 32768, HeaderKind::H80),
            (95, 32768, HeaderKind::H80),
            (95, 32792, HeaderKind::H95),
            (99, 127_000, HeaderKind::H95),
            (100, 4, HeaderKind::H100),
        ] {
            let header = Header {
                volume: 0,
                command: 0,
                length,
            };
            let mut bytes = [0; Header::MAX_LEN];
            let written = header.encode(dialect(version), &mut bytes).unwrap();
            assert_eq!(
                (dialect(version).header_kind(length), written),
                (kind, kind.bytes())
            );
            assert_eq!(Header::decode(dialect(version), &bytes), Ok(header));
        }
    }

    #[test]
    fn refuses_foreign_magic_pad_and_missing_bytes() {
        let short = [0x83, 0x74, 0x02, 0x67, 0xff, 0xf2, 0, 0];
        assert_eq!(
            Header::decode(Dialect::INITIAL, &short),
            Ok(Header {
                volume: 0,
                command: 0xfff2,
                length: 0
            })
        );
        assert_eq!(
            Header::decode(dialect(101), &short),
            Err(WireError::BadMagic { magic: MAGIC_80 })
        );
        let mut long = [
            0x86, 0x20, 0xec, 0x20, 0, 7, 0, 0x13, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(
            Header::decode(dialect(100), &long),
            Ok(Header {
                volume: 7,
                command: 0x13,
                length: 0
            })
        );
        assert_eq!(
            Header::decode(dialect(99), &long),
            Err(WireError::BadMagic { magic: MAGIC_100 })
        );
        assert_eq!(
            Header::decode(dialect(100), &long[..15]),
            Err(WireError::Truncated { needed: 4, have: 3 })
        );
        long[15] = 1;
        assert_eq!(
            Header::decode(dialect(100), &long),
            Err(WireError::HeaderPad { pad: 1 })
        );
        assert_eq!(
            Header::decode(dialect(100), &[0; 16]),
            Err(WireError::BadMagic { magic: 0 })
        );
    }

    #[test]
    fn refuses_what_a_short_header_cannot_say() {
        let mut bytes = [0; Header::MAX_LEN];
        let volume = Header {
            volume: 1,
            command: 0,
            length: 0,
        };
        assert_eq!(
            volume.encode(dialect(99), &mut bytes),
            Err(WireError::BadValue {
                field: "volume",
                value: 1
            })
        );
        let length = Header {
            volume: 0,
            command: 0,
            length: 65536,
        };
        assert_eq!(
            length.encode(dialect(94), &mut bytes),
            Err(WireError::BadValue {
                field: "length",
                value: 65536
            })
        );
        assert_eq!(
            length.encode(dialect(101), &mut bytes[..15]),
            Err(WireError::BufferTooSmall {
                needed: 16,
                have: 15
            })
        );
    }
}
