// SPDX-License-Identifier: GPL-2.0-or-later
//! CRC-32C (Castagnoli), eight bytes a step.

/// Reflected polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][b]` is the effect of byte `b` followed by `k` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();

/// Continues a CRC over `bytes`.
///
/// Neither the start value nor the result is inverted: the activity log uses the plain register
/// with start value 0 (metadata.md 4). The usual CRC-32C is `!crc32c(!0, bytes)`.
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = crc;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let (low, high) = match chunk {
            [a, b, c, d, e, f, g, h] => (
                u32::from_le_bytes([*a, *b, *c, *d]) ^ crc,
                u32::from_le_bytes([*e, *f, *g, *h]),
            ),
            // `chunks_exact` yields nothing else.
            _ => (0, 0),
        };
        let [l0, l1, l2, l3] = low.to_le_bytes();
        let [h0, h1, h2, h3] = high.to_le_bytes();
        let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
        crc = entry(t7, l0)
            ^ entry(t6, l1)
            ^ entry(t5, l2)
            ^ entry(t4, l3)
            ^ entry(t3, h0)
            ^ entry(t2, h1)
            ^ entry(t1, h2)
            ^ entry(t0, h3);
    }
    let [table, ..] = &TABLES;
    for byte in chunks.remainder() {
        let [low, ..] = crc.to_le_bytes();
        crc = entry(table, low ^ byte) ^ (crc >> 8);
    }
    crc
}

/// One table entry; a `u8` index is always inside.
fn entry(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or(0)
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler only: a wrong index is a build error"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0usize;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0usize;
        while byte < 256 {
            let shorter = tables[k - 1][byte];
            tables[k][byte] = tables[0][(shorter & 0xff) as usize] ^ (shorter >> 8);
            byte += 1;
        }
        k += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_value() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn parts_and_whole_agree() {
        let text = b"an activity log record of no particular length";
        for cut in 0..text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(crc32c(crc32c(0, head), tail), crc32c(0, text));
        }
    }
}
