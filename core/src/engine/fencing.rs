// SPDX-License-Identifier: GPL-2.0-or-later
//! When a peer that is lost has to be fenced, and what the program that does it says.
//!
//! replication-semantics section 12. The host runs `fence-peer` without any lock, one at a time for
//! a connection, when a connection of a Primary has ended and when a promotion needs it. The answer
//! counts for each volume only if no connection was begun meanwhile: see `Volume::links`.

use crate::state::{
    promote::{fence_peer_result, Fenced},
    summary::Summary,
    Disk, Fencing, Role, State,
};

/// What to do about a peer that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Run the handler.
    Handler,
    /// No policy asks for it: the peer counts as fenced.
    Needless,
    /// No volume is good enough to speak for the resource: nobody is fenced, and I/O does not
    /// stand still for it.
    Unable,
}

/// Whether the end of a connection calls for fencing, `states` being those of its volumes.
pub fn is_due(states: impl IntoIterator<Item = State>) -> bool {
    let all = Summary::of(states);
    all.role == Role::Primary && all.pdsk_highest >= Disk::Unknown
}

/// What policy `fencing` asks for.
pub fn call(states: impl IntoIterator<Item = State>, fencing: Fencing) -> Call {
    let consistent = |state: State| state.disk >= Disk::Consistent;
    match (states.into_iter().any(consistent), fencing) {
        (false, _) => Call::Unable,
        (true, Fencing::DontCare) => Call::Needless,
        (true, Fencing::ResourceOnly | Fencing::ResourceAndStonith) => Call::Handler,
    }
}

/// What exit code `exit_code` of the handler means.
pub fn answer(states: impl IntoIterator<Item = State>, exit_code: u8, fencing: Fencing) -> Fenced {
    fence_peer_result(exit_code, Summary::of(states).disk_highest, fencing)
}

/// Whether the peer can do no harm: none of its disks may pass for a good one.
pub fn is_fenced(states: impl IntoIterator<Item = State>) -> bool {
    Summary::of(states).pdsk_highest <= Disk::Outdated
}

/// Whether a peer that was brought up to date may be let go again.
pub fn may_unfence(states: impl IntoIterator<Item = State>, fencing: Fencing) -> bool {
    let good = |state: State| state.disk == Disk::UpToDate && state.pdsk == Disk::UpToDate;
    fencing != Fencing::DontCare && states.into_iter().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Conn;

    const LOST: State = State {
        role: Role::Primary,
        conn: Conn::WfConnection,
        disk: Disk::UpToDate,
        pdsk: Disk::Unknown,
        ..State::UNCONFIGURED
    };

    #[test]
    fn a_primary_fences_a_peer_that_it_does_not_know_to_be_harmless() {
        assert!(is_due([LOST]));
        let outdated = State {
            pdsk: Disk::Outdated,
            ..LOST
        };
        assert!(!is_due([outdated]));
        assert!(is_due([outdated, LOST]));
        let secondary = State {
            role: Role::Secondary,
            ..LOST
        };
        assert!(!is_due([secondary]));
        assert!(is_fenced([outdated]) && !is_fenced([outdated, LOST]));
    }

    #[test]
    fn without_good_data_nobody_is_fenced() {
        let poor = State {
            disk: Disk::Inconsistent,
            ..LOST
        };
        assert_eq!(call([poor], Fencing::ResourceAndStonith), Call::Unable);
        assert_eq!(
            call([poor, LOST], Fencing::ResourceAndStonith),
            Call::Handler
        );
        assert_eq!(call([LOST], Fencing::DontCare), Call::Needless);
    }

    #[test]
    fn a_peer_is_let_go_when_all_volumes_are_good() {
        let good = State {
            pdsk: Disk::UpToDate,
            conn: Conn::Connected,
            ..LOST
        };
        assert!(may_unfence([good], Fencing::ResourceOnly));
        assert!(!may_unfence([good], Fencing::DontCare));
        assert!(!may_unfence([good, LOST], Fencing::ResourceOnly));
    }
}
