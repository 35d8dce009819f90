// SPDX-License-Identifier: GPL-2.0-or-later
//! Questions the request path asks of a state.
//!
//! Each answer is a fact about one peer; for N peers the request path asks once per peer.
//! replication-semantics.md section 6.1.

use super::model::{Conn, Disk, State};

impl State {
    /// Whether new application I/O is admitted: neither the bitmap exchange nor an attach is in a phase that would
    /// lose track of a write. `apv` is the agreed protocol version.
    pub fn is_stable(self, apv: u8) -> bool {
        let conn_stable = match self.conn {
            Conn::WfBitMapT | Conn::WfSyncUuid => false,
            Conn::WfBitMapS => apv >= 96,
            Conn::StandAlone
            | Conn::Disconnecting
            | Conn::Unconnected
            | Conn::Timeout
            | Conn::BrokenPipe
            | Conn::NetworkFailure
            | Conn::ProtocolError
            | Conn::TearDown
            | Conn::WfConnection
            | Conn::WfReportParams
            | Conn::Connected
            | Conn::StartingSyncS
            | Conn::StartingSyncT
            | Conn::SyncSource
            | Conn::SyncTarget
            | Conn::VerifyS
            | Conn::VerifyT
            | Conn::PausedSyncS
            | Conn::PausedSyncT
            | Conn::Ahead
            | Conn::Behind => true,
        };
        conn_stable
            && !matches!(
                self.disk,
                Disk::Attaching | Disk::Negotiating | Disk::Unknown
            )
    }

    /// Whether a write is mirrored to the peer. A change of this answer begins a new epoch, because replicated and
    /// unreplicated writes must not share one.
    pub fn replicates(self) -> bool {
        self.pdsk == Disk::UpToDate
            || self.pdsk >= Disk::Inconsistent
                && self.conn >= Conn::WfBitMapT
                && self.conn < Conn::Ahead
    }

    /// Whether the peer is told by P_OUT_OF_SYNC about a write that is not mirrored.
    ///
    /// Both this and [`State::replicates`] hold only when the peer's disk is UpToDate, which the sanitizer excludes.
    pub fn sends_out_of_sync(self) -> bool {
        matches!(self.conn, Conn::Ahead | Conn::WfBitMapS)
    }

    /// Whether this node is in a resync or verify that a lost disk or connection aborts.
    pub fn resyncs(self) -> bool {
        self.conn >= Conn::SyncSource && self.conn <= Conn::PausedSyncT
    }

    /// Whether some copy of the data is known to be current; a write without any is refused or frozen.
    pub fn has_up_to_date_data(self) -> bool {
        self.disk == Disk::UpToDate || self.pdsk == Disk::UpToDate
    }

    /// Whether the own disk may be read where no block of the range is out of sync (UpToDate: anywhere).
    pub fn reads_locally(self, range_in_sync: bool) -> bool {
        self.disk == Disk::UpToDate || self.disk == Disk::Inconsistent && range_in_sync
    }

    /// Whether the peer can be asked to read.
    pub fn reads_remotely(self) -> bool {
        self.pdsk == Disk::UpToDate
    }
}

#[cfg(test)]
mod tests {
    use super::super::sanitize::{sanitize, CLAMPS};
    use super::super::Context;
    use super::*;

    fn at(conn: Conn, disk: Disk, pdsk: Disk) -> State {
        State {
            conn,
            disk,
            pdsk,
            ..State::UNCONFIGURED
        }
    }

    #[test]
    fn the_bitmap_exchange_holds_io_on_the_target_only() {
        assert!(!at(Conn::WfBitMapT, Disk::Inconsistent, Disk::UpToDate).is_stable(101));
        assert!(!at(Conn::WfSyncUuid, Disk::Inconsistent, Disk::UpToDate).is_stable(101));
        assert!(at(Conn::WfBitMapS, Disk::UpToDate, Disk::Consistent).is_stable(96));
        assert!(!at(Conn::WfBitMapS, Disk::UpToDate, Disk::Consistent).is_stable(95));
        assert!(!at(Conn::Connected, Disk::Negotiating, Disk::UpToDate).is_stable(101));
        assert!(at(Conn::Connected, Disk::Diskless, Disk::UpToDate).is_stable(101));
    }

    #[test]
    fn where_a_write_goes() {
        for (conn, pdsk, data, oos) in [
            (Conn::Connected, Disk::UpToDate, true, false),
            (Conn::Connected, Disk::Inconsistent, false, false),
            (Conn::WfBitMapS, Disk::Consistent, false, true),
            (Conn::SyncSource, Disk::Inconsistent, true, false),
            (Conn::PausedSyncS, Disk::Inconsistent, true, false),
            (Conn::Ahead, Disk::Consistent, false, true),
            (Conn::WfConnection, Disk::Unknown, false, false),
            (Conn::WfConnection, Disk::Outdated, false, false),
            (Conn::Connected, Disk::Diskless, false, false),
        ] {
            let state = at(conn, Disk::UpToDate, pdsk);
            assert_eq!(
                (state.replicates(), state.sends_out_of_sync()),
                (data, oos),
                "{conn:?} {pdsk:?}"
            );
        }
    }

    #[test]
    fn no_sane_state_sends_a_write_twice() {
        for clamp in &CLAMPS {
            for disk in Disk::ALL {
                for pdsk in Disk::ALL {
                    let wish = at(clamp.conn, *disk, *pdsk);
                    let state = sanitize(wish, wish, &Context::DEFAULT).state;
                    assert!(
                        !(state.replicates() && state.sends_out_of_sync()),
                        "{state:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn reads() {
        assert!(at(Conn::Connected, Disk::UpToDate, Disk::Diskless).reads_locally(false));
        assert!(at(Conn::SyncTarget, Disk::Inconsistent, Disk::UpToDate).reads_locally(true));
        assert!(!at(Conn::SyncTarget, Disk::Inconsistent, Disk::UpToDate).reads_locally(false));
        assert!(!at(Conn::WfConnection, Disk::Outdated, Disk::Unknown).reads_locally(true));
        assert!(!at(Conn::SyncSource, Disk::UpToDate, Disk::Inconsistent).reads_remotely());
    }
}
