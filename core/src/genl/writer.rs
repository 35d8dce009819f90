// SPDX-License-Identifier: GPL-2.0-or-later
//! Writing netlink attributes into a buffer of fixed size.

use super::tla::Tla;
use super::tlv::{ATTRIBUTE_HEADER_BYTES, MANDATORY, NESTED};
use crate::config::Value;
use crate::config::{OptionSpec, Wire};

/// The buffer is full; the caller rewinds to a [`Mark`] or starts again with a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A position in the output to which it can be cut back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(usize);

/// Writes attributes, padded to four bytes, host endian.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// Starts at the beginning of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or(&[])
    }

    /// The current position.
    pub const fn mark(&self) -> Mark {
        Mark(self.len)
    }

    /// Drops everything written after `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.len = self.len.min(mark.0);
    }

    /// Appends bytes that are whole attributes already.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn put_raw(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let padded = bytes.len().checked_next_multiple_of(4).ok_or(NoRoom)?;
        let end = self.len.checked_add(padded).ok_or(NoRoom)?;
        let room = self.buffer.get_mut(self.len..end).ok_or(NoRoom)?;
        let (content, padding) = room.split_at_mut_checked(bytes.len()).ok_or(NoRoom)?;
        content.copy_from_slice(bytes);
        padding.fill(0);
        self.len = end;
        Ok(())
    }

    fn put(&mut self, kind: u16, payload: &[&[u8]]) -> Result<(), NoRoom> {
        let mark = self.mark();
        let start = self.len;
        let content: usize = payload
            .iter()
            .map(|part| part.len())
            .fold(0, usize::saturating_add);
        let total = content.checked_add(ATTRIBUTE_HEADER_BYTES).ok_or(NoRoom)?;
        let len = u16::try_from(total).map_err(|_| NoRoom)?;
        let mut put = || {
            let [a, b] = len.to_ne_bytes();
            let [c, d] = kind.to_ne_bytes();
            self.put_unpadded(&[a, b, c, d])?;
            for part in payload {
                self.put_unpadded(part)?;
            }
            while self.len.wrapping_sub(start) % 4 != 0 {
                self.put_unpadded(&[0])?;
            }
            Ok(())
        };
        let result = put();
        if result.is_err() {
            self.rewind(mark);
        }
        result
    }

    fn put_unpadded(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.len.checked_add(bytes.len()).ok_or(NoRoom)?;
        self.buffer
            .get_mut(self.len..end)
            .ok_or(NoRoom)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// A flag.
    ///
    /// # Errors
    ///
    /// [`NoRoom`], as for all the following; nothing is written then.
    pub fn put_flag(&mut self, nr: u16, flag: bool) -> Result<(), NoRoom> {
        self.put(nr, &[&[u8::from(flag)]])
    }

    /// Four bytes, unsigned.
    pub fn put_u32(&mut self, nr: u16, number: u32) -> Result<(), NoRoom> {
        self.put(nr, &[&number.to_ne_bytes()])
    }

    /// Four bytes, signed.
    pub fn put_s32(&mut self, nr: u16, number: i32) -> Result<(), NoRoom> {
        self.put(nr, &[&number.to_ne_bytes()])
    }

    /// Eight bytes, unsigned.
    pub fn put_u64(&mut self, nr: u16, number: u64) -> Result<(), NoRoom> {
        self.put(nr, &[&number.to_ne_bytes()])
    }

    /// A string; its NUL is added.
    pub fn put_text(&mut self, nr: u16, text: &str) -> Result<(), NoRoom> {
        self.put(nr, &[text.as_bytes(), &[0]])
    }

    /// Bytes.
    pub fn put_bytes(&mut self, nr: u16, bytes: &[u8]) -> Result<(), NoRoom> {
        self.put(nr, &[bytes])
    }

    /// Bytes, with the mandatory bit that `drbdsetup show` wants on the addresses of PATH_PARMS.
    pub fn put_bytes_mandatory(&mut self, nr: u16, bytes: &[u8]) -> Result<(), NoRoom> {
        self.put(nr | MANDATORY, &[bytes])
    }

    /// An option in the type of its row; a value of another kind is left out.
    pub fn put_option(&mut self, spec: &OptionSpec, value: Value<'_>) -> Result<(), NoRoom> {
        match (spec.wire(), value) {
            (Wire::Flag, Value::Bool(flag)) => self.put_flag(spec.nr, flag),
            (Wire::U32, Value::Int(number)) => {
                self.put_u32(spec.nr, u32::try_from(number).unwrap_or(u32::MAX))
            }
            (Wire::S32, Value::Int(number)) => {
                self.put_s32(spec.nr, i32::try_from(number).unwrap_or(i32::MAX))
            }
            (Wire::U64, Value::Int(number)) => {
                self.put_u64(spec.nr, u64::try_from(number).unwrap_or(0))
            }
            (Wire::Text, Value::Text(text)) => self.put_text(spec.nr, text),
            (Wire::Flag | Wire::U32 | Wire::S32 | Wire::U64 | Wire::Text, _) => Ok(()),
        }
    }

    /// A nest marked as such: what `content` writes.
    pub fn nest(
        &mut self,
        tla: Tla,
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        self.nest_typed(tla.number() | NESTED, content)
    }

    /// A nest without the mark: CFG_REPLY, and CFG_CONTEXT and PATH_PARMS from the kernel.
    pub fn plain_nest(
        &mut self,
        tla: Tla,
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        self.nest_typed(tla.number(), content)
    }

    /// A nest without the mark whose number is not one of version 2.
    pub(super) fn plain_nest_of(
        &mut self,
        nr: u16,
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        self.nest_typed(nr, content)
    }

    fn nest_typed(
        &mut self,
        kind: u16,
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        let start = self.mark();
        let result = self
            .put(kind, &[])
            .and_then(|()| content(self))
            .and_then(|()| {
                let total = self.len.checked_sub(start.0).ok_or(NoRoom)?;
                let len = u16::try_from(total).map_err(|_| NoRoom)?;
                let field_end = start.0.checked_add(2).ok_or(NoRoom)?;
                self.buffer
                    .get_mut(start.0..field_end)
                    .ok_or(NoRoom)?
                    .copy_from_slice(&len.to_ne_bytes());
                Ok(())
            });
        if result.is_err() {
            self.rewind(start);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn pads_and_nests() {
        let mut buffer = [0xaa; 64];
        let mut writer = Writer::new(&mut buffer);
        writer
            .nest(Tla::CfgContext, |w| {
                w.put_text(2, "r0")?;
                w.put_flag(1, true)
            })
            .unwrap();
        assert_eq!(
            writer.bytes(),
            [20, 0, 2, 0x80, 7, 0, 2, 0, b'r', b'0', 0, 0, 5, 0, 1, 0, 1, 0, 0, 0]
        );
    }

    #[test]
    fn a_full_buffer_leaves_what_was_whole() {
        for size in 0..24 {
            let mut buffer = std::vec![0; size];
            let mut writer = Writer::new(&mut buffer);
            let first = writer.put_u32(1, 7);
            let second = writer.nest(Tla::NetConf, |w| w.put_u64(3, 9));
            let expected = if size < 8 { 0 } else { 8 };
            assert_eq!((first.is_ok(), second), (size >= 8, Err(NoRoom)), "{size}");
            assert_eq!(writer.len(), expected);
        }
    }

    #[test]
    fn rewinding_never_goes_forward() {
        let mut buffer = [0; 16];
        let mut writer = Writer::new(&mut buffer);
        let start = writer.mark();
        writer.put_u32(1, 1).unwrap();
        let end = writer.mark();
        writer.rewind(start);
        writer.rewind(end);
        assert!(writer.is_empty());
    }
}
