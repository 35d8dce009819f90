// SPDX-License-Identifier: GPL-2.0-or-later
//! Everything the kernel has, read by its five dumps.

use drbd_core::genl::{Command, RetCode};

use crate::objects::{Connection, Device, Path, PeerDevice, Resource};
use crate::{Client, DrbdMessage, Error, RequestMessage};

/// All objects; resources by name, connections by name, volumes ascending.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Resources.
    pub resources: Vec<Resource>,
    /// Volumes.
    pub devices: Vec<Device>,
    /// Connections.
    pub connections: Vec<Connection>,
    /// Volumes of peers.
    pub peer_devices: Vec<PeerDevice>,
    /// Paths; `None` when the kernel cannot list them.
    pub paths: Option<Vec<Path>>,
}

impl Snapshot {
    /// Reads everything; objects of a resource that goes away meanwhile are left out.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn read(client: &mut Client) -> Result<Self, Error> {
        Self::read_about(client, None)
    }

    /// Reads what belongs to one resource, and the list of resources; everything without a name.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn read_about(client: &mut Client, resource: Option<&str>) -> Result<Self, Error> {
        let mut snapshot = Self::default();
        let mut commands = vec![
            Command::GetResources,
            Command::GetDevices,
            Command::GetConnections,
            Command::GetPeerDevices,
        ];
        if client.family().serves(Command::GetPaths) {
            snapshot.paths = Some(Vec::new());
            commands.push(Command::GetPaths);
        }
        for command in commands {
            let mut request = RequestMessage::new(command);
            // The list of resources knows no filter.
            if let Some(name) = resource.filter(|_| command != Command::GetResources) {
                request = request.resource(name);
            }
            for message in client.dump(&request)? {
                snapshot.add(&message)?;
            }
        }
        snapshot.sort();
        Ok(snapshot)
    }

    /// Adds the object of one record.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn add(&mut self, message: &DrbdMessage) -> Result<(), Error> {
        if message.header.code() != RetCode::NO_ERROR {
            return Ok(());
        }
        match Command::from_number(message.command) {
            Some(Command::GetResources) => self.resources.push(Resource::decode(message)?),
            Some(Command::GetDevices) => self.devices.push(Device::decode(message)?),
            Some(Command::GetConnections) => self.connections.push(Connection::decode(message)?),
            Some(Command::GetPeerDevices) => self.peer_devices.push(PeerDevice::decode(message)?),
            Some(Command::GetPaths) => self
                .paths
                .get_or_insert_with(Vec::new)
                .push(Path::decode(message)?),
            _ => {
                return Err(Error::Nonsense(format!(
                    "a record of command {}",
                    message.command
                )))
            }
        }
        Ok(())
    }

    /// Puts the objects into the order in which they are shown.
    pub fn sort(&mut self) {
        self.resources.sort_by(|a, b| a.name.cmp(&b.name));
        self.devices.sort_by_key(|device| device.volume);
        self.connections.sort_by(|a, b| a.name.cmp(&b.name));
        self.peer_devices
            .sort_by_key(|peer_device| peer_device.volume);
    }

    /// The resource of this name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }

    /// Volumes of a resource.
    pub fn devices_of<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = &'a Device> + 'a {
        self.devices
            .iter()
            .filter(move |device| device.resource == resource)
    }

    /// Connections of a resource.
    pub fn connections_of<'a>(
        &'a self,
        resource: &'a str,
    ) -> impl Iterator<Item = &'a Connection> + 'a {
        self.connections
            .iter()
            .filter(move |connection| connection.resource == resource)
    }

    /// Peer devices of a connection.
    pub fn peer_devices_of<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> impl Iterator<Item = &'a PeerDevice> + 'a {
        self.peer_devices.iter().filter(move |peer_device| {
            peer_device.resource == connection.resource
                && peer_device.peer_node_id == connection.peer_node_id
        })
    }

    /// Paths of a connection; `None` when the kernel cannot list them.
    pub fn paths_of<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> Option<impl Iterator<Item = &'a Path> + 'a> {
        let paths = self.paths.as_ref()?;
        Some(paths.iter().filter(move |path| {
            path.resource == connection.resource && path.peer_node_id == connection.peer_node_id
        }))
    }
}
