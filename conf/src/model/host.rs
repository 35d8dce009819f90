// SPDX-License-Identifier: GPL-2.0-or-later
//! Host sections and addresses.

use std::fmt;

use super::{Opt, ProxyOptions, Volume};
use crate::source::Span;

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Sockets direct protocol.
    Sdp,
    /// Super sockets; `sci` is its old name.
    Ssocks,
}

impl Family {
    /// The word in a configuration and on drbdsetup's command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
            Family::Sdp => "sdp",
            Family::Ssocks => "ssocks",
        }
    }
}

/// An address and a port.
#[derive(Clone, Debug)]
pub struct Address {
    /// Its family.
    pub family: Family,
    /// The address as written, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The statement.
    pub span: Span,
}

impl Address {
    /// Whether both mean the same endpoint; spelling does not count.
    #[must_use]
    pub fn same(&self, other: &Address) -> bool {
        self.family == other.family
            && self.port == other.port
            && match (
                self.host.parse::<std::net::IpAddr>(),
                other.host.parse::<std::net::IpAddr>(),
            ) {
                (Ok(left), Ok(right)) => left == right,
                _ => self.host == other.host,
            }
    }

    /// Whether the address is the machine itself, so that it may stand for
    /// another machine on another host.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
    }

    /// `A:P`, or `[A]:P` for IPv6.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match self.family {
            Family::Ipv6 => format!("[{}]:{}", self.host, self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// As drbdsetup takes it: `ipv4:10.0.0.1:7788`, `ipv6:[::1]:7788`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family.word(), self.endpoint())
    }
}

/// The proxy in front of a host: `proxy on NAME { }`.
#[derive(Clone, Debug)]
pub struct HostProxy {
    /// Machines the proxy runs on.
    pub names: Vec<String>,
    /// The address drbd talks to.
    pub inside: Option<Address>,
    /// The address the other proxy talks to.
    pub outside: Option<Address>,
    /// Options of this proxy.
    pub options: ProxyOptions,
    /// The statement.
    pub span: Span,
}

/// What kind of host section it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// `on NAME...`
    On,
    /// `floating ADDRESS`
    Floating,
    /// `stacked-on-top-of RESOURCE`
    Stacked {
        /// The resource below.
        lower: String,
    },
}

/// A host section.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its kind.
    pub kind: HostKind,
    /// Names of `on`; for the other kinds filled in when resolved.
    pub names: Vec<String>,
    /// The section's head.
    pub span: Span,
    /// `node-id`, given or derived.
    pub node_id: Option<u32>,
    /// Where `node-id` is.
    pub node_id_span: Span,
    /// `address`.
    pub address: Option<Address>,
    /// `alternate-link-address` of 8.4; read, and used by nothing here.
    pub alternate_address: Option<Address>,
    /// `proxy on`.
    pub proxy: Option<HostProxy>,
    /// `options { }` in a host.
    pub options: Vec<Opt>,
    /// Volumes, by number.
    pub volumes: Vec<Volume>,
}

impl Host {
    /// A name for messages and connection names: the names joined with `_`, or
    /// for a floating host its address with everything unusual replaced.
    #[must_use]
    pub fn joined_name(&self) -> String {
        if self.kind == HostKind::Floating {
            if let Some(address) = &self.address {
                return format!("{}:{}", address.host, address.port)
                    .chars()
                    .map(|c| {
                        if c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-') {
                            c
                        } else {
                            '_'
                        }
                    })
                    .collect();
            }
        }
        self.names.join("_")
    }

    /// How the section begins, for messages: `on alpha`.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.kind {
            HostKind::On => format!("on {}", self.names.join(" ")),
            HostKind::Floating => match &self.address {
                Some(address) => {
                    format!("floating {} {}", address.family.word(), address.endpoint())
                }
                None => "floating".into(),
            },
            HostKind::Stacked { lower } => format!("stacked-on-top-of {lower}"),
        }
    }

    /// A volume by number.
    #[must_use]
    pub fn volume(&self, number: u32) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.number == number)
    }
}
