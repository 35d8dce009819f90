// SPDX-License-Identifier: GPL-2.0-or-later
//! Internet socket addresses, to and from the C structures.

use crate::sys as c;
use core::{
    fmt,
    mem::{size_of, MaybeUninit},
    net::{Ipv4Addr, Ipv6Addr},
};

/// An IPv4 or IPv6 address with port. Numbers in host order, addresses as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SockAddr {
    /// IPv4.
    V4 {
        /// Address.
        ip: [u8; 4],
        /// Port.
        port: u16,
    },
    /// IPv6.
    V6 {
        /// Address.
        ip: [u8; 16],
        /// Port.
        port: u16,
        /// Scope id of link-local addresses, else 0.
        scope: u32,
    },
}

/// Room for either C structure.
pub(super) struct RawAddr {
    bytes: MaybeUninit<c::sockaddr_in6>,
    pub(super) len: i32,
}

impl RawAddr {
    pub(super) fn empty() -> Self {
        RawAddr {
            bytes: MaybeUninit::zeroed(),
            len: size_of::<c::sockaddr_in6>() as i32,
        }
    }

    pub(super) fn as_mut_ptr<T>(&mut self) -> *mut T {
        self.bytes.as_mut_ptr().cast()
    }

    pub(super) fn decode(&self) -> Option<SockAddr> {
        // SAFETY: Zeroed at creation; plain integers.
        let bytes: &[u8; size_of::<c::sockaddr_in6>()] = unsafe { &*self.bytes.as_ptr().cast() };
        SockAddr::from_sockaddr(bytes)
    }
}

impl SockAddr {
    /// Decodes a `struct sockaddr_in` or `sockaddr_in6`, as drbdsetup sends them. Trailing bytes
    /// are ignored. `None` for another family or a short structure.
    pub(crate) fn from_sockaddr(bytes: &[u8]) -> Option<Self> {
        let (family, rest) = bytes.split_first_chunk::<2>()?;
        let family = u32::from(u16::from_ne_bytes(*family));
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let port = u16::from_be_bytes(*port);
        if family == c::AF_INET {
            let (ip, _) = rest.split_first_chunk::<4>()?;
            return Some(SockAddr::V4 { ip: *ip, port });
        }
        if family == c::AF_INET6 {
            let (_flow_info, rest) = rest.split_first_chunk::<4>()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let (scope, _) = rest.split_first_chunk::<4>()?;
            return Some(SockAddr::V6 {
                ip: *ip,
                port,
                scope: u32::from_ne_bytes(*scope),
            });
        }
        None
    }

    pub(super) fn encode(&self) -> RawAddr {
        let mut raw = RawAddr::empty();
        match *self {
            SockAddr::V4 { ip, port } => {
                // SAFETY: Plain integers, valid when zero.
                let mut a: c::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
                a.sin_family = c::AF_INET as u16;
                a.sin_port = port.to_be();
                a.sin_addr.s_addr = u32::from_ne_bytes(ip);
                raw.len = size_of::<c::sockaddr_in>() as i32;
                // SAFETY: `sockaddr_in` is smaller than the room for `sockaddr_in6`.
                unsafe { raw.as_mut_ptr::<c::sockaddr_in>().write(a) };
            }
            SockAddr::V6 { ip, port, scope } => {
                // SAFETY: Plain integers, valid when zero.
                let mut a: c::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
                a.sin6_family = c::AF_INET6 as u16;
                a.sin6_port = port.to_be();
                a.sin6_addr.in6_u.u6_addr8 = ip;
                a.sin6_scope_id = scope;
                // SAFETY: Its own type.
                unsafe { raw.as_mut_ptr::<c::sockaddr_in6>().write(a) };
            }
        }
        raw
    }

    pub(super) fn family(&self) -> i32 {
        match self {
            SockAddr::V4 { .. } => c::AF_INET as i32,
            SockAddr::V6 { .. } => c::AF_INET6 as i32,
        }
    }

    /// The same address with another port; 0 lets TCP choose.
    pub(crate) fn with_port(self, port: u16) -> Self {
        match self {
            SockAddr::V4 { ip, .. } => SockAddr::V4 { ip, port },
            SockAddr::V6 { ip, scope, .. } => SockAddr::V6 { ip, port, scope },
        }
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        match *self {
            SockAddr::V4 { port, .. } | SockAddr::V6 { port, .. } => port,
        }
    }

    /// True when both name the same host, whatever the ports.
    pub(crate) fn same_host(&self, other: &SockAddr) -> bool {
        self.with_port(0) == other.with_port(0)
    }
}

impl fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SockAddr::V4 { ip, port } => write!(f, "{}:{port}", Ipv4Addr::from(ip)),
            SockAddr::V6 { ip, port, .. } => write!(f, "[{}]:{port}", Ipv6Addr::from(ip)),
        }
    }
}
