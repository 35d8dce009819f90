// SPDX-License-Identifier: GPL-2.0-or-later
//! The decoders that are fed.

mod activity_log;
mod config;
mod netlink;
mod netlink_v1;
mod planted;
mod show;
mod superblock;
mod wire;

use fastrand::Rng;

use crate::Trace;

/// A way to change an input: with chance, the other parents, and words.
pub type Change = fn(&mut Rng, &mut Vec<u8>, &[Vec<u8>], &[Vec<u8>]);

/// One decoder, and all that feeding it takes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name on the command line and of its directories.
    pub name: &'static str,
    /// What it feeds.
    pub about: &'static str,
    /// Longest input.
    pub bytes_max: usize,
    /// Memory that one input may take.
    pub memory_max_bytes: usize,
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What means something to the decoder.
    pub words: fn() -> Vec<Vec<u8>>,
    /// Changes an input; the rest of the parents is given.
    pub change: Change,
    /// Feeds one input; panics when a rule is broken.
    pub run: fn(&[u8], &mut Trace),
}

/// Every decoder.
pub const ALL: [Target; 7] = [
    config::TARGET,
    show::TARGET,
    netlink::TARGET,
    netlink_v1::TARGET,
    superblock::TARGET,
    activity_log::TARGET,
    wire::TARGET,
];

/// The target of this name; also those with a planted fault, which only tests ask for.
pub fn find(name: &str) -> Option<Target> {
    let mut all = ALL.iter().chain(&planted::ALL);
    all.find(|target| target.name == name).copied()
}

/// Bytes at `at` as a number; what is missing counts as zero.
fn number_at(input: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(input.get(at..).unwrap_or(&[])) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}
