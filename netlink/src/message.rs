// SPDX-License-Identifier: GPL-2.0-or-later
//! A message of the family as the netlink-packet crates want it.

use drbd_core::genl::{UserHeader, FAMILY_NAME, FAMILY_VERSION, HEADER_BYTES};
use netlink_packet_core::{DecodeError, Emitable, ParseableParametrized};
use netlink_packet_generic::{GenlFamily, GenlHeader};

/// Header and attributes of a request, reply, record or notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrbdMessage {
    /// Number of the command; not every number need be known.
    pub command: u8,
    /// The family's header.
    pub header: UserHeader,
    /// Top level attributes.
    pub attributes: Vec<u8>,
}

impl GenlFamily for DrbdMessage {
    fn family_name() -> &'static str {
        FAMILY_NAME
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        FAMILY_VERSION
    }
}

impl Emitable for DrbdMessage {
    fn buffer_len(&self) -> usize {
        HEADER_BYTES + self.attributes.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&self.header.to_bytes());
        attributes[..self.attributes.len()].copy_from_slice(&self.attributes);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for DrbdMessage {
    fn parse_with_param(payload: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let (user, attributes) = UserHeader::split(payload)
            .ok_or_else(|| DecodeError::from("message without drbd header"))?;
        Ok(Self {
            command: header.cmd,
            header: user,
            attributes: attributes.to_vec(),
        })
    }
}
