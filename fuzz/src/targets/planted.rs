// SPDX-License-Identifier: GPL-2.0-or-later
//! Targets with a fault, to test that it is found, kept and replayed.

use std::time::Duration;

use super::Target;
use crate::mutate::mutate;
use crate::Trace;

/// An input has the fault when it contains this byte.
const BAD: u8 = b'!';

const fn planted(name: &'static str, run: fn(&[u8], &mut Trace)) -> Target {
    Target {
        name,
        about: "a planted fault",
        bytes_max: 64,
        memory_max_bytes: 1 << 20,
        seeds: || vec![b"harmless".to_vec()],
        words: || vec![vec![BAD]],
        change: |rng, input, others, words| mutate(rng, input, others, words, 64),
        run,
    }
}

pub(super) const ALL: [Target; 4] = [
    planted("planted-panic", |input, _| {
        assert!(!input.contains(&BAD), "the planted panic");
    }),
    planted("planted-hang", |input, _| {
        while input.contains(&BAD) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }),
    planted("planted-memory", |input, _| {
        if input.contains(&BAD) {
            std::hint::black_box(Vec::<u8>::with_capacity(2 << 20));
        }
    }),
    planted("planted-overflow", |input, trace| {
        if input.contains(&BAD) {
            trace.note(deeper(0));
        }
    }),
];

/// Has no end, so that the stack has.
#[expect(unconditional_recursion, reason = "the planted fault")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth) + 1)) + 1
}
