// SPDX-License-Identifier: GPL-2.0-or-later
//! Connections between hosts.

use super::{Address, HostProxy, Opt};
use crate::source::Span;

/// One end of a path.
#[derive(Clone, Debug)]
pub struct PathHost {
    /// The name after `host`.
    pub name: Option<String>,
    /// `address`, given or resolved.
    pub address: Option<Address>,
    /// `port`: the host's address with another port.
    pub port: Option<u16>,
    /// `via proxy on`, or the host's own proxy. Resolved.
    pub proxy: Option<HostProxy>,
    /// `via outside-address`.
    pub outside_address: Option<Address>,
    /// The statement.
    pub span: Span,
    /// Index in the resource's hosts. Resolved.
    pub host: Option<usize>,
}

/// A pair of addresses.
#[derive(Clone, Debug)]
pub struct Path {
    /// The ends; two unless the configuration is wrong.
    pub hosts: Vec<PathHost>,
    /// `host` statements outside a `path { }`.
    pub implicit: bool,
    /// The statement.
    pub span: Span,
}

/// Options of one volume towards one peer.
#[derive(Clone, Debug)]
pub struct PeerDevice {
    /// Volume number.
    pub number: u32,
    /// The options.
    pub options: Vec<Opt>,
    /// Made because the volume exists. Resolved.
    pub derived: bool,
    /// The statement.
    pub span: Span,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// A name of its own; old and discouraged.
    pub name: Option<String>,
    /// Paths.
    pub paths: Vec<Path>,
    /// `net { }`.
    pub net: Vec<Opt>,
    /// `disk { }`: for every volume.
    pub disk: Vec<Opt>,
    /// `volume N { disk { } }`.
    pub peer_devices: Vec<PeerDevice>,
    /// The statement.
    pub span: Span,
    /// Not in the text: two hosts are connected anyway, or a mesh. Resolved.
    pub derived: bool,
}

impl Connection {
    /// The two hosts' indices, if both are known. Resolved.
    #[must_use]
    pub fn ends(&self) -> Option<[usize; 2]> {
        let path = self.paths.first()?;
        match path.hosts.as_slice() {
            [left, right] => Some([left.host?, right.host?]),
            _ => None,
        }
    }

    /// The other end, seen from the host `local`. Resolved.
    #[must_use]
    pub fn peer_of(&self, local: usize) -> Option<usize> {
        match self.ends()? {
            [left, right] if left == local => Some(right),
            [left, right] if right == local => Some(left),
            _ => None,
        }
    }
}

impl Path {
    /// Local and remote end, seen from the host `local`. Resolved.
    #[must_use]
    pub fn seen_from(&self, local: usize) -> Option<(&PathHost, &PathHost)> {
        match self.hosts.as_slice() {
            [left, right] if left.host == Some(local) => Some((left, right)),
            [left, right] if right.host == Some(local) => Some((right, left)),
            _ => None,
        }
    }
}

/// `connection-mesh { hosts ...; net { } }`.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// Host names and where they stand.
    pub hosts: Vec<(String, Span)>,
    /// `net { }` of all its connections.
    pub net: Vec<Opt>,
    /// The statement.
    pub span: Span,
}
