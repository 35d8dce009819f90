// SPDX-License-Identifier: GPL-2.0-or-later
//! From a value to the text of drbd.conf and of `drbdsetup show`.

use core::fmt;

use super::spec::{Kind, OptionSpec};
use super::value::Value;

/// A value as text: `yes`, `409600k`, `detach`; strings without quotes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    spec: &'a OptionSpec,
    value: Value<'a>,
}

impl OptionSpec {
    /// The text of `value`.
    pub fn show<'a>(&'a self, value: Value<'a>) -> Shown<'a> {
        Shown { spec: self, value }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Value::Bool(true) => f.write_str("yes"),
            Value::Bool(false) => f.write_str("no"),
            Value::Text(text) => f.write_str(text),
            Value::Int(number) => {
                if let Some(choice) = self
                    .spec
                    .choices()
                    .iter()
                    .find(|choice| choice.number == number)
                {
                    return f.write_str(choice.word);
                }
                let suffix = match self.spec.kind {
                    Kind::Number { scale, .. } => scale.suffix(),
                    Kind::Flag { .. } | Kind::Choice { .. } | Kind::Text { .. } => "",
                };
                write!(f, "{number}{suffix}")
            }
        }
    }
}
