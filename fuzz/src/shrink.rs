// SPDX-License-Identifier: GPL-2.0-or-later
//! Making a failing input shorter.

/// Tries that are worth it.
const TRIES_MAX: u32 = 4000;

/// Takes pieces out of `input`, large ones first, as long as `still_fails`.
pub(crate) fn shrink(input: &[u8], mut still_fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut tries = 0;
    let mut piece = best.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < best.len() {
            let mut shorter = best.clone();
            shorter.drain(at..best.len().min(at + piece));
            tries += 1;
            if tries > TRIES_MAX {
                return best;
            }
            if still_fails(&shorter) {
                best = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_the_failure_needs() {
        let input: Vec<u8> = (0..200).collect();
        let short = shrink(&input, |bytes| bytes.contains(&17) && bytes.contains(&170));
        assert_eq!(short, [17, 170]);
    }
}
