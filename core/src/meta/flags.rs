// SPDX-License-Identifier: GPL-2.0-or-later
//! Flags of a superblock, in the terms of v09: what concerns a peer is kept with that peer.
//!
//! v08 keeps three of the peer flags among the device flags; its codec moves them.

/// Flags of the local disk (metadata.md 2 and 9).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MdFlags(u32);

/// Flags of one peer (metadata.md 9).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PeerFlags(u32);

impl MdFlags {
    /// No flag.
    pub const NONE: MdFlags = MdFlags(0);
    /// The disk was better than Inconsistent.
    pub const CONSISTENT: MdFlags = MdFlags(0x001);
    /// The node was Primary; seen at attach this means a crash.
    pub const PRIMARY_IND: MdFlags = MdFlags(0x002);
    /// The disk was better than Outdated.
    pub const WAS_UP_TO_DATE: MdFlags = MdFlags(0x010);
    /// Crashed as Primary, and no peer was UpToDate together with us since.
    pub const CRASHED_PRIMARY: MdFlags = MdFlags(0x040);
    /// The activity log was applied to the bitmap; only user space sets it.
    pub const AL_CLEAN: MdFlags = MdFlags(0x080);
    /// The activity log says nothing (al-updates=no, or a layout change in progress).
    pub const AL_DISABLED: MdFlags = MdFlags(0x100);
    /// v09: lost quorum while Primary.
    pub const PRIMARY_LOST_QUORUM: MdFlags = MdFlags(0x200);
    /// v09: had quorum.
    pub const HAVE_QUORUM: MdFlags = MdFlags(0x400);
}

impl PeerFlags {
    /// No flag.
    pub const NONE: PeerFlags = PeerFlags(0);
    /// The link to the peer was up.
    pub const CONNECTED: PeerFlags = PeerFlags(0x01);
    /// The peer's disk was Inconsistent or Outdated.
    pub const OUTDATED: PeerFlags = PeerFlags(0x02);
    /// v09: a fencing policy is configured towards this peer.
    pub const FENCING: PeerFlags = PeerFlags(0x04);
    /// Setting all bits of this peer was begun and is not confirmed.
    pub const FULL_SYNC: PeerFlags = PeerFlags(0x08);
    /// v09: the peer once had a disk.
    pub const DEVICE_SEEN: PeerFlags = PeerFlags(0x10);
    /// v09: the peer is a member.
    pub const NODE_EXISTS: PeerFlags = PeerFlags(0x1_0000);
}

macro_rules! flag_set {
    ($name:ident) => {
        impl $name {
            /// The set with these bits on disk; unknown bits are kept.
            pub const fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// The bits as they are on a v09 disk.
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// This set and the flags of `other`.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// This set without the flags of `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// This set with the flags of `other` added or removed.
            #[must_use]
            pub const fn set(self, other: Self, on: bool) -> Self {
                if on {
                    self.with(other)
                } else {
                    self.without(other)
                }
            }
        }
    };
}

flag_set!(MdFlags);
flag_set!(PeerFlags);
