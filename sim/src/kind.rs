// SPDX-License-Identifier: GPL-2.0-or-later
//! What the administrator of a story does: of some mistakes nothing but a report can save him.

use crate::heap::Rng;

/// Whom the administrator makes Primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One node, whose data is the newest.
    Careful,
    /// One node, whatever the other may have: a split brain has to be reported when they meet.
    Careless,
    /// Both.
    TwoPrimaries,
}

impl Kind {
    /// Of six stories four are careful.
    pub(crate) fn of_seed(seed: u64) -> Kind {
        if Rng::new(seed ^ 0xd0a1).one_in(6) {
            Kind::TwoPrimaries
        } else if Rng::new(seed ^ 0xca7e).one_in(5) {
            Kind::Careless
        } else {
            Kind::Careful
        }
    }

    /// The option that asks for stories of this kind alone.
    pub fn option(self) -> &'static str {
        match self {
            Kind::Careful => "--careful",
            Kind::Careless => "--careless",
            Kind::TwoPrimaries => "--two-primaries",
        }
    }
}
