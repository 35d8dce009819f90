// SPDX-License-Identifier: GPL-2.0-or-later
//! From a request of version 1 to the steps of version 2 that carry it out.

use core::net::SocketAddr;

use super::super::address::encode_address;
use super::super::context::Context;
use super::super::tla::Tla;
use super::super::tlv::{find_nest, Attributes};
use super::super::writer::{NoRoom, Writer};
use super::super::{Command, RetCode};
use super::place::{from_v1, Fault};
use super::{DiskExtras, CONNECTION_NAME, OWN_NODE_ID, PEER_NODE_ID};
use crate::config::{
    ConnectParams, DetachParams, DisconnectParams, DiskOptions, NetOptions, NewCurrentUuidParams,
    OptionGroup, Refusal, ResizeParams, ResourceOptions, SetRoleParams, StartVerifyParams,
};

const NODE_ID: u16 = 4;
const NAME: u16 = 31;
const FENCING: u16 = 30;
/// Addresses of a second path, which no kernel but an old out-of-tree one takes.
const ALTERNATE_ADDRESSES: [u16; 2] = [35, 36];

/// The message asks for something that version 1 has no words for: to be answered with -EINVAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// The objects that the message names, as far as there are such; the host looks them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'a> {
    /// Resource: named, or that of the minor or of the connection.
    pub resource: Option<&'a str>,
    /// Volume of the minor, or the one to be created.
    pub volume: Option<u32>,
    /// What its disk keeps for the connection.
    pub extras: DiskExtras,
}

/// Writes the attributes of a step of version 2 from those of a message of version 1.
///
/// # Errors
///
/// [`Unsupported`] when the message carries what this dialect does not have; a refusal for bytes that are no attributes.
pub fn write_step(
    step: Command,
    names: &Names<'_>,
    message: &[u8],
    writer: &mut Writer<'_>,
) -> Result<Result<(), Unsupported>, Refusal> {
    match put_step(step, names, message, writer) {
        Ok(supported) => Ok(supported),
        Err(Fault::Malformed | Fault::NoRoom) => Err(Refusal::new(
            RetCode::ERR_MANDATORY_TAG,
            "malformed or repeated attribute",
        )),
    }
}

fn put_step(
    step: Command,
    names: &Names<'_>,
    message: &[u8],
    writer: &mut Writer<'_>,
) -> Result<Result<(), Unsupported>, Fault> {
    let context = Context::find(message)?;
    put_context(step, names, writer)?;
    match step {
        Command::NewResource => {
            put::<ResourceOptions>(message, writer, |w| w.put_u32(NODE_ID, OWN_NODE_ID))?
        }
        Command::ResourceOpts => put::<ResourceOptions>(message, writer, |_| Ok(()))?,
        Command::Attach | Command::ChgDiskOpts => {
            put::<DiskOptions>(message, writer, |_| Ok(()))?;
        }
        Command::NewPeer => {
            if has_alternate_addresses(message)? {
                return Ok(Err(Unsupported));
            }
            put::<NetOptions>(message, writer, |w| {
                w.put_text(NAME, CONNECTION_NAME)?;
                w.put_u32(FENCING, names.extras.fencing)
            })?;
        }
        Command::NewPath => put_path(context.my_addr, context.peer_addr, writer)?,
        Command::Connect => put::<ConnectParams>(message, writer, |_| Ok(()))?,
        Command::ChgNetOpts => {
            if has_alternate_addresses(message)? {
                return Ok(Err(Unsupported));
            }
            put::<NetOptions>(message, writer, |_| Ok(()))?;
        }
        Command::Primary | Command::Secondary => {
            put::<SetRoleParams>(message, writer, |_| Ok(()))?;
        }
        Command::Resize => put::<ResizeParams>(message, writer, |_| Ok(()))?,
        Command::NewCUuid => put::<NewCurrentUuidParams>(message, writer, |_| Ok(()))?,
        Command::StartOv => put::<StartVerifyParams>(message, writer, |_| Ok(()))?,
        Command::Disconnect | Command::DelPeer => {
            put::<DisconnectParams>(message, writer, |_| Ok(()))?;
        }
        Command::Detach => put::<DetachParams>(message, writer, |_| Ok(()))?,
        _ => {}
    }
    Ok(Ok(()))
}

/// The step's own context: what it has to name in version 2.
fn put_context(step: Command, names: &Names<'_>, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
    let towards_peer = matches!(
        step,
        Command::NewPeer
            | Command::DelPeer
            | Command::NewPath
            | Command::Connect
            | Command::Disconnect
            | Command::ChgNetOpts
            | Command::StartOv
            | Command::InvalPeer
            | Command::PauseSync
            | Command::ResumeSync
            | Command::GetTimeoutType
    );
    let context = Context {
        resource: names.resource,
        volume: names.volume,
        peer_node_id: (towards_peer && names.resource.is_some()).then_some(PEER_NODE_ID),
        ..Context::default()
    };
    context.encode_request(writer)
}

/// Writes the nest of `G`; none when there is nothing to put into it.
fn put<G: OptionGroup>(
    message: &[u8],
    writer: &mut Writer<'_>,
    more: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
) -> Result<(), Fault> {
    let mut fault = None;
    writer.nest(G::TLA, |w| {
        if let Err(error) = from_v1::<G>(message, w) {
            fault = Some(error);
        }
        more(w)
    })?;
    fault.map_or(Ok(()), Err)
}

fn put_path(
    my_addr: Option<SocketAddr>,
    peer_addr: Option<SocketAddr>,
    writer: &mut Writer<'_>,
) -> Result<(), Fault> {
    writer.nest(Tla::PathParms, |w| {
        for (nr, address) in [(1, my_addr), (2, peer_addr)] {
            if let Some(address) = address {
                let (bytes, len) = encode_address(&address);
                w.put_bytes(nr, bytes.get(..len).unwrap_or(&[]))?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn has_alternate_addresses(message: &[u8]) -> Result<bool, Fault> {
    let Some(net) = find_nest(message, Tla::NetConf)? else {
        return Ok(false);
    };
    for attribute in Attributes::new(net.payload) {
        if ALTERNATE_ADDRESSES.contains(&attribute?.nr) {
            return Ok(true);
        }
    }
    Ok(false)
}
