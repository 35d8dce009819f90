// SPDX-License-Identifier: GPL-2.0-or-later
//! Packets of the handshake that concern the whole connection (wire-protocol sections 5.2 and 5.4).

use super::alg_name::AlgName;
use super::cursor::{Reader, Writer};
use super::dialect::{Dialect, Features};
use super::error::WireError;
use super::flags::flag_set;
use crate::uuid::Policy;

/// P_CONNECTION_FEATURES: what a node can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionFeatures {
    /// Lowest version.
    pub protocol_min: u32,
    /// Features offered.
    pub features: Features,
    /// Highest version; 0 means the lowest is the only one.
    pub protocol_max: u32,
    /// Reserved in these versions; DRBD 9 puts its node id there.
    pub sender_node_id: u32,
}

/// Reserved bytes at the end: zero when sent, ignored when received.
const RESERVED_BYTES: usize = 56;

impl ConnectionFeatures {
    /// What this implementation announces with these features.
    #[must_use]
    pub fn own(features: Features) -> Self {
        Self {
            protocol_min: u32::from(Dialect::OWN_MIN),
            features,
            protocol_max: u32::from(Dialect::OWN_MAX),
            sender_node_id: 0,
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let features = Self {
            protocol_min: reader.u32()?,
            features: Features::from_bits(reader.u32()?),
            protocol_max: reader.u32()?,
            sender_node_id: reader.u32()?,
        };
        reader.array::<RESERVED_BYTES>()?;
        Ok(features)
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u32(self.protocol_min)?;
        writer.u32(self.features.bits())?;
        writer.u32(self.protocol_max)?;
        writer.u32(self.sender_node_id)?;
        writer.bytes(&[0; RESERVED_BYTES])
    }
}

/// When a replicated write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationProtocol {
    /// Sent.
    A,
    /// Received by the peer.
    B,
    /// On the peer's disk.
    C,
}

impl ReplicationProtocol {
    /// 1, 2 or 3.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::A => 1,
            Self::B => 2,
            Self::C => 3,
        }
    }

    /// The protocol with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::A),
            2 => Some(Self::B),
            3 => Some(Self::C),
            _ => None,
        }
    }
}

flag_set! {
    /// Flags of P_PROTOCOL.
    pub struct ConnFlags(u32) {
        /// The sender wants its own data to be discarded.
        DISCARD_MY_DATA = 1;
        /// Compare only, do not connect.
        DRY_RUN = 2;
    }
}

/// P_PROTOCOL and P_PROTOCOL_UPDATE: settings that must be equal on both nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Protocol A, B or C.
    pub protocol: ReplicationProtocol,
    /// Policy after a split brain without primaries, as the sender names it.
    pub after_sb_0p: Policy,
    /// The same with one primary.
    pub after_sb_1p: Policy,
    /// The same with two primaries.
    pub after_sb_2p: Policy,
    /// One-shot wishes of the sender.
    pub conn_flags: ConnFlags,
    /// Whether both nodes may be primary.
    pub two_primaries: bool,
    /// Digest algorithm of the sender's block data; empty means none.
    pub integrity_alg: AlgName,
}

impl Protocol {
    /// Bytes of the structure without the text.
    const STRUCT_BYTES: usize = 24;

    fn after_sb(reader: &mut Reader<'_>, field: &'static str) -> Result<Policy, WireError> {
        let value = reader.u32()?;
        u8::try_from(value)
            .ok()
            .and_then(Policy::from_number)
            .ok_or(WireError::BadSetting {
                field,
                value: u64::from(value),
            })
    }

    pub(super) fn decode(dialect: Dialect, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let protocol = reader.u32()?;
        Ok(Self {
            protocol: ReplicationProtocol::from_number(protocol).ok_or(WireError::BadSetting {
                field: "protocol",
                value: u64::from(protocol),
            })?,
            after_sb_0p: Self::after_sb(reader, "after-sb-0pri")?,
            after_sb_1p: Self::after_sb(reader, "after-sb-1pri")?,
            after_sb_2p: Self::after_sb(reader, "after-sb-2pri")?,
            conn_flags: ConnFlags::from_bits(reader.u32()?),
            two_primaries: match reader.u32()? {
                0 => false,
                1 => true,
                value => {
                    return Err(WireError::BadSetting {
                        field: "allow-two-primaries",
                        value: u64::from(value),
                    })
                }
            },
            integrity_alg: if dialect.has_integrity_alg() {
                AlgName::decode(reader.rest(), "data-integrity-alg")?
            } else {
                AlgName::EMPTY
            },
        })
    }

    pub(super) fn encode(
        &self,
        dialect: Dialect,
        writer: &mut Writer<'_>,
    ) -> Result<(), WireError> {
        writer.u32(self.protocol.number())?;
        writer.u32(u32::from(self.after_sb_0p.number()))?;
        writer.u32(u32::from(self.after_sb_1p.number()))?;
        writer.u32(u32::from(self.after_sb_2p.number()))?;
        writer.u32(self.conn_flags.bits())?;
        writer.u32(u32::from(self.two_primaries))?;
        if dialect.has_integrity_alg() {
            self.integrity_alg.encode_text(writer)
        } else if self.integrity_alg.is_empty() {
            Ok(())
        } else {
            // A peer that is not told of the digests would take them for data.
            Err(WireError::BadSetting {
                field: "data-integrity-alg",
                value: u64::from(dialect.version()),
            })
        }
    }

    /// Bytes on the wire after the header.
    #[must_use]
    pub fn encoded_len(&self, dialect: Dialect) -> usize {
        let text = if dialect.has_integrity_alg() {
            self.integrity_alg.text_len()
        } else {
            0
        };
        Self::STRUCT_BYTES.saturating_add(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(protocol_min: u32, protocol_max: u32, features: u32) -> ConnectionFeatures {
        ConnectionFeatures {
            protocol_min,
            features: Features::from_bits(features),
            protocol_max,
            sender_node_id: 0,
        }
    }

    fn agreed(own: ConnectionFeatures, peer: ConnectionFeatures) -> Result<(u8, u32), WireError> {
        Dialect::negotiate(&own, &peer)
            .map(|dialect| (dialect.version(), dialect.features().bits()))
    }

    #[test]
    fn agrees_on_the_highest_common_version_and_common_features() {
        let own = ConnectionFeatures::own(Features::ALL);
        assert_eq!(agreed(own, offer(86, 101, 0xf)), Ok((101, 0xf)));
        assert_eq!(agreed(own, offer(86, 124, 0x3ff)), Ok((101, 0xf)));
        assert_eq!(agreed(own, offer(86, 100, 1)), Ok((100, 1)));
        assert_eq!(agreed(own, offer(100, 0, 0)), Ok((100, 0)));
        assert_eq!(agreed(offer(86, 101, 0), offer(86, 94, 0xf)), Ok((94, 0)));
    }

    #[test]
    fn refuses_ranges_that_do_not_meet() {
        let own = ConnectionFeatures::own(Features::ALL);
        for peer in [
            offer(86, 99, 0),
            offer(118, 124, 0),
            offer(99, 0, 0),
            offer(0, 0, 0),
            offer(102, 101, 0),
        ] {
            assert!(
                matches!(agreed(own, peer), Err(WireError::NoCommonVersion { .. })),
                "{peer:?}"
            );
        }
        assert!(agreed(offer(80, 101, 0), offer(80, 85, 0)).is_err());
    }
}
