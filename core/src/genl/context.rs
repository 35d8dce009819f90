// SPDX-License-Identifier: GPL-2.0-or-later
//! CFG_CONTEXT: which object a message is about.

use core::net::SocketAddr;

use super::address::{decode_address, encode_address};
use super::tla::Tla;
use super::tlv::{find_nest, Attributes, Malformed, Seen};
use super::writer::{NoRoom, Writer};

pub(super) const VOLUME: u16 = 1;
pub(super) const RESOURCE_NAME: u16 = 2;
pub(super) const MY_ADDR: u16 = 3;
pub(super) const PEER_ADDR: u16 = 4;
pub(super) const CONN_NAME: u16 = 5;
pub(super) const PEER_NODE_ID: u16 = 6;

const RESOURCE_NAME_BYTES_MAX: usize = 127;
const CONN_NAME_BYTES_MAX: usize = 63;

/// The object a message is about; what is not named is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context<'a> {
    /// Volume number.
    pub volume: Option<u32>,
    /// Resource.
    pub resource: Option<&'a str>,
    /// Node id of the peer.
    pub peer_node_id: Option<u32>,
    /// Name of the connection.
    pub connection: Option<&'a str>,
    /// Local end of a path.
    pub my_addr: Option<SocketAddr>,
    /// Peer's end of a path.
    pub peer_addr: Option<SocketAddr>,
}

impl<'a> Context<'a> {
    /// Context of a resource.
    pub const fn resource(name: &'a str) -> Self {
        Self {
            volume: None,
            resource: Some(name),
            peer_node_id: None,
            connection: None,
            my_addr: None,
            peer_addr: None,
        }
    }

    /// Reads the context of a message; an absent one is empty.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for repeated attributes, wrong sizes, over-long or non-UTF-8 names, unknown address families.
    pub fn find(attributes: &'a [u8]) -> Result<Self, Malformed> {
        match find_nest(attributes, Tla::CfgContext)? {
            Some(nest) => Self::decode(nest.payload),
            None => Ok(Self::default()),
        }
    }

    /// Reads the content of the nest.
    ///
    /// # Errors
    ///
    /// As [`Context::find`].
    pub fn decode(nest: &'a [u8]) -> Result<Self, Malformed> {
        let mut context = Self::default();
        let mut seen = Seen::default();
        for attribute in Attributes::new(nest) {
            let attribute = attribute?;
            seen.note(attribute.nr)?;
            match attribute.nr {
                VOLUME => context.volume = Some(attribute.u32()?),
                RESOURCE_NAME => {
                    context.resource = Some(bounded(attribute.text()?, RESOURCE_NAME_BYTES_MAX)?)
                }
                MY_ADDR => context.my_addr = Some(decode_address(attribute.payload)?),
                PEER_ADDR => context.peer_addr = Some(decode_address(attribute.payload)?),
                CONN_NAME => {
                    context.connection = Some(bounded(attribute.text()?, CONN_NAME_BYTES_MAX)?)
                }
                PEER_NODE_ID => context.peer_node_id = Some(attribute.u32()?),
                _ => {}
            }
        }
        Ok(context)
    }

    /// Writes the nest as the kernel does (without the nest mark).
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.plain_nest(Tla::CfgContext, |w| self.encode_content(w))
    }

    /// Writes the nest as the tools do (with the nest mark).
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode_request(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        writer.nest(Tla::CfgContext, |w| self.encode_content(w))
    }

    // Order of the kernel: drbd9-api.md section 6.
    fn encode_content(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if let Some(volume) = self.volume {
            w.put_u32(VOLUME, volume)?;
        }
        if let Some(name) = self.resource {
            w.put_text(RESOURCE_NAME, name)?;
        }
        if let Some(id) = self.peer_node_id {
            w.put_u32(PEER_NODE_ID, id)?;
        }
        if let Some(name) = self.connection {
            w.put_text(CONN_NAME, name)?;
        }
        for (nr, address) in [(MY_ADDR, &self.my_addr), (PEER_ADDR, &self.peer_addr)] {
            if let Some(address) = address {
                let (bytes, len) = encode_address(address);
                w.put_bytes(nr, bytes.get(..len).unwrap_or(&[]))?;
            }
        }
        Ok(())
    }
}

fn bounded(text: &str, max: usize) -> Result<&str, Malformed> {
    if text.len() > max {
        return Err(Malformed);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_full_context_round_trips() {
        let context = Context {
            volume: Some(3),
            resource: Some("r0"),
            peer_node_id: Some(1),
            connection: Some("n2"),
            my_addr: Some("10.9.0.1:7788".parse().unwrap()),
            peer_addr: Some("[::1]:7788".parse().unwrap()),
        };
        let mut buffer = [0; 256];
        let mut writer = Writer::new(&mut buffer);
        context.encode_request(&mut writer).unwrap();
        assert_eq!(Context::find(writer.bytes()), Ok(context));
    }

    #[test]
    fn over_long_names_and_repetitions_are_refused() {
        let long = "a".repeat(RESOURCE_NAME_BYTES_MAX + 1);
        let mut buffer = [0; 256];
        let mut writer = Writer::new(&mut buffer);
        Context::resource(&long).encode(&mut writer).unwrap();
        assert_eq!(Context::find(writer.bytes()), Err(Malformed));

        let mut writer = Writer::new(&mut buffer);
        writer
            .nest(Tla::CfgContext, |w| {
                w.put_u32(VOLUME, 1)?;
                w.put_u32(VOLUME, 2)
            })
            .unwrap();
        assert_eq!(Context::find(writer.bytes()), Err(Malformed));
        assert_eq!(Context::find(&[]), Ok(Context::default()));
    }
}
