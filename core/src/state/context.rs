// SPDX-License-Identifier: GPL-2.0-or-later
//! The facts about a peer device's surroundings that state rules need.
//!
//! The rules look at one peer at a time. What they must know beyond its state (configuration, other volumes, the
//! connection's protocol) is collected here by the engine, so that the rules stay pure and N peers need no new rule.

use super::model::{numbered_enum, Conn, Disk};

numbered_enum! {
    /// Fencing policy, ordered by how much it demands.
    Fencing {
        /// The peer need not be outdated.
        DontCare = 0 "dont-care",
        /// The peer must be outdated before promotion.
        ResourceOnly = 1 "resource-only",
        /// As `ResourceOnly`, and I/O stands still until the peer is fenced.
        ResourceAndStonith = 2 "resource-and-stonith",
    }
}

numbered_enum! {
    /// What happens to I/O when no up-to-date data can be reached.
    OnNoData {
        /// Requests fail.
        IoError = 0 "io-error",
        /// Requests wait.
        SuspendIo = 1 "suspend-io",
    }
}

/// The disk states remembered when a disk was attached to a connected volume.
///
/// They take effect when the peer has judged the data, or when the connection is lost before it did
/// (replication-semantics.md section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Own disk as the metadata describes it.
    pub disk: Disk,
    /// Peer's disk as the metadata remembers it.
    pub pdsk: Disk,
    /// Whether the data on the disk is what applications saw last (exposed-data UUID = current UUID).
    pub data_unchanged: bool,
}

/// Surroundings of one peer device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Agreed protocol version of the connection; any value while unconnected.
    pub apv: u8,
    /// `allow-two-primaries`. True also when there is no net configuration: nothing to violate.
    pub two_primaries: bool,
    /// Configured fencing policy. It counts only while the own disk is usable, see [`Context::fencing_with`].
    pub fencing: Fencing,
    /// `on-no-data-accessible`.
    pub on_no_data: OnNoData,
    /// Whether a `verify-alg` is configured.
    pub verify_alg: bool,
    /// Whether somebody holds the block device open.
    pub device_open: bool,
    /// Whether the peer is Primary for another volume of the same connection.
    pub other_peer_primary: bool,
    /// Whether the connection has sent its first P_STATE and waits for the peer's (all volumes in WFReportParams).
    pub state_sent: bool,
    /// Present while the own disk is `Negotiating`.
    pub negotiating: Option<Negotiated>,
    /// The own disk is being invalidated, and the resync that fills it anew has not begun: see [`invalidates`].
    pub invalidated: bool,
    /// As the source of a resync: whether the peer may have all data without this node's knowing. It cannot know whether a
    /// target to which it has nothing left to send has finished, and one that was asked for nothing yet, whether a target
    /// of the same generation has begun.
    pub target_may_be_good: bool,
}

/// Whether a disk that is `invalidated`, or was not yet, is in connection state `conn`.
///
/// Its generation is the source's until the resync runs. A connection that is lost, or a crash, before that must find it
/// Inconsistent: two equal generations would be taken for equal data by the next handshake, with every bit set. (The stock
/// driver does that.) While connected it is Outdated, as it is there: a source that hears of an Inconsistent disk before the
/// answer to its own request would begin a handshake of its own.
pub fn invalidates(invalidated: bool, conn: Conn) -> bool {
    conn == Conn::StartingSyncT || invalidated && conn == Conn::WfSyncUuid
}

impl Context {
    /// A lone node with everything optional switched off.
    pub const DEFAULT: Context = Context {
        apv: 101,
        two_primaries: false,
        fencing: Fencing::DontCare,
        on_no_data: OnNoData::IoError,
        verify_alg: false,
        device_open: false,
        other_peer_primary: false,
        state_sent: false,
        negotiating: None,
        invalidated: false,
        target_may_be_good: false,
    };

    /// The fencing policy that counts while the own disk is in state `disk`.
    ///
    /// Without usable data there is nothing to protect: below Inconsistent it is always `DontCare`.
    pub fn fencing_with(&self, disk: Disk) -> Fencing {
        if disk >= Disk::Inconsistent {
            self.fencing
        } else {
            Fencing::DontCare
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Context::DEFAULT
    }
}
