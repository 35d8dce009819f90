// SPDX-License-Identifier: GPL-2.0-or-later
//! What the core knows of a DRBD resource: reports, of any driver.

use serde::{Deserialize, Serialize};

/// `role`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Role {
    /// Not configured, or not known.
    #[default]
    Unknown,
    /// Nobody may open it.
    Secondary,
    /// It is, or may be, written.
    Primary,
}

/// `disk` and `peer-disk`; for a resource of several volumes the worst of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Disk {
    /// Nothing is known.
    #[default]
    Unknown,
    /// No disk, or one that failed, or one that is being attached.
    Diskless,
    /// In the middle of a resync.
    Inconsistent,
    /// Good, but known to be old.
    Outdated,
    /// Good, and maybe old.
    Consistent,
    /// Good and recent.
    UpToDate,
}

/// One report about one resource: the host sends it at the start and at every change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DrbdBrief {
    /// Of this node.
    pub role: Role,
    /// Of this node.
    pub disk: Disk,
    /// What this node knows of its peer's; `Unknown` without a connection.
    pub peer_disk: Disk,
    /// What this node knows of its peer's; `Unknown` without a connection.
    pub peer_role: Role,
    /// The two nodes replicate to each other.
    pub connected: bool,
    /// The current UUID without its lowest bit; 0 where nothing is known. Equal ones mean the same data.
    pub generation: u64,
    /// Out of sync, in KiB; for people.
    pub out_of_sync_kib: u64,
}

/// What a peer made of the wish to outdate its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outdated {
    /// Its disk is Outdated.
    Done,
    /// Its disk is Inconsistent, or there is none: it can't be promoted either.
    Unusable,
    /// It is Primary.
    Primary,
    /// It could not.
    Refused,
}
