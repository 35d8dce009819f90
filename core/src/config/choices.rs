// SPDX-License-Identifier: GPL-2.0-or-later
//! Enumerated option values: the numbers of the netlink interface and the words of drbd.conf.
//!
//! Source: drbd9-api.md section 4, "Enum values".

use super::field::Field;
use super::value::Value;

/// One word of an enumerated option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Number on the wire.
    pub number: i64,
    /// Word on the command line and in drbd.conf.
    pub word: &'static str,
}

/// Shorthand for the tables below.
pub(crate) const fn choice(number: i64, word: &'static str) -> Choice {
    Choice { number, word }
}

macro_rules! numbered_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Number on the wire.
            pub const fn number(self) -> i64 {
                match self { $(Self::$variant => $number),+ }
            }

            /// The variant with this number, if there is one.
            pub const fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }

        impl Field for $name {
            const FALLBACK: Self = numbered_enum!(@first $($variant)+);
            fn from_value(value: Value<'_>) -> Option<Self> {
                match value { Value::Int(number) => Self::from_number(number), Value::Bool(_) | Value::Text(_) => None }
            }
            fn value(&self) -> Value<'_> {
                Value::Int(self.number())
            }
        }
    };
    (@first $first:ident $($rest:ident)*) => { Self::$first };
}

numbered_enum! {
    /// What a local I/O error does.
    OnIoError {
        /// Report it to the layer above (a Secondary ignores it) and mark the block out of sync.
        PassOn = 0,
        /// Run the local-io-error handler.
        CallHelper = 1,
        /// Drop the disk and go on with the peer's.
        Detach = 2,
    }
}
numbered_enum! {
    /// What I/O does while no data is accessible.
    OnNoData {
        /// Fail.
        IoError = 0,
        /// Wait.
        SuspendIo = 1,
    }
}
numbered_enum! {
    /// What I/O does without quorum.
    OnNoQuorum {
        /// Fail.
        IoError = 0,
        /// Wait.
        SuspendIo = 1,
    }
}
numbered_enum! {
    /// What a suspended primary does when it finds its data outdated by a peer.
    OnSuspendedPrimaryOutdated {
        /// Refuse the connection.
        Disconnect = 0,
        /// Demote by force.
        ForceSecondary = 1,
    }
}
numbered_enum! {
    /// How reads are spread over the nodes.
    ReadBalancing {
        /// Local disk whenever it has the data.
        PreferLocal = 0,
        /// A peer's disk.
        PreferRemote = 1,
        /// Alternate.
        RoundRobin = 2,
        /// The side with fewer outstanding requests.
        LeastPending = 3,
        /// Remote only while the local device is congested.
        WhenCongestedRemote = 4,
        /// Stripes of 32 KiB.
        Striping32K = 5,
        /// Stripes of 64 KiB.
        Striping64K = 6,
        /// Stripes of 128 KiB.
        Striping128K = 7,
        /// Stripes of 256 KiB.
        Striping256K = 8,
        /// Stripes of 512 KiB.
        Striping512K = 9,
        /// Stripes of 1 MiB.
        Striping1M = 10,
    }
}
numbered_enum! {
    /// Replication protocol: when a write counts as done.
    Protocol {
        /// On the local disk and in the local send buffer.
        A = 1,
        /// On the local disk and in the peer's memory.
        B = 2,
        /// On both disks.
        C = 3,
    }
}
numbered_enum! {
    /// What happens when the send queue is congested.
    OnCongestion {
        /// Writers wait.
        Block = 0,
        /// The primary goes Ahead and marks blocks.
        PullAhead = 1,
        /// The connection is dropped.
        Disconnect = 2,
    }
}
numbered_enum! {
    /// Whether losing the peer asks for fencing.
    Fencing {
        /// No fencing.
        DontCare = 0,
        /// Call the fence-peer handler.
        ResourceOnly = 1,
        /// Freeze I/O and call the fence-peer handler.
        ResourceAndStonith = 2,
    }
}
numbered_enum! {
    /// Split-brain recovery policy; `after-sb-0pri`, `-1pri`, `-2pri` and `rr-conflict` share the numbers.
    AfterSb {
        /// Drop the connection.
        Disconnect = 0,
        /// Take the data of the node that was Primary first.
        DiscardYoungerPrimary = 1,
        /// Take the data of the node that was Primary last.
        DiscardOlderPrimary = 2,
        /// A node that changed nothing gives way.
        DiscardZeroChanges = 3,
        /// The node with fewer changed blocks gives way.
        DiscardLeastChanges = 4,
        /// This node gives way.
        DiscardLocal = 5,
        /// The peer gives way.
        DiscardRemote = 6,
        /// Only if after-sb-0pri would also discard the Secondary's data.
        Consensus = 7,
        /// The Secondary gives way.
        DiscardSecondary = 8,
        /// Call the pri-lost(-after-sb) handler on the loser.
        CallPriLost = 9,
        /// Always follow after-sb-0pri (rr-conflict: resync over a Primary).
        Violently = 10,
        /// rr-conflict: disconnect and try again.
        RetryConnect = 11,
        /// rr-conflict: decide by activity and discard.
        AutoDiscard = 12,
    }
}

/// Quorum off.
pub const QUORUM_OFF: i32 = 0;
/// More than half of the nodes with a disk.
pub const QUORUM_MAJORITY: i32 = 1024;
/// All nodes with a disk.
pub const QUORUM_ALL: i32 = 1025;

pub(crate) const ON_IO_ERROR: &[Choice] = &[
    choice(0, "pass_on"),
    choice(1, "call-local-io-error"),
    choice(2, "detach"),
];
pub(crate) const IO_ERROR_OR_SUSPEND: &[Choice] = &[choice(0, "io-error"), choice(1, "suspend-io")];
pub(crate) const ON_SUSPENDED_PRIMARY_OUTDATED: &[Choice] =
    &[choice(0, "disconnect"), choice(1, "force-secondary")];
pub(crate) const READ_BALANCING: &[Choice] = &[
    choice(0, "prefer-local"),
    choice(1, "prefer-remote"),
    choice(2, "round-robin"),
    choice(3, "least-pending"),
    choice(4, "when-congested-remote"),
    choice(5, "32K-striping"),
    choice(6, "64K-striping"),
    choice(7, "128K-striping"),
    choice(8, "256K-striping"),
    choice(9, "512K-striping"),
    choice(10, "1M-striping"),
];
pub(crate) const PROTOCOL: &[Choice] = &[choice(1, "A"), choice(2, "B"), choice(3, "C")];
pub(crate) const ON_CONGESTION: &[Choice] = &[
    choice(0, "block"),
    choice(1, "pull-ahead"),
    choice(2, "disconnect"),
];
pub(crate) const FENCING: &[Choice] = &[
    choice(0, "dont-care"),
    choice(1, "resource-only"),
    choice(2, "resource-and-stonith"),
];
pub(crate) const AFTER_SB_0P: &[Choice] = &[
    choice(0, "disconnect"),
    choice(1, "discard-younger-primary"),
    choice(2, "discard-older-primary"),
    choice(3, "discard-zero-changes"),
    choice(4, "discard-least-changes"),
    choice(5, "discard-local"),
    choice(6, "discard-remote"),
];
// The order of the words is that of the reference's help text.
pub(crate) const AFTER_SB_1P: &[Choice] = &[
    choice(0, "disconnect"),
    choice(7, "consensus"),
    choice(8, "discard-secondary"),
    choice(9, "call-pri-lost-after-sb"),
    choice(10, "violently-as0p"),
];
pub(crate) const AFTER_SB_2P: &[Choice] = &[
    choice(0, "disconnect"),
    choice(9, "call-pri-lost-after-sb"),
    choice(10, "violently-as0p"),
];
pub(crate) const RR_CONFLICT: &[Choice] = &[
    choice(0, "disconnect"),
    choice(9, "call-pri-lost"),
    choice(10, "violently"),
    choice(11, "retry-connect"),
    choice(12, "auto-discard"),
];
pub(crate) const QUORUM: &[Choice] = &[
    choice(0, "off"),
    choice(1024, "majority"),
    choice(1025, "all"),
];
