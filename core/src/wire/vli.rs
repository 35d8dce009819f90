// SPDX-License-Identifier: GPL-2.0-or-later
//! Variable-length codes of run lengths in compressed bitmap packets, and the bit streams they stand in
//! (wire-protocol section 7). Least significant bit first everywhere.

/// One length of code.
struct Level {
    /// Bits of the whole code.
    bits: u32,
    /// Bits of the prefix.
    prefix_bits: u32,
    /// Lowest bits of every code of this level.
    prefix: u64,
    /// Shortest run of this level.
    first: u64,
}

const fn level(bits: u32, prefix_bits: u32, prefix: u64, first: u64) -> Level {
    Level {
        bits,
        prefix_bits,
        prefix,
        first,
    }
}

/// All levels. The first whose prefix matches is the one: later prefixes are longer.
const LEVELS: [Level; 10] = [
    level(2, 1, 0x00, 1),
    level(3, 2, 0x01, 3),
    level(5, 3, 0x03, 5),
    level(7, 4, 0x07, 9),
    level(10, 5, 0x0f, 17),
    level(14, 6, 0x1f, 49),
    level(21, 8, 0x3f, 305),
    level(29, 8, 0x7f, 8497),
    level(42, 8, 0xbf, 2_105_649),
    level(64, 8, 0xff, 17_181_974_833),
];

/// Longest run that has a code.
pub const RUN_MAX: u64 = 72_057_611_219_902_768;

impl Level {
    const fn run_max(&self) -> u64 {
        self.first
            .saturating_add(low_bits(self.bits.saturating_sub(self.prefix_bits)))
    }
}

/// The lowest `count` bits, 0 to 64.
const fn low_bits(count: u32) -> u64 {
    match u64::MAX.checked_shr(64_u32.saturating_sub(count)) {
        Some(mask) => mask,
        None => 0,
    }
}

/// A run length as it stands in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code, lowest bit first to be sent.
    pub bits: u64,
    /// How many bits it has, 2 to 64.
    pub len: u32,
}

/// The code of a run; none for 0 and for runs beyond [`RUN_MAX`].
#[must_use]
pub fn encode(run: u64) -> Option<Code> {
    if run == 0 {
        return None;
    }
    let level = LEVELS.iter().find(|level| run <= level.run_max())?;
    let data = run
        .checked_sub(level.first)?
        .checked_shl(level.prefix_bits)?;
    Some(Code {
        bits: data | level.prefix,
        len: level.bits,
    })
}

/// The run at the low end of `look_ahead`, and how many bits its code has. The caller makes sure that so many bits
/// were really there.
#[must_use]
pub fn decode(look_ahead: u64) -> Option<(u64, u32)> {
    let level = LEVELS
        .iter()
        .find(|level| look_ahead & low_bits(level.prefix_bits) == level.prefix)?;
    let data = (look_ahead & low_bits(level.bits)).checked_shr(level.prefix_bits)?;
    Some((level.first.checked_add(data)?, level.bits))
}

/// Appends codes to a byte slice.
pub struct BitWriter<'a> {
    buffer: &'a mut [u8],
    /// Bits written.
    position: usize,
}

impl<'a> BitWriter<'a> {
    /// Starts at the first bit; old content of `buffer` is overwritten as far as codes reach.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            buffer,
            position: 0,
        }
    }

    /// Appends a code; false, and nothing changed, if it does not fit.
    #[must_use]
    pub fn put(&mut self, code: Code) -> bool {
        let len = usize::try_from(code.len).unwrap_or(usize::MAX);
        let end = self.position.saturating_add(len);
        if end > self.buffer.len().saturating_mul(8) {
            return false;
        }
        let mut bits = code.bits & low_bits(code.len);
        let mut left = code.len;
        while left > 0 {
            let offset = u32::try_from(self.position % 8).unwrap_or(0);
            let count = left.min(8_u32.saturating_sub(offset));
            let Some(byte) = self.buffer.get_mut(self.position / 8) else {
                return false;
            };
            let [piece, ..] = (bits & low_bits(count)).to_le_bytes();
            let kept = if offset == 0 { 0 } else { *byte };
            *byte = kept | piece.checked_shl(offset).unwrap_or(0);
            bits = bits.checked_shr(count).unwrap_or(0);
            left = left.saturating_sub(count);
            self.position = self
                .position
                .saturating_add(usize::try_from(count).unwrap_or(0));
        }
        true
    }

    /// Bytes written; the last one may be incomplete.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.position.div_ceil(8)
    }

    /// Unused high bits of the last byte, 0 to 7.
    #[must_use]
    pub fn pad_bits(&self) -> u8 {
        u8::try_from(self.bytes().saturating_mul(8).saturating_sub(self.position)).unwrap_or(0)
    }
}

/// Takes bits off a byte slice.
pub struct BitReader<'a> {
    buffer: &'a [u8],
    /// Bits consumed.
    position: usize,
    /// Bits there are.
    end: usize,
}

impl<'a> BitReader<'a> {
    /// Reads all bits of `buffer` but the last `pad_bits`.
    #[must_use]
    pub fn new(buffer: &'a [u8], pad_bits: u8) -> Self {
        let end = buffer
            .len()
            .saturating_mul(8)
            .saturating_sub(usize::from(pad_bits));
        Self {
            buffer,
            position: 0,
            end,
        }
    }

    /// Bits left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.end.saturating_sub(self.position)
    }

    /// The next 64 bits without consuming them; zeroes where there are none.
    #[must_use]
    pub fn peek(&self) -> u64 {
        let offset = u32::try_from(self.position % 8).unwrap_or(0);
        let bytes = self.buffer.get(self.position / 8..).unwrap_or_default();
        let mut low = [0_u8; 8];
        for (to, from) in low.iter_mut().zip(bytes) {
            *to = *from;
        }
        let mut bits = u64::from_le_bytes(low).checked_shr(offset).unwrap_or(0);
        if let (true, Some(ninth)) = (offset > 0, bytes.get(8)) {
            bits |= u64::from(*ninth)
                .checked_shl(64_u32.saturating_sub(offset))
                .unwrap_or(0);
        }
        bits & low_bits(u32::try_from(self.left().min(64)).unwrap_or(64))
    }

    /// Consumes `count` bits; false if there are fewer.
    #[must_use]
    pub fn skip(&mut self, count: u32) -> bool {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > self.left() {
            return false;
        }
        self.position = self.position.saturating_add(count);
        true
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_of_the_specification() {
        for (run, len, bits) in [
            (1, 2, 0x0),
            (2, 2, 0x2),
            (3, 3, 0x1),
            (4, 3, 0x5),
            (5, 5, 0x3),
            (8, 5, 0x1b),
            (9, 7, 0x7),
            (16, 7, 0x77),
            (17, 10, 0xf),
            (48, 10, 0x3ef),
            (49, 14, 0x1f),
            (304, 14, 0x3fdf),
            (305, 21, 0x3f),
            (8496, 21, 0x1f_ff3f),
            (8497, 29, 0x7f),
            (32_768, 29, 0x5e_cf7f),
            (1_048_576, 29, 0xfde_cf7f),
            (2_105_649, 42, 0xbf),
            (17_181_974_833, 64, 0xff),
        ] {
            assert_eq!(encode(run), Some(Code { bits, len }), "{run}");
            assert_eq!(decode(bits), Some((run, len)), "{run}");
        }
    }

    #[test]
    fn levels_follow_each_other() {
        for pair in LEVELS.windows(2) {
            assert_eq!(pair[0].run_max() + 1, pair[1].first);
        }
        assert_eq!(LEVELS[9].run_max(), RUN_MAX);
        assert_eq!(
            encode(RUN_MAX),
            Some(Code {
                bits: u64::MAX,
                len: 64
            })
        );
        assert_eq!(
            (encode(0), encode(RUN_MAX + 1), encode(u64::MAX)),
            (None, None, None)
        );
    }

    #[test]
    fn writer_refuses_what_does_not_fit_and_stays_as_it_was() {
        let mut bytes = [0xee; 2];
        let mut writer = BitWriter::new(&mut bytes);
        assert!(writer.put(Code {
            bits: 0x3fff,
            len: 14
        }));
        assert!(!writer.put(Code { bits: 0, len: 3 }));
        assert_eq!((writer.bytes(), writer.pad_bits()), (2, 2));
        assert!(writer.put(Code { bits: 1, len: 2 }));
        assert_eq!((writer.bytes(), writer.pad_bits()), (2, 0));
        assert_eq!(bytes, [0xff, 0x7f]);
    }

    fn run() -> impl Strategy<Value = u64> {
        prop_oneof![1..64_u64, 1..10_000_u64, 1..40_000_000_000_u64, 1..=RUN_MAX]
    }

    proptest! {
        #[test]
        fn a_code_decodes_whatever_follows(run in run(), junk: u64) {
            let code = encode(run).unwrap();
            let followed = code.bits | junk.checked_shl(code.len).unwrap_or(0);
            prop_assert_eq!(decode(followed), Some((run, code.len)));
        }

        #[test]
        fn streams_round_trip(runs in prop::collection::vec(run(), 0..200)) {
            let mut bytes = vec![0xa5; 200 * 8];
            let mut writer = BitWriter::new(&mut bytes);
            for run in &runs {
                prop_assert!(writer.put(encode(*run).unwrap()));
            }
            let (len, pad) = (writer.bytes(), writer.pad_bits());
            let mut reader = BitReader::new(&bytes[..len], pad);
            for run in &runs {
                let (decoded, bits) = decode(reader.peek()).unwrap();
                prop_assert_eq!(decoded, *run);
                prop_assert!(reader.skip(bits));
            }
            prop_assert_eq!(reader.left(), 0);
            prop_assert!(!reader.skip(1));
        }
    }
}
