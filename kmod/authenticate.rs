// SPDX-License-Identifier: GPL-2.0-or-later
//! The peer shows that it knows the shared secret, and so does this node.

use crate::{
    connect::send_packet,
    connection::Connection,
    crypto::{authenticator, digest_of},
    os::{
        random,
        recv::{RecvError, RecvWait},
        socket::Socket,
    },
};
use drbd_core::{
    engine::{
        authentication::{
            unexpected, Authentication, CHALLENGE_BYTES, CHALLENGE_BYTES_MAX, DIGEST_BYTES_MAX,
        },
        volume::End,
    },
    state::Conn,
    wire::{dialect::Dialect, dispatch, header::Header, packet::Packet, Stage},
};
use kernel::prelude::*;

fn retry(why: &'static str) -> End {
    End {
        conn: Conn::NetworkFailure,
        why,
    }
}

fn give_up<E>(_: E) -> End {
    End {
        conn: Conn::Disconnecting,
        why: "the algorithm of cram-hmac-alg does not work",
    }
}

/// P_AUTH_CHALLENGE and P_AUTH_RESPONSE, if cram-hmac-alg is set: whether it was. Context: the
/// connection's thread.
pub(crate) fn authenticate(
    connection: &Connection,
    data: &Socket,
    dialect: Dialect,
) -> Result<bool, End> {
    let net = connection.net();
    if net.cram_hmac_alg.is_empty() {
        return Ok(false);
    }
    let mut hash = authenticator(&net).map_err(give_up)?;
    let wait = RecvWait::Ms(net.ping_timeo.saturating_mul(400));
    let exchange = Exchange {
        data,
        dialect,
        wait,
    };
    let mut challenge = [0u8; CHALLENGE_BYTES];
    random::fill(&mut challenge);
    let authentication = Authentication::new(challenge);
    let own = authentication.challenge();
    if !send_packet(data, dialect, Packet::AuthChallenge, own) {
        return Err(retry("could not send a challenge"));
    }
    let mut room = [0u8; CHALLENGE_BYTES_MAX];
    let peers = exchange.receive(Stage::AuthChallenge, &mut room)?;
    authentication.peer_challenge(peers)?;

    let response = digest_of(&mut hash, peers).map_err(give_up)?;
    if !send_packet(data, dialect, Packet::AuthResponse, response.bytes()) {
        return Err(retry("could not answer the peer's challenge"));
    }
    let mut room = [0u8; DIGEST_BYTES_MAX];
    let answer = exchange.receive(Stage::AuthResponse, &mut room)?;
    let expected = digest_of(&mut hash, own).map_err(give_up)?;
    authentication.peer_response(expected.bytes(), answer)?;
    Ok(true)
}

struct Exchange<'a> {
    data: &'a Socket,
    dialect: Dialect,
    wait: RecvWait,
}

impl Exchange<'_> {
    /// The payload of the packet that is due at `stage`.
    fn receive<'r>(&self, stage: Stage, room: &'r mut [u8]) -> Result<&'r [u8], End> {
        let mut head = [0u8; Header::MAX_LEN];
        let head = head
            .get_mut(..self.dialect.header_len())
            .ok_or(retry("an oversized header"))?;
        self.bytes(head)?;
        let header =
            Header::decode(self.dialect, head).map_err(|error| unexpected(stage, error))?;
        let frame =
            dispatch(self.dialect, stage, &header).map_err(|error| unexpected(stage, error))?;
        let payload = room
            .get_mut(..frame.payload_len as usize)
            .ok_or(retry("an oversized packet"))?;
        self.bytes(payload)?;
        Ok(payload)
    }

    fn bytes(&self, room: &mut [u8]) -> Result<(), End> {
        let mut got = 0;
        match self.data.recv_exact(room, &mut got, self.wait) {
            Ok(()) => Ok(()),
            Err(RecvError::TimedOut) => Err(retry("the peer did not authenticate itself in time")),
            Err(_) => Err(retry("connection lost during the authentication")),
        }
    }
}
