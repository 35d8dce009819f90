// SPDX-License-Identifier: GPL-2.0-or-later
//! Endpoint addresses: `sockaddr_in` and `sockaddr_in6` as raw bytes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::tlv::Malformed;

/// Bytes of the longest address this module handles.
pub const ADDRESS_BYTES_MAX: usize = 28;

const FAMILY_IPV4: u16 = 2;
const FAMILY_IPV6: u16 = 10;

/// Reads a socket address.
///
/// # Errors
///
/// [`Malformed`] for another family (sdp, ssocks) or a size that does not belong to the family.
pub fn decode_address(bytes: &[u8]) -> Result<SocketAddr, Malformed> {
    let (family, rest) = bytes.split_first_chunk::<2>().ok_or(Malformed)?;
    let (port, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let port = u16::from_be_bytes(*port);
    match (u16::from_ne_bytes(*family), bytes.len()) {
        (FAMILY_IPV4, 16) => {
            let (address, _) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
            Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*address)), port))
        }
        (FAMILY_IPV6, 28) => {
            let (flow, rest) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
            let (address, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
            let (scope, _) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
            let address = Ipv6Addr::from(*address);
            let flow = u32::from_be_bytes(*flow);
            Ok(SocketAddr::V6(SocketAddrV6::new(
                address,
                port,
                flow,
                u32::from_ne_bytes(*scope),
            )))
        }
        _ => Err(Malformed),
    }
}

/// Writes a socket address; the second value is the number of bytes that count.
pub fn encode_address(address: &SocketAddr) -> ([u8; ADDRESS_BYTES_MAX], usize) {
    let mut bytes = [0; ADDRESS_BYTES_MAX];
    let mut fill = |parts: &[&[u8]]| {
        let source = parts.iter().flat_map(|part| part.iter());
        for (to, from) in bytes.iter_mut().zip(source) {
            *to = *from;
        }
    };
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => {
            fill(&[&FAMILY_IPV4.to_ne_bytes(), &port, &v4.ip().octets()]);
            (bytes, 16)
        }
        SocketAddr::V6(v6) => {
            let flow = v6.flowinfo().to_be_bytes();
            let scope = v6.scope_id().to_ne_bytes();
            fill(&[
                &FAMILY_IPV6.to_ne_bytes(),
                &port,
                &flow,
                &v6.ip().octets(),
                &scope,
            ]);
            (bytes, 28)
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in ["10.9.0.1:7788", "[::1]:1", "[fe80::2]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let (bytes, len) = encode_address(&address);
            assert_eq!(decode_address(&bytes[..len]), Ok(address));
        }
        let scoped = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 0x0102_0304, 3));
        let (bytes, len) = encode_address(&scoped);
        assert_eq!(decode_address(&bytes[..len]), Ok(scoped));
    }

    #[test]
    fn other_families_and_sizes_are_refused() {
        let (mut bytes, len) = encode_address(&"10.9.0.1:7788".parse().unwrap());
        assert!(decode_address(&bytes[..len - 1]).is_err());
        assert!(decode_address(&bytes).is_err());
        bytes[0] = 27;
        assert!(decode_address(&bytes[..len]).is_err());
        assert!(decode_address(&[]).is_err());
    }
}
