// SPDX-License-Identifier: GPL-2.0-or-later
//! Client of the generic netlink family `drbd` (API version 2, and 1 of generation 8.4).
//!
//! [`Client`] sends requests and collects dumps, [`EventStream`] receives notifications, [`Snapshot`] is
//! everything the kernel tells about its objects. The codec itself is `drbd_core::genl`.

mod client;
mod error;
mod event;
mod event_stream;
mod family;
mod message;
mod module;
mod objects;
mod options;
#[cfg(any(test, feature = "recording"))]
pub mod recording;
mod request;
mod snapshot;
mod transport;
pub mod v1;

pub use client::{Client, Reply};
pub use error::Error;
pub use event::{Event, EventObject};
pub use event_stream::EventStream;
pub use family::{Api, Family};
pub use message::DrbdMessage;
pub use module::{driver_version, load_module, DriverVersion};
pub use objects::{Connection, Device, Path, PeerDevice, Resource};
pub use options::{OptionValue, OptionValues};
pub use request::RequestMessage;
pub use snapshot::Snapshot;
pub use transport::{Socket, Transport};
