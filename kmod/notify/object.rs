// SPDX-License-Identifier: GPL-2.0-or-later
//! What messages are about: an object together with its state.

use crate::{
    connection::Connection, device::Device, netlink::facts, os::lock::Arc, resource::Resource,
};
use core::net::SocketAddr;
use drbd_core::config::Text;
use drbd_core::genl::{
    state::NotificationKind, Command, ConnectionInfo, ConnectionStatistics, Context, DeviceInfo,
    DeviceStatistics, HelperInfo, Notification, NotificationHeader, NotifiedObject, PathInfo, PeerDeviceInfo,
    PeerDeviceStatistics, ResourceInfo, ResourceStatistics, Writer, NO_MINOR,
};
use kernel::prelude::*;

/// An object of a resource and its state at some moment.
#[derive(Clone)]
pub(super) enum Object {
    /// The resource itself.
    Resource(ResourceInfo),
    /// A connection.
    Connection(Arc<Connection>, ConnectionInfo),
    /// A path of a connection: local and remote address.
    Path(Arc<Connection>, SocketAddr, SocketAddr, PathInfo),
    /// A volume.
    Device(Arc<Device>, DeviceInfo),
    /// A volume towards a peer.
    PeerDevice(Arc<Device>, Arc<Connection>, PeerDeviceInfo),
}

impl Object {
    /// Everything that a resource has, in the order in which it is told. Context: task.
    pub(super) fn all_of(resource: &Resource) -> Result<KVec<Object>> {
        let (devices, connections) = (resource.devices()?, facts::connections(resource)?);
        let mut all = KVec::new();
        all.push(Object::Resource(facts::resource_info(resource)), GFP_KERNEL)?;
        for connection in connections.iter() {
            let info = facts::connection_info(connection);
            all.push(Object::Connection(connection.clone(), info), GFP_KERNEL)?;
        }
        // Version 1 of the interface knows no paths.
        for connection in connections.iter().filter(|_| !facts::is_v1()) {
            for (index, path) in facts::paths(connection)?.iter().enumerate() {
                let info = facts::path_info(connection, index);
                let path = Object::Path(connection.clone(), path.my_addr, path.peer_addr, info);
                all.push(path, GFP_KERNEL)?;
            }
        }
        for device in devices.iter() {
            let info = facts::device_info(device);
            all.push(Object::Device(device.clone(), info), GFP_KERNEL)?;
        }
        for device in devices.iter() {
            for connection in connections.iter() {
                let info = facts::peer_device_info(device, connection);
                let pair = Object::PeerDevice(device.clone(), connection.clone(), info);
                all.push(pair, GFP_KERNEL)?;
            }
        }
        Ok(all)
    }

    /// Whether both are the same object, whatever their states.
    pub(super) fn is(&self, other: &Object) -> bool {
        match (self, other) {
            (Object::Resource(_), Object::Resource(_)) => true,
            (Object::Connection(a, _), Object::Connection(b, _)) => Arc::ptr_eq(a, b),
            (Object::Path(a, my, peer, _), Object::Path(b, other_my, other_peer, _)) => {
                Arc::ptr_eq(a, b) && my == other_my && peer == other_peer
            }
            (Object::Device(a, _), Object::Device(b, _)) => Arc::ptr_eq(a, b),
            (Object::PeerDevice(a, to, _), Object::PeerDevice(b, other_to, _)) => {
                Arc::ptr_eq(a, b) && Arc::ptr_eq(to, other_to)
            }
            (
                Object::Resource(_)
                | Object::Connection(..)
                | Object::Path(..)
                | Object::Device(..)
                | Object::PeerDevice(..),
                _,
            ) => false,
        }
    }

    /// Whether the same object is in the same state in both.
    pub(super) fn is_unchanged(&self, other: &Object) -> bool {
        match (self, other) {
            (Object::Resource(a), Object::Resource(b)) => a == b,
            (Object::Connection(_, a), Object::Connection(_, b)) => a == b,
            (Object::Path(.., a), Object::Path(.., b)) => a == b,
            (Object::Device(_, a), Object::Device(_, b)) => a == b,
            (Object::PeerDevice(.., a), Object::PeerDevice(.., b)) => a == b,
            (
                Object::Resource(_)
                | Object::Connection(..)
                | Object::Path(..)
                | Object::Device(..)
                | Object::PeerDevice(..),
                _,
            ) => false,
        }
    }

    /// Place in the initial state: kinds in their order, volumes by number.
    pub(super) fn place(&self) -> u64 {
        let (kind, volume) = match self {
            Object::Resource(_) => (0u64, 0),
            Object::Connection(..) => (1, 0),
            Object::Path(..) => (2, 0),
            Object::Device(device, _) => (3, device.number),
            Object::PeerDevice(device, ..) => (4, device.number),
        };
        kind.saturating_mul(1 << 16)
            .saturating_add(u64::from(volume))
    }

    /// Both ends of the connection that it belongs to.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Object::Connection(connection, _) | Object::PeerDevice(_, connection, _) => {
                facts::ends(connection)
            }
            Object::Resource(_) | Object::Path(..) | Object::Device(..) => None,
        }
    }

    /// Paths are told one by one, everything else in groups.
    pub(super) fn is_path(&self) -> bool {
        matches!(self, Object::Path(..))
    }

    /// Whether it is the peer device of a volume.
    pub(super) fn is_peer_device_of(&self, device: &Device) -> bool {
        matches!(self, Object::PeerDevice(own, ..) if core::ptr::eq(&**own, device))
    }

    /// Writes the message: returns its command and minor. What is gone has no state and no
    /// figures any more. Context: task. Errors: `EMSGSIZE`, `ENOMEM`.
    pub(super) fn write(
        &self,
        resource: &Resource,
        header: NotificationHeader,
        writer: &mut Writer<'_>,
    ) -> Result<(Command, u32)> {
        let gone = header.kind == NotificationKind::Destroy;
        let name = match self {
            Object::Connection(connection, _)
            | Object::Path(connection, ..)
            | Object::PeerDevice(_, connection, _) => connection.name(),
            Object::Resource(_) | Object::Device(..) => Default::default(),
        };
        let own = Context::resource(resource.name());
        let towards = |connection: &Connection| Context {
            peer_node_id: Some(connection.peer_node_id),
            connection: Some(name.as_str()),
            ..own
        };
        let mut put = |context, object| {
            let message = Notification {
                context,
                header,
                object,
            };
            message.encode(writer).map_err(|_| EMSGSIZE)?;
            Ok::<Command, Error>(message.command())
        };
        match self {
            Object::Resource(info) => {
                let statistics = if gone {
                    ResourceStatistics::default()
                } else {
                    facts::resource_statistics(resource)
                };
                let object = NotifiedObject::Resource {
                    info: (!gone).then_some(info),
                    statistics: &statistics,
                    renamed: None,
                };
                Ok((put(own, object)?, NO_MINOR))
            }
            Object::Connection(connection, info) => {
                let (paths, statistics) = if gone {
                    (KVec::new(), ConnectionStatistics::default())
                } else {
                    (
                        facts::paths(connection)?,
                        facts::connection_statistics(connection),
                    )
                };
                let object = NotifiedObject::Connection {
                    info: (!gone).then_some(info),
                    paths: &paths,
                    statistics: &statistics,
                };
                Ok((put(towards(connection), object)?, NO_MINOR))
            }
            Object::Path(connection, my_addr, peer_addr, info) => {
                let context = Context {
                    my_addr: Some(*my_addr),
                    peer_addr: Some(*peer_addr),
                    ..towards(connection)
                };
                Ok((put(context, NotifiedObject::Path { info })?, NO_MINOR))
            }
            Object::Device(device, info) => {
                let statistics = if gone {
                    DeviceStatistics::default()
                } else {
                    facts::device_statistics(device)
                };
                let context = Context {
                    volume: Some(u32::from(device.number)),
                    ..own
                };
                let object = NotifiedObject::Device {
                    info: (!gone).then_some(info),
                    statistics: &statistics,
                };
                Ok((put(context, object)?, device.minor))
            }
            Object::PeerDevice(device, connection, info) => {
                let statistics = if gone {
                    PeerDeviceStatistics::default()
                } else {
                    facts::peer_device_statistics(device, connection)
                };
                let context = Context {
                    volume: Some(u32::from(device.number)),
                    ..towards(connection)
                };
                let object = NotifiedObject::PeerDevice {
                    info: (!gone).then_some(info),
                    statistics: &statistics,
                };
                Ok((put(context, object)?, NO_MINOR))
            }
        }
    }
}

/// Writes the message about a helper program, of a volume or of the connection: returns its command
/// and minor. Context: task. Errors: `EMSGSIZE`.
pub(super) fn write_helper(
    resource: &Resource,
    device: Option<&Device>,
    connection: Option<&Connection>,
    (name, status): (&'static str, u32),
    header: NotificationHeader,
    writer: &mut Writer<'_>,
) -> Result<(Command, u32)> {
    let peer = connection.map(|connection| (connection.peer_node_id, connection.name()));
    let info = HelperInfo {
        name: Text::new(name).unwrap_or_default(),
        status,
    };
    let message = Notification {
        context: Context {
            volume: device.map(|device| u32::from(device.number)),
            peer_node_id: peer.map(|(node_id, _)| node_id),
            connection: peer.as_ref().map(|(_, name)| name.as_str()),
            ..Context::resource(resource.name())
        },
        header,
        object: NotifiedObject::Helper { info: &info },
    };
    message.encode(writer).map_err(|_| EMSGSIZE)?;
    let minor = device.map_or(NO_MINOR, |device| device.minor);
    Ok((message.command(), minor))
}
