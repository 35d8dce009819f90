// SPDX-License-Identifier: GPL-2.0-or-later
//! Data generations of one volume towards one peer, as `get-gi` prints them.

use std::fmt;

/// The lowest bit of an identifier says that the node was Primary: it is no
/// part of the identity.
const IDENTITY: u64 = !1;
/// A disk that has never been written to.
const JUST_CREATED: u64 = 4;

/// Current, bitmap and two older identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    /// What the data is now.
    pub(crate) current: u64,
    /// What it was when the peer was seen last, if it has changed since.
    pub(crate) bitmap: u64,
    /// What it was before.
    pub(crate) history: [u64; 2],
}

/// What two sets of generations say about the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The same data.
    Same,
    /// This node has newer data.
    Newer,
    /// The peer has newer data.
    Older,
    /// Both have changed what they once shared.
    SplitBrain,
    /// Nothing in common.
    Unrelated,
}

impl Relation {
    pub(super) fn sentence(self, peer: &str) -> String {
        match self {
            Relation::Same => "both have the same data".into(),
            Relation::Newer => {
                format!("this node's data follows {peer}'s: nothing is lost by connecting")
            }
            Relation::Older => {
                format!("{peer}'s data follows this node's: nothing is lost by connecting")
            }
            Relation::SplitBrain => "both have changed what they once shared: a split brain".into(),
            Relation::Unrelated => "the two have no generation in common".into(),
        }
    }
}

impl Generations {
    /// Reads `CURRENT:BITMAP:HISTORY:HISTORY:...`.
    pub(crate) fn parse(text: &str) -> Option<Generations> {
        let mut words = text
            .trim()
            .split(':')
            .map(|word| u64::from_str_radix(word.trim().trim_start_matches("0x"), 16).ok());
        let mut next = || words.next().flatten();
        Some(Generations {
            current: next()?,
            bitmap: next()?,
            history: [next()?, next()?],
        })
    }

    /// How this node's data relates to the peer's. The kernel's table knows
    /// more cases; these are the ones an administrator has to tell apart.
    pub(super) fn relation(&self, peer: &Generations) -> Relation {
        let id = |value: u64| value & IDENTITY;
        let (ours, theirs) = (id(self.current), id(peer.current));
        if ours == theirs {
            return Relation::Same;
        }
        if self.current == JUST_CREATED {
            return Relation::Older;
        }
        if peer.current == JUST_CREATED {
            return Relation::Newer;
        }
        let past = |of: &Generations| {
            [of.bitmap, of.history[0], of.history[1]]
                .map(id)
                .into_iter()
                .filter(|value| *value != 0)
                .collect::<Vec<u64>>()
        };
        let (our_past, their_past) = (past(self), past(peer));
        if our_past.contains(&theirs) {
            Relation::Newer
        } else if their_past.contains(&ours) {
            Relation::Older
        } else if our_past.iter().any(|value| their_past.contains(value)) {
            Relation::SplitBrain
        } else {
            Relation::Unrelated
        }
    }
}

impl fmt::Display for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "now {:016X}", self.current)?;
        if self.bitmap != 0 {
            write!(f, ", shared {:016X}", self.bitmap)?;
        }
        for value in self.history.iter().filter(|value| **value != 0) {
            write!(f, ", before {value:016X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(ours: &str, theirs: &str) -> Relation {
        Generations::parse(ours)
            .unwrap()
            .relation(&Generations::parse(theirs).unwrap())
    }

    #[test]
    fn the_relation_is_told_from_both_histories() {
        assert_eq!(relation("A1:0:B0:C0:1:1", "A0:0:B0:C0:1:1"), Relation::Same);
        assert_eq!(relation("D0:A0:B0:C0", "A0:0:B0:C0"), Relation::Newer);
        assert_eq!(relation("A0:0:B0:C0", "D0:A0:B0:C0"), Relation::Older);
        assert_eq!(relation("D1:A0:B0:C0", "E1:A1:B0:C0"), Relation::SplitBrain);
        assert_eq!(relation("D0:0:B0:C0", "E0:0:10:20"), Relation::Unrelated);
        assert_eq!(relation("4:0:0:0", "E0:0:10:20"), Relation::Older);
        assert_eq!(Generations::parse("no such thing"), None);
        assert_eq!(Generations::parse("A:B:C"), None);
    }
}
