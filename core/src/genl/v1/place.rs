// SPDX-License-Identifier: GPL-2.0-or-later
//! Where an option of API version 2 is in version 1, and copying it there and back.

use super::super::tla::Tla;
use super::super::tlv::{Attribute, Attributes, Malformed};
use super::super::writer::{NoRoom, Writer};
use crate::config::{Dialect84, OptionGroup, OptionSpec};

/// Top level attribute and number, in version 1, of an option that version 2 has in `group`; `None` when it is not there.
pub fn place_of(group: Tla, spec: &OptionSpec) -> Option<(u16, u16)> {
    match spec.dialect84 {
        Dialect84::Same => Some((group.number(), spec.nr)),
        Dialect84::Absent => None,
        Dialect84::Differs {
            group: there, nr, ..
        } => Some((there.unwrap_or(group.number()), nr.unwrap_or(spec.nr))),
    }
}

fn place<G: OptionGroup>(spec: &OptionSpec) -> Option<(u16, u16)> {
    place_of(G::TLA, spec)
}

/// Writes into the nest of `G` every option that a message of version 1 carries, wherever it does; a repeated one is
/// written twice, for the decoder to refuse.
///
/// # Errors
///
/// [`Fault`].
pub fn from_v1<G: OptionGroup>(message: &[u8], writer: &mut Writer<'_>) -> Result<(), Fault> {
    for nest in Attributes::new(message) {
        let nest = nest?;
        let mut here = G::TABLE
            .iter()
            .filter_map(|spec| place::<G>(spec).map(|(group, _)| group));
        if !here.any(|group| group == nest.nr) {
            continue;
        }
        for attribute in Attributes::new(nest.payload) {
            let attribute = attribute?;
            let known = G::TABLE
                .iter()
                .find(|spec| place::<G>(spec) == Some((nest.nr, attribute.nr)));
            if let Some(spec) = known {
                writer.put_bytes(spec.nr, attribute.payload)?;
            }
        }
    }
    Ok(())
}

/// Writes those attributes of a nest of `G` that version 1 has in the top level attribute `group`, with their numbers there.
pub(super) fn to_v1<G: OptionGroup>(
    nest: &Attribute<'_>,
    group: u16,
    writer: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    for attribute in Attributes::new(nest.payload).flatten() {
        let there = G::spec(attribute.nr).and_then(place::<G>);
        if let Some((at, nr)) = there {
            if at == group {
                writer.put_bytes(nr, attribute.payload)?;
            }
        }
    }
    Ok(())
}

/// Why a message cannot be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its bytes are no attributes.
    Malformed,
    /// The room for the rewritten one is too small.
    NoRoom,
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Fault::Malformed
    }
}

impl From<NoRoom> for Fault {
    fn from(_: NoRoom) -> Self {
        Fault::NoRoom
    }
}
