// SPDX-License-Identifier: GPL-2.0-or-later
//! Notifications, decoded and owned.

use drbd_core::genl::state::NotificationKind;
use drbd_core::genl::{
    Command, ConnectionInfo, ConnectionStatistics, Context, DeviceInfo, DeviceStatistics,
    HelperInfo, NotificationHeader, PathAddresses, PathInfo, PeerDeviceInfo, PeerDeviceStatistics,
    Record, RenameResourceInfo, ResourceInfo, ResourceStatistics, NO_MINOR,
};

use crate::objects::{addresses, connection_name, peer_node_id, resource_name, volume};
use crate::{DrbdMessage, Error};

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Sequence number; free of gaps, except in the initial state.
    pub sequence: u32,
    /// What happened.
    pub kind: NotificationKind,
    /// More notifications of the same change follow.
    pub continues: bool,
    /// To what.
    pub object: EventObject,
}

/// The object of a notification. States are `None` when it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventObject {
    /// A resource.
    Resource {
        /// Name.
        name: String,
        /// State; also `None` on a rename.
        info: Option<ResourceInfo>,
        /// Figures.
        statistics: ResourceStatistics,
        /// New name on a rename.
        new_name: Option<String>,
    },
    /// A volume.
    Device {
        /// Resource.
        resource: String,
        /// Volume number.
        volume: u32,
        /// Minor.
        minor: u32,
        /// State.
        info: Option<Box<DeviceInfo>>,
        /// Figures.
        statistics: Box<DeviceStatistics>,
    },
    /// A connection.
    Connection {
        /// Resource.
        resource: String,
        /// Node id of the peer.
        peer_node_id: u32,
        /// Name of the connection.
        name: String,
        /// State.
        info: Option<ConnectionInfo>,
        /// Figures.
        statistics: ConnectionStatistics,
    },
    /// A volume on a peer.
    PeerDevice {
        /// Resource.
        resource: String,
        /// Node id of the peer.
        peer_node_id: u32,
        /// Name of the connection.
        connection: String,
        /// Volume number.
        volume: u32,
        /// State.
        info: Option<PeerDeviceInfo>,
        /// Figures.
        statistics: Box<PeerDeviceStatistics>,
    },
    /// A path.
    Path {
        /// Resource.
        resource: String,
        /// Node id of the peer.
        peer_node_id: u32,
        /// Name of the connection.
        connection: String,
        /// Both ends.
        addresses: PathAddresses,
        /// State.
        info: PathInfo,
    },
    /// A helper program.
    Helper {
        /// Resource.
        resource: String,
        /// Node id of the peer, if the call is about one.
        peer_node_id: Option<u32>,
        /// Name of the connection, if the call is about one.
        connection: Option<String>,
        /// Volume number, if the call is about one.
        volume: Option<u32>,
        /// Minor, if the call is about one.
        minor: Option<u32>,
        /// Handler.
        name: String,
        /// Wait status.
        status: u32,
    },
    /// End of the initial state.
    InitialStateDone,
}

impl Event {
    /// Decodes a notification; `None` when the command is none that this version knows.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn decode(message: &DrbdMessage, sequence: u32) -> Result<Option<Self>, Error> {
        let attributes = &message.attributes;
        let context = Context::find(attributes)?;
        let minor = message.header.minor;
        let object = match Command::from_number(message.command) {
            Some(Command::ResourceState) => EventObject::Resource {
                name: resource_name(&context)?,
                info: ResourceInfo::find(attributes)?,
                statistics: found(attributes)?,
                new_name: RenameResourceInfo::find(attributes)?
                    .map(|info| info.new_name.as_str().to_owned()),
            },
            Some(Command::DeviceState) => EventObject::Device {
                resource: resource_name(&context)?,
                volume: volume(&context)?,
                minor,
                info: DeviceInfo::find(attributes)?.map(Box::new),
                statistics: Box::new(found(attributes)?),
            },
            Some(Command::ConnectionState) => EventObject::Connection {
                resource: resource_name(&context)?,
                peer_node_id: peer_node_id(&context)?,
                name: connection_name(&context),
                info: ConnectionInfo::find(attributes)?,
                statistics: found(attributes)?,
            },
            Some(Command::PeerDeviceState) => EventObject::PeerDevice {
                resource: resource_name(&context)?,
                peer_node_id: peer_node_id(&context)?,
                connection: connection_name(&context),
                volume: volume(&context)?,
                info: PeerDeviceInfo::find(attributes)?,
                statistics: Box::new(found::<PeerDeviceStatistics>(attributes)?),
            },
            Some(Command::PathState) => EventObject::Path {
                resource: resource_name(&context)?,
                peer_node_id: peer_node_id(&context)?,
                connection: connection_name(&context),
                addresses: addresses(&context)?,
                info: found(attributes)?,
            },
            Some(Command::Helper) => helper(&context, minor, &found(attributes)?)?,
            Some(Command::InitialStateDone) => EventObject::InitialStateDone,
            _ => return Ok(None),
        };
        let header = found::<NotificationHeader>(attributes)?;
        Ok(Some(Self {
            sequence,
            kind: header.kind,
            continues: header.continues,
            object,
        }))
    }
}

fn found<R: Record>(attributes: &[u8]) -> Result<R, Error> {
    Ok(R::find(attributes)?.unwrap_or_default())
}

fn helper(context: &Context<'_>, minor: u32, info: &HelperInfo) -> Result<EventObject, Error> {
    Ok(EventObject::Helper {
        resource: resource_name(context)?,
        peer_node_id: context.peer_node_id,
        connection: context.connection.map(str::to_owned),
        volume: context.volume,
        minor: (minor != NO_MINOR).then_some(minor),
        name: info.name.as_str().to_owned(),
        status: info.status,
    })
}
