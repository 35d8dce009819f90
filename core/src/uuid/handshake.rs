// SPDX-License-Identifier: GPL-2.0-or-later
//! From the comparison of UUIDs to what happens with the connection.
//!
//! The verdict of the table can be overruled by disk states, by the after-split-brain policies and by the
//! administrator, and refused for the sake of a Primary. replication-semantics.md section 4.2, in its order.

use super::compare::{compare, Compared, Comparison, Verdict};
use super::generation::UuidFlags;
use super::policy::{recover, AfterSplitBrain, Choice, Demotion, Policy, SplitFacts};
use crate::planted::{self, Bug};
use crate::state::{Conn, Disk, Role};

/// Everything that a sync handshake looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// For the comparison. The roles are those before any demotion this handshake asks for.
    pub compared: Compared,
    /// Own disk as it is.
    pub disk: Disk,
    /// Own disk as the metadata describes it, while `disk` is `Negotiating`.
    pub remembered_disk: Disk,
    /// Disk of the peer; for a negotiating one what it will be.
    pub peer_disk: Disk,
    /// Own changed blocks, as last told to the peer.
    pub changes: u64,
    /// `discard-my-data` is pending here.
    pub discard_my_data: bool,
    /// One of the nodes only wants to know what would happen.
    pub dry_run: bool,
    /// `always-asbp`.
    pub always_asbp: bool,
    /// After-split-brain policies.
    pub after_split_brain: AfterSplitBrain,
    /// `rr-conflict`.
    pub rr_conflict: Policy,
    /// How far a demotion that an earlier evaluation asked for has come.
    pub demotion: Demotion,
}

/// A direction and an extent of resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// None: Connected.
    None,
    /// Bitmap-based, from here.
    BitmapSource,
    /// Bitmap-based, to here.
    BitmapTarget,
    /// Everything, from here: set all bits and write them first; if that fails, refuse.
    FullSource,
    /// Everything, to here: set all bits and write them first; if that fails, refuse.
    FullTarget,
}

impl Sync {
    /// Connection state to enter.
    pub const fn conn(self) -> Conn {
        match self {
            Sync::None => Conn::Connected,
            Sync::BitmapSource | Sync::FullSource => Conn::WfBitMapS,
            Sync::BitmapTarget | Sync::FullTarget => Conn::WfBitMapT,
        }
    }

    /// Whether all bits have to be set.
    pub const fn is_full(self) -> bool {
        matches!(self, Sync::FullSource | Sync::FullTarget)
    }

    const fn is_source(self) -> bool {
        matches!(self, Sync::BitmapSource | Sync::FullSource)
    }

    const fn is_target(self) -> bool {
        matches!(self, Sync::BitmapTarget | Sync::FullTarget)
    }

    const fn from_here(source: bool, full: bool) -> Sync {
        match (source, full) {
            (true, false) => Sync::BitmapSource,
            (false, false) => Sync::BitmapTarget,
            (true, true) => Sync::FullSource,
            (false, true) => Sync::FullTarget,
        }
    }
}

/// Why the nodes do not come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The data never had anything in common.
    Unrelated,
    /// A protocol or feature that is needed to decide is missing.
    TooOld,
    /// Split brain that nothing resolves. Run the helper `split-brain`.
    SplitBrain,
    /// The newer data is not consistent.
    SourceInconsistent,
    /// A Primary would have to take the peer's data. If [`Notes::PRI_LOST`] is set run the helper `pri-lost`.
    PrimaryAsTarget,
    /// The administrator only wanted to know: this is what would have happened.
    DryRun(Sync),
}

/// How the handshake ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The nodes come together.
    Go(Sync),
    /// Try to become Secondary (a local soft change), then evaluate the same meeting again with the result.
    TryDemote,
    /// They do not.
    Refuse(Refusal),
}

/// Things to log and helpers to run, in the order of the bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes(u16);

impl Notes {
    /// The disk states decided, not the UUIDs.
    pub const BY_DISK_STATES: Notes = Notes(1);
    /// Helper `initial-split-brain` is to be run.
    pub const INITIAL_SPLIT_BRAIN: Notes = Notes(2);
    /// A policy solved the split brain.
    pub const SOLVED_BY_POLICY: Notes = Notes(4);
    /// The policy decided about ambiguous UUIDs, therefore everything is copied.
    pub const FULL_BECAUSE_AMBIGUOUS: Notes = Notes(8);
    /// The configured policy makes no sense at its place.
    pub const CONFIG_ERROR: Notes = Notes(16);
    /// Helper `pri-lost-after-sb` is to be run.
    pub const PRI_LOST_AFTER_SPLIT_BRAIN: Notes = Notes(32);
    /// `discard-my-data` solved the split brain.
    pub const SOLVED_MANUALLY: Notes = Notes(64);
    /// Helper `split-brain` is to be run.
    pub const SPLIT_BRAIN: Notes = Notes(128);
    /// Helper `pri-lost` is to be run.
    pub const PRI_LOST: Notes = Notes(256);
    /// The data of a Primary changes under it.
    pub const VIOLENTLY: Notes = Notes(512);

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Notes) -> bool {
        self.0 & other.0 == other.0
    }

    fn set_if(&mut self, condition: bool, other: Notes) {
        if condition {
            self.0 |= other.0;
        }
    }
}

/// Result of a sync handshake.
///
/// A repeated evaluation after [`Outcome::TryDemote`] reports all notes again, but the engine runs a helper once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the UUIDs said. Its correction is to be carried out whatever the outcome.
    pub comparison: Comparison,
    /// What happens.
    pub outcome: Outcome,
    /// What is to be logged and run.
    pub notes: Notes,
}

/// What is known on the way from the verdict to the outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Decided(Sync),
    Split { recoverable: bool },
}

/// Evaluates a meeting of two disks.
pub fn handshake(meeting: &Meeting) -> Handshake {
    let comparison = compare(&meeting.compared);
    let mut notes = Notes::default();
    let outcome = decide(meeting, comparison.verdict, &mut notes);
    Handshake {
        comparison,
        outcome,
        notes,
    }
}

fn decide(meeting: &Meeting, verdict: Verdict, notes: &mut Notes) -> Outcome {
    let swapped = planted::is(Bug::SwapDirection)
        && meeting.compared.role == Role::Secondary
        && meeting.compared.peer_role == Role::Secondary;
    let standing = match verdict {
        Verdict::BitmapSource if swapped => Standing::Decided(Sync::BitmapTarget),
        Verdict::BitmapTarget if swapped => Standing::Decided(Sync::BitmapSource),
        Verdict::Unrelated => return Outcome::Refuse(Refusal::Unrelated),
        Verdict::NeedsProtocol91 | Verdict::NeedsFeature => {
            return Outcome::Refuse(Refusal::TooOld)
        }
        Verdict::NoSync => Standing::Decided(Sync::None),
        Verdict::BitmapSource => Standing::Decided(Sync::BitmapSource),
        Verdict::BitmapTarget => Standing::Decided(Sync::BitmapTarget),
        Verdict::FullSource => Standing::Decided(Sync::FullSource),
        Verdict::FullTarget => Standing::Decided(Sync::FullTarget),
        Verdict::SplitBrainRecoverable => Standing::Split { recoverable: true },
        Verdict::SplitBrain => Standing::Split { recoverable: false },
    };
    let disk = if meeting.disk == Disk::Negotiating {
        meeting.remembered_disk
    } else {
        meeting.disk
    };
    let sync = match by_disks(meeting, disk, standing, notes) {
        Standing::Decided(sync) => sync,
        Standing::Split { recoverable } => match split_brain(meeting, recoverable, notes) {
            Ok(sync) => sync,
            Err(outcome) => return outcome,
        },
    };
    if sync.is_source() && disk <= Disk::Inconsistent {
        return Outcome::Refuse(Refusal::SourceInconsistent);
    }
    if sync.is_target() && primary_now(meeting) && meeting.disk >= Disk::Consistent {
        let violently = meeting.rr_conflict == Policy::Violently;
        notes.set_if(violently, Notes::VIOLENTLY);
        notes.set_if(meeting.rr_conflict == Policy::CallPriLost, Notes::PRI_LOST);
        if !violently {
            return Outcome::Refuse(Refusal::PrimaryAsTarget);
        }
    }
    if meeting.dry_run {
        return Outcome::Refuse(Refusal::DryRun(sync));
    }
    Outcome::Go(sync)
}

/// An Inconsistent disk always gives in to a better one.
fn by_disks(meeting: &Meeting, disk: Disk, standing: Standing, notes: &mut Notes) -> Standing {
    let worse = disk == Disk::Inconsistent && meeting.peer_disk > Disk::Inconsistent;
    let better = meeting.peer_disk == Disk::Inconsistent && disk > Disk::Inconsistent;
    if !worse && !better {
        return standing;
    }
    notes.set_if(true, Notes::BY_DISK_STATES);
    let full = match standing {
        Standing::Decided(sync) => sync.is_full(),
        Standing::Split { recoverable } => !recoverable,
    };
    Standing::Decided(Sync::from_here(better, full))
}

/// Policies first, the administrator's word second.
fn split_brain(meeting: &Meeting, recoverable: bool, notes: &mut Notes) -> Result<Sync, Outcome> {
    notes.set_if(true, Notes::INITIAL_SPLIT_BRAIN);
    if recoverable || meeting.always_asbp {
        let compared = &meeting.compared;
        let choice = recover(
            &meeting.after_split_brain,
            &SplitFacts {
                role: compared.role,
                peer_role: compared.peer_role,
                was_primary: compared.own.was_primary_at_split(),
                peer_was_primary: compared.peer.uuids.was_primary_at_split(),
                changes: meeting.changes,
                peer_changes: compared.peer.dirty_bits,
                resolve_conflicts: compared.resolve_conflicts,
                demotion: meeting.demotion,
            },
        );
        match choice {
            Choice::Source | Choice::Target => {
                notes.set_if(true, Notes::SOLVED_BY_POLICY);
                notes.set_if(!recoverable, Notes::FULL_BECAUSE_AMBIGUOUS);
                return Ok(Sync::from_here(choice == Choice::Source, !recoverable));
            }
            Choice::Demote => return Err(Outcome::TryDemote),
            Choice::DemotionFailed => {
                // The peer believes in the policy's choice. To let `discard-my-data` decide otherwise here, as the
                // stock driver does, would leave both waiting as sources; a refusal is understood.
                notes.set_if(true, Notes::PRI_LOST_AFTER_SPLIT_BRAIN);
                notes.set_if(true, Notes::SPLIT_BRAIN);
                return Err(Outcome::Refuse(Refusal::SplitBrain));
            }
            Choice::ConfigError => notes.set_if(true, Notes::CONFIG_ERROR),
            Choice::Undecided => {}
        }
    }
    let peer_discards = meeting
        .compared
        .peer
        .flags
        .contains(UuidFlags::DISCARD_MY_DATA);
    if meeting.discard_my_data != peer_discards {
        notes.set_if(true, Notes::SOLVED_MANUALLY);
        return Ok(Sync::from_here(peer_discards, false));
    }
    notes.set_if(true, Notes::SPLIT_BRAIN);
    Err(Outcome::Refuse(Refusal::SplitBrain))
}

fn primary_now(meeting: &Meeting) -> bool {
    meeting.compared.role == Role::Primary && meeting.demotion != Demotion::Succeeded
}
