// SPDX-License-Identifier: GPL-2.0-or-later
//! The extremes over several peer devices.
//!
//! A connection has volumes and a resource has connections; rules about the whole (fencing, thawing, the role shown
//! for a resource) look at the best or worst member.

use super::model::{Conn, Disk, Role, State};

/// Extremes over a set of states. Of an empty set it is [`Summary::EMPTY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Primary if any is Primary.
    pub role: Role,
    /// Primary if the peer is Primary for any.
    pub peer: Role,
    /// Lowest connection state.
    pub conn_lowest: Conn,
    /// Highest connection state.
    pub conn_highest: Conn,
    /// Lowest own disk.
    pub disk_lowest: Disk,
    /// Highest own disk.
    pub disk_highest: Disk,
    /// Highest disk of the peer.
    pub pdsk_highest: Disk,
}

impl Summary {
    /// Of no state at all: lowest values are as high as can be, highest as low.
    pub const EMPTY: Summary = Summary {
        role: Role::Unknown,
        peer: Role::Unknown,
        conn_lowest: Conn::Behind,
        conn_highest: Conn::StandAlone,
        disk_lowest: Disk::UpToDate,
        disk_highest: Disk::Diskless,
        pdsk_highest: Disk::Diskless,
    };

    /// The extremes of `states`.
    pub fn of(states: impl IntoIterator<Item = State>) -> Summary {
        states
            .into_iter()
            .fold(Summary::EMPTY, |seen, state| Summary {
                role: higher_role(seen.role, state.role),
                peer: higher_role(seen.peer, state.peer),
                conn_lowest: seen.conn_lowest.min(state.conn),
                conn_highest: seen.conn_highest.max(state.conn),
                disk_lowest: seen.disk_lowest.min(state.disk),
                disk_highest: seen.disk_highest.max(state.disk),
                pdsk_highest: seen.pdsk_highest.max(state.pdsk),
            })
    }
}

/// Primary outranks Secondary outranks Unknown, which is not the order of the numbers.
pub fn higher_role(one: Role, other: Role) -> Role {
    match (one, other) {
        (Role::Primary, _) | (_, Role::Primary) => Role::Primary,
        (Role::Secondary, _) | (_, Role::Secondary) => Role::Secondary,
        (Role::Unknown, Role::Unknown) => Role::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes() {
        let one = State {
            peer: Role::Secondary,
            conn: Conn::Connected,
            disk: Disk::UpToDate,
            ..State::UNCONFIGURED
        };
        let two = State {
            peer: Role::Primary,
            conn: Conn::SyncTarget,
            disk: Disk::Inconsistent,
            pdsk: Disk::UpToDate,
            ..one
        };
        let all = Summary::of([one, two]);
        assert_eq!((all.role, all.peer), (Role::Secondary, Role::Primary));
        assert_eq!(
            (all.conn_lowest, all.conn_highest),
            (Conn::Connected, Conn::SyncTarget)
        );
        assert_eq!(
            (all.disk_lowest, all.disk_highest),
            (Disk::Inconsistent, Disk::UpToDate)
        );
        assert_eq!(all.pdsk_highest, Disk::UpToDate);
        assert_eq!(Summary::of([]), Summary::EMPTY);
        assert_eq!(higher_role(Role::Unknown, Role::Secondary), Role::Secondary);
    }
}
