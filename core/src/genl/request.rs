// SPDX-License-Identifier: GPL-2.0-or-later
//! A decoded request: one variant per command, with everything checked that needs no object to look at.
//!
//! Contexts and the refusals they lead to: drbd9-api.md section 3. What depends on the objects ("unknown
//! resource", "unknown minor", "minor exists in different resource", ...) is left to the caller.

mod decode;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;

use super::changes::Changes;
use crate::config::{
    ConnectParams, DetachParams, DeviceOptions, DiskOptions, NetOptions, NewCurrentUuidParams,
    PeerDeviceOptions, ResizeParams, ResourceOptions,
};

/// A connection, named by its resource and the peer's node id (below 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Resource.
    pub resource: &'a str,
    /// Node id of the peer.
    pub node_id: u32,
}

/// A volume towards one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerDevice<'a> {
    /// Connection.
    pub peer: Peer<'a>,
    /// Volume number.
    pub volume: u32,
}

/// A request of API version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Create a resource; one that exists is left as it is and counts as success.
    NewResource {
        /// Name, checked.
        resource: &'a str,
        /// Options; `node_id` is there.
        options: Changes<'a, ResourceOptions>,
    },
    /// Delete a resource without volumes and connections.
    DelResource {
        /// Name.
        resource: &'a str,
    },
    /// Change resource options.
    ResourceOptions {
        /// Name.
        resource: &'a str,
        /// Options.
        options: Changes<'a, ResourceOptions>,
    },
    /// Rename a resource.
    RenameResource {
        /// Name.
        resource: &'a str,
        /// New name, checked.
        new_name: &'a str,
    },
    /// Become Primary.
    Primary {
        /// Name.
        resource: &'a str,
        /// Also without UpToDate data.
        force: bool,
    },
    /// Become Secondary.
    Secondary {
        /// Name.
        resource: &'a str,
        /// Also while open.
        force: bool,
    },
    /// Take everything down.
    Down {
        /// Name.
        resource: &'a str,
    },
    /// Forget a peer's slot in the metadata.
    ForgetPeer {
        /// Name.
        resource: &'a str,
        /// Peer, below 32.
        node_id: u32,
    },
    /// Create a volume.
    NewMinor {
        /// Name.
        resource: &'a str,
        /// Minor, in range.
        minor: u32,
        /// Volume number, in range.
        volume: u32,
        /// Options.
        options: Changes<'a, DeviceOptions>,
    },
    /// Delete a volume.
    DelMinor {
        /// Minor.
        minor: u32,
    },
    /// Attach a disk.
    Attach {
        /// Minor.
        minor: u32,
        /// Options; the devices are there.
        options: Changes<'a, DiskOptions>,
    },
    /// Detach the disk.
    Detach {
        /// Minor.
        minor: u32,
        /// How.
        params: DetachParams,
    },
    /// Change disk options.
    DiskOptions {
        /// Minor.
        minor: u32,
        /// Options.
        options: Changes<'a, DiskOptions>,
    },
    /// Use a changed size.
    Resize {
        /// Minor.
        minor: u32,
        /// How.
        params: ResizeParams,
    },
    /// Make a new current UUID.
    NewCurrentUuid {
        /// Minor.
        minor: u32,
        /// How.
        params: NewCurrentUuidParams,
    },
    /// Take a peer's data.
    Invalidate {
        /// Minor.
        minor: u32,
        /// Peer to take it from.
        from: Option<u32>,
    },
    /// Suspend I/O.
    SuspendIo {
        /// Minor.
        minor: u32,
        /// Freeze the file system as well.
        freeze: bool,
    },
    /// Resume I/O.
    ResumeIo {
        /// Minor.
        minor: u32,
    },
    /// Mark the disk as outdated.
    Outdate {
        /// Minor.
        minor: u32,
    },
    /// Create a connection.
    NewPeer {
        /// Connection to create.
        peer: Peer<'a>,
        /// Options; the name is there and checked.
        options: Changes<'a, NetOptions>,
    },
    /// Delete a connection.
    DelPeer {
        /// Connection.
        peer: Peer<'a>,
        /// Without asking the peer.
        force: bool,
    },
    /// Create a path.
    NewPath {
        /// Connection.
        peer: Peer<'a>,
        /// Local end.
        my_addr: SocketAddr,
        /// Peer's end.
        peer_addr: SocketAddr,
    },
    /// Delete a path.
    DelPath {
        /// Connection.
        peer: Peer<'a>,
        /// Local end.
        my_addr: SocketAddr,
        /// Peer's end.
        peer_addr: SocketAddr,
    },
    /// Start to connect.
    Connect {
        /// Connection.
        peer: Peer<'a>,
        /// How.
        params: ConnectParams,
    },
    /// Stop to connect.
    Disconnect {
        /// Connection.
        peer: Peer<'a>,
        /// Without asking the peer.
        force: bool,
    },
    /// Change net options.
    NetOptions {
        /// Connection.
        peer: Peer<'a>,
        /// Options.
        options: Changes<'a, NetOptions>,
    },
    /// Change peer device options.
    PeerDeviceOptions {
        /// Peer device.
        target: PeerDevice<'a>,
        /// Options.
        options: Changes<'a, PeerDeviceOptions>,
    },
    /// Start an online verify.
    StartVerify {
        /// Peer device.
        target: PeerDevice<'a>,
        /// First sector; `None`: where the last one stopped.
        start_sector: Option<u64>,
        /// Sector to stop at; `None`: the end.
        stop_sector: Option<u64>,
    },
    /// Give a peer our data.
    InvalidateRemote {
        /// Peer device.
        target: PeerDevice<'a>,
    },
    /// Pause the resync.
    PauseSync {
        /// Peer device.
        target: PeerDevice<'a>,
    },
    /// Resume the resync.
    ResumeSync {
        /// Peer device.
        target: PeerDevice<'a>,
    },
    /// Which time limit a wait should use.
    GetTimeoutType {
        /// Peer device.
        target: PeerDevice<'a>,
    },
    /// List resources.
    GetResources,
    /// List devices, of one resource or all.
    GetDevices {
        /// Filter.
        resource: Option<&'a str>,
    },
    /// List connections, of one resource or all.
    GetConnections {
        /// Filter.
        resource: Option<&'a str>,
    },
    /// List peer devices, of one resource or all.
    GetPeerDevices {
        /// Filter.
        resource: Option<&'a str>,
    },
    /// List paths, of one resource or all.
    GetPaths {
        /// Filter.
        resource: Option<&'a str>,
    },
    /// List everything as notifications.
    GetInitialState {
        /// Filter.
        resource: Option<&'a str>,
    },
}
