// SPDX-License-Identifier: GPL-2.0-or-later
//! A string of bounded length that is copied like a number.

use core::fmt;

/// At most `N - 1` bytes of UTF-8: the limit of a C buffer of `N` bytes that also holds the final NUL.
///
/// # Invariants
///
/// The first `len` bytes of `bytes` are valid UTF-8 without NUL, and `len < N`.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// The empty string.
    pub const EMPTY: Self = Self {
        bytes: [0; N],
        len: 0,
    };

    /// Copies `text`, or returns `None` when it is too long or contains a NUL.
    pub fn new(text: &str) -> Option<Self> {
        let source = text.as_bytes();
        if source.len() >= N || source.contains(&0) {
            return None;
        }
        let mut bytes = [0; N];
        bytes.get_mut(..source.len())?.copy_from_slice(source);
        // INVARIANT: checked above; `source` comes from a `str`.
        Some(Self {
            bytes,
            len: source.len(),
        })
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(bytes).unwrap_or("")
    }

    /// True when nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_room_for_the_nul_of_the_c_side() {
        assert_eq!(Text::<4>::new("abc").unwrap().as_str(), "abc");
        assert!(Text::<4>::new("abcd").is_none());
        assert!(Text::<8>::new("a\0b").is_none());
        assert!(Text::<4>::new("").unwrap().is_empty());
    }
}
