// SPDX-License-Identifier: GPL-2.0-or-later
//! Which numbers have been seen: each is taken once, in whatever order they come.

/// Numbers that are remembered behind the highest.
const BITS: u64 = 128;

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not seen.
    New,
    /// Seen.
    Seen,
    /// So far behind the highest that nobody remembers.
    Old,
}

/// A sliding window. Numbers begin at 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    /// The highest, 0 when there was none.
    highest: u64,
    /// Bit i: `highest - i` has been seen.
    seen: u128,
    /// The first that was seen.
    first: u64,
}

impl Window {
    /// What `number` would be.
    pub(super) fn look(&self, number: u64) -> Verdict {
        if number == 0 {
            return Verdict::Old;
        }
        if number > self.highest {
            return Verdict::New;
        }
        let behind = self.highest - number;
        if behind >= BITS {
            Verdict::Old
        } else if self.seen >> behind & 1 == 1 {
            Verdict::Seen
        } else {
            Verdict::New
        }
    }

    /// Remembers a number that was [`Verdict::New`].
    pub(super) fn take(&mut self, number: u64) {
        if self.highest == 0 {
            self.first = number;
        }
        if number > self.highest {
            let ahead = number - self.highest;
            self.seen = if ahead >= BITS { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.highest = number;
        } else if self.highest - number < BITS {
            self.seen |= 1 << (self.highest - number);
        }
    }

    /// Per mille of the last numbers that did not come, as far as the window reaches.
    pub(super) fn loss_permille(&self) -> u32 {
        if self.highest == 0 {
            return 0;
        }
        let span = (self.highest - self.first.min(self.highest) + 1).min(BITS);
        let came = u64::from(self.seen.count_ones()).min(span);
        u32::try_from((span - came) * 1000 / span).unwrap_or(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn counts_what_is_missing() {
        let mut window = Window::default();
        assert_eq!(window.loss_permille(), 0);
        for number in 100..200 {
            if number % 4 != 0 || number == 100 {
                window.take(number);
            }
        }
        assert_eq!(window.loss_permille(), 240);
    }

    proptest! {
        #[test]
        fn takes_each_number_once(numbers in proptest::collection::vec(1_u64..400, 1..600)) {
            let mut window = Window::default();
            let mut oracle = BTreeSet::new();
            for number in numbers {
                let highest = oracle.iter().next_back().copied().unwrap_or(0);
                let wanted = if oracle.contains(&number) && highest - number < BITS {
                    Verdict::Seen
                } else if number <= highest && highest - number >= BITS {
                    Verdict::Old
                } else {
                    Verdict::New
                };
                prop_assert_eq!(window.look(number), wanted);
                if wanted == Verdict::New {
                    window.take(number);
                    oracle.insert(number);
                }
            }
        }

        #[test]
        fn far_jumps_do_no_harm(numbers in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut window = Window::default();
            for number in numbers {
                if window.look(number) == Verdict::New {
                    window.take(number);
                    prop_assert_eq!(window.look(number), Verdict::Seen);
                }
                prop_assert!(window.loss_permille() <= 1000);
            }
        }
    }
}
