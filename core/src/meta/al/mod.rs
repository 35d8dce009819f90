// SPDX-License-Identifier: GPL-2.0-or-later
//! The activity log on disk: its blocks, and what they say after a crash (metadata.md 4).
//!
//! The log is a ring of 4 KiB transactions. Each one changes up to 64 slots and repeats the
//! contents of up to 919 others, so that the newest `blocks - 1` transactions together name
//! every extent that is in use.

mod replay;
mod transaction;

pub use replay::{AlError, RingScan, SlotTable, Verdict};
pub use transaction::{encode_initialized, AlDamage, Kind, Transaction, TransactionWriter};

/// Slots one transaction can change.
pub const UPDATES_MAX: usize = 64;
/// Slots one transaction repeats.
pub const CONTEXT_MAX: usize = 919;
/// Marks an extent number that is none, on disk and in memory.
pub const NO_EXTENT: u32 = u32::MAX;
