// SPDX-License-Identifier: GPL-2.0-or-later
//! What a datagram looks like: two greetings that are authenticated, and data that is encrypted (failover.md section 6.1).
//! All numbers are little-endian.

/// The first bytes of every datagram; the last one is the version.
const MAGIC: [u8; 4] = *b"DHA1";

/// The largest datagram that is sent or looked at. Above 1200 bytes IP may have to take it apart.
pub const DATAGRAM_BYTES_MAX: usize = 8192;

/// Bytes before the encrypted part.
pub(super) const HEADER_BYTES: usize = 20;
/// Bytes that the cipher adds.
const TAG_BYTES: usize = 16;
/// The largest message.
pub const MESSAGE_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - HEADER_BYTES - TAG_BYTES;

const MAC_BYTES: usize = 32;
const HELLO_BYTES: usize = 46;
const ACK_BYTES: usize = HELLO_BYTES + 16;

/// Fresh random bytes of a node.
pub(super) type Nonce = [u8; 16];

/// Who a node says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Counts the starts of the daemon.
    pub(super) incarnation: u64,
    /// Counts its changes of keys since.
    pub(super) generation: u32,
    /// Fresh with each of both.
    pub(super) nonce: Nonce,
    /// It holds the key of this id as well.
    pub(super) next: Option<u8>,
    /// Comes back in the answer, as it is.
    pub(super) stamp: u64,
}

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Here I am.
    Hello(Greeting),
    /// Here I am, and you have just said this nonce.
    Ack(Greeting, Nonce),
    /// A message, encrypted.
    Data {
        /// Which session it belongs to.
        session: u32,
        /// Its number in it.
        number: u64,
    },
}

/// The part of a datagram that everybody can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Which key.
    pub(super) key: u8,
    /// Sender.
    pub(super) from: u8,
    /// Receiver.
    pub(super) to: u8,
    /// What it is.
    pub(super) kind: Kind,
}

/// A greeting without its MAC, or the header of data.
pub(super) fn encode(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ACK_BYTES + MAC_BYTES);
    bytes.extend(MAGIC);
    let kind = match frame.kind {
        Kind::Hello(_) => 1,
        Kind::Ack(..) => 2,
        Kind::Data { .. } => 3,
    };
    bytes.extend([kind, frame.key, frame.from, frame.to]);
    let mut greet = |greeting: &Greeting| {
        bytes.extend(greeting.incarnation.to_le_bytes());
        bytes.extend(greeting.generation.to_le_bytes());
        bytes.extend(greeting.nonce);
        bytes.extend(greeting.next.map_or([0, 0], |id| [1, id]));
        bytes.extend(greeting.stamp.to_le_bytes());
    };
    match &frame.kind {
        Kind::Hello(greeting) => greet(greeting),
        Kind::Ack(greeting, echo) => {
            greet(greeting);
            bytes.extend(echo);
        }
        Kind::Data { session, number } => {
            bytes.extend(session.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes
}

/// Reads little-endian numbers from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn greeting(&mut self) -> Option<Greeting> {
        Some(Greeting {
            incarnation: u64::from_le_bytes(self.take()?),
            generation: u32::from_le_bytes(self.take()?),
            nonce: self.take()?,
            next: match self.take()? {
                [0, 0] => None,
                [1, id] => Some(id),
                _ => return None,
            },
            stamp: u64::from_le_bytes(self.take()?),
        })
    }
}

/// Takes a datagram apart: what everybody can read, and where the MAC or the encrypted part begins. `None` when it is
/// nothing that a node would have sent.
pub(super) fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return None;
    }
    let mut reader = Reader(bytes);
    if reader.take()? != MAGIC {
        return None;
    }
    let [kind, key, from, to] = reader.take()?;
    let kind = match kind {
        1 => Kind::Hello(reader.greeting()?),
        2 => Kind::Ack(reader.greeting()?, reader.take()?),
        3 => Kind::Data {
            session: u32::from_le_bytes(reader.take()?),
            number: u64::from_le_bytes(reader.take()?),
        },
        _ => return None,
    };
    let fits = match kind {
        Kind::Hello(_) | Kind::Ack(..) => reader.0.len() == MAC_BYTES,
        Kind::Data { .. } => reader.0.len() >= TAG_BYTES,
    };
    let frame = Frame {
        key,
        from,
        to,
        kind,
    };
    fits.then_some((frame, bytes.len() - reader.0.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn greeting() -> Greeting {
        Greeting {
            incarnation: 7,
            generation: 1,
            nonce: [9; 16],
            next: Some(3),
            stamp: 11,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_shorter_or_longer() {
        let data = Kind::Data {
            session: 1,
            number: 2,
        };
        let kinds = [
            (Kind::Hello(greeting()), HELLO_BYTES),
            (Kind::Ack(greeting(), [8; 16]), ACK_BYTES),
            (data, HEADER_BYTES),
        ];
        for (kind, head) in kinds {
            let frame = Frame {
                key: 5,
                from: 1,
                to: 2,
                kind,
            };
            let mut bytes = encode(&frame);
            assert_eq!(bytes.len(), head);
            let tail = if kind == data { TAG_BYTES } else { MAC_BYTES };
            bytes.extend(vec![0; tail]);
            assert_eq!(decode(&bytes), Some((frame, head)));
            for length in 0..bytes.len() {
                assert_eq!(decode(&bytes[..length]), None, "{length}");
            }
            bytes.push(0);
            assert_eq!(decode(&bytes).is_some(), kind == data);
        }
        assert_eq!(decode(&[0; DATAGRAM_BYTES_MAX + 1]), None);
    }

    proptest! {
        #[test]
        fn anything_can_come(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let mut magic = MAGIC.to_vec();
            magic.extend(bytes);
            let _ = decode(&magic);
        }
    }
}
