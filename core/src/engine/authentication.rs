// SPDX-License-Identifier: GPL-2.0-or-later
//! Proof that the peer knows the shared secret (CRAM-HMAC, wire-protocol section 5.3).
//!
//! Both nodes do the same at once: send 64 random bytes, answer the peer's with their keyed
//! digest, and compare the peer's answer with the digest that is expected. The host has the
//! random numbers, the digests and the socket; what is a refusal and what is bad luck is decided
//! here.

use crate::{
    engine::volume::End,
    state::Conn,
    wire::{Command, Reaction, Stage, WireError},
};

/// Bytes of a challenge that this node sends, and the fewest that it accepts.
pub const CHALLENGE_BYTES: usize = 64;
/// The most bytes of a challenge that are accepted.
pub const CHALLENGE_BYTES_MAX: usize = 128;
/// The most bytes of a digest.
pub const DIGEST_BYTES_MAX: usize = 64;

const REFUSED: End = End {
    conn: Conn::Disconnecting,
    why: "authentication failed: the peer does not have the same shared-secret",
};

/// One authentication: the challenge that the peer has to answer.
pub struct Authentication {
    challenge: [u8; CHALLENGE_BYTES],
}

impl Authentication {
    /// Begins with 64 unpredictable bytes. Context: any.
    #[must_use]
    pub const fn new(challenge: [u8; CHALLENGE_BYTES]) -> Self {
        Self { challenge }
    }

    /// Payload of the own P_AUTH_CHALLENGE, and what the peer's answer is a digest of.
    #[must_use]
    pub const fn challenge(&self) -> &[u8; CHALLENGE_BYTES] {
        &self.challenge
    }

    /// Judges the payload of the peer's P_AUTH_CHALLENGE before it is answered: all of it is.
    ///
    /// # Errors
    ///
    /// Disconnecting, for a length that no challenge has and for our own challenge: to answer
    /// that would be to answer in the peer's place.
    pub fn peer_challenge(&self, bytes: &[u8]) -> Result<(), End> {
        let gives_up = |why| End {
            conn: Conn::Disconnecting,
            why,
        };
        if bytes.len() < CHALLENGE_BYTES || bytes.len() > CHALLENGE_BYTES_MAX {
            return Err(gives_up("the peer's challenge has an impossible length"));
        }
        if bytes.get(..CHALLENGE_BYTES) == Some(self.challenge.as_slice()) {
            return Err(gives_up("the peer sent our own challenge back"));
        }
        Ok(())
    }

    /// Compares the payload of the peer's P_AUTH_RESPONSE with the digest of [`Self::challenge`].
    ///
    /// # Errors
    ///
    /// NetworkFailure for a wrong length, as the stock driver has it: the connection is tried
    /// again. Disconnecting for a wrong answer.
    pub fn peer_response(&self, expected: &[u8], response: &[u8]) -> Result<(), End> {
        if response.len() != expected.len() || expected.is_empty() {
            return Err(End {
                conn: Conn::NetworkFailure,
                why: "the peer's answer has another length: is cram-hmac-alg the same?",
            });
        }
        if same(expected, response) {
            Ok(())
        } else {
            Err(REFUSED)
        }
    }
}

/// Whether all bytes agree, in a time that depends on the length alone.
fn same(one: &[u8], two: &[u8]) -> bool {
    let different = one
        .iter()
        .zip(two)
        .fold(0u8, |sum, (a, b)| core::hint::black_box(sum | (a ^ b)));
    one.len() == two.len() && different == 0
}

/// What it means that a packet which is due in the handshake did not come, but another one.
#[must_use]
pub fn unexpected(stage: Stage, error: WireError) -> End {
    match error.reaction(stage) {
        Reaction::Disconnecting => End {
            conn: Conn::Disconnecting,
            why: match error {
                WireError::Unexpected {
                    command: Command::Protocol,
                } => "the peer does not authenticate itself: set cram-hmac-alg and shared-secret there too",
                _ => "expected the peer's challenge, got something else",
            },
        },
        _ => End {
            conn: Conn::NetworkFailure,
            why: "expected the peer's answer to the challenge, got something else",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{dispatch, Dialect, Features, Header};

    const OWN: [u8; CHALLENGE_BYTES] = [7; CHALLENGE_BYTES];

    #[test]
    fn accepts_challenges_of_64_to_128_bytes() {
        let auth = Authentication::new(OWN);
        assert_eq!(auth.challenge(), &OWN);
        for len in [64, 65, 128] {
            assert_eq!(auth.peer_challenge(&[1; 128][..len]), Ok(()), "{len}");
        }
        for len in [0, 63, 129] {
            let end = auth.peer_challenge(&[1; 129][..len]).unwrap_err();
            assert_eq!(end.conn, Conn::Disconnecting, "{len}");
        }
    }

    #[test]
    fn does_not_answer_its_own_challenge() {
        let auth = Authentication::new(OWN);
        let mut longer = [9; 128];
        longer[..64].copy_from_slice(&OWN);
        for reflected in [&OWN[..], &longer[..]] {
            let end = auth.peer_challenge(reflected).unwrap_err();
            assert_eq!(end.conn, Conn::Disconnecting);
            assert_eq!(end.why, "the peer sent our own challenge back");
        }
        let mut other = OWN;
        other[63] ^= 1;
        assert_eq!(auth.peer_challenge(&other), Ok(()));
    }

    #[test]
    fn a_wrong_answer_ends_it_and_a_wrong_length_is_tried_again() {
        let auth = Authentication::new(OWN);
        let expected = [3u8; 32];
        assert_eq!(auth.peer_response(&expected, &expected), Ok(()));
        for at in [0, 15, 31] {
            for bit in 0..8 {
                let mut wrong = expected;
                wrong[at] ^= 1 << bit;
                let end = auth.peer_response(&expected, &wrong).unwrap_err();
                assert_eq!(end, REFUSED);
            }
        }
        for wrong in [&[3u8; 31][..], &[3u8; 33][..], &[]] {
            let end = auth.peer_response(&expected, wrong).unwrap_err();
            assert_eq!(end.conn, Conn::NetworkFailure);
        }
        // No digest is no proof.
        assert!(auth.peer_response(&[], &[]).is_err());
    }

    #[test]
    fn a_peer_without_authentication_is_given_up() {
        let dialect = Dialect::new(101, Features::ALL).unwrap();
        let meets = |stage, command: Command| {
            let header = Header {
                volume: 0,
                command: command.id(),
                length: 32,
            };
            unexpected(stage, dispatch(dialect, stage, &header).unwrap_err())
        };
        let end = meets(Stage::AuthChallenge, Command::Protocol);
        assert_eq!(end.conn, Conn::Disconnecting);
        assert!(end.why.contains("set cram-hmac-alg"), "{}", end.why);
        let end = meets(Stage::AuthChallenge, Command::AuthResponse);
        assert_eq!(end.conn, Conn::Disconnecting);
        let end = meets(Stage::AuthResponse, Command::Protocol);
        assert_eq!(end.conn, Conn::NetworkFailure);
    }
}
