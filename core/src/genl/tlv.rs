// SPDX-License-Identifier: GPL-2.0-or-later
//! Reading netlink attributes: length, type, payload, padding to four bytes.

use super::tla::Tla;

/// Bit that marks a nest.
pub(crate) const NESTED: u16 = 0x8000;
/// Bit that drbd's tools set on "mandatory" attributes, and expect on the addresses of PATH_PARMS.
pub(crate) const MANDATORY: u16 = 0x4000;
const TYPE_MASK: u16 = 0x3fff;
pub(crate) const ATTRIBUTE_HEADER_BYTES: usize = 4;

/// The bytes are not a sequence of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Number, without the two flag bits.
    pub nr: u16,
    /// Content without padding.
    pub payload: &'a [u8],
    /// Header and content, padded if the padding is there: what an echo copies.
    pub whole: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Content as a flag; any byte but 0 is yes.
    pub fn flag(&self) -> Result<bool, Malformed> {
        match self.payload {
            [byte] => Ok(*byte != 0),
            _ => Err(Malformed),
        }
    }

    /// Content as an unsigned number of four bytes.
    pub fn u32(&self) -> Result<u32, Malformed> {
        let bytes = <[u8; 4]>::try_from(self.payload).map_err(|_| Malformed)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// Content as a signed number of four bytes.
    pub fn s32(&self) -> Result<i32, Malformed> {
        let bytes = <[u8; 4]>::try_from(self.payload).map_err(|_| Malformed)?;
        Ok(i32::from_ne_bytes(bytes))
    }

    /// Content as an unsigned number of eight bytes.
    pub fn u64(&self) -> Result<u64, Malformed> {
        let bytes = <[u8; 8]>::try_from(self.payload).map_err(|_| Malformed)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Content as a string that ends with its first NUL; without a NUL it is refused.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        let end = self
            .payload
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(Malformed)?;
        let bytes = self.payload.get(..end).ok_or(Malformed)?;
        core::str::from_utf8(bytes).map_err(|_| Malformed)
    }
}

/// The attributes of a message or nest, in the order they come in.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Reads `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take_one(&mut self) -> Result<Attribute<'a>, Malformed> {
        let (len, after_len) = self.rest.split_first_chunk::<2>().ok_or(Malformed)?;
        let (kind, _) = after_len.split_first_chunk::<2>().ok_or(Malformed)?;
        let len = usize::from(u16::from_ne_bytes(*len));
        let nr = u16::from_ne_bytes(*kind) & TYPE_MASK;
        let payload = self
            .rest
            .get(ATTRIBUTE_HEADER_BYTES..len)
            .ok_or(Malformed)?;
        // The last attribute may come without its padding.
        let padded = len.next_multiple_of(4).min(self.rest.len());
        let (whole, rest) = self.rest.split_at_checked(padded).ok_or(Malformed)?;
        self.rest = rest;
        Ok(Attribute { nr, payload, whole })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let result = self.take_one();
        if result.is_err() {
            self.rest = &[];
        }
        Some(result)
    }
}

/// Finds the nest `tla` among the attributes of a message; a second one is refused.
///
/// # Errors
///
/// [`Malformed`] when the bytes are not attributes or the nest is there twice.
pub fn find_nest<'a>(attributes: &'a [u8], tla: Tla) -> Result<Option<Attribute<'a>>, Malformed> {
    let mut found = None;
    for attribute in Attributes::new(attributes) {
        let attribute = attribute?;
        if attribute.nr == tla.number() && found.replace(attribute).is_some() {
            return Err(Malformed);
        }
    }
    Ok(found)
}

/// Remembers which attribute numbers below 64 were seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Notes `nr`; a repetition is refused. Numbers that no group uses are not tracked.
    pub(crate) fn note(&mut self, nr: u16) -> Result<(), Malformed> {
        let Some(bit) = 1_u64.checked_shl(u32::from(nr)) else {
            return Ok(());
        };
        if self.0 & bit != 0 {
            return Err(Malformed);
        }
        self.0 |= bit;
        Ok(())
    }

    /// True when `nr` was seen.
    pub(crate) fn has(self, nr: u16) -> bool {
        1_u64
            .checked_shl(u32::from(nr))
            .is_some_and(|bit| self.0 & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn reads_what_is_there_and_nothing_else() {
        let bytes = [5, 0, 1, 0x40, 7, 0, 0, 0, 8, 0, 2, 0x80, 1, 2, 3, 4];
        let all: Vec<_> = Attributes::new(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].nr, all[0].payload, all[0].whole.len()),
            (1, &[7_u8][..], 8)
        );
        assert_eq!(
            (all[1].nr, all[1].u32().unwrap()),
            (2, u32::from_ne_bytes([1, 2, 3, 4]))
        );
    }

    #[test]
    fn last_attribute_may_lack_its_padding() {
        let bytes = [5, 0, 1, 0, 7];
        let one = Attributes::new(&bytes).next().unwrap().unwrap();
        assert_eq!(one.flag(), Ok(true));
    }

    #[test]
    fn truncated_or_impossible_lengths_are_refused_once() {
        for bytes in [
            &[8, 0, 1, 0, 1, 2, 3][..],
            &[3, 0, 1, 0][..],
            &[0, 0, 0, 0][..],
            &[4, 0, 1][..],
            &[0xff][..],
        ] {
            let mut reader = Attributes::new(bytes);
            assert_eq!(reader.next(), Some(Err(Malformed)), "{bytes:?}");
            assert_eq!(reader.next(), None);
        }
    }

    #[test]
    fn typed_access_checks_the_size() {
        let attribute = |payload: &'static [u8]| Attribute {
            nr: 1,
            payload,
            whole: payload,
        };
        assert!(attribute(&[1, 0]).flag().is_err());
        assert!(attribute(&[1, 0, 0]).u32().is_err());
        assert!(attribute(&[1, 0, 0, 0]).u64().is_err());
        assert!(attribute(b"abc").text().is_err());
        assert!(attribute(&[0xff, 0]).text().is_err());
        assert_eq!(attribute(b"abc\0").text(), Ok("abc"));
    }

    #[test]
    fn a_repeated_nest_is_refused() {
        let bytes = [4, 0, 2, 0x80, 4, 0, 2, 0];
        assert_eq!(find_nest(&bytes, Tla::CfgContext), Err(Malformed));
        assert_eq!(
            find_nest(&bytes[..4], Tla::CfgContext)
                .unwrap()
                .unwrap()
                .payload
                .len(),
            0
        );
        assert_eq!(find_nest(&bytes[..4], Tla::NetConf), Ok(None));
    }
}
