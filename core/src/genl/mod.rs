// SPDX-License-Identifier: GPL-2.0-or-later
//! The control interface of DRBD 9 (generic netlink, API version 2): everything but sending.
//!
//! The kernel hands the attribute bytes of a message to [`Request::decode`] and fills its buffers through
//! [`Writer`]; the tools use the same code in the other direction. Nothing here allocates, and nothing that
//! comes from the other side is trusted. Facts: drbd9-api.md; real bytes: golden/drbd9/nl.

mod address;
mod changes;
mod command;
mod context;
mod field;
mod info;
mod name;
mod nests;
mod notify;
mod record;
mod reply;
mod request;
mod ret_code;
pub mod state;
mod tla;
mod tlv;
pub mod v1;
mod writer;

pub use address::{decode_address, encode_address, ADDRESS_BYTES_MAX};
pub use changes::{encode_group, read_group, Changes};
pub use command::Command;
pub use context::Context;
pub use field::{fields_of, FieldKind, FieldSpec};
pub use info::{
    ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, HelperInfo,
    NotificationHeader, PathInfo, PeerDeviceInfo, PeerDeviceStatistics, Record, RenameResourceInfo,
    ResourceInfo, ResourceStatistics, TimeoutParams,
};
pub use name::check_name;
pub use notify::{Notification, NotifiedObject};
pub use record::{
    ConnectionRecord, DeviceRecord, PathAddresses, PathRecord, PeerDeviceRecord, ResourceRecord,
};
pub use reply::{encode_reply, encode_timeout_type, info_texts};
pub use request::{Peer, PeerDevice, Request};
pub use ret_code::RetCode;
pub use tla::Tla;
pub use tlv::{find_nest, Attribute, Attributes, Malformed};
pub use writer::{Mark, NoRoom, Writer};

/// Name of the generic netlink family.
pub const FAMILY_NAME: &str = "drbd";
/// Version the family announces and requests must carry.
pub const FAMILY_VERSION: u8 = 2;
/// Bytes of the family's own header.
pub const HEADER_BYTES: usize = 8;
/// Largest top level attribute.
pub const ATTRIBUTE_MAX: u16 = 34;
/// Name of the multicast group.
pub const MULTICAST_GROUP: &str = "events";
/// `minor` of a message that is not about one minor.
pub const NO_MINOR: u32 = u32::MAX;
/// Request flag: start from the defaults, not from the options in force.
pub const FLAG_SET_DEFAULTS: u32 = 1;
/// First sequence number of a notification; the following ones must be free of gaps.
pub const FIRST_NOTIFICATION_SEQUENCE: u32 = 3;
/// Largest minor.
pub const MINOR_MAX: u32 = 0xf_ffff;
/// Largest volume number.
pub const VOLUME_MAX: u32 = 65_534;
/// Node ids are below this.
pub const NODE_ID_END: u32 = 32;
/// Room that is enough for the attributes of any dump record or notification with up to 8 paths.
pub const RECORD_BYTES_MAX: usize = 4096;

/// The family's own header, between the generic netlink header and the attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserHeader {
    /// Minor, or [`NO_MINOR`].
    pub minor: u32,
    /// Flags of a request, or the code of a reply or notification.
    pub value: i32,
}

impl UserHeader {
    /// Header of a reply or notification.
    pub const fn reply(minor: u32, code: RetCode) -> Self {
        Self {
            minor,
            value: code.0,
        }
    }

    /// Request flags.
    pub const fn flags(self) -> u32 {
        u32::from_ne_bytes(self.value.to_ne_bytes())
    }

    /// Code of a reply.
    pub const fn code(self) -> RetCode {
        RetCode(self.value)
    }

    /// The bytes on the socket (host endian).
    pub const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.minor.to_ne_bytes();
        let [e, f, g, h] = self.value.to_ne_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Reads the header off the start of a message's payload.
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (minor, rest) = payload.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        Some((
            Self {
                minor: u32::from_ne_bytes(*minor),
                value: i32::from_ne_bytes(*value),
            },
            rest,
        ))
    }
}

/// True when a do-request of this command may carry this generic netlink version.
///
/// Any other request is answered with -EINVAL (drbd9-api.md section 1). Dumps are not checked.
pub fn version_accepted(command: Command, version: u8) -> bool {
    version == FAMILY_VERSION || command == Command::Down || command.is_dump()
}
