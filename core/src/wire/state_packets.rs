// SPDX-License-Identifier: GPL-2.0-or-later
//! States and requests to change them (wire-protocol section 8). The vocabulary is [`crate::state`]'s.

use super::cursor::{Reader, Writer};
use super::error::WireError;
use crate::state::{Request, Ss, State};

/// P_STATE: a word whose every field means something; bits beyond the known fields are ignored.
pub(super) fn decode_state(reader: &mut Reader<'_>) -> Result<State, WireError> {
    let word = reader.u32()?;
    State::from_word(word).ok_or(WireError::BadValue {
        field: "state",
        value: u64::from(word),
    })
}

/// P_STATE_CHG_REQ and P_CONN_ST_CHG_REQ as the sender sees it; a mask is no state, so anything may stand in it.
pub(super) fn decode_request(reader: &mut Reader<'_>) -> Result<Request, WireError> {
    Ok(Request {
        mask: reader.u32()?,
        val: reader.u32()?,
    })
}

pub(super) fn encode_request(request: &Request, writer: &mut Writer<'_>) -> Result<(), WireError> {
    writer.u32(request.mask)?;
    writer.u32(request.val)
}

/// P_STATE_CHG_REPLY and P_CONN_ST_CHG_REPLY: the number is kept, because newer peers have more codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateReply(pub i32);

impl StateReply {
    /// Whether the peer accepted.
    #[must_use]
    pub const fn accepted(self) -> bool {
        self.0 >= Ss::Success.number()
    }

    /// The code, if these versions know it.
    #[must_use]
    pub const fn ss(self) -> Option<Ss> {
        Ss::from_number(self.0)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self(i32::from_be_bytes(reader.array()?)))
    }

    pub(super) fn encode(self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.bytes(&self.0.to_be_bytes())
    }
}

impl From<Ss> for StateReply {
    fn from(code: Ss) -> Self {
        Self(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_newer_peers_keep_their_number() {
        for code in Ss::ALL {
            let reply = StateReply::from(*code);
            assert_eq!(
                (reply.ss(), reply.accepted()),
                (Some(*code), code.is_success())
            );
        }
        assert_eq!(
            (StateReply(-30).ss(), StateReply(-30).accepted()),
            (None, false)
        );
        assert_eq!((StateReply(9).ss(), StateReply(9).accepted()), (None, true));
    }
}
