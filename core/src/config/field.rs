// SPDX-License-Identifier: GPL-2.0-or-later
//! Conversion between the value of an option and the field of a typed struct.

use super::text::Text;
use super::value::Value;

/// A type that can be the field of an option group.
pub trait Field: Copy {
    /// What a field starts with when its option has no default.
    const FALLBACK: Self;

    /// Converts an admitted value; `None` when the kind of value does not fit.
    fn from_value(value: Value<'_>) -> Option<Self>;

    /// The value of the field.
    fn value(&self) -> Value<'_>;
}

impl Field for bool {
    const FALLBACK: Self = false;

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(flag),
            Value::Int(_) | Value::Text(_) => None,
        }
    }

    fn value(&self) -> Value<'_> {
        Value::Bool(*self)
    }
}

macro_rules! number_field {
    ($($type:ty),+) => {$(
        impl Field for $type {
            const FALLBACK: Self = 0;

            fn from_value(value: Value<'_>) -> Option<Self> {
                match value {
                    Value::Int(number) => Self::try_from(number).ok(),
                    Value::Bool(_) | Value::Text(_) => None,
                }
            }

            fn value(&self) -> Value<'_> {
                Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )+};
}
number_field!(u32, i32, u64);

impl<const N: usize> Field for Text<N> {
    const FALLBACK: Self = Self::EMPTY;

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Self::new(text),
            Value::Bool(_) | Value::Int(_) => None,
        }
    }

    fn value(&self) -> Value<'_> {
        Value::Text(self.as_str())
    }
}
