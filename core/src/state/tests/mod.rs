// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests that look at several files of the state engine at once, and what they share.

mod after;
mod properties;
mod tables;

use super::context::{Context, Fencing, Negotiated, OnNoData};
use super::{Conn, Disk, Role, State};

/// Small generator with a printable seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.next() & 1 == 1
    }

    pub(crate) fn rarely(&mut self) -> bool {
        self.below(8) == 0
    }

    pub(crate) fn state(&mut self) -> State {
        State {
            role: self.of(&[Role::Primary, Role::Secondary]),
            peer: self.of(Role::ALL),
            conn: self.of(Conn::ALL),
            disk: self.of(Disk::ALL),
            pdsk: self.of(Disk::ALL),
            susp: self.rarely(),
            susp_nod: self.rarely(),
            susp_fen: self.rarely(),
            aftr_isp: self.rarely(),
            peer_isp: self.rarely(),
            user_isp: self.rarely(),
        }
    }

    pub(crate) fn context(&mut self) -> Context {
        Context {
            apv: self.of(&[86, 88, 95, 96, 101]),
            two_primaries: self.flip(),
            fencing: self.of(Fencing::ALL),
            on_no_data: self.of(OnNoData::ALL),
            verify_alg: self.flip(),
            device_open: self.rarely(),
            other_peer_primary: self.rarely(),
            state_sent: self.rarely(),
            negotiating: Some(Negotiated {
                disk: self.of(&[
                    Disk::Inconsistent,
                    Disk::Outdated,
                    Disk::Consistent,
                    Disk::UpToDate,
                ]),
                pdsk: self.of(&[Disk::Unknown, Disk::Outdated]),
                data_unchanged: self.flip(),
            })
            .filter(|_| self.flip()),
            invalidated: self.rarely(),
            target_may_be_good: self.rarely(),
        }
    }
}

/// Nothing special configured.
const C: Context = Context::DEFAULT;
/// Neither disk nor peer.
const DOWN: State = State::UNCONFIGURED;
/// Two good disks, connected.
const UP: State = State {
    peer: Role::Secondary,
    conn: Conn::Connected,
    disk: Disk::UpToDate,
    pdsk: Disk::UpToDate,
    ..State::UNCONFIGURED
};
