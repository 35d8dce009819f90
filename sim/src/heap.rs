// SPDX-License-Identifier: GPL-2.0-or-later
//! Storage and chance for the harness.

use drbd_core::engine::mem::Mem;

/// Boxed slices.
pub(crate) struct Heap;

impl Mem for Heap {
    type Buf<T: Copy + 'static> = Box<[T]>;
}

/// A buffer of `count` copies.
pub(crate) fn filled<T: Copy>(value: T, count: usize) -> Box<[T]> {
    vec![value; count].into_boxed_slice()
}

/// splitmix64: the one source of chance of a run.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            0
        } else {
            self.next() % n
        }
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
