// SPDX-License-Identifier: GPL-2.0-or-later
//! How two nodes that connect to each other come to one pair of sockets.
//!
//! Each listens, and each connects: the first socket is for data, and who accepted it makes the
//! second one, for meta (wire-protocol section 1). When both connect at the same moment their
//! sockets cross. The 8.4 driver then always takes the incoming one, so that two of them lose
//! both and try again as a coin says, for seconds. Here the order of the two addresses decides:
//! the same socket wins on both ends. Whatever goes wrong, a peer that decides otherwise
//! included, ends with a dead socket, which is noticed, and another attempt at a random moment.
//!
//! Pure: the host has the sockets and the clock.

/// Which socket of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// For blocks, barriers, states.
    Data,
    /// For acknowledgements and pings.
    Meta,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    Own,
    Peers,
}

/// The periods of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// connect-int.
    pub connect_int_ms: u32,
    /// socket-check-timeout, or ping-timeout in its place: how long a pair has to stay alive
    /// before it is used.
    pub check_ms: u32,
}

/// Crossings that the addresses decide; then it is a coin, for two nodes of which each has the
/// lower address in its own eyes (behind translated addresses).
const DECIDED_CROSSINGS: u8 = 3;

/// Lost sockets after which the next attempt comes soon; then connect-int holds, for a peer that
/// accepts and hangs up.
const SOON: u8 = 8;

/// One search for a pair of sockets.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    data: Option<Origin>,
    meta: Option<Origin>,
    keep_own: bool,
    crossings: u8,
    losses: u8,
}

impl Rendezvous {
    /// `keep_own`: of two crossed sockets, the own one stays; true on exactly one of the nodes.
    #[must_use]
    pub const fn new(keep_own: bool) -> Self {
        Rendezvous {
            data: None,
            meta: None,
            keep_own,
            crossings: 0,
            losses: 0,
        }
    }

    fn place(&mut self, which: Which) -> &mut Option<Origin> {
        match which {
            Which::Data => &mut self.data,
            Which::Meta => &mut self.meta,
        }
    }

    /// What the next own connection has to be; `None` when the pair is complete.
    #[must_use]
    pub const fn missing(&self) -> Option<Which> {
        match (self.data, self.meta) {
            (None, _) => Some(Which::Data),
            (Some(_), None) => Some(Which::Meta),
            (Some(_), Some(_)) => None,
        }
    }

    /// Whether the peer's attempts decide conflicts of writes: this node accepted the meta socket.
    #[must_use]
    pub fn resolves_conflicts(&self) -> bool {
        self.meta == Some(Origin::Peers)
    }

    /// An own connection, of the kind that [`Self::missing`] named, is there.
    pub fn connected(&mut self, which: Which) {
        *self.place(which) = Some(Origin::Own);
    }

    /// The peer connected. True: its socket takes the place of what there is; false: drop it.
    /// `random` is any number.
    #[must_use]
    pub fn accepted(&mut self, which: Which, random: u32) -> bool {
        // A second one of the peer's own: it has given up the first.
        let crossed = *self.place(which) == Some(Origin::Own);
        if crossed {
            self.crossings = self.crossings.saturating_add(1);
        }
        let keep_own = if self.crossings > DECIDED_CROSSINGS {
            random & 1 == 0
        } else {
            self.keep_own
        };
        if crossed && keep_own {
            return false;
        }
        *self.place(which) = Some(Origin::Peers);
        true
    }

    /// A socket of the pair is dead.
    pub fn lost(&mut self, which: Which) {
        if self.place(which).take().is_some() {
            self.losses = self.losses.saturating_add(1);
        }
    }

    /// How long to wait for the peer before the next own connection, or, with a complete pair,
    /// before it is used. `random` is any number: two nodes with the same period would miss each
    /// other for ever.
    #[must_use]
    pub fn wait_ms(&self, timing: &Timing, random: u32) -> u32 {
        let jitter = |ms: u32| random.checked_rem(ms).unwrap_or(0);
        match (self.data, self.meta) {
            (Some(_), Some(_)) => timing.check_ms,
            // The peer makes the meta socket, at once if it is there at all.
            (Some(Origin::Own), None) => 700u32.saturating_add(jitter(800)),
            // It just could not be reached, while it reached us.
            (Some(Origin::Peers), None) | (None, Some(_)) => 200u32.saturating_add(jitter(500)),
            (None, None) if (1..=SOON).contains(&self.losses) => 100u32.saturating_add(jitter(900)),
            (None, None) => {
                let seventh = timing.connect_int_ms / 7;
                timing
                    .connect_int_ms
                    .saturating_sub(seventh)
                    .saturating_add(jitter(seventh.saturating_mul(2)))
            }
        }
    }
}
