// SPDX-License-Identifier: GPL-2.0-or-later
//! States with the numbers and words of DRBD 9 (drbd9-api.md section 7).

macro_rules! states {
    ($(#[$doc:meta])* $name:ident default $default:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Name of the type, for those who describe the interface.
            pub const TYPE_NAME: &'static str = stringify!($name);

            /// Every value in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Number on the wire of the control interface.
            pub const fn number(self) -> u32 {
                match self { $(Self::$variant => $number),+ }
            }

            /// The value with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The word that users see.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

states! {
    /// Role of a node in a resource.
    Role default Unknown {
        /// Not known.
        Unknown = 0 "Unknown",
        /// May write.
        Primary = 1 "Primary",
        /// May not write.
        Secondary = 2 "Secondary",
    }
}
states! {
    /// State of a disk, local or of a peer.
    DiskState default Diskless {
        /// No disk.
        Diskless = 0 "Diskless",
        /// Reading the metadata.
        Attaching = 1 "Attaching",
        /// Letting go of the disk.
        Detaching = 2 "Detaching",
        /// Failed.
        Failed = 3 "Failed",
        /// Attached while connected; comparing with the peer.
        Negotiating = 4 "Negotiating",
        /// Part of the data is old.
        Inconsistent = 5 "Inconsistent",
        /// Consistent, but known to be old.
        Outdated = 6 "Outdated",
        /// Unknown (peers only).
        DUnknown = 7 "DUnknown",
        /// Consistent; whether it is current shows when connected.
        Consistent = 8 "Consistent",
        /// Current.
        UpToDate = 9 "UpToDate",
    }
}
states! {
    /// State of a connection.
    ConnectionState default StandAlone {
        /// Not configured to connect.
        StandAlone = 0 "StandAlone",
        /// On the way to StandAlone.
        Disconnecting = 1 "Disconnecting",
        /// About to connect.
        Unconnected = 2 "Unconnected",
        /// The peer did not answer in time.
        Timeout = 3 "Timeout",
        /// The socket broke.
        BrokenPipe = 4 "BrokenPipe",
        /// The network failed.
        NetworkFailure = 5 "NetworkFailure",
        /// The peer sent nonsense.
        ProtocolError = 6 "ProtocolError",
        /// The peer closes the connection.
        TearDown = 7 "TearDown",
        /// Waiting for the peer.
        Connecting = 8 "Connecting",
        /// Connected.
        Connected = 9 "Connected",
    }
}
states! {
    /// State of replication and resync of one volume with one peer.
    ReplicationState default Off {
        /// Not connected.
        Off = 9 "Off",
        /// Replicating.
        Established = 10 "Established",
        /// Full resync asked for, as source.
        StartingSyncS = 11 "StartingSyncS",
        /// Full resync asked for, as target.
        StartingSyncT = 12 "StartingSyncT",
        /// Bitmaps are exchanged, as source.
        WFBitMapS = 13 "WFBitMapS",
        /// Bitmaps are exchanged, as target.
        WFBitMapT = 14 "WFBitMapT",
        /// Waiting for the UUID of the resync.
        WFSyncUUID = 15 "WFSyncUUID",
        /// Resync runs, from here.
        SyncSource = 16 "SyncSource",
        /// Resync runs, to here.
        SyncTarget = 17 "SyncTarget",
        /// Online verify runs, started here.
        VerifyS = 18 "VerifyS",
        /// Online verify runs, started by the peer.
        VerifyT = 19 "VerifyT",
        /// Resync paused, from here.
        PausedSyncS = 20 "PausedSyncS",
        /// Resync paused, to here.
        PausedSyncT = 21 "PausedSyncT",
        /// Not replicating because of congestion.
        Ahead = 22 "Ahead",
        /// The peer is Ahead.
        Behind = 23 "Behind",
    }
}
states! {
    /// How the order of dependent writes is kept on the backing device.
    WriteOrdering default None {
        /// Not at all.
        None = 0 "none",
        /// By waiting for completion.
        Drain = 1 "drain",
        /// By waiting and flushing.
        Flush = 2 "flush",
        /// By barrier requests.
        Barrier = 3 "barrier",
    }
}
states! {
    /// Which time limit a wait command should use.
    TimeoutType default Default {
        /// wfc-timeout.
        Default = 0 "default",
        /// degr-wfc-timeout.
        Degraded = 1 "degraded",
        /// outdated-wfc-timeout.
        PeerOutdated = 2 "peer-outdated",
    }
}
states! {
    /// What a notification says about its object.
    NotificationKind default Exists {
        /// It is there (initial state).
        Exists = 0 "exists",
        /// It was created.
        Create = 1 "create",
        /// It changed.
        Change = 2 "change",
        /// It is gone.
        Destroy = 3 "destroy",
        /// A helper is called.
        Call = 4 "call",
        /// A helper ended.
        Response = 5 "response",
        /// It was renamed.
        Rename = 6 "rename",
    }
}

/// Bits of `DeviceStatistics::disk_flags`.
pub mod disk_flags {
    /// The data is consistent.
    pub const CONSISTENT: u32 = 1;
    /// The node is or was Primary.
    pub const PRIMARY_IND: u32 = 2;
    /// The data was UpToDate.
    pub const WAS_UP_TO_DATE: u32 = 0x10;
    /// A crashed Primary that has not met its peer since.
    pub const CRASHED_PRIMARY: u32 = 0x40;
    /// The activity log was applied.
    pub const AL_CLEAN: u32 = 0x80;
    /// The activity log was off.
    pub const AL_DISABLED: u32 = 0x100;
    /// The node was Primary when it lost quorum.
    pub const PRIMARY_LOST_QUORUM: u32 = 0x200;
    /// The node has quorum.
    pub const HAVE_QUORUM: u32 = 0x400;
}

/// Bits of `PeerDeviceStatistics::flags`.
pub mod peer_flags {
    /// The peer is or was connected.
    pub const CONNECTED: u32 = 1;
    /// The peer's data is outdated.
    pub const OUTDATED: u32 = 2;
    /// A fencing policy was in force.
    pub const FENCING: u32 = 4;
    /// Marking everything out of sync was under way.
    pub const FULL_SYNC: u32 = 8;
    /// The peer was seen with a disk.
    pub const DEVICE_SEEN: u32 = 0x10;
    /// The peer is known.
    pub const NODE_EXISTS: u32 = 0x1_0000;
    /// There is a bitmap for the peer.
    pub const HAVE_BITMAP: u32 = 0x8000_0000;
}

/// Bit of `PeerDeviceStatistics::uuid_flags`: the peer's data generation is not about to change.
pub const UUID_FLAG_STABLE: u64 = 0x20;
