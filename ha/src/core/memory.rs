// SPDX-License-Identifier: GPL-2.0-or-later
//! What a core remembers over restarts. The host gives it back unchanged, or `None` where it was lost.

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::id::ViewId;
use super::message::Electorate;
use super::overrides::Overrides;

/// Kept in the state directory.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The highest view that was accepted.
    pub accepted: Option<ViewId>,
    /// Whose votes count.
    pub electorate: Electorate,
    /// Whose votes would count if views that were accepted had been committed.
    pub pending: Vec<Electorate>,
    /// What is known of lives.
    pub facts: Facts,
    /// What operators decided.
    pub overrides: Overrides,
    /// What was known was lost, and no view with quorum has made up for it.
    pub amnesia: bool,
}

/// Kept until the next boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BootMemory {
    /// All nodes were seen together since this boot, or a member who knew that was.
    pub seen_all: bool,
}
