// SPDX-License-Identifier: GPL-2.0-or-later
//! Which of the two generations of drbd a configuration is for.

/// A generation of the driver, and with it of the language.
///
/// Both read the same spellings. What only one of them has is an error for the
/// other: a statement that has no effect would be worse (drbdadm.md section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Drivers of generation 8.4: two hosts, one address each.
    V84,
    /// Drivers of generation 9.
    #[default]
    V9,
}

impl Dialect {
    /// Whether it is generation 8.4.
    #[must_use]
    pub fn is_84(self) -> bool {
        self == Dialect::V84
    }
}
