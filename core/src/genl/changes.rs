// SPDX-License-Identifier: GPL-2.0-or-later
//! The options a request carries: checked when the request is decoded, applied when the object is at hand.

use core::marker::PhantomData;

use super::ret_code::RetCode;
use super::tlv::{Attribute, Attributes, Malformed, Seen};
use super::writer::{NoRoom, Writer};
use crate::config::{OptionGroup, OptionSpec, Refusal, Value, Wire};

pub(crate) const MALFORMED: Refusal = Refusal::new(
    RetCode::ERR_MANDATORY_TAG,
    "malformed or repeated attribute",
);
const MISSING: Refusal = Refusal::new(RetCode::ERR_MANDATORY_TAG, "required attribute missing");
const INVARIANT: Refusal = Refusal::new(
    RetCode::ERR_MANDATORY_TAG,
    "can not change invariant setting",
);
const INVALID: Refusal = Refusal::new(RetCode::ERR_MANDATORY_TAG, "invalid attribute value");

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        MALFORMED
    }
}

/// Options of group `G` in a request.
///
/// # Invariants
///
/// `nest` was walked once without error: every value is admitted by its row, nothing comes twice.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a, G> {
    nest: &'a [u8],
    set_defaults: bool,
    group: PhantomData<G>,
}

impl<'a, G: OptionGroup> Changes<'a, G> {
    /// Checks the nest of a request that creates an object: required options must be there.
    ///
    /// # Errors
    ///
    /// The reply's code and sentence.
    pub(crate) fn for_create(nest: Option<Attribute<'a>>) -> Result<Self, Refusal> {
        let seen = walk::<G>(nest, |_| Ok(()))?;
        if G::TABLE
            .iter()
            .any(|spec| spec.required && !seen.has(spec.nr))
        {
            return Err(MISSING);
        }
        Ok(Self::new(nest, false))
    }

    /// Checks the nest of a request that changes an object: invariant options must not be there.
    ///
    /// # Errors
    ///
    /// The reply's code and sentence.
    pub(crate) fn for_change(
        nest: Option<Attribute<'a>>,
        set_defaults: bool,
    ) -> Result<Self, Refusal> {
        walk::<G>(nest, |spec| {
            if spec.invariant {
                Err(INVARIANT)
            } else {
                Ok(())
            }
        })?;
        Ok(Self::new(nest, set_defaults))
    }

    fn new(nest: Option<Attribute<'a>>, set_defaults: bool) -> Self {
        Self {
            nest: nest.map_or(&[], |nest| nest.payload),
            set_defaults,
            group: PhantomData,
        }
    }

    /// The options of a new object.
    ///
    /// # Errors
    ///
    /// Options that contradict each other.
    pub fn create(&self) -> Result<G, Refusal> {
        self.apply(&G::default())
    }

    /// The options in force after the change.
    ///
    /// # Errors
    ///
    /// Options that contradict each other.
    pub fn apply(&self, old: &G) -> Result<G, Refusal> {
        let mut group = *old;
        if self.set_defaults {
            group.reset_to_defaults();
        }
        for attribute in Attributes::new(self.nest) {
            let attribute = attribute?;
            if let Some(spec) = G::spec(attribute.nr) {
                group.set(spec.nr, value(spec, &attribute)?)?;
            }
        }
        group.check()?;
        Ok(group)
    }

    /// True when the request names the option `nr`.
    pub fn names(&self, nr: u16) -> bool {
        Attributes::new(self.nest)
            .flatten()
            .any(|attribute| attribute.nr == nr)
    }
}

impl<G> PartialEq for Changes<'_, G> {
    fn eq(&self, other: &Self) -> bool {
        self.nest == other.nest && self.set_defaults == other.set_defaults
    }
}

impl<G> Eq for Changes<'_, G> {}

fn walk<G: OptionGroup>(
    nest: Option<Attribute<'_>>,
    mut each: impl FnMut(&'static OptionSpec) -> Result<(), Refusal>,
) -> Result<Seen, Refusal> {
    let mut seen = Seen::default();
    for attribute in Attributes::new(nest.map_or(&[], |nest| nest.payload)) {
        let attribute = attribute?;
        seen.note(attribute.nr)?;
        if let Some(spec) = G::spec(attribute.nr) {
            each(spec)?;
            spec.admit(value(spec, &attribute)?)?;
        }
    }
    Ok(seen)
}

/// Reads the value of an attribute in the type of its row.
fn value<'a>(spec: &OptionSpec, attribute: &Attribute<'a>) -> Result<Value<'a>, Refusal> {
    if !spec.fits(attribute.payload.len()) {
        return Err(INVALID);
    }
    Ok(match spec.wire() {
        Wire::Flag => Value::Bool(attribute.flag()?),
        Wire::U32 => Value::Int(i64::from(attribute.u32()?)),
        Wire::S32 => Value::Int(i64::from(attribute.s32()?)),
        Wire::U64 => Value::Int(i64::try_from(attribute.u64()?).unwrap_or(i64::MAX)),
        Wire::Text => Value::Text(attribute.text()?),
    })
}

/// Writes all options of a group; sensitive ones only for the privileged.
///
/// # Errors
///
/// [`NoRoom`]; nothing is written then.
pub fn encode_group<G: OptionGroup>(
    writer: &mut Writer<'_>,
    group: &G,
    privileged: bool,
) -> Result<(), NoRoom> {
    writer.nest(G::TLA, |w| {
        for spec in G::TABLE.iter().filter(|spec| privileged || !spec.sensitive) {
            if let Some(value) = group.get(spec.nr) {
                w.put_option(spec, value)?;
            }
        }
        Ok(())
    })
}

/// Reads a group as a kernel reports it, without judging whether this module would accept the values.
///
/// # Errors
///
/// [`Malformed`] for wrong sizes and broken strings; unknown options are passed over.
pub fn read_group<'a>(
    table: &'static [OptionSpec],
    nest: &'a [u8],
    mut each: impl FnMut(&'static OptionSpec, Value<'a>),
) -> Result<(), Malformed> {
    for attribute in Attributes::new(nest) {
        let attribute = attribute?;
        if let Some(spec) = table.iter().find(|spec| spec.nr == attribute.nr) {
            each(spec, value(spec, &attribute).map_err(|_| Malformed)?);
        }
    }
    Ok(())
}
