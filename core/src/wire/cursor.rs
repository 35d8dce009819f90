// SPDX-License-Identifier: GPL-2.0-or-later
//! Checked reading and writing of big-endian fields, front to back.
//!
//! No pointer casts and no alignment questions: the same code runs in the kernel, whatever crates it ships.

use super::error::WireError;

/// Takes fields off the front of a byte slice.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `N` bytes as they are.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated {
                needed: N,
                have: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next two bytes.
    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes.
    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next eight bytes.
    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }
}

/// Puts fields one behind the other into a byte slice.
pub(super) struct Writer<'a> {
    buffer: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    /// Writes from the start of `buffer`.
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, written: 0 }
    }

    /// Bytes written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Appends `bytes` as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let end = self.written.saturating_add(bytes.len());
        let have = self.buffer.len();
        let room = self
            .buffer
            .get_mut(self.written..end)
            .ok_or(WireError::BufferTooSmall { needed: end, have })?;
        // Both have the same length; no way for a copy to panic is left in the object code this way.
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.written = end;
        Ok(())
    }

    /// Appends one byte.
    pub(super) fn u8(&mut self, value: u8) -> Result<(), WireError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends two bytes.
    pub(super) fn u16(&mut self, value: u16) -> Result<(), WireError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four bytes.
    pub(super) fn u32(&mut self, value: u32) -> Result<(), WireError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight bytes.
    pub(super) fn u64(&mut self, value: u64) -> Result<(), WireError> {
        self.bytes(&value.to_be_bytes())
    }
}
