// SPDX-License-Identifier: GPL-2.0-or-later
//! Heartbeats: authenticated and encrypted datagrams on one or more links, so that forged, recorded or foreign ones change
//! nothing but a counter (failover.md section 6.1).

mod counters;
mod endpoint;
mod frame;
mod keys;
mod sockets;
mod window;

pub use counters::{Reason, Refused};
pub use endpoint::{Datagram, Endpoint, LinkFacts, Received, TooLong};
pub use frame::{DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX};
pub use keys::{Key, KeyError, Keys};
pub use sockets::{Arrived, LinkError, Map, Sockets};
