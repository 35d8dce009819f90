// SPDX-License-Identifier: GPL-2.0-or-later
//! States as API version 2 (DRBD 9) shows them.
//!
//! DRBD 9 splits the one ladder of [`Conn`] into a connection state and a replication state, and has one more disk
//! state, `Detaching`, which shifts the numbers behind it (drbd9-api.md section 7).

use super::model::{numbered_enum, Conn, Disk};

numbered_enum! {
    /// Connection state of API version 2.
    CState {
        /// Not configured, or given up.
        StandAlone = 0 "StandAlone",
        /// On the way to `StandAlone`.
        Disconnecting = 1 "Disconnecting",
        /// About to try again.
        Unconnected = 2 "Unconnected",
        /// The peer did not answer in time.
        Timeout = 3 "Timeout",
        /// Closed by the peer.
        BrokenPipe = 4 "BrokenPipe",
        /// The network failed.
        NetworkFailure = 5 "NetworkFailure",
        /// The peer broke the protocol.
        ProtocolError = 6 "ProtocolError",
        /// The peer asked to disconnect.
        TearDown = 7 "TearDown",
        /// Looking for the peer.
        Connecting = 8 "Connecting",
        /// The sockets are up.
        Connected = 9 "Connected",
    }
}

numbered_enum! {
    /// Replication state of API version 2.
    Repl {
        /// Not replicating.
        Off = 9 "Off",
        /// Replicating, nothing to resynchronise.
        Established = 10 "Established",
        /// As [`Conn::StartingSyncS`].
        StartingSyncS = 11 "StartingSyncS",
        /// As [`Conn::StartingSyncT`].
        StartingSyncT = 12 "StartingSyncT",
        /// As [`Conn::WfBitMapS`].
        WfBitMapS = 13 "WFBitMapS",
        /// As [`Conn::WfBitMapT`].
        WfBitMapT = 14 "WFBitMapT",
        /// As [`Conn::WfSyncUuid`].
        WfSyncUuid = 15 "WFSyncUUID",
        /// As [`Conn::SyncSource`].
        SyncSource = 16 "SyncSource",
        /// As [`Conn::SyncTarget`].
        SyncTarget = 17 "SyncTarget",
        /// As [`Conn::VerifyS`].
        VerifyS = 18 "VerifyS",
        /// As [`Conn::VerifyT`].
        VerifyT = 19 "VerifyT",
        /// As [`Conn::PausedSyncS`].
        PausedSyncS = 20 "PausedSyncS",
        /// As [`Conn::PausedSyncT`].
        PausedSyncT = 21 "PausedSyncT",
        /// As [`Conn::Ahead`].
        Ahead = 22 "Ahead",
        /// As [`Conn::Behind`].
        Behind = 23 "Behind",
    }
}

impl Conn {
    /// The connection part: everything from WFReportParams on is `Connected`.
    pub fn cstate(self) -> CState {
        CState::from_number(self.number()).unwrap_or(CState::Connected)
    }

    /// The replication part: everything below Connected is `Off`.
    pub fn repl(self) -> Repl {
        Repl::from_number(self.number()).unwrap_or(Repl::Off)
    }
}

impl Disk {
    /// Number in API version 2, where 2 is `Detaching`, which is never reached here.
    pub const fn v2_number(self) -> u8 {
        match self {
            Disk::Diskless => 0,
            Disk::Attaching => 1,
            Disk::Failed => 3,
            Disk::Negotiating => 4,
            Disk::Inconsistent => 5,
            Disk::Outdated => 6,
            Disk::Unknown => 7,
            Disk::Consistent => 8,
            Disk::UpToDate => 9,
        }
    }

    /// The disk state with this number in API version 2; `Detaching` is shown to old peers and tools as `Failed`.
    pub const fn from_v2_number(number: u8) -> Option<Disk> {
        match number {
            0 => Some(Disk::Diskless),
            1 => Some(Disk::Attaching),
            2 | 3 => Some(Disk::Failed),
            4 => Some(Disk::Negotiating),
            5 => Some(Disk::Inconsistent),
            6 => Some(Disk::Outdated),
            7 => Some(Disk::Unknown),
            8 => Some(Disk::Consistent),
            9 => Some(Disk::UpToDate),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_splits_at_wf_report_params() {
        for (conn, cstate, repl) in [
            (Conn::StandAlone, "StandAlone", "Off"),
            (Conn::WfConnection, "Connecting", "Off"),
            (Conn::WfReportParams, "Connected", "Off"),
            (Conn::Connected, "Connected", "Established"),
            (Conn::SyncTarget, "Connected", "SyncTarget"),
            (Conn::Behind, "Connected", "Behind"),
        ] {
            assert_eq!((conn.cstate().name(), conn.repl().name()), (cstate, repl));
        }
        // From Connected on the two ladders agree in number and, but for Established, in name.
        for conn in Conn::ALL.iter().filter(|conn| **conn > Conn::Connected) {
            assert_eq!(
                (conn.repl().number(), conn.repl().name()),
                (conn.number(), conn.name())
            );
        }
    }

    #[test]
    fn disk_numbers_shift_behind_detaching() {
        for disk in Disk::ALL {
            assert_eq!(Disk::from_v2_number(disk.v2_number()), Some(*disk));
            let shift = if *disk >= Disk::Failed { 1 } else { 0 };
            assert_eq!(disk.v2_number(), disk.number() + shift);
        }
        assert_eq!(Disk::from_v2_number(2), Some(Disk::Failed));
        assert_eq!(Disk::from_v2_number(10), None);
    }
}
