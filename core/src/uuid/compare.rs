// SPDX-License-Identifier: GPL-2.0-or-later
//! Comparison of two sets of UUIDs: the decision table of replication-semantics.md section 4.1.
//!
//! Both nodes evaluate it on their own with exchanged roles and no message carries the result, so that every row has
//! its mirror image and the order of the rows is part of the protocol. The first row that holds decides.

use super::generation::{same, Fix, GenUuids, PeerUuids, UuidFlags, JUST_CREATED, SYNC_OFFSET};
use crate::state::Role;

/// What the comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Same data.
    NoSync,
    /// This node has the newer data, the bitmap tells the difference.
    BitmapSource,
    /// The peer has the newer data, the bitmap tells the difference.
    BitmapTarget,
    /// This node has the newer data, the difference is not known.
    FullSource,
    /// The peer has the newer data, the difference is not known.
    FullTarget,
    /// Both changed since they were equal, and know since when: the policies may decide.
    SplitBrainRecoverable,
    /// Both changed, and nothing more is known.
    SplitBrain,
    /// Never had to do with each other.
    Unrelated,
    /// Cannot be decided with the protocol agreed upon; both nodes have to support 91.
    NeedsProtocol91,
    /// Cannot be decided without the feature that tells recent drivers apart.
    NeedsFeature,
}

impl Verdict {
    /// The number of the verdict in logs.
    pub const fn number(self) -> i32 {
        match self {
            Verdict::NoSync => 0,
            Verdict::BitmapSource => 1,
            Verdict::BitmapTarget => -1,
            Verdict::FullSource => 2,
            Verdict::FullTarget => -2,
            Verdict::SplitBrainRecoverable => 100,
            Verdict::SplitBrain => -100,
            Verdict::Unrelated => -1000,
            Verdict::NeedsProtocol91 => -1091,
            Verdict::NeedsFeature => -(0x1_0000 | 101 | 4 << 8),
        }
    }
}

/// Everything that the comparison looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Own UUIDs.
    pub own: GenUuids,
    /// What the peer told of its own.
    pub peer: PeerUuids,
    /// Own role.
    pub role: Role,
    /// Role of the peer in the P_STATE at hand.
    pub peer_role: Role,
    /// This node crashed as Primary.
    pub crashed_primary: bool,
    /// This node resolves conflicts; true on exactly one of the two.
    pub resolve_conflicts: bool,
    /// Agreed protocol version.
    pub apv: u8,
    /// The feature WRITE_SAME is agreed upon, which stands for "recent enough".
    pub feature_wsame: bool,
}

impl Compared {
    fn equal(&self) -> bool {
        same(self.own.current, self.peer.uuids.current)
    }

    fn missed_end_own(&self) -> bool {
        let [younger, _] = self.own.history;
        let [peer_younger, peer_older] = self.peer.uuids.history;
        same(self.own.bitmap, peer_younger) && same(younger, peer_older)
    }

    fn missed_end_peer(&self) -> bool {
        let [younger, older] = self.own.history;
        let [peer_younger, _] = self.peer.uuids.history;
        same(younger, self.peer.uuids.bitmap) && same(older, peer_younger)
    }

    fn only_own_bitmap(&self) -> bool {
        self.own.bitmap != 0 && self.peer.uuids.bitmap == 0
    }

    fn both_bitmaps(&self) -> bool {
        self.own.bitmap != 0 && self.peer.uuids.bitmap != 0
    }

    fn only_peer_bitmap(&self) -> bool {
        self.own.bitmap == 0 && self.peer.uuids.bitmap != 0
    }

    fn peer_crashed(&self) -> bool {
        self.peer.flags.contains(UuidFlags::CRASHED_PRIMARY)
    }

    fn primary_present(&self) -> bool {
        self.role == Role::Primary || self.peer_role == Role::Primary
    }

    /// The peer began a resync from there, and its sync UUID did not arrive here.
    fn lost_sync_uuid_of_peer(&self) -> bool {
        let [younger, _] = self.own.history;
        let [peer_younger, peer_older] = self.peer.uuids.history;
        let rotated = if self.apv < 96 {
            same(younger, peer_older)
        } else {
            same(
                (peer_younger & !1).wrapping_add(SYNC_OFFSET),
                self.peer.uuids.bitmap,
            )
        };
        same(self.own.current, peer_younger) && rotated
    }

    /// This node began a resync from here, and its sync UUID did not arrive there.
    fn lost_sync_uuid_of_own(&self) -> bool {
        let [younger, older] = self.own.history;
        let [peer_younger, _] = self.peer.uuids.history;
        let rotated = if self.apv < 96 {
            same(older, peer_younger)
        } else {
            same((younger & !1).wrapping_add(SYNC_OFFSET), self.own.bitmap)
        };
        same(younger, self.peer.uuids.current) && rotated
    }
}

fn in_history(uuid: u64, of: &GenUuids) -> bool {
    of.history.iter().any(|past| same(*past, uuid))
}

fn just_created(uuid: u64) -> bool {
    same(uuid, JUST_CREATED)
}

/// Fresh metadata, or none worth the name.
fn no_data(uuid: u64) -> bool {
    just_created(uuid) || same(uuid, 0)
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// Number of the rule in logs.
    pub rule: u8,
    /// What the row recognises.
    pub name: &'static str,
    /// Whether it is so.
    pub holds: fn(&Compared) -> bool,
    /// What then.
    pub verdict: Verdict,
    /// Correction that belongs to it.
    pub fix: Fix,
    /// Whether protocols before 91 cannot express it.
    pub needs_91: bool,
}

const fn row(rule: u8, name: &'static str, holds: fn(&Compared) -> bool, verdict: Verdict) -> Row {
    Row {
        rule,
        name,
        holds,
        verdict,
        fix: Fix::None,
        needs_91: false,
    }
}

const fn row_91(
    rule: u8,
    name: &'static str,
    holds: fn(&Compared) -> bool,
    verdict: Verdict,
    fix: Fix,
) -> Row {
    Row {
        rule,
        name,
        holds,
        verdict,
        fix,
        needs_91: true,
    }
}

/// The table. The last row holds always.
pub const ROWS: [Row; 31] = [
    row(
        10,
        "both just created",
        |c| just_created(c.own.current) && just_created(c.peer.uuids.current),
        Verdict::NoSync,
    ),
    row(
        20,
        "just created here",
        |c| no_data(c.own.current) && !just_created(c.peer.uuids.current),
        Verdict::FullTarget,
    ),
    row(
        30,
        "just created there",
        |c| !just_created(c.own.current) && no_data(c.peer.uuids.current),
        Verdict::FullSource,
    ),
    row_91(
        34,
        "source here missed the end of the resync",
        |c| c.equal() && c.only_own_bitmap() && c.missed_end_own(),
        Verdict::BitmapSource,
        Fix::FinishOwn,
    ),
    row_91(
        36,
        "target there did not write the sync UUID",
        |c| c.equal() && c.only_own_bitmap(),
        Verdict::BitmapSource,
        Fix::None,
    ),
    row_91(
        35,
        "source there missed the end of the resync",
        |c| c.equal() && c.only_peer_bitmap() && c.missed_end_peer(),
        Verdict::BitmapTarget,
        Fix::FinishPeer,
    ),
    row_91(
        37,
        "target here did not write the sync UUID",
        |c| c.equal() && c.only_peer_bitmap(),
        Verdict::BitmapTarget,
        Fix::None,
    ),
    // Not in the reference, which takes these for equal: who has a bitmap UUID names no new generation when it goes
    // on alone, so the data may have parted.
    row_91(
        38,
        "source here missed the end, target there began anew",
        |c| c.equal() && c.both_bitmaps() && c.missed_end_own() && !c.missed_end_peer(),
        Verdict::BitmapTarget,
        Fix::FinishOwn,
    ),
    row_91(
        38,
        "source there missed the end, target here began anew",
        |c| c.equal() && c.both_bitmaps() && c.missed_end_peer() && !c.missed_end_own(),
        Verdict::BitmapSource,
        Fix::FinishPeer,
    ),
    row(
        39,
        "each began a resync that the other did not see",
        |c| c.equal() && c.both_bitmaps(),
        Verdict::SplitBrain,
    ),
    row(
        40,
        "equal, nobody crashed",
        |c| c.equal() && !c.crashed_primary && !c.peer_crashed(),
        Verdict::NoSync,
    ),
    row(
        41,
        "equal after a crash, a Primary present, old driver",
        |c| c.equal() && c.primary_present() && !c.feature_wsame,
        Verdict::NeedsFeature,
    ),
    row(
        41,
        "equal after a crash, both Primary",
        |c| c.equal() && c.role == Role::Primary && c.peer_role == Role::Primary,
        Verdict::SplitBrain,
    ),
    row(
        41,
        "equal after a crash, Primary here",
        |c| c.equal() && c.role == Role::Primary,
        Verdict::BitmapSource,
    ),
    row(
        41,
        "equal after a crash, Primary there",
        |c| c.equal() && c.peer_role == Role::Primary,
        Verdict::BitmapTarget,
    ),
    row(
        40,
        "equal, crashed here",
        |c| c.equal() && !c.peer_crashed(),
        Verdict::BitmapSource,
    ),
    row(
        40,
        "equal, crashed there",
        |c| c.equal() && !c.crashed_primary,
        Verdict::BitmapTarget,
    ),
    row(
        40,
        "equal, both crashed, conflicts resolved here",
        |c| c.equal() && c.resolve_conflicts,
        Verdict::BitmapTarget,
    ),
    row(
        40,
        "equal, both crashed, conflicts resolved there",
        |c| c.equal(),
        Verdict::BitmapSource,
    ),
    row(
        50,
        "peer counts from here",
        |c| same(c.own.current, c.peer.uuids.bitmap),
        Verdict::BitmapTarget,
    ),
    row_91(
        51,
        "sync UUID of the peer was lost",
        Compared::lost_sync_uuid_of_peer,
        Verdict::BitmapTarget,
        Fix::UndoPeer,
    ),
    row(
        60,
        "peer's past",
        |c| in_history(c.own.current, &c.peer.uuids),
        Verdict::FullTarget,
    ),
    row(
        70,
        "counts from the peer",
        |c| same(c.own.bitmap, c.peer.uuids.current),
        Verdict::BitmapSource,
    ),
    row_91(
        71,
        "own sync UUID was lost",
        Compared::lost_sync_uuid_of_own,
        Verdict::BitmapSource,
        Fix::UndoOwn,
    ),
    row(
        80,
        "own past",
        |c| in_history(c.peer.uuids.current, &c.own),
        Verdict::FullSource,
    ),
    row(
        90,
        "both count from the same",
        |c| same(c.own.bitmap, c.peer.uuids.bitmap) && !same(c.own.bitmap, 0),
        Verdict::SplitBrainRecoverable,
    ),
    row(
        100,
        "common past, younger here",
        |c| {
            let [younger, _] = c.own.history;
            in_history(younger, &c.peer.uuids)
        },
        Verdict::SplitBrain,
    ),
    row(
        100,
        "common past, older here",
        |c| {
            let [_, older] = c.own.history;
            in_history(older, &c.peer.uuids)
        },
        Verdict::SplitBrain,
    ),
    // Not in the reference, which takes these for unrelated: one of them began its generation while a resync from it may
    // have ended at the other, which went on as well.
    row(
        101,
        "peer counts from the own past",
        |c| c.peer.uuids.bitmap != 0 && in_history(c.peer.uuids.bitmap, &c.own),
        Verdict::SplitBrain,
    ),
    row(
        101,
        "counts from the peer's past",
        |c| c.own.bitmap != 0 && in_history(c.own.bitmap, &c.peer.uuids),
        Verdict::SplitBrain,
    ),
    row(100, "nothing in common", |_| true, Verdict::Unrelated),
];

/// Result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What is to be done.
    pub verdict: Verdict,
    /// Number of the rule that said so.
    pub rule: u8,
    /// What the rule recognised.
    pub name: &'static str,
    /// Correction to carry out on both sets before they are used again.
    pub fix: Fix,
}

/// Compares the own data with the peer's.
pub fn compare(compared: &Compared) -> Comparison {
    match ROWS.iter().find(|row| (row.holds)(compared)) {
        Some(row) if row.needs_91 && compared.apv < 91 => Comparison {
            verdict: Verdict::NeedsProtocol91,
            rule: row.rule,
            name: row.name,
            fix: Fix::None,
        },
        Some(row) => Comparison {
            verdict: row.verdict,
            rule: row.rule,
            name: row.name,
            fix: row.fix,
        },
        // Not reached: the last row always holds.
        None => Comparison {
            verdict: Verdict::Unrelated,
            rule: 100,
            name: "nothing in common",
            fix: Fix::None,
        },
    }
}
