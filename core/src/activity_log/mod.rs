// SPDX-License-Identifier: GPL-2.0-or-later
//! Which 4 MiB extents are being written to.
//!
//! After a crash the blocks of these extents may differ from the peer's, so they are resynced. The
//! two rules this module keeps (design.md 8):
//!
//! 1. a record naming an extent is durable before a write into it is submitted;
//! 2. the bitmap pages of an extent are durable before a record drops it.
//!
//! A write takes its extents with [`ActivityLog::begin`] and gives them back with
//! [`ActivityLog::end`]. Extents nobody holds stay in the log until their slot is needed, least
//! recently used first, so that most writes need no record at all.
//!
//! Records are group commits: one is under way, and what is needed meanwhile is collected for the
//! next. There is never a second one under way, because a reader of the stock tools follows the
//! ring by position: a record on disk whose predecessor is not would hide the rest from it.

mod commit;
mod engine;
mod slots;

pub use commit::{Action, CommitFailed};
pub use engine::{ActivityLog, Begin, ConfigError};
pub use slots::Slot;

use crate::meta::SECTORS_PER_AL_EXTENT;

/// Extents of the longest request (a discard of 128 MiB): half of what one record can add.
pub const EXTENTS_PER_REQUEST_MAX: u32 = 32;

/// The extents a range of sectors touches; none if there are no sectors or the range is beyond
/// what the log can number.
pub fn extents_of(sector: u64, sectors: u64) -> Option<core::ops::RangeInclusive<u32>> {
    let last = sector.checked_add(sectors.checked_sub(1)?)?;
    let first = u32::try_from(sector / SECTORS_PER_AL_EXTENT).ok()?;
    Some(first..=u32::try_from(last / SECTORS_PER_AL_EXTENT).ok()?)
}
