// SPDX-License-Identifier: GPL-2.0-or-later
//! Positional arguments: resources, minors, node ids, addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Arg;
use drbd_core::config::{META_INDEX_FLEXIBLE, META_INDEX_INTERNAL};

const DEFAULT_PORT: u16 = 7788;

/// A positional argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Name of a resource.
    Resource,
    /// Name of a resource, or `all`; may be left out.
    ResourceOrAll,
    /// Name of a resource, or `all`.
    ResourceOrAllRequired,
    /// Minor: `0`, `minor-0`, `/dev/drbd0`.
    Minor,
    /// Own node id.
    NodeId,
    /// The peer's node id.
    PeerNodeId,
    /// Volume number.
    Volume,
    /// Backing device.
    LowerDevice,
    /// Metadata device.
    MetaDevice,
    /// Place of the metadata.
    MetaIndex,
    /// Local address.
    LocalAddress,
    /// The peer's address.
    RemoteAddress,
    /// New name of a resource.
    NewName,
}

impl Place {
    /// Name of the argument in clap.
    pub fn id(self) -> &'static str {
        match self {
            Self::Resource | Self::ResourceOrAll | Self::ResourceOrAllRequired => "resource",
            Self::Minor => "minor",
            Self::NodeId => "node_id",
            Self::PeerNodeId => "peer_node_id",
            Self::Volume => "volume",
            Self::LowerDevice => "lower_dev",
            Self::MetaDevice => "meta_data_dev",
            Self::MetaIndex => "meta_data_index",
            Self::LocalAddress => "local-addr",
            Self::RemoteAddress => "remote-addr",
            Self::NewName => "new_name",
        }
    }

    pub(super) fn arg(self) -> Arg {
        let arg = Arg::new(self.id()).required(self != Self::ResourceOrAll);
        match self {
            Self::Resource => arg.help("Name of the resource").value_parser(one_resource),
            Self::NewName => arg.help("New name of the resource"),
            Self::ResourceOrAll | Self::ResourceOrAllRequired => {
                arg.help("Name of a resource, or 'all'")
            }
            Self::Minor => arg
                .help("Minor: N, minor-N or /dev/drbdN")
                .value_parser(typed_minor),
            Self::NodeId => arg
                .help("Node id of this node, 0 to 31")
                .value_parser(number),
            Self::PeerNodeId => arg
                .help("Node id of the peer, 0 to 31")
                .value_parser(number),
            Self::Volume => arg.help("Volume number").value_parser(number),
            Self::LowerDevice => arg.help("Backing block device"),
            Self::MetaDevice => arg.help("Block device of the metadata"),
            Self::MetaIndex => arg
                .help("'internal', 'flexible', or a slot number")
                .value_parser(meta_index),
            Self::LocalAddress | Self::RemoteAddress => arg
                .help("[ipv4:]ADDRESS[:PORT] or ipv6:[ADDRESS]:PORT")
                .value_parser(parse_address),
        }
        .allow_hyphen_values(self == Self::MetaIndex)
    }
}

fn one_resource(text: &str) -> Result<String, String> {
    if text == "all" {
        return Err("the command does not accept 'all'".into());
    }
    Ok(text.to_owned())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not a number"))
}

fn meta_index(text: &str) -> Result<i32, String> {
    match text {
        "internal" | "flex-internal" => Ok(META_INDEX_INTERNAL),
        "flexible" | "flex-external" => Ok(META_INDEX_FLEXIBLE),
        _ => match text.parse() {
            Ok(index) if index >= 0 => Ok(index),
            _ => Err(format!(
                "'{text}' is neither 'internal', 'flexible' nor a slot number"
            )),
        },
    }
}

fn typed_minor(text: &str) -> Result<String, String> {
    parse_minor(text).map(|_| text.to_owned())
}

/// Reads a minor.
///
/// # Errors
///
/// A sentence for the administrator.
pub fn parse_minor(text: &str) -> Result<u32, String> {
    let digits = text
        .strip_prefix("/dev/drbd")
        .or_else(|| text.strip_prefix("minor-"))
        .unwrap_or(text);
    digits
        .parse()
        .map_err(|_| format!("Cannot determine minor device number of device '{text}'"))
}

/// Reads `[local:|peer:][ipv4:|ipv6:]ADDRESS[:PORT]`.
///
/// # Errors
///
/// A sentence for the administrator.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix("local:")
        .or_else(|| text.strip_prefix("peer:"))
        .unwrap_or(text);
    let (family, rest) = ["ipv4:", "ipv6:", "sdp:", "ssocks:"]
        .iter()
        .find_map(|prefix| bare.strip_prefix(prefix).map(|rest| (*prefix, rest)))
        .unwrap_or(("", bare));
    if family == "sdp:" || family == "ssocks:" {
        return Err(format!(
            "'{text}': only ipv4 and ipv6 addresses are supported"
        ));
    }
    let unreadable =
        || format!("'{text}' is not an address: expected ipv4:A.B.C.D:PORT or ipv6:[ADDRESS]:PORT");
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or_else(unreadable)?;
            (
                host,
                after
                    .strip_prefix(':')
                    .or(if after.is_empty() { Some("") } else { None })
                    .ok_or_else(unreadable)?,
            )
        }
        None if family == "ipv6:" => (rest, ""),
        None => rest.split_once(':').unwrap_or((rest, "")),
    };
    let address = if family == "ipv4:" {
        host.parse::<Ipv4Addr>()
            .map(IpAddr::V4)
            .map_err(|_| unreadable())?
    } else if family == "ipv6:" {
        host.parse::<Ipv6Addr>()
            .map(IpAddr::V6)
            .map_err(|_| unreadable())?
    } else {
        host.parse::<IpAddr>().map_err(|_| unreadable())?
    };
    let port = if port.is_empty() {
        DEFAULT_PORT
    } else {
        port.parse().map_err(|_| unreadable())?
    };
    Ok(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("ipv4:10.9.0.1:7788", "10.9.0.1:7788"),
            ("10.9.0.1", "10.9.0.1:7788"),
            ("local:ipv4:10.9.0.1:7", "10.9.0.1:7"),
            ("ipv6:[::1]:7790", "[::1]:7790"),
            ("peer:[fe80::1]:1", "[fe80::1]:1"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), expected);
        }
        for bad in [
            "",
            "ipv4:[::1]:1",
            "10.9.0.1:77881",
            "sdp:10.9.0.1:1",
            "host:1",
            "[::1]x",
            "ipv6:10.0.0.1",
        ] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn minors() {
        for text in ["7", "minor-7", "/dev/drbd7"] {
            assert_eq!(parse_minor(text), Ok(7));
        }
        assert!(parse_minor("/dev/sda")
            .unwrap_err()
            .contains("Cannot determine minor"));
    }
}
