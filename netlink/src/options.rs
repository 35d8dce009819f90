// SPDX-License-Identifier: GPL-2.0-or-later
//! Options as the kernel reports them.

use drbd_core::config::{OptionGroup, OptionSpec, Value};
use drbd_core::genl::{find_nest, read_group};

use crate::Error;

/// An owned option value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// A flag.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A string.
    Text(String),
}

impl OptionValue {
    /// As the codec wants it.
    pub fn borrow(&self) -> Value<'_> {
        match self {
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

impl From<Value<'_>> for OptionValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Bool(flag) => Self::Bool(flag),
            Value::Int(number) => Self::Int(number),
            Value::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

/// The options of one object, in the order the kernel told them.
#[derive(Clone, Debug)]
pub struct OptionValues {
    table: &'static [OptionSpec],
    values: Vec<(u16, OptionValue)>,
}

impl OptionValues {
    /// Reads group `G` out of a message; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Nonsense`].
    pub fn find<G: OptionGroup>(attributes: &[u8]) -> Result<Option<Self>, Error> {
        let Some(nest) = find_nest(attributes, G::TLA)? else {
            return Ok(None);
        };
        let mut values = Vec::new();
        read_group(G::TABLE, nest.payload, |spec, value| {
            values.push((spec.nr, value.into()))
        })?;
        Ok(Some(Self {
            table: G::TABLE,
            values,
        }))
    }

    /// No options of group `G`.
    pub fn none<G: OptionGroup>() -> Self {
        Self {
            table: G::TABLE,
            values: Vec::new(),
        }
    }

    /// Replaces or adds the value of attribute number `nr`.
    pub fn set(&mut self, nr: u16, value: OptionValue) {
        self.values.retain(|(other, _)| *other != nr);
        self.values.push((nr, value));
    }

    /// Value of the option with attribute number `nr`.
    pub fn get(&self, nr: u16) -> Option<Value<'_>> {
        self.values
            .iter()
            .find(|(other, _)| *other == nr)
            .map(|(_, value)| value.borrow())
    }

    /// Value of the field named `field` in the table.
    pub fn field(&self, field: &str) -> Option<Value<'_>> {
        let spec = self.table.iter().find(|spec| spec.field == field)?;
        self.get(spec.nr)
    }

    /// Row and value of the field named `field`; `None` when the kernel did not tell it.
    pub fn row(&self, field: &str) -> Option<(&'static OptionSpec, Value<'_>)> {
        let spec = self.table.iter().find(|spec| spec.field == field)?;
        Some((spec, self.get(spec.nr)?))
    }

    /// A number by its field's name.
    pub fn number(&self, field: &str) -> Option<i64> {
        match self.field(field)? {
            Value::Int(number) => Some(number),
            Value::Bool(_) | Value::Text(_) => None,
        }
    }

    /// A string by its field's name.
    pub fn text(&self, field: &str) -> Option<&str> {
        match self.field(field)? {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Int(_) => None,
        }
    }

    /// Rows and values in the given order of attribute numbers; what the kernel did not tell is left out.
    pub fn in_order<'a>(
        &'a self,
        order: &'a [u16],
    ) -> impl Iterator<Item = (&'static OptionSpec, Value<'a>)> + 'a {
        order.iter().filter_map(|nr| {
            let spec = self.table.iter().find(|spec| spec.nr == *nr)?;
            Some((spec, self.get(*nr)?))
        })
    }
}
