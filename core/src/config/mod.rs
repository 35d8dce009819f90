// SPDX-License-Identifier: GPL-2.0-or-later
//! The one table of options: names, numbers, ranges, defaults, units, help and support.
//!
//! The kernel's netlink parser, drbdsetup's arguments, drbdadm's grammar, the man pages and the
//! completions all read what stands here. Adding an option means adding one row to the group it
//! belongs to (`resource.rs`, `disk.rs`, `net.rs`, `peer_device.rs`, `device.rs`, `params.rs`).
//! Facts: drbd9-api.md section 4; the 8.4 columns: control-plane.md section 2.

mod choices;
mod device;
mod disk;
mod field;
mod group;
mod net;
mod order;
mod params;
mod parse;
mod peer_device;
mod resource;
mod show;
mod spec;
mod text;
mod value;

pub use choices::{
    AfterSb, Choice, Fencing, OnCongestion, OnIoError, OnNoData, OnNoQuorum,
    OnSuspendedPrimaryOutdated, Protocol, ReadBalancing, QUORUM_ALL, QUORUM_MAJORITY, QUORUM_OFF,
};
pub use device::DeviceOptions;
pub use disk::{DiskOptions, META_INDEX_FLEXIBLE, META_INDEX_INTERNAL};
pub use field::Field;
pub use group::{OptionGroup, Refusal};
pub use net::NetOptions;
pub use order::{find, DEVICE_ORDER, DISK_ORDER, NET_ORDER, PEER_DEVICE_ORDER, RESOURCE_ORDER};
pub use params::{
    ConnectParams, DetachParams, DisconnectParams, ForgetPeerParams, InvalidateParams,
    InvalidatePeerParams, NewCurrentUuidParams, ResizeParams, SetRoleParams, StartVerifyParams,
    SuspendIoParams,
};
pub use parse::ParseError;
pub use peer_device::PeerDeviceOptions;
pub use resource::ResourceOptions;
pub use show::Shown;
pub use spec::{Dialect84, Kind, OptionSpec, Scale, Support, Unit, Wire};
pub use text::Text;
pub use value::Value;
