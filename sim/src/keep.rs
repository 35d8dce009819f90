// SPDX-License-Identifier: GPL-2.0-or-later
//! Which events of a story are played.

use std::fmt;
use std::str::FromStr;

/// Numbers of events, or all of them. Written as `0-4,7,9-12`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep(Option<Vec<u64>>);

impl Keep {
    /// Every event.
    pub const ALL: Keep = Keep(None);

    /// These, ascending.
    pub fn only(events: Vec<u64>) -> Self {
        debug_assert!(events.is_sorted());
        Keep(Some(events))
    }

    /// Whether event `number` is played.
    pub fn has(&self, number: u64) -> bool {
        self.0
            .as_ref()
            .is_none_or(|events| events.binary_search(&number).is_ok())
    }

    /// Whether there may be one from `number` on.
    pub(crate) fn goes_on(&self, number: u64) -> bool {
        self.0
            .as_ref()
            .is_none_or(|events| events.last().is_some_and(|last| *last >= number))
    }

    /// How many are played, if not all.
    pub fn count(&self) -> Option<usize> {
        self.0.as_ref().map(Vec::len)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(events) = &self.0 else {
            return f.write_str("all");
        };
        let mut comma = "";
        for run in events.chunk_by(|a, b| a + 1 == *b) {
            match run {
                [one] => write!(f, "{comma}{one}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
            comma = ",";
        }
        Ok(())
    }
}

impl FromStr for Keep {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Keep::ALL);
        }
        let mut events = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            events.extend(first.trim().parse()?..=last.trim().parse::<u64>()?);
        }
        events.sort_unstable();
        events.dedup();
        Ok(Keep(Some(events)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["all", "", "3", "0-4,7,9-12"] {
            let keep: Keep = text.parse().unwrap();
            assert_eq!(keep.to_string(), text);
        }
        let keep: Keep = "5,1-2".parse().unwrap();
        assert_eq!(keep.to_string(), "1-2,5");
        assert!(keep.has(5) && !keep.has(3) && keep.goes_on(5) && !keep.goes_on(6));
        assert!("x".parse::<Keep>().is_err());
    }
}
