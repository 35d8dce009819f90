// SPDX-License-Identifier: GPL-2.0-or-later
//! Which nests a command's messages carry.

use super::command::Command;
use super::tla::Tla;

impl Command {
    /// The nests that a request may carry, beside CFG_CONTEXT, which every one may; others are not looked into.
    pub const fn request_nests(self) -> &'static [Tla] {
        match self {
            Self::NewResource | Self::ResourceOpts => &[Tla::ResourceOpts],
            Self::RenameResource => &[Tla::RenameResourceParms],
            Self::Primary | Self::Secondary => &[Tla::SetRoleParms],
            Self::ForgetPeer => &[Tla::ForgetPeerParms],
            Self::NewMinor => &[Tla::DeviceConf],
            Self::Attach | Self::ChgDiskOpts => &[Tla::DiskConf],
            Self::Detach => &[Tla::DetachParms],
            Self::Resize => &[Tla::ResizeParms],
            Self::NewCUuid => &[Tla::NewCUuidParms],
            Self::Invalidate => &[Tla::InvalidateParms],
            Self::SuspendIo => &[Tla::SuspendIoParams],
            Self::NewPeer | Self::ChgNetOpts => &[Tla::NetConf],
            Self::DelPeer | Self::Disconnect => &[Tla::DisconnectParms],
            Self::NewPath | Self::DelPath => &[Tla::PathParms],
            Self::Connect => &[Tla::ConnectParms],
            Self::ChgPeerDeviceOpts => &[Tla::PeerDeviceOpts],
            Self::StartOv => &[Tla::StartOvParms],
            Self::InvalPeer => &[Tla::InvalPeerParams],
            Self::DelResource
            | Self::Down
            | Self::DelMinor
            | Self::ResumeIo
            | Self::Outdate
            | Self::PauseSync
            | Self::ResumeSync
            | Self::GetTimeoutType
            | Self::GetResources
            | Self::GetDevices
            | Self::GetConnections
            | Self::GetPeerDevices
            | Self::GetPaths
            | Self::GetInitialState
            | Self::ResourceState
            | Self::DeviceState
            | Self::ConnectionState
            | Self::PeerDeviceState
            | Self::PathState
            | Self::Helper
            | Self::InitialStateDone => &[],
        }
    }

    /// The nests that a reply, a record of a dump or a notification may carry.
    pub const fn told_nests(self) -> &'static [Tla] {
        match self {
            Self::GetTimeoutType => &[Tla::CfgContext, Tla::CfgReply, Tla::TimeoutParms],
            Self::GetResources => &[
                Tla::CfgContext,
                Tla::ResourceOpts,
                Tla::ResourceInfo,
                Tla::ResourceStatistics,
            ],
            Self::GetDevices => &[
                Tla::CfgContext,
                Tla::DiskConf,
                Tla::DeviceConf,
                Tla::DeviceInfo,
                Tla::DeviceStatistics,
            ],
            Self::GetConnections => &[
                Tla::CfgContext,
                Tla::NetConf,
                Tla::PathParms,
                Tla::ConnectionInfo,
                Tla::ConnectionStatistics,
            ],
            Self::GetPeerDevices => &[
                Tla::CfgContext,
                Tla::PeerDeviceInfo,
                Tla::PeerDeviceStatistics,
                Tla::PeerDeviceOpts,
            ],
            Self::GetPaths => &[Tla::CfgContext, Tla::PathInfo],
            // Notifications of every kind of object, and their end.
            Self::GetInitialState => &[
                Tla::CfgContext,
                Tla::NotificationHeader,
                Tla::ResourceInfo,
                Tla::ResourceStatistics,
                Tla::DeviceInfo,
                Tla::DeviceStatistics,
                Tla::ConnectionInfo,
                Tla::PathParms,
                Tla::ConnectionStatistics,
                Tla::PeerDeviceInfo,
                Tla::PeerDeviceStatistics,
                Tla::PathInfo,
            ],
            Self::ResourceState => &[
                Tla::CfgContext,
                Tla::NotificationHeader,
                Tla::ResourceInfo,
                Tla::ResourceStatistics,
                Tla::RenameResourceInfo,
            ],
            Self::DeviceState => &[
                Tla::CfgContext,
                Tla::NotificationHeader,
                Tla::DeviceInfo,
                Tla::DeviceStatistics,
            ],
            Self::ConnectionState => &[
                Tla::CfgContext,
                Tla::NotificationHeader,
                Tla::ConnectionInfo,
                Tla::PathParms,
                Tla::ConnectionStatistics,
            ],
            Self::PeerDeviceState => &[
                Tla::CfgContext,
                Tla::NotificationHeader,
                Tla::PeerDeviceInfo,
                Tla::PeerDeviceStatistics,
            ],
            Self::PathState => &[Tla::CfgContext, Tla::NotificationHeader, Tla::PathInfo],
            Self::Helper => &[Tla::CfgContext, Tla::NotificationHeader, Tla::Helper],
            Self::InitialStateDone => &[Tla::NotificationHeader],
            _ => &[Tla::CfgContext, Tla::CfgReply],
        }
    }
}
