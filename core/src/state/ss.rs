// SPDX-License-Identifier: GPL-2.0-or-later
//! Results of state changes, as they travel to the peer and to the administrator.
//!
//! The numbers are part of the wire protocol and of the netlink interface; the texts are the ones `drbdsetup` prints
//! (drbd9-api.md section 9). replication-semantics.md section 11.3 says when each is given.

macro_rules! codes {
    ( $( $(#[$meta:meta])* $variant:ident = $number:literal $text:literal, )+ ) => {
        /// Result of a state change: above zero is success, zero and below a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum Ss { $( $(#[$meta])* $variant = $number, )+ }

        impl Ss {
            /// Every code, from the largest number down.
            pub const ALL: &'static [Ss] = &[ $( Ss::$variant, )+ ];

            /// The code with this number.
            pub const fn from_number(number: i32) -> Option<Ss> {
                match number {
                    $( $number => Some(Ss::$variant), )+
                    _ => None,
                }
            }

            /// The number on the wire and in `ret_code`.
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// What `drbdsetup` tells the user.
            pub const fn text(self) -> &'static str {
                match self {
                    $( Ss::$variant => $text, )+
                }
            }
        }
    };
}

codes! {
    /// The change stopped being one that the peer has to agree to.
    CwNoNeed = 4 "Cluster wide state change nothing to do",
    /// The peer agreed.
    CwSuccess = 3 "Success on cluster level",
    /// Everything is already as wanted.
    NothingToDo = 2 "State change nothing to do",
    /// Done.
    Success = 1 "State change success",
    /// Internal; also an answer that cannot be understood.
    UnknownError = 0 "Unknown error",
    /// Both nodes would be Primary and that is not configured.
    TwoPrimaries = -1 "Multiple primaries not allowed by config",
    /// Nobody would have up-to-date data.
    NoUpToDateDisk = -2 "Need access to UpToDate data",
    /// Resync without own disk.
    NoLocalDisk = -4 "Can not resync without local disk",
    /// Resync without the peer's disk.
    NoRemoteDisk = -5 "Can not resync without remote disk",
    /// A connected disk cannot be Outdated.
    ConnectedOutdates = -6 "Refusing to be Outdated while Connected",
    /// The peer has to be outdated first.
    PrimaryNop = -7 "Refusing to be Primary while peer is not outdated",
    /// Resync or verify runs already.
    ResyncRunning = -8 "Can not start OV/resync since it is already active",
    /// Nothing to disconnect.
    AlreadyStandAlone = -9 "Can not disconnect a StandAlone device",
    /// The peer vetoed.
    CwFailedByPeer = -10 "State change was refused by peer node",
    /// There is no disk.
    IsDiskless = -11 "Device is diskless, the requested operation requires a disk",
    /// Somebody has the device open.
    DeviceInUse = -12 "Device is held open by someone",
    /// There is no connection to bring up.
    NoNetConfig = -13 "Have no net/connection configuration",
    /// `verify-alg` is not set.
    NoVerifyAlg = -14 "Need a verify algorithm to start online verify",
    /// Needs a connection.
    NeedConnection = -15 "State change requires a connection",
    /// The disk is worse than Outdated already.
    LowerThanOutdated = -16 "Disk state is lower than outdated",
    /// The peer's protocol does not know this.
    NotSupported = -17 "Peer does not support protocol",
    /// Not now; try again after the next state change.
    InTransientState = -18 "In transient state, retry after next state change",
    /// Both nodes asked at the same time.
    ConcurrentStateChange = -19 "Concurrent state changes detected and aborted",
    /// Another volume is Primary on the peer.
    OtherVolumePeerPrimary = -20 "Other vol primary on peer not allowed by config",
    /// Outdating the peer needs a connection.
    OutdateWithoutConnection = -21 "Interrupted state change",
}

impl Ss {
    /// Whether the change took or takes place.
    pub const fn is_success(self) -> bool {
        self.number() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_unknown_ones_are_none() {
        for code in Ss::ALL {
            assert_eq!(Ss::from_number(code.number()), Some(*code));
            assert_eq!(code.is_success(), code.number() > 0);
            assert!(!code.text().is_empty());
        }
        assert_eq!(Ss::from_number(-3), None);
        assert_eq!(Ss::from_number(-22), None);
        assert_eq!(Ss::from_number(5), None);
    }
}
