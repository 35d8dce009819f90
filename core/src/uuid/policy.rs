// SPDX-License-Identifier: GPL-2.0-or-later
//! Automatic recovery from split brain: who gives in when both nodes changed their data.
//!
//! replication-semantics.md section 5. The policies only ever decide between "the peer's data" and "this data"; both
//! nodes evaluate them with exchanged roles and must come to opposite results.

use crate::state::model::numbered_enum;
use crate::state::Role;

numbered_enum! {
    /// Values of `after-sb-0pri`, `after-sb-1pri`, `after-sb-2pri` and `rr-conflict`, which share their numbers.
    Policy {
        /// Do not decide: disconnect.
        Disconnect = 0 "disconnect",
        /// The node that became Primary later gives in.
        DiscardYoungerPrimary = 1 "discard-younger-primary",
        /// The node that was Primary first gives in.
        DiscardOlderPrimary = 2 "discard-older-primary",
        /// A node without changes gives in.
        DiscardZeroChanges = 3 "discard-zero-changes",
        /// The node with fewer changes gives in.
        DiscardLeastChanges = 4 "discard-least-changes",
        /// This node gives in.
        DiscardLocal = 5 "discard-local",
        /// The peer gives in.
        DiscardRemote = 6 "discard-remote",
        /// As without Primary, if that spares the Primary.
        Consensus = 7 "consensus",
        /// The Secondary gives in.
        DiscardSecondary = 8 "discard-secondary",
        /// As without Primary; a Primary that has to give in is demoted, or helped to end. As `rr-conflict` it is
        /// called `call-pri-lost`.
        CallPriLost = 9 "call-pri-lost-after-sb",
        /// As without Primary, even if a Primary's data changes under it. As `rr-conflict` it is called `violently`.
        Violently = 10 "violently-as0p",
    }
}

impl Policy {
    /// What the peer has to be configured with for the two to agree.
    pub const fn mirrored(self) -> Policy {
        match self {
            Policy::DiscardLocal => Policy::DiscardRemote,
            Policy::DiscardRemote => Policy::DiscardLocal,
            Policy::Disconnect
            | Policy::DiscardYoungerPrimary
            | Policy::DiscardOlderPrimary
            | Policy::DiscardZeroChanges
            | Policy::DiscardLeastChanges
            | Policy::Consensus
            | Policy::DiscardSecondary
            | Policy::CallPriLost
            | Policy::Violently => self,
        }
    }
}

/// The three after-split-brain policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterSplitBrain {
    /// With no Primary.
    pub none: Policy,
    /// With one.
    pub one: Policy,
    /// With two.
    pub two: Policy,
}

impl AfterSplitBrain {
    /// Never decide: the default.
    pub const DISCONNECT: AfterSplitBrain = AfterSplitBrain {
        none: Policy::Disconnect,
        one: Policy::Disconnect,
        two: Policy::Disconnect,
    };
}

/// How far the attempt to demote this node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demotion {
    /// Not attempted.
    NotTried,
    /// This node is Secondary.
    Succeeded,
    /// This node had to stay Primary.
    Failed,
}

/// Facts on which the policies decide. `Role`s are those before any demotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitFacts {
    /// Own role.
    pub role: Role,
    /// Role of the peer.
    pub peer_role: Role,
    /// This node was Primary when the data diverged (bit 0 of the own bitmap UUID).
    pub was_primary: bool,
    /// The peer was Primary when the data diverged.
    pub peer_was_primary: bool,
    /// Own changed blocks, as last told to the peer.
    pub changes: u64,
    /// The peer's changed blocks, as it told.
    pub peer_changes: u64,
    /// This node resolves conflicts, so it gives in when nothing else decides.
    pub resolve_conflicts: bool,
    /// How far a demotion that an earlier evaluation asked for has come.
    pub demotion: Demotion,
}

/// Result of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The peer gives in.
    Source,
    /// This node gives in.
    Target,
    /// Nobody does.
    Undecided,
    /// The policy makes no sense at this place; nobody does.
    ConfigError,
    /// Try to become Secondary, then evaluate again.
    Demote,
    /// This node had to give in and could not be demoted: run `pri-lost-after-sb`. Undecided.
    DemotionFailed,
}

/// Evaluates the policy for the number of Primaries there are.
pub fn recover(policies: &AfterSplitBrain, facts: &SplitFacts) -> Choice {
    match (
        facts.role == Role::Primary,
        facts.peer_role == Role::Primary,
    ) {
        (false, false) => without_primary(policies.none, facts),
        (true, true) => with_two(policies, facts),
        (true, false) | (false, true) => with_one(policies, facts),
    }
}

fn tie(facts: &SplitFacts) -> Choice {
    if facts.resolve_conflicts {
        Choice::Target
    } else {
        Choice::Source
    }
}

fn without_primary(policy: Policy, facts: &SplitFacts) -> Choice {
    match policy {
        Policy::Disconnect => Choice::Undecided,
        Policy::DiscardYoungerPrimary => match (facts.was_primary, facts.peer_was_primary) {
            (false, true) => Choice::Target,
            (true, false) => Choice::Source,
            (false, false) | (true, true) => least_changes(facts),
        },
        Policy::DiscardOlderPrimary => match (facts.was_primary, facts.peer_was_primary) {
            (false, true) => Choice::Source,
            (true, false) => Choice::Target,
            (false, false) | (true, true) => least_changes(facts),
        },
        Policy::DiscardZeroChanges => zero_changes(facts).unwrap_or(Choice::Undecided),
        Policy::DiscardLeastChanges => least_changes(facts),
        Policy::DiscardLocal => Choice::Target,
        Policy::DiscardRemote => Choice::Source,
        Policy::Consensus | Policy::DiscardSecondary | Policy::CallPriLost | Policy::Violently => {
            Choice::ConfigError
        }
    }
}

fn zero_changes(facts: &SplitFacts) -> Option<Choice> {
    match (facts.changes, facts.peer_changes) {
        (0, 0) => Some(tie(facts)),
        (_, 0) => Some(Choice::Source),
        (0, _) => Some(Choice::Target),
        (_, _) => None,
    }
}

fn least_changes(facts: &SplitFacts) -> Choice {
    match facts.changes.cmp(&facts.peer_changes) {
        core::cmp::Ordering::Less => Choice::Target,
        core::cmp::Ordering::Greater => Choice::Source,
        core::cmp::Ordering::Equal => tie(facts),
    }
}

fn with_one(policies: &AfterSplitBrain, facts: &SplitFacts) -> Choice {
    let primary = facts.role == Role::Primary;
    match policies.one {
        Policy::Disconnect => Choice::Undecided,
        Policy::Consensus => match without_primary(policies.none, facts) {
            Choice::Target if !primary => Choice::Target,
            Choice::Source if primary => Choice::Source,
            Choice::ConfigError => Choice::ConfigError,
            Choice::Target
            | Choice::Source
            | Choice::Undecided
            | Choice::Demote
            | Choice::DemotionFailed => Choice::Undecided,
        },
        Policy::Violently => without_primary(policies.none, facts),
        Policy::DiscardSecondary if primary => Choice::Source,
        Policy::DiscardSecondary => Choice::Target,
        Policy::CallPriLost => demote_first(without_primary(policies.none, facts), facts),
        Policy::DiscardYoungerPrimary
        | Policy::DiscardOlderPrimary
        | Policy::DiscardZeroChanges
        | Policy::DiscardLeastChanges
        | Policy::DiscardLocal
        | Policy::DiscardRemote => Choice::ConfigError,
    }
}

fn with_two(policies: &AfterSplitBrain, facts: &SplitFacts) -> Choice {
    match policies.two {
        Policy::Disconnect => Choice::Undecided,
        Policy::Violently => without_primary(policies.none, facts),
        Policy::CallPriLost => demote_first(without_primary(policies.none, facts), facts),
        Policy::DiscardYoungerPrimary
        | Policy::DiscardOlderPrimary
        | Policy::DiscardZeroChanges
        | Policy::DiscardLeastChanges
        | Policy::DiscardLocal
        | Policy::DiscardRemote
        | Policy::Consensus
        | Policy::DiscardSecondary => Choice::ConfigError,
    }
}

/// A Primary gives in only as a Secondary.
fn demote_first(choice: Choice, facts: &SplitFacts) -> Choice {
    if choice != Choice::Target || facts.role != Role::Primary {
        return choice;
    }
    match facts.demotion {
        Demotion::NotTried => Choice::Demote,
        Demotion::Succeeded => Choice::Target,
        Demotion::Failed => Choice::DemotionFailed,
    }
}
