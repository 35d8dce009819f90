// SPDX-License-Identifier: GPL-2.0-or-later
//! What the attributes inside the nests are called and made of, for those who describe the interface.

use super::context;
use super::tla::Tla;

/// What the payload of an attribute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// One byte, 0 or 1.
    Flag,
    /// Unsigned, four bytes.
    U32,
    /// Unsigned, eight bytes.
    U64,
    /// String with its NUL; at most so many bytes with it.
    Text(usize),
    /// At most so many bytes.
    Bytes(usize),
    /// Four bytes: the number of a state of the type with this name in [`super::state`].
    State(&'static str),
}

/// An attribute inside a nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Number inside the nest.
    pub nr: u16,
    /// Name.
    pub name: &'static str,
    /// What the payload is.
    pub kind: FieldKind,
    /// What it tells.
    pub help: &'static str,
}

impl FieldSpec {
    pub(super) const fn new(
        nr: u16,
        name: &'static str,
        kind: FieldKind,
        help: &'static str,
    ) -> Self {
        Self {
            nr,
            name,
            kind,
            help,
        }
    }
}

/// Bytes of the longest socket address that may come.
const ADDRESS: FieldKind = FieldKind::Bytes(128);

/// Attributes of CFG_REPLY.
const CFG_REPLY: &[FieldSpec] = &[FieldSpec::new(
    1,
    "info_text",
    FieldKind::Text(1024),
    "One sentence for the administrator.",
)];

/// Attributes of CFG_CONTEXT.
const CFG_CONTEXT: &[FieldSpec] = &[
    FieldSpec::new(
        context::VOLUME,
        "ctx_volume",
        FieldKind::U32,
        "Volume number.",
    ),
    FieldSpec::new(
        context::RESOURCE_NAME,
        "ctx_resource_name",
        FieldKind::Text(128),
        "Name of the resource.",
    ),
    FieldSpec::new(
        context::MY_ADDR,
        "ctx_my_addr",
        ADDRESS,
        "Local end of a path, a socket address.",
    ),
    FieldSpec::new(
        context::PEER_ADDR,
        "ctx_peer_addr",
        ADDRESS,
        "Peer's end of a path, a socket address.",
    ),
    FieldSpec::new(
        context::CONN_NAME,
        "ctx_conn_name",
        FieldKind::Text(64),
        "Name of the connection.",
    ),
    FieldSpec::new(
        context::PEER_NODE_ID,
        "ctx_peer_node_id",
        FieldKind::U32,
        "Node id of the peer.",
    ),
];

/// Attributes of PATH_PARMS; told of a connection, both come once for each of its paths.
const PATH_PARMS: &[FieldSpec] = &[
    FieldSpec::new(1, "my_addr", ADDRESS, "Local end, a socket address."),
    FieldSpec::new(2, "peer_addr", ADDRESS, "Peer's end, a socket address."),
];

/// Attributes of RENAME_RESOURCE_PARMS.
const RENAME_RESOURCE_PARMS: &[FieldSpec] = &[FieldSpec::new(
    1,
    "new_resource_name",
    FieldKind::Text(128),
    "New name.",
)];

/// Attributes of NOTIFICATION_HEADER.
const NOTIFICATION_HEADER: &[FieldSpec] = &[FieldSpec::new(
    1,
    "nh_type",
    FieldKind::U32,
    "What happened: a notification-kind, plus 0x8000 when more notifications of the same change follow.",
)];

/// The attributes of a nest that is neither a group of options nor a [`super::Record`] of states and figures alone.
pub const fn fields_of(tla: Tla) -> &'static [FieldSpec] {
    match tla {
        Tla::CfgReply => CFG_REPLY,
        Tla::CfgContext => CFG_CONTEXT,
        Tla::PathParms => PATH_PARMS,
        Tla::RenameResourceParms => RENAME_RESOURCE_PARMS,
        Tla::NotificationHeader => NOTIFICATION_HEADER,
        _ => &[],
    }
}
