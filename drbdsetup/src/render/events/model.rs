// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known about the kernel's objects from their notifications.

use std::collections::BTreeMap;

use drbd_core::genl::state::NotificationKind;
use drbd_core::genl::{
    ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, PathInfo, PeerDeviceInfo,
    PeerDeviceStatistics, ResourceInfo, ResourceStatistics,
};
use drbd_netlink::{Event, EventObject};

/// Resource and peer.
pub(super) type PeerKey = (String, u32);
/// Both ends of a path, as text.
type Ends = (String, String);

/// The objects by their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) resources: BTreeMap<String, (ResourceInfo, ResourceStatistics)>,
    pub(super) devices: BTreeMap<(String, u32), (DeviceInfo, DeviceStatistics)>,
    pub(super) connections: BTreeMap<PeerKey, (ConnectionInfo, ConnectionStatistics)>,
    pub(super) peer_devices: BTreeMap<(PeerKey, u32), (PeerDeviceInfo, PeerDeviceStatistics)>,
    pub(super) paths: BTreeMap<(PeerKey, Ends), PathInfo>,
}

fn ends(addresses: &drbd_core::genl::PathAddresses) -> Ends {
    (
        addresses.my_addr.to_string(),
        addresses.peer_addr.to_string(),
    )
}

impl Model {
    /// Applies one notification.
    pub(super) fn apply(&mut self, event: &Event) {
        if event.kind == NotificationKind::Destroy {
            self.forget(&event.object);
            return;
        }
        match &event.object {
            EventObject::Resource {
                name,
                info: Some(info),
                statistics,
                ..
            } => {
                self.resources.insert(name.clone(), (*info, *statistics));
            }
            EventObject::Resource {
                name,
                new_name: Some(new_name),
                ..
            } => self.rename(name, new_name),
            EventObject::Device {
                resource,
                volume,
                info: Some(info),
                statistics,
                ..
            } => {
                self.devices
                    .insert((resource.clone(), *volume), (**info, **statistics));
            }
            EventObject::Connection {
                resource,
                peer_node_id,
                info: Some(info),
                statistics,
                ..
            } => {
                self.connections
                    .insert((resource.clone(), *peer_node_id), (*info, *statistics));
            }
            EventObject::PeerDevice {
                resource,
                peer_node_id,
                volume,
                info: Some(info),
                statistics,
                ..
            } => {
                self.peer_devices.insert(
                    ((resource.clone(), *peer_node_id), *volume),
                    (*info, **statistics),
                );
            }
            EventObject::Path {
                resource,
                peer_node_id,
                addresses,
                info,
                ..
            } => {
                self.paths
                    .insert(((resource.clone(), *peer_node_id), ends(addresses)), *info);
            }
            EventObject::Resource { .. }
            | EventObject::Device { .. }
            | EventObject::Connection { .. }
            | EventObject::PeerDevice { .. }
            | EventObject::Helper { .. }
            | EventObject::InitialStateDone => {}
        }
    }

    fn forget(&mut self, object: &EventObject) {
        match object {
            EventObject::Resource { name, .. } => {
                self.resources.remove(name);
            }
            EventObject::Device {
                resource, volume, ..
            } => {
                self.devices.remove(&(resource.clone(), *volume));
            }
            EventObject::Connection {
                resource,
                peer_node_id,
                ..
            } => {
                let key = (resource.clone(), *peer_node_id);
                // Paths vanish with their connection, without a notification of their own.
                self.paths.retain(|(peer, _), _| *peer != key);
                self.connections.remove(&key);
            }
            EventObject::PeerDevice {
                resource,
                peer_node_id,
                volume,
                ..
            } => {
                self.peer_devices
                    .remove(&((resource.clone(), *peer_node_id), *volume));
            }
            EventObject::Path {
                resource,
                peer_node_id,
                addresses,
                ..
            } => {
                self.paths
                    .remove(&((resource.clone(), *peer_node_id), ends(addresses)));
            }
            EventObject::Helper { .. } | EventObject::InitialStateDone => {}
        }
    }

    fn rename(&mut self, old: &str, new: &str) {
        let named = |name: &String| {
            if name == old {
                new.to_owned()
            } else {
                name.clone()
            }
        };
        let rename_peer = |(name, id): &PeerKey| (named(name), *id);
        self.resources = self
            .resources
            .iter()
            .map(|(name, value)| (named(name), *value))
            .collect();
        self.devices = self
            .devices
            .iter()
            .map(|((name, nr), value)| ((named(name), *nr), *value))
            .collect();
        self.connections = self
            .connections
            .iter()
            .map(|(key, value)| (rename_peer(key), *value))
            .collect();
        self.peer_devices = self
            .peer_devices
            .iter()
            .map(|((key, nr), value)| ((rename_peer(key), *nr), *value))
            .collect();
        self.paths = self
            .paths
            .iter()
            .map(|((key, ends), value)| ((rename_peer(key), ends.clone()), *value))
            .collect();
    }

    pub(super) fn path(
        &self,
        resource: &str,
        peer: u32,
        addresses: &drbd_core::genl::PathAddresses,
    ) -> Option<&PathInfo> {
        self.paths
            .get(&((resource.to_owned(), peer), ends(addresses)))
    }

    /// True when the object is known already.
    pub(super) fn knows(&self, object: &EventObject) -> bool {
        match object {
            EventObject::Resource { name, .. } => self.resources.contains_key(name),
            EventObject::Device {
                resource, volume, ..
            } => self.devices.contains_key(&(resource.clone(), *volume)),
            EventObject::Connection {
                resource,
                peer_node_id,
                ..
            } => self
                .connections
                .contains_key(&(resource.clone(), *peer_node_id)),
            EventObject::PeerDevice {
                resource,
                peer_node_id,
                volume,
                ..
            } => self
                .peer_devices
                .contains_key(&((resource.clone(), *peer_node_id), *volume)),
            EventObject::Path {
                resource,
                peer_node_id,
                addresses,
                ..
            } => self.path(resource, *peer_node_id, addresses).is_some(),
            EventObject::Helper { .. } | EventObject::InitialStateDone => false,
        }
    }

    /// Notifications for the objects that are known but not in `current`.
    ///
    /// Connection names are not kept: a destroyed connection is told with the name its key has, its node id.
    pub(super) fn gone(&self, current: &[Event]) -> Vec<Event> {
        let mut now = Self::default();
        current.iter().for_each(|event| now.apply(event));
        let mut objects = Vec::new();
        for ((peer, volume), _) in self
            .peer_devices
            .iter()
            .filter(|(key, _)| !now.peer_devices.contains_key(*key))
        {
            objects.push(EventObject::PeerDevice {
                resource: peer.0.clone(),
                peer_node_id: peer.1,
                connection: String::new(),
                volume: *volume,
                info: None,
                statistics: Box::default(),
            });
        }
        for (peer, _) in self
            .connections
            .iter()
            .filter(|(key, _)| !now.connections.contains_key(*key))
        {
            objects.push(EventObject::Connection {
                resource: peer.0.clone(),
                peer_node_id: peer.1,
                name: String::new(),
                info: None,
                statistics: ConnectionStatistics::default(),
            });
        }
        for ((resource, volume), _) in self
            .devices
            .iter()
            .filter(|(key, _)| !now.devices.contains_key(*key))
        {
            objects.push(EventObject::Device {
                resource: resource.clone(),
                volume: *volume,
                minor: 0,
                info: None,
                statistics: Box::default(),
            });
        }
        for (name, _) in self
            .resources
            .iter()
            .filter(|(name, _)| !now.resources.contains_key(*name))
        {
            objects.push(EventObject::Resource {
                name: name.clone(),
                info: None,
                statistics: ResourceStatistics::default(),
                new_name: None,
            });
        }
        objects
            .into_iter()
            .map(|object| Event {
                sequence: 0,
                kind: NotificationKind::Destroy,
                continues: false,
                object,
            })
            .collect()
    }
}
