// SPDX-License-Identifier: GPL-2.0-or-later
//! The value of one option, whatever its type on the wire.

/// A decoded option value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A flag.
    Bool(bool),
    /// A number of any width, or the number of an enumerated word. Values of u64 attributes above
    /// `i64::MAX` are represented by `i64::MAX`: every range ends far below.
    Int(i64),
    /// A string without its NUL.
    Text(&'a str),
}
