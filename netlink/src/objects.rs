// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's objects, decoded and owned.

use drbd_core::config::{
    DeviceOptions, DiskOptions, NetOptions, PeerDeviceOptions, ResourceOptions,
};
use drbd_core::genl::{
    decode_address, find_nest, Attributes, ConnectionInfo, ConnectionStatistics, Context,
    DeviceInfo, DeviceStatistics, PathAddresses, PathInfo, PeerDeviceInfo, PeerDeviceStatistics,
    Record, ResourceInfo, ResourceStatistics, Tla,
};

use crate::options::OptionValues;
use crate::{DrbdMessage, Error};

/// A resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Name.
    pub name: String,
    /// Options.
    pub options: OptionValues,
    /// State.
    pub info: ResourceInfo,
    /// Figures.
    pub statistics: ResourceStatistics,
}

/// A volume on this node.
#[derive(Clone, Debug)]
pub struct Device {
    /// Resource.
    pub resource: String,
    /// Volume number.
    pub volume: u32,
    /// Minor.
    pub minor: u32,
    /// Options of the disk, while there is one.
    pub disk: Option<OptionValues>,
    /// Options of the device.
    pub options: OptionValues,
    /// State.
    pub info: DeviceInfo,
    /// Figures.
    pub statistics: DeviceStatistics,
}

/// A connection to a peer.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Resource.
    pub resource: String,
    /// Node id of the peer.
    pub peer_node_id: u32,
    /// Name of the connection.
    pub name: String,
    /// Options.
    pub net: OptionValues,
    /// Paths.
    pub paths: Vec<PathAddresses>,
    /// State.
    pub info: ConnectionInfo,
    /// Figures.
    pub statistics: ConnectionStatistics,
}

/// A volume on a peer.
#[derive(Clone, Debug)]
pub struct PeerDevice {
    /// Resource.
    pub resource: String,
    /// Node id of the peer.
    pub peer_node_id: u32,
    /// Name of the connection.
    pub connection: String,
    /// Volume number.
    pub volume: u32,
    /// State.
    pub info: PeerDeviceInfo,
    /// Figures.
    pub statistics: PeerDeviceStatistics,
    /// Options.
    pub options: OptionValues,
}

/// A path of a connection.
#[derive(Clone, Debug)]
pub struct Path {
    /// Resource.
    pub resource: String,
    /// Node id of the peer.
    pub peer_node_id: u32,
    /// Name of the connection.
    pub connection: String,
    /// Both ends.
    pub addresses: PathAddresses,
    /// State.
    pub info: PathInfo,
}

fn missing(what: &'static str) -> impl FnOnce() -> Error {
    move || Error::Nonsense(format!("a record without {what}"))
}

pub(crate) fn resource_name(context: &Context<'_>) -> Result<String, Error> {
    context
        .resource
        .map(str::to_owned)
        .ok_or_else(missing("resource name"))
}

pub(crate) fn peer_node_id(context: &Context<'_>) -> Result<u32, Error> {
    context.peer_node_id.ok_or_else(missing("peer node id"))
}

pub(crate) fn volume(context: &Context<'_>) -> Result<u32, Error> {
    context.volume.ok_or_else(missing("volume"))
}

pub(crate) fn connection_name(context: &Context<'_>) -> String {
    context.connection.unwrap_or("").to_owned()
}

pub(crate) fn addresses(context: &Context<'_>) -> Result<PathAddresses, Error> {
    Ok(PathAddresses {
        my_addr: context.my_addr.ok_or_else(missing("address"))?,
        peer_addr: context.peer_addr.ok_or_else(missing("address"))?,
    })
}

fn record<R: Record>(attributes: &[u8]) -> Result<R, Error> {
    R::find(attributes)?.ok_or_else(missing("state"))
}

/// Both ends of every path in PATH_PARMS.
pub(crate) fn paths(attributes: &[u8]) -> Result<Vec<PathAddresses>, Error> {
    let Some(nest) = find_nest(attributes, Tla::PathParms)? else {
        return Ok(Vec::new());
    };
    let mut paths = Vec::new();
    let mut my_addr = None;
    for attribute in Attributes::new(nest.payload) {
        let attribute = attribute?;
        let address = decode_address(attribute.payload)?;
        match (attribute.nr, my_addr) {
            (1, _) => my_addr = Some(address),
            (2, Some(local)) => {
                paths.push(PathAddresses {
                    my_addr: local,
                    peer_addr: address,
                });
                my_addr = None;
            }
            _ => return Err(Error::Nonsense("half a path".into())),
        }
    }
    Ok(paths)
}

impl Resource {
    /// Decodes a record of GET_RESOURCES.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`], as for the other objects.
    pub fn decode(message: &DrbdMessage) -> Result<Self, Error> {
        let attributes = &message.attributes;
        let context = Context::find(attributes)?;
        Ok(Self {
            name: resource_name(&context)?,
            options: OptionValues::find::<ResourceOptions>(attributes)?
                .unwrap_or_else(OptionValues::none::<ResourceOptions>),
            info: record(attributes)?,
            statistics: ResourceStatistics::find(attributes)?.unwrap_or_default(),
        })
    }
}

impl Device {
    /// Decodes a record of GET_DEVICES.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn decode(message: &DrbdMessage) -> Result<Self, Error> {
        let attributes = &message.attributes;
        let context = Context::find(attributes)?;
        Ok(Self {
            resource: resource_name(&context)?,
            volume: volume(&context)?,
            minor: message.header.minor,
            disk: OptionValues::find::<DiskOptions>(attributes)?,
            options: OptionValues::find::<DeviceOptions>(attributes)?
                .unwrap_or_else(OptionValues::none::<DeviceOptions>),
            info: record(attributes)?,
            statistics: DeviceStatistics::find(attributes)?.unwrap_or_default(),
        })
    }
}

impl Connection {
    /// Decodes a record of GET_CONNECTIONS.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn decode(message: &DrbdMessage) -> Result<Self, Error> {
        let attributes = &message.attributes;
        let context = Context::find(attributes)?;
        Ok(Self {
            resource: resource_name(&context)?,
            peer_node_id: peer_node_id(&context)?,
            name: connection_name(&context),
            net: OptionValues::find::<NetOptions>(attributes)?
                .unwrap_or_else(OptionValues::none::<NetOptions>),
            paths: paths(attributes)?,
            info: record(attributes)?,
            statistics: ConnectionStatistics::find(attributes)?.unwrap_or_default(),
        })
    }
}

impl PeerDevice {
    /// Decodes a record of GET_PEER_DEVICES.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn decode(message: &DrbdMessage) -> Result<Self, Error> {
        let attributes = &message.attributes;
        let context = Context::find(attributes)?;
        Ok(Self {
            resource: resource_name(&context)?,
            peer_node_id: peer_node_id(&context)?,
            connection: connection_name(&context),
            volume: volume(&context)?,
            info: record(attributes)?,
            statistics: PeerDeviceStatistics::find(attributes)?.unwrap_or_default(),
            options: OptionValues::find::<PeerDeviceOptions>(attributes)?
                .unwrap_or_else(OptionValues::none::<PeerDeviceOptions>),
        })
    }
}

impl Path {
    /// Decodes a record of GET_PATHS.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn decode(message: &DrbdMessage) -> Result<Self, Error> {
        let context = Context::find(&message.attributes)?;
        Ok(Self {
            resource: resource_name(&context)?,
            peer_node_id: peer_node_id(&context)?,
            connection: connection_name(&context),
            addresses: addresses(&context)?,
            info: PathInfo::find(&message.attributes)?.unwrap_or_default(),
        })
    }
}
