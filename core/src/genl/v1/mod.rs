// SPDX-License-Identifier: GPL-2.0-or-later
//! The control interface of DRBD 8.4 (API version 1), as a dialect of the other one.
//!
//! A request of the 8.4 tools is carried out as steps of API version 2: [`request`] writes the attributes of one step from
//! those of the message. What the kernel tells in API version 2 is rewritten by [`render`]. So there is one set of
//! commands, of objects and of states. Facts: control-plane.md; real bytes: golden/control-plane/netlink.
//!
//! A resource has one connection, so its nodes need no numbers there; inside they are [`OWN_NODE_ID`] and
//! [`PEER_NODE_ID`], on both nodes alike: nothing of them leaves the node.

mod disk_extras;
mod place;
mod render;
mod request;
mod status;

pub use disk_extras::DiskExtras;
pub use place::{from_v1, place_of, Fault};
pub use render::render;
pub use request::{write_step, Names, Unsupported};
pub use status::{disk_flags, DiskFacts, Helper, Reason, StateInfo, VolumeFacts};

use super::ret_code::RetCode;
use super::Command;

/// Version that the family announces.
pub const FAMILY_VERSION: u8 = 1;
/// Largest top level attribute.
pub const ATTRIBUTE_MAX: u16 = 24;
/// Number of GET_STATUS, for one minor and as a dump.
pub const GET_STATUS: u8 = 2;
/// Number of the notification that carries what GET_STATUS tells.
pub const EVENT: u8 = 1;
/// Node id of the own node.
pub const OWN_NODE_ID: u32 = 0;
/// Node id of the peer.
pub const PEER_NODE_ID: u32 = 1;
/// Name of the connection; also what debugfs and events2 of 8.4 call it.
pub const CONNECTION_NAME: &str = "peer";

/// Largest command number of this dialect.
const COMMAND_MAX: u8 = 41;
/// Largest error code, and smallest result of a state change, that the 8.4 tools know.
const ERROR_MAX: i32 = 170;
const STATE_CHANGE_MIN: i32 = -21;

/// The command with this number, if this dialect has it; GET_STATUS is not among them.
pub const fn command(number: u8) -> Option<Command> {
    if number > COMMAND_MAX {
        return None;
    }
    Command::from_number(number)
}

/// The code in a reply: one that the 8.4 tools do not know becomes the general refusal of its kind.
pub const fn code(code: RetCode) -> RetCode {
    if code.0 > ERROR_MAX {
        RetCode::ERR_INVALID_REQUEST
    } else if code.0 < STATE_CHANGE_MIN {
        RetCode(0)
    } else {
        code
    }
}
