// SPDX-License-Identifier: GPL-2.0-or-later
//! Top level attributes; each one is a nest with numbers of its own.

macro_rules! tla {
    ($(#[doc = $about:literal] $variant:ident = $number:literal;)+) => {
        /// A top level attribute of API version 2.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Tla { $(#[doc = $about] $variant),+ }

        impl Tla {
            /// Number on the wire.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number),+ }
            }

            /// What it is about.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about),+ }
            }

            /// The attribute with this number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

tla! {
    /// Texts of a reply.
    CfgReply = 1;
    /// The object a message is about.
    CfgContext = 2;
    /// Options of a backing device.
    DiskConf = 3;
    /// Options of a resource.
    ResourceOpts = 4;
    /// Options of a connection.
    NetConf = 5;
    /// Parameters of a role change.
    SetRoleParms = 6;
    /// Parameters of a resize.
    ResizeParms = 7;
    /// Parameters of an online verify.
    StartOvParms = 9;
    /// Parameters of a new current UUID.
    NewCUuidParms = 10;
    /// Answer to GET_TIMEOUT_TYPE.
    TimeoutParms = 11;
    /// Parameters of a disconnect.
    DisconnectParms = 12;
    /// Parameters of a detach.
    DetachParms = 13;
    /// Options of a device.
    DeviceConf = 14;
    /// State of a resource.
    ResourceInfo = 15;
    /// State of a device.
    DeviceInfo = 16;
    /// State of a connection.
    ConnectionInfo = 17;
    /// State of a peer device.
    PeerDeviceInfo = 18;
    /// Figures of a resource.
    ResourceStatistics = 19;
    /// Figures of a device.
    DeviceStatistics = 20;
    /// Figures of a connection.
    ConnectionStatistics = 21;
    /// Figures of a peer device.
    PeerDeviceStatistics = 22;
    /// Kind of a notification.
    NotificationHeader = 23;
    /// Call of a helper program.
    Helper = 24;
    /// Parameters of an invalidate.
    InvalidateParms = 25;
    /// Parameters of a forget-peer.
    ForgetPeerParms = 26;
    /// Options of a peer device.
    PeerDeviceOpts = 27;
    /// Addresses of a path.
    PathParms = 28;
    /// Parameters of a connect.
    ConnectParms = 29;
    /// State of a path.
    PathInfo = 30;
    /// New name of a resource, asked for.
    RenameResourceParms = 31;
    /// New name of a resource, told.
    RenameResourceInfo = 32;
    /// Parameters of an invalidate-remote.
    InvalPeerParams = 33;
    /// Parameters of a suspend-io.
    SuspendIoParams = 34;
}
