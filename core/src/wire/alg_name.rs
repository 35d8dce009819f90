// SPDX-License-Identifier: GPL-2.0-or-later
//! Name of a kernel crypto algorithm, as it stands in P_PROTOCOL and the resync parameters.

use core::fmt;

use super::cursor::{Reader, Writer};
use super::error::WireError;

/// Bytes of an algorithm field, the NUL included.
const FIELD_BYTES: usize = 64;

/// At most 63 bytes of printable ASCII; empty means "none".
///
/// # Invariants
///
/// From the first NUL on all bytes are NUL, and the last one is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlgName {
    bytes: [u8; FIELD_BYTES],
}

impl AlgName {
    /// No algorithm.
    pub const EMPTY: Self = Self {
        bytes: [0; FIELD_BYTES],
    };

    /// The name with these bytes; none if it is too long, or has a byte that does not belong into a name or a log line.
    #[must_use]
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.len() >= FIELD_BYTES || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; FIELD_BYTES];
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
        }
        Some(Self { bytes })
    }

    /// The name without the NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Whether there is no algorithm.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Bytes of the name with its NUL, 1 to 64.
    #[must_use]
    pub(super) fn text_len(&self) -> usize {
        self.as_bytes().len().saturating_add(1)
    }

    /// The name at the start of `bytes`, which must hold a NUL; what is behind the NUL is ignored.
    pub(super) fn decode(bytes: &[u8], field: &'static str) -> Result<Self, WireError> {
        let bad = WireError::BadValue {
            field,
            value: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        };
        let end = bytes.iter().position(|byte| *byte == 0).ok_or(bad)?;
        bytes.get(..end).and_then(Self::new).ok_or(bad)
    }

    /// A field of 64 bytes.
    pub(super) fn decode_field(
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Self, WireError> {
        Self::decode(&reader.array::<FIELD_BYTES>()?, field)
    }

    /// Writes a field of 64 bytes.
    pub(super) fn encode_field(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.bytes(&self.bytes)
    }

    /// Writes the name and one NUL.
    pub(super) fn encode_text(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.bytes(self.as_bytes())?;
        writer.u8(0)
    }
}

impl fmt::Debug for AlgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for AlgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_63_bytes_of_print_and_no_more() {
        assert_eq!(
            AlgName::new(b"hmac(sha256)").unwrap().as_str(),
            "hmac(sha256)"
        );
        assert!(AlgName::new(b"").unwrap().is_empty());
        assert_eq!(AlgName::new(&[b'a'; 63]).unwrap().text_len(), 64);
        assert_eq!(AlgName::new(&[b'a'; 64]), None);
        assert_eq!(AlgName::new(b"md5\n"), None);
        assert_eq!(AlgName::new(b"sha 1"), None);
        assert_eq!(AlgName::new(&[0xc3, 0xa4]), None);
    }

    #[test]
    fn needs_a_nul_and_ignores_what_follows() {
        assert_eq!(
            AlgName::decode(b"md5\0rest", "x"),
            Ok(AlgName::new(b"md5").unwrap())
        );
        assert_eq!(
            AlgName::decode(b"md5", "x"),
            Err(WireError::BadValue {
                field: "x",
                value: 3
            })
        );
        assert_eq!(
            AlgName::decode(b"", "x"),
            Err(WireError::BadValue {
                field: "x",
                value: 0
            })
        );
    }
}
