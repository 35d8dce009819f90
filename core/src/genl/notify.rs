// SPDX-License-Identifier: GPL-2.0-or-later
//! Notifications: to the group `events`, and as the answer to GET_INITIAL_STATE.

use super::command::Command;
use super::context::Context;
use super::info::{
    ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, HelperInfo,
    NotificationHeader, PathInfo, PeerDeviceInfo, PeerDeviceStatistics, Record, RenameResourceInfo,
    ResourceInfo, ResourceStatistics,
};
use super::record::{encode_paths, PathAddresses};
use super::writer::{NoRoom, Writer};

/// The object of a notification; states are absent when it is destroyed.
#[derive(Clone, Copy, Debug)]
pub enum NotifiedObject<'a> {
    /// A resource.
    Resource {
        /// State; absent on a rename and when the resource is gone.
        info: Option<&'a ResourceInfo>,
        /// Figures.
        statistics: &'a ResourceStatistics,
        /// New name on a rename.
        renamed: Option<&'a RenameResourceInfo>,
    },
    /// A device.
    Device {
        /// State.
        info: Option<&'a DeviceInfo>,
        /// Figures.
        statistics: &'a DeviceStatistics,
    },
    /// A connection.
    Connection {
        /// State.
        info: Option<&'a ConnectionInfo>,
        /// Paths.
        paths: &'a [PathAddresses],
        /// Figures.
        statistics: &'a ConnectionStatistics,
    },
    /// A peer device.
    PeerDevice {
        /// State.
        info: Option<&'a PeerDeviceInfo>,
        /// Figures.
        statistics: &'a PeerDeviceStatistics,
    },
    /// A path; the addresses are in the context.
    Path {
        /// State.
        info: &'a PathInfo,
    },
    /// A helper program.
    Helper {
        /// Which, and how it ended.
        info: &'a HelperInfo,
    },
    /// End of GET_INITIAL_STATE; the context is empty and not written.
    InitialStateDone,
}

/// One notification. Header: the minor for devices and their helpers, else -1; code 101.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// Which object.
    pub context: Context<'a>,
    /// What happened, and whether the group goes on.
    pub header: NotificationHeader,
    /// State and figures.
    pub object: NotifiedObject<'a>,
}

impl Notification<'_> {
    /// Command number of the message.
    pub const fn command(&self) -> Command {
        match self.object {
            NotifiedObject::Resource { .. } => Command::ResourceState,
            NotifiedObject::Device { .. } => Command::DeviceState,
            NotifiedObject::Connection { .. } => Command::ConnectionState,
            NotifiedObject::PeerDevice { .. } => Command::PeerDeviceState,
            NotifiedObject::Path { .. } => Command::PathState,
            NotifiedObject::Helper { .. } => Command::Helper,
            NotifiedObject::InitialStateDone => Command::InitialStateDone,
        }
    }

    /// Writes the attributes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        if !matches!(self.object, NotifiedObject::InitialStateDone) {
            self.context.encode(writer)?;
        }
        self.header.encode(writer)?;
        match self.object {
            NotifiedObject::Resource {
                info,
                statistics,
                renamed,
            } => {
                encode_some(writer, info)?;
                statistics.encode(writer)?;
                encode_some(writer, renamed)
            }
            NotifiedObject::Device { info, statistics } => {
                encode_some(writer, info)?;
                statistics.encode(writer)
            }
            NotifiedObject::Connection {
                info,
                paths,
                statistics,
            } => {
                encode_some(writer, info)?;
                encode_paths(writer, paths)?;
                statistics.encode(writer)
            }
            NotifiedObject::PeerDevice { info, statistics } => {
                encode_some(writer, info)?;
                statistics.encode(writer)
            }
            NotifiedObject::Path { info } => info.encode(writer),
            NotifiedObject::Helper { info } => info.encode(writer),
            NotifiedObject::InitialStateDone => Ok(()),
        }
    }
}

fn encode_some<R: Record>(writer: &mut Writer<'_>, record: Option<&R>) -> Result<(), NoRoom> {
    match record {
        Some(record) => record.encode(writer),
        None => Ok(()),
    }
}
