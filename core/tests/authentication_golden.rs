// SPDX-License-Identifier: GPL-2.0-or-later
//! The stock driver's authentication in a capture is one that ours would have accepted: the
//! secret is "abc", the algorithm sha256.

#[path = "wire_support/capture.rs"]
mod capture;

use std::collections::HashMap;

use capture::{Event, Flow};
use drbd_core::{engine::authentication::Authentication, state::Conn, wire::*};
use hmac::{Hmac, Mac};
use sha2::Sha256;

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// What one node sent for its authentication.
#[derive(Default)]
struct Side {
    challenge: Vec<u8>,
    response: Vec<u8>,
}

/// Challenge and response at the start of a stream of packets, if there are any.
fn side(stream: &[u8]) -> Option<Side> {
    let agreed = Dialect::new(101, Features::ALL).unwrap();
    let mut side = Side::default();
    let mut rest = stream;
    loop {
        // The packets up to the features have the short header, the others the long one.
        let dialect = [Dialect::INITIAL, agreed].into_iter().find(|dialect| {
            rest.get(..dialect.header_len())
                .is_some_and(|head| Header::decode(*dialect, head).is_ok())
        })?;
        let (head, body) = rest.split_at(dialect.header_len());
        let header = Header::decode(dialect, head).unwrap();
        let (body, next) = body.split_at_checked(header.length as usize)?;
        match Command::from_id(header.command)? {
            Command::InitialData | Command::ConnectionFeatures => {}
            Command::AuthChallenge => side.challenge = body.to_vec(),
            Command::AuthResponse => {
                side.response = body.to_vec();
                return Some(side);
            }
            _ => return None,
        }
        rest = next;
    }
}

/// Both sides of each authentication in the capture.
fn exchanges() -> Vec<[Side; 2]> {
    let mut streams: HashMap<Flow, Vec<u8>> = HashMap::new();
    let mut over: Vec<[Vec<u8>; 2]> = Vec::new();
    let mut close = |streams: &mut HashMap<Flow, Vec<u8>>, (from, to): Flow| {
        if let (Some(one), Some(two)) = (streams.remove(&(from, to)), streams.remove(&(to, from))) {
            over.push([one, two]);
        }
    };
    for event in capture::events("connect-auth-sync-discard-verify-detach") {
        match event {
            Event::Open(flow) => {
                let known = streams.get(&flow).is_some_and(|bytes| !bytes.is_empty());
                if known {
                    close(&mut streams, flow);
                }
            }
            Event::Bytes(flow, bytes) => streams.entry(flow).or_default().extend(bytes),
        }
    }
    let flows: Vec<Flow> = streams.keys().copied().collect();
    for flow in flows {
        close(&mut streams, flow);
    }
    over.iter()
        .filter_map(|[one, two]| Some([side(one)?, side(two)?]))
        .collect()
}

#[test]
fn the_stock_drivers_answers_are_right_for_the_secret() {
    let exchanges = exchanges();
    assert_eq!(exchanges.len(), 2, "the capture connects twice");
    for [one, two] in &exchanges {
        for (own, peer) in [(one, two), (two, one)] {
            let challenge: [u8; 64] = own.challenge.as_slice().try_into().unwrap();
            let authentication = Authentication::new(challenge);
            assert_eq!(authentication.peer_challenge(&peer.challenge), Ok(()));
            let expected = hmac(b"abc", authentication.challenge());
            assert_eq!(
                authentication.peer_response(&expected, &peer.response),
                Ok(())
            );

            let other = hmac(b"abd", authentication.challenge());
            let end = authentication
                .peer_response(&other, &peer.response)
                .unwrap_err();
            assert_eq!(end.conn, Conn::Disconnecting);
            // A node that reflects what it gets has no answer of its own.
            assert!(authentication.peer_challenge(&own.challenge).is_err());
            assert!(authentication
                .peer_response(&expected, &own.response)
                .is_err());
        }
    }
}
