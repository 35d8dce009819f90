// SPDX-License-Identifier: GPL-2.0-or-later
//! From a record, reply or notification of version 1 to version 2.

use drbd_core::config::{DiskOptions, NetOptions, OptionGroup, PeerDeviceOptions, ResourceOptions};
use drbd_core::genl::v1::{from_v1, Fault};
use drbd_core::genl::{
    encode_address, find_nest, Attribute, Attributes, Command, Context, NoRoom, Tla, Writer,
    RECORD_BYTES_MAX,
};

use super::{CONNECTION_NAME, PEER_NODE_ID};
use crate::{DrbdMessage, Error};

/// Numbers of the attributes that are the state of a disk.
const DEVICE_DISK: u16 = 1;
const PEER_DISK: u16 = 2;
/// Number in DEVICE_INFO that version 1 lacks: there is no quorum to lose.
const HAS_QUORUM: u16 = 3;
/// The first disk state that has another number in version 2, which has one more of them before it.
const FAILED: u32 = 2;

/// Rewrites a message; one without attributes stays as it is.
///
/// # Errors
///
/// [`Error::Nonsense`].
pub(crate) fn lift(message: DrbdMessage) -> Result<DrbdMessage, Error> {
    let mut buffer = vec![0; RECORD_BYTES_MAX];
    let mut writer = Writer::new(&mut buffer);
    rewrite(&message, &mut writer).map_err(|fault| {
        let what = match fault {
            Fault::Malformed => "malformed attributes",
            Fault::NoRoom => "more attributes than any object has",
        };
        Error::Nonsense(format!("{what} in a message of API version 1"))
    })?;
    Ok(DrbdMessage {
        attributes: writer.bytes().to_vec(),
        ..message
    })
}

fn rewrite(message: &DrbdMessage, writer: &mut Writer<'_>) -> Result<(), Fault> {
    let attributes = &message.attributes;
    let command = Command::from_number(message.command);
    for nest in Attributes::new(attributes) {
        let nest = nest?;
        match Tla::from_number(nest.nr) {
            Some(Tla::CfgContext) => context(command, attributes, writer)?,
            Some(Tla::ResourceOpts) => options::<ResourceOptions>(attributes, writer)?,
            Some(Tla::DiskConf) => {
                options::<DiskOptions>(attributes, writer)?;
                options::<PeerDeviceOptions>(attributes, writer)?;
                // The fencing policy of a disk belongs to the connection in version 2.
                options::<NetOptions>(attributes, writer)?;
            }
            Some(Tla::NetConf) => {
                options::<NetOptions>(attributes, writer)?;
                options::<DiskOptions>(attributes, writer)?;
            }
            Some(Tla::DeviceInfo) => info(&nest, Tla::DeviceInfo, DEVICE_DISK, writer)?,
            Some(Tla::PeerDeviceInfo) => info(&nest, Tla::PeerDeviceInfo, PEER_DISK, writer)?,
            Some(tla) => writer.nest(tla, |w| w.put_raw(nest.payload))?,
            None => {}
        }
    }
    Ok(())
}

/// Whether a message is about the connection of its resource.
fn is_towards_peer(command: Option<Command>) -> bool {
    matches!(
        command,
        Some(
            Command::GetConnections
                | Command::GetPeerDevices
                | Command::ConnectionState
                | Command::PeerDeviceState
        )
    )
}

fn context(
    command: Option<Command>,
    attributes: &[u8],
    writer: &mut Writer<'_>,
) -> Result<(), Fault> {
    let found = Context::find(attributes)?;
    let towards_peer = is_towards_peer(command) || found.peer_addr.is_some();
    let named = Context {
        volume: found.volume,
        resource: found.resource,
        peer_node_id: towards_peer.then_some(PEER_NODE_ID),
        connection: towards_peer.then_some(CONNECTION_NAME),
        ..Context::default()
    };
    named.encode(writer)?;
    if command != Some(Command::GetConnections) {
        return Ok(());
    }
    writer.nest(Tla::PathParms, |w| {
        for (nr, address) in [(1, &found.my_addr), (2, &found.peer_addr)] {
            if let Some(address) = address {
                let (bytes, len) = encode_address(address);
                w.put_bytes(nr, bytes.get(..len).unwrap_or(&[]))?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Writes the nest of `G` with the options that the message has, wherever it has them; none if it has none.
fn options<G: OptionGroup>(attributes: &[u8], writer: &mut Writer<'_>) -> Result<(), Fault> {
    if find_nest(writer.bytes(), G::TLA)?.is_some() {
        return Ok(());
    }
    let mut buffer = vec![0; RECORD_BYTES_MAX];
    let mut found = Writer::new(&mut buffer);
    from_v1::<G>(attributes, &mut found)?;
    if !found.bytes().is_empty() {
        writer.nest(G::TLA, |w| w.put_raw(found.bytes()))?;
    }
    Ok(())
}

/// Copies a state; `disk` is the number of the attribute that is the state of a disk.
fn info(nest: &Attribute<'_>, tla: Tla, disk: u16, writer: &mut Writer<'_>) -> Result<(), Fault> {
    let mut fault = None;
    writer.nest(tla, |w| {
        if let Err(error) = put_info(nest, disk, w) {
            fault = Some(error);
        }
        if tla == Tla::DeviceInfo {
            w.put_flag(HAS_QUORUM, true)?;
        }
        Ok::<(), NoRoom>(())
    })?;
    fault.map_or(Ok(()), Err)
}

fn put_info(nest: &Attribute<'_>, disk: u16, writer: &mut Writer<'_>) -> Result<(), Fault> {
    for attribute in Attributes::new(nest.payload) {
        let attribute = attribute?;
        if attribute.nr == disk {
            writer.put_u32(disk, disk_state(attribute.u32()?))?;
        } else {
            writer.put_bytes(attribute.nr, attribute.payload)?;
        }
    }
    Ok(())
}

/// Version 2 has Detaching between Attaching and Failed.
pub(super) const fn disk_state(state: u32) -> u32 {
    if state < FAILED {
        state
    } else {
        state + 1
    }
}
