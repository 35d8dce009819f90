// SPDX-License-Identifier: GPL-2.0-or-later
//! What a node counts: context switches and what its network card moved.

use std::ops::Sub;

use anyhow::{Context, Result};

/// Command that prints what [`Counters::parse`] reads.
pub(crate) const COMMAND: &str = "cat /proc/stat /proc/net/dev";

/// Readings of a node's counters, or the difference of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Context switches of all processors.
    pub(crate) switches: u64,
    /// Frames of the first network card, both ways. The machines' cards have
    /// no segmentation offload, so these are what goes over the wire.
    pub(crate) packets: u64,
    /// Bytes of those frames, with Ethernet headers.
    pub(crate) bytes: u64,
}

impl Counters {
    /// From `/proc/stat` and `/proc/net/dev`, one after the other.
    ///
    /// # Errors
    ///
    /// If a counter is not there.
    pub(crate) fn parse(text: &str) -> Result<Counters> {
        let line = |start: &str| {
            let found = text.lines().find_map(|l| l.trim().strip_prefix(start));
            found.with_context(|| format!("no line `{start}` in\n{text}"))
        };
        let numbers = |words: &str| -> Result<Vec<u64>> {
            let numbers = words.split_whitespace().map(str::parse);
            numbers
                .collect::<Result<_, _>>()
                .with_context(|| format!("no numbers: {words}"))
        };
        let switches = numbers(line("ctxt ")?)?;
        let card = numbers(line("eth0:")?)?;
        let sum = |a: usize, b: usize| -> Result<u64> {
            Ok(card.get(a).context("short line")? + card.get(b).context("short line")?)
        };
        Ok(Counters {
            switches: *switches.first().context("no count of switches")?,
            bytes: sum(0, 8)?,
            packets: sum(1, 9)?,
        })
    }
}

impl Sub for Counters {
    type Output = Counters;

    fn sub(self, earlier: Counters) -> Counters {
        Counters {
            switches: self.switches.saturating_sub(earlier.switches),
            packets: self.packets.saturating_sub(earlier.packets),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "cpu  1 2 3\nctxt 8754\nbtime 1\nInter-| Receive\n lo: 1 1 0\n\
        \x20 eth0:  288264    4047    0    0    0     0          0         0 280708458  185786    0\n";

    #[test]
    fn both_directions_are_added() {
        let read = Counters::parse(TEXT).unwrap();
        assert_eq!(read.switches, 8754);
        assert_eq!(read.packets, 4047 + 185_786);
        assert_eq!(read.bytes, 288_264 + 280_708_458);
        assert_eq!(read - read, Counters::default());
    }

    #[test]
    fn a_missing_card_is_an_error() {
        assert!(Counters::parse("ctxt 1\n lo: 1 1\n").is_err());
        assert!(Counters::parse("ctxt 1\neth0: 1 2 3\n").is_err());
    }
}
