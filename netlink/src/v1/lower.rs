// SPDX-License-Identifier: GPL-2.0-or-later
//! From a request of version 2 to version 1.

use std::collections::BTreeMap;

use drbd_core::config::OptionSpec;
use drbd_core::genl::v1::place_of;
use drbd_core::genl::{Context, NoRoom, Tla, Writer};

use crate::options::OptionValue;

/// The options of a request by the group that version 2 has them in.
pub(crate) type Nests = [(Tla, Vec<(OptionSpec, OptionValue)>)];

/// Writes context and options where version 1 has them; an option it lacks is left out.
///
/// # Errors
///
/// [`NoRoom`].
pub(crate) fn lower(
    context: &Context<'_>,
    nests: &Nests,
    writer: &mut Writer<'_>,
) -> Result<(), NoRoom> {
    if *context != Context::default() {
        context.encode_request(writer)?;
    }
    let mut lowered: BTreeMap<u16, Vec<(OptionSpec, &OptionValue)>> = BTreeMap::new();
    for (tla, options) in nests {
        if options.is_empty() {
            lowered.entry(tla.number()).or_default();
        }
        for (spec, value) in options {
            if let Some((group, nr)) = place_of(*tla, spec) {
                let moved = OptionSpec { nr, ..*spec };
                lowered.entry(group).or_default().push((moved, value));
            }
        }
    }
    for (group, options) in &lowered {
        let Some(tla) = Tla::from_number(*group) else {
            continue;
        };
        writer.nest(tla, |w| {
            options
                .iter()
                .try_for_each(|(spec, value)| w.put_option(spec, value.borrow()))
        })?;
    }
    Ok(())
}
