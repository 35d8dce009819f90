// SPDX-License-Identifier: GPL-2.0-or-later
//! The words in which one volume and one peer describe themselves to each other.
//!
//! A [`State`] is what one node believes about one peer device: its own role and disk, the peer's role and disk, the
//! replication state between them and the reasons for which I/O or resync are held. The numbers are those of the wire
//! (wire-protocol.md section 8) because many rules compare them; the renderings of API version 2 are in `render.rs`.

/// Declares an enum whose numbers and user-visible names are stated once, in one table.
macro_rules! numbered_enum {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $number:literal $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $( $(#[$vmeta])* $variant = $number, )+ }

        impl $name {
            /// Every value, in the order of the numbers.
            pub const ALL: &'static [$name] = &[ $( $name::$variant, )+ ];

            /// The value with this number, or `None` when there is none.
            pub const fn from_number(number: u8) -> Option<$name> {
                match number {
                    $( $number => Some($name::$variant), )+
                    _ => None,
                }
            }

            /// The number of this value on the wire and in rules that compare.
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The name as DRBD prints it.
            pub const fn name(self) -> &'static str {
                match self {
                    $( $name::$variant => $text, )+
                }
            }
        }
    };
}
pub(crate) use numbered_enum;

numbered_enum! {
    /// Role of a node for a volume.
    Role {
        /// The peer is not connected, its role cannot be known.
        Unknown = 0 "Unknown",
        /// The volume may be opened for writing.
        Primary = 1 "Primary",
        /// The volume only receives.
        Secondary = 2 "Secondary",
    }
}

numbered_enum! {
    /// Connection and replication state in one ladder, as version 8.4 and the wire number it.
    Conn {
        /// Not configured, or given up.
        StandAlone = 0 "StandAlone",
        /// On the way to `StandAlone`.
        Disconnecting = 1 "Disconnecting",
        /// About to try again.
        Unconnected = 2 "Unconnected",
        /// The peer did not answer in time.
        Timeout = 3 "Timeout",
        /// The connection was closed by the peer.
        BrokenPipe = 4 "BrokenPipe",
        /// The network failed, or the meta connection misbehaved.
        NetworkFailure = 5 "NetworkFailure",
        /// The peer sent what it may not send.
        ProtocolError = 6 "ProtocolError",
        /// The peer asked to disconnect.
        TearDown = 7 "TearDown",
        /// Waiting for the peer to appear.
        WfConnection = 8 "WFConnection",
        /// Sockets are up, the handshake runs.
        WfReportParams = 9 "WFReportParams",
        /// Established, nothing to resynchronise.
        Connected = 10 "Connected",
        /// Full sync as source was asked for.
        StartingSyncS = 11 "StartingSyncS",
        /// Full sync as target was asked for.
        StartingSyncT = 12 "StartingSyncT",
        /// Sending the bitmap as source.
        WfBitMapS = 13 "WFBitMapS",
        /// Waiting for the bitmap of the source.
        WfBitMapT = 14 "WFBitMapT",
        /// Waiting for the sync UUID of the source.
        WfSyncUuid = 15 "WFSyncUUID",
        /// Resync runs from here.
        SyncSource = 16 "SyncSource",
        /// Resync runs to here.
        SyncTarget = 17 "SyncTarget",
        /// Online verify runs, this node asks.
        VerifyS = 18 "VerifyS",
        /// Online verify runs, this node answers.
        VerifyT = 19 "VerifyT",
        /// Resync from here is paused.
        PausedSyncS = 20 "PausedSyncS",
        /// Resync to here is paused.
        PausedSyncT = 21 "PausedSyncT",
        /// Congested: writes are only marked for the peer.
        Ahead = 22 "Ahead",
        /// The peer is `Ahead`.
        Behind = 23 "Behind",
    }
}

impl Conn {
    /// Whether a resync from here runs or is paused.
    #[must_use]
    pub const fn is_sync_source(self) -> bool {
        matches!(self, Conn::SyncSource | Conn::PausedSyncS)
    }
}

numbered_enum! {
    /// State of a disk, own or of the peer.
    Disk {
        /// No backing device.
        Diskless = 0 "Diskless",
        /// Metadata is being read.
        Attaching = 1 "Attaching",
        /// Given up after an error or for a detach.
        Failed = 2 "Failed",
        /// Attached while connected, waiting for the peer's judgement.
        Negotiating = 3 "Negotiating",
        /// Holds a mixture of data generations.
        Inconsistent = 4 "Inconsistent",
        /// Consistent, but the peer went on without it.
        Outdated = 5 "Outdated",
        /// Only of the peer: not connected.
        Unknown = 6 "DUnknown",
        /// Consistent; whether it is up to date is not known while unconnected.
        Consistent = 7 "Consistent",
        /// Holds the current data.
        UpToDate = 8 "UpToDate",
    }
}

/// One node's view of one peer device.
///
/// Order of comparison is by number throughout. Any combination of fields can be written down; which of them are
/// reached is the business of `sanitize` and `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Own role.
    pub role: Role,
    /// Role of the peer.
    pub peer: Role,
    /// Connection and replication.
    pub conn: Conn,
    /// Own disk.
    pub disk: Disk,
    /// Disk of the peer.
    pub pdsk: Disk,
    /// I/O suspended by the administrator.
    pub susp: bool,
    /// I/O suspended because no up-to-date data can be reached.
    pub susp_nod: bool,
    /// I/O suspended while the peer is being fenced.
    pub susp_fen: bool,
    /// Resync held by `resync-after`.
    pub aftr_isp: bool,
    /// Resync held by the peer.
    pub peer_isp: bool,
    /// Resync held by the administrator.
    pub user_isp: bool,
}

impl State {
    /// State of a volume that has neither disk nor peer.
    pub const UNCONFIGURED: State = State {
        role: Role::Secondary,
        peer: Role::Unknown,
        conn: Conn::StandAlone,
        disk: Disk::Diskless,
        pdsk: Disk::Unknown,
        susp: false,
        susp_nod: false,
        susp_fen: false,
        aftr_isp: false,
        peer_isp: false,
        user_isp: false,
    };

    /// The state that a wire word describes, or `None` when a field holds a number without meaning.
    ///
    /// Bits 23..31 are ignored, as every known peer does.
    pub const fn from_word(word: u32) -> Option<State> {
        let (Some(role), Some(peer)) = (
            Role::from_number(bits(word, 0, 0x3)),
            Role::from_number(bits(word, 2, 0x3)),
        ) else {
            return None;
        };
        let Some(conn) = Conn::from_number(bits(word, 4, 0x1f)) else {
            return None;
        };
        let (Some(disk), Some(pdsk)) = (
            Disk::from_number(bits(word, 9, 0xf)),
            Disk::from_number(bits(word, 13, 0xf)),
        ) else {
            return None;
        };
        Some(State {
            role,
            peer,
            conn,
            disk,
            pdsk,
            susp: bits(word, 17, 1) != 0,
            aftr_isp: bits(word, 18, 1) != 0,
            peer_isp: bits(word, 19, 1) != 0,
            user_isp: bits(word, 20, 1) != 0,
            susp_nod: bits(word, 21, 1) != 0,
            susp_fen: bits(word, 22, 1) != 0,
        })
    }

    /// The wire word of this state (host order; the codec swaps it).
    pub const fn to_word(self) -> u32 {
        self.role as u32
            | (self.peer as u32) << 2
            | (self.conn as u32) << 4
            | (self.disk as u32) << 9
            | (self.pdsk as u32) << 13
            | (self.susp as u32) << 17
            | (self.aftr_isp as u32) << 18
            | (self.peer_isp as u32) << 19
            | (self.user_isp as u32) << 20
            | (self.susp_nod as u32) << 21
            | (self.susp_fen as u32) << 22
    }

    /// Whether I/O is held for any reason.
    pub const fn suspended(self) -> bool {
        self.susp || self.susp_nod || self.susp_fen
    }

    /// Whether resync is held for any reason.
    pub const fn resync_held(self) -> bool {
        self.aftr_isp || self.peer_isp || self.user_isp
    }
}

/// A field of the state word; `shift` is below 32 and `mask` fits a byte by construction of the callers above.
const fn bits(word: u32, shift: u32, mask: u8) -> u8 {
    let [low, _, _, _] = word.wrapping_shr(shift).to_le_bytes();
    low & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_word() {
        // wire-protocol.md section 8: seen on the wire.
        let state = State::from_word(0x0001_10a6).unwrap();
        assert_eq!(
            (state.role, state.peer, state.conn, state.disk, state.pdsk),
            (
                Role::Secondary,
                Role::Primary,
                Conn::Connected,
                Disk::UpToDate,
                Disk::UpToDate
            )
        );
        assert_eq!(state.to_word(), 0x0001_10a6);
        assert!(!state.suspended());
    }

    #[test]
    fn every_field_round_trips_and_bad_numbers_are_refused() {
        for conn in Conn::ALL {
            for disk in Disk::ALL {
                for flags in 0..64u32 {
                    let word = 1
                        | (2 << 2)
                        | (u32::from(conn.number()) << 4)
                        | (u32::from(disk.number()) << 9)
                        | (flags << 17);
                    assert_eq!(State::from_word(word).map(State::to_word), Some(word));
                }
            }
        }
        assert_eq!(State::from_word(3), None);
        assert_eq!(State::from_word(3 << 2), None);
        assert_eq!(State::from_word(24 << 4), None);
        assert_eq!(State::from_word(9 << 9), None);
        assert_eq!(State::from_word(15 << 13), None);
    }

    #[test]
    fn names_are_those_of_drbd() {
        assert_eq!(Conn::WfBitMapS.name(), "WFBitMapS");
        assert_eq!(Conn::WfSyncUuid.name(), "WFSyncUUID");
        assert_eq!(Disk::Unknown.name(), "DUnknown");
        assert_eq!(Conn::from_number(24), None);
        assert_eq!(Conn::ALL.len(), 24);
    }
}
