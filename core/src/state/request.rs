// SPDX-License-Identifier: GPL-2.0-or-later
//! A wish to change some fields of a state and leave the others alone.
//!
//! This is what an administrator's command becomes and what P_STATE_CHG_REQ carries (wire-protocol.md section 8): a
//! mask word and a value word in the layout of [`State::to_word`]. Naming only the wished fields lets the change be
//! applied to whatever the state has become when the peer's answer arrives.

use super::model::{Conn, Disk, Role, State};
use super::ss::Ss;

/// Masks of the fields of the state word.
mod field {
    pub(super) const ROLE: u32 = 0x3;
    pub(super) const PEER: u32 = 0x3 << 2;
    pub(super) const CONN: u32 = 0x1f << 4;
    pub(super) const DISK: u32 = 0xf << 9;
    pub(super) const PDSK: u32 = 0xf << 13;
    pub(super) const SUSP: u32 = 1 << 17;
    pub(super) const AFTR_ISP: u32 = 1 << 18;
    pub(super) const PEER_ISP: u32 = 1 << 19;
    pub(super) const USER_ISP: u32 = 1 << 20;
    pub(super) const SUSP_NOD: u32 = 1 << 21;
    pub(super) const SUSP_FEN: u32 = 1 << 22;
    /// Bits that a peer copies unchanged when it turns a request around.
    pub(super) const KEPT: u32 = SUSP | SUSP_NOD | SUSP_FEN | 0xff80_0000;
}

/// Which fields to change (`mask`) and to what (`val`), as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Request {
    /// All bits of every field that is to change.
    pub mask: u32,
    /// New values of those fields.
    pub val: u32,
}

impl Request {
    /// Changes nothing; the start of a request.
    pub const NONE: Request = Request { mask: 0, val: 0 };

    const fn with(self, mask: u32, val: u32) -> Request {
        Request {
            mask: self.mask | mask,
            val: (self.val & !mask) | (val & mask),
        }
    }

    /// Whether it is about the role of a node.
    pub const fn touches_role(self) -> bool {
        self.mask & (field::ROLE | field::PEER) != 0
    }

    /// Also change the own role.
    pub const fn role(self, role: Role) -> Request {
        self.with(field::ROLE, role.number() as u32)
    }

    /// Also change the peer's role.
    pub const fn peer(self, peer: Role) -> Request {
        self.with(field::PEER, (peer.number() as u32) << 2)
    }

    /// Also change the connection state.
    pub const fn conn(self, conn: Conn) -> Request {
        self.with(field::CONN, (conn.number() as u32) << 4)
    }

    /// Also change the own disk.
    pub const fn disk(self, disk: Disk) -> Request {
        self.with(field::DISK, (disk.number() as u32) << 9)
    }

    /// Also change the peer's disk.
    pub const fn pdsk(self, pdsk: Disk) -> Request {
        self.with(field::PDSK, (pdsk.number() as u32) << 13)
    }

    /// Also change the administrator's suspension of I/O.
    pub const fn susp(self, on: bool) -> Request {
        self.with(field::SUSP, (on as u32) << 17)
    }

    /// Also change the suspension for want of data.
    pub const fn susp_nod(self, on: bool) -> Request {
        self.with(field::SUSP_NOD, (on as u32) << 21)
    }

    /// Also change the suspension for fencing.
    pub const fn susp_fen(self, on: bool) -> Request {
        self.with(field::SUSP_FEN, (on as u32) << 22)
    }

    /// Also change the pause by `resync-after`.
    pub const fn aftr_isp(self, on: bool) -> Request {
        self.with(field::AFTR_ISP, (on as u32) << 18)
    }

    /// Also change the peer's pause.
    pub const fn peer_isp(self, on: bool) -> Request {
        self.with(field::PEER_ISP, (on as u32) << 19)
    }

    /// Also change the administrator's pause.
    pub const fn user_isp(self, on: bool) -> Request {
        self.with(field::USER_ISP, (on as u32) << 20)
    }

    /// Whether the request names the peer's disk (a promotion that outdates the peer does).
    pub const fn names_pdsk(self) -> bool {
        self.mask & field::PDSK != 0
    }

    /// The request without a wish for the peer's disk.
    pub const fn without_pdsk(self) -> Request {
        Request {
            mask: self.mask & !field::PDSK,
            val: self.val & !field::PDSK,
        }
    }

    /// `state` with the named fields changed, before any rule is applied.
    ///
    /// # Errors
    ///
    /// [`Ss::UnknownError`] when a field would hold a number without meaning: a request from a peer may say anything.
    pub const fn apply_to(self, state: State) -> Result<State, Ss> {
        match State::from_word((state.to_word() & !self.mask) | (self.val & self.mask)) {
            Some(state) => Ok(state),
            None => Err(Ss::UnknownError),
        }
    }

    /// The same request seen from the other node: own and peer swap places (wire-protocol.md section 8).
    ///
    /// Connection values that mean nothing from the other side become 0, StandAlone.
    pub const fn converted(self) -> Request {
        Request {
            mask: convert_word(self.mask),
            val: convert_word(self.val),
        }
    }
}

/// Turns one word around. Works on bits, because a mask is not a state.
const fn convert_word(word: u32) -> u32 {
    let role = word & field::ROLE;
    let peer = (word & field::PEER) >> 2;
    let disk = (word & field::DISK) >> 9;
    let pdsk = (word & field::PDSK) >> 13;
    let paused = word & (field::AFTR_ISP | field::USER_ISP) != 0;
    peer | role << 2
        | convert_conn((word & field::CONN) >> 4) << 4
        | pdsk << 9
        | disk << 13
        | (paused as u32) << 19
        | word & field::KEPT
}

/// The connection state that a node asks of its peer when it takes `conn` itself.
const fn convert_conn(conn: u32) -> u32 {
    const TABLE: [(Conn, Conn); 6] = [
        (Conn::WfReportParams, Conn::WfReportParams),
        (Conn::Connected, Conn::Connected),
        (Conn::StartingSyncS, Conn::StartingSyncT),
        (Conn::StartingSyncT, Conn::StartingSyncS),
        (Conn::Disconnecting, Conn::TearDown),
        (Conn::VerifyS, Conn::VerifyT),
    ];
    if conn == field::CONN >> 4 {
        return conn; // The mask is all ones.
    }
    let mut rest: &[(Conn, Conn)] = &TABLE;
    while let [(own, peer), tail @ ..] = rest {
        if own.number() as u32 == conn {
            return peer.number() as u32;
        }
        rest = tail;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_seen_on_the_wire() {
        // wire-protocol.md section 8, examples of a capture.
        let promote = Request::NONE.role(Role::Primary);
        assert_eq!((promote.mask, promote.val), (0x3, 0x1));
        assert!(promote.touches_role() && !Request::NONE.disk(Disk::Failed).touches_role());
        let force = promote.disk(Disk::UpToDate);
        assert_eq!((force.mask, force.val), (0x1e03, 0x1001));
        let verify = Request::NONE.conn(Conn::VerifyS);
        assert_eq!((verify.mask, verify.val), (0x1f0, 0x120));
        let detach = Request::NONE.disk(Disk::Failed);
        assert_eq!((detach.mask, detach.val), (0x1e00, 0x400));
        let disconnect = Request::NONE.conn(Conn::Disconnecting);
        assert_eq!((disconnect.mask, disconnect.val), (0x1f0, 0x10));
    }

    #[test]
    fn the_peer_sees_the_mirror_image() {
        let cases = [
            (
                Request::NONE.role(Role::Primary),
                Request::NONE.peer(Role::Primary),
            ),
            (
                Request::NONE.disk(Disk::Failed),
                Request::NONE.pdsk(Disk::Failed),
            ),
            (
                Request::NONE.pdsk(Disk::Outdated),
                Request::NONE.disk(Disk::Outdated),
            ),
            (
                Request::NONE.conn(Conn::Disconnecting),
                Request::NONE.conn(Conn::TearDown),
            ),
            (
                Request::NONE.conn(Conn::VerifyS),
                Request::NONE.conn(Conn::VerifyT),
            ),
            (
                Request::NONE.conn(Conn::StartingSyncT),
                Request::NONE.conn(Conn::StartingSyncS),
            ),
            (Request::NONE.user_isp(true), Request::NONE.peer_isp(true)),
            (Request::NONE.susp(true), Request::NONE.susp(true)),
        ];
        for (mine, yours) in cases {
            assert_eq!(mine.converted(), yours);
        }
        // What means nothing over there is StandAlone.
        assert_eq!(Request::NONE.conn(Conn::SyncTarget).converted().val, 0);
    }

    #[test]
    fn unnamed_fields_stay_and_nonsense_is_refused() {
        let state = State {
            disk: Disk::UpToDate,
            ..State::UNCONFIGURED
        };
        let changed = Request::NONE.role(Role::Primary).apply_to(state).unwrap();
        assert_eq!(
            changed,
            State {
                role: Role::Primary,
                ..state
            }
        );
        assert_eq!(
            Request {
                mask: 0x3,
                val: 0x3
            }
            .apply_to(state),
            Err(Ss::UnknownError)
        );
        assert_eq!(
            Request {
                mask: 0x1f0,
                val: 30 << 4
            }
            .apply_to(state),
            Err(Ss::UnknownError)
        );
    }

    #[test]
    fn dropping_the_peer_disk_keeps_the_rest() {
        let both = Request::NONE.role(Role::Primary).pdsk(Disk::Outdated);
        assert!(both.names_pdsk());
        assert_eq!(both.without_pdsk(), Request::NONE.role(Role::Primary));
    }
}
