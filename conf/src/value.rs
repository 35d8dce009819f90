// SPDX-License-Identifier: GPL-2.0-or-later
//! Option values: checked, and compared by meaning.

use drbd_core::config::{Dialect84, OptionSpec as KernelSpec, ParseError, Value};

use crate::dialect::Dialect;
use crate::schema::{Kind, OptionSpec};

/// Why a value is refused, as a sentence that continues "`NAME VALUE`: ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(pub String);

/// A value by what it means: two spellings of the same are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// `yes` or `no`.
    Bool(bool),
    /// A number in the option's unit, or the number of a word.
    Number(i64),
    /// A text.
    Text(String),
}

impl From<Value<'_>> for Meaning {
    fn from(value: Value<'_>) -> Meaning {
        match value {
            Value::Bool(flag) => Meaning::Bool(flag),
            Value::Int(number) => Meaning::Number(number),
            Value::Text(text) => Meaning::Text(text.to_owned()),
        }
    }
}

/// Checks a value and says what it means. `None` is the bare option name.
///
/// # Errors
///
/// [`BadValue`] says what was expected (drbdadm.md section 7, "A9 value").
pub fn check(spec: &OptionSpec, value: Option<&str>) -> Result<Meaning, BadValue> {
    let value = match value {
        Some(value) => value,
        None if spec.is_flag() => "yes",
        None => return Err(BadValue("a value is missing".into())),
    };
    match spec.kind {
        Kind::Kernel(table) => table
            .parse(value)
            .map(Meaning::from)
            .map_err(|error| explain(table, error)),
        Kind::Clamped(table) => match table.parse(value) {
            Ok(value) => Ok(value.into()),
            Err(ParseError::OutOfRange { value, min, max }) => {
                Ok(Meaning::Number(value.clamp(min, max)))
            }
            Err(error) => Err(explain(table, error)),
        },
        Kind::YesNo => match value {
            "yes" => Ok(Meaning::Bool(true)),
            "no" => Ok(Meaning::Bool(false)),
            _ => Err(BadValue("expected `yes` or `no`".into())),
        },
        Kind::Number { max } => local_number(value, max),
        Kind::Text { max } if value.len() > max => Err(too_long(max)),
        Kind::Text { .. } | Kind::Volume => Ok(Meaning::Text(value.to_owned())),
    }
}

/// Like [`check`], with the ranges of a generation.
///
/// # Errors
///
/// As [`check`].
pub fn check_in(
    dialect: Dialect,
    spec: &OptionSpec,
    value: Option<&str>,
) -> Result<Meaning, BadValue> {
    let meaning = check(spec, value)?;
    let Kind::Kernel(table) = spec.kind else {
        return Ok(meaning);
    };
    if let (true, Meaning::Number(number), Dialect84::Differs { min, max, .. }) =
        (dialect.is_84(), &meaning, table.dialect84)
    {
        let error = ParseError::OutOfRange {
            value: *number,
            min: min.unwrap_or(i64::MIN),
            max: max.unwrap_or(i64::MAX),
        };
        if min.is_some_and(|min| *number < min) || max.is_some_and(|max| *number > max) {
            return Err(explain(table, error));
        }
    }
    Ok(meaning)
}

fn too_long(max: usize) -> BadValue {
    BadValue(format!("longer than the {max} bytes allowed"))
}

fn not_a_number() -> BadValue {
    BadValue("expected a number, perhaps with one of the suffixes k, M, G (or s, sectors)".into())
}

fn explain(table: &KernelSpec, error: ParseError) -> BadValue {
    let words: Vec<&str> = table.choices().iter().map(|choice| choice.word).collect();
    match error {
        ParseError::NotABool => BadValue("expected `yes` or `no`".into()),
        ParseError::NotANumber if words.is_empty() => not_a_number(),
        ParseError::NotANumber => BadValue(format!("expected {} or a number", words.join(", "))),
        ParseError::OutOfRange { value, min, max } => {
            let unit = match table.kind {
                drbd_core::config::Kind::Number { scale, .. } => scale.suffix(),
                _ => "",
            };
            let what = if value < min { "small" } else { "big" };
            BadValue(format!(
                "too {what}, the range is {min}{unit} to {max}{unit}"
            ))
        }
        ParseError::UnknownWord => BadValue(format!("expected one of {}", words.join(", "))),
        ParseError::TooLong { max } => too_long(max),
    }
}

/// Digits and an optional suffix.
fn local_number(value: &str, max: u64) -> Result<Meaning, BadValue> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match value.get(digits.len()..).unwrap_or("") {
        "" => 1,
        "k" | "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(not_a_number()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_number());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|number| *number <= max)
        .and_then(|number| i64::try_from(number).ok())
        .map(Meaning::Number)
        .ok_or_else(|| BadValue(format!("too big, the range is 0 to {max}")))
}

/// Whether a value is the one the kernel has without being told.
#[must_use]
pub fn is_default(spec: &OptionSpec, value: &str) -> bool {
    equals(spec, value, KernelSpec::default)
}

/// Whether a value is the one this project's module has without being told:
/// it differs where the module cannot do what the usual default asks for.
#[must_use]
pub fn is_module_default(spec: &OptionSpec, value: &str) -> bool {
    equals(spec, value, KernelSpec::module_default)
}

fn equals(
    spec: &OptionSpec,
    value: &str,
    default: impl Fn(&'static KernelSpec) -> Option<Value<'static>>,
) -> bool {
    match spec.kind {
        Kind::Kernel(table) | Kind::Clamped(table) => {
            match (check(spec, Some(value)), default(table)) {
                (Ok(meaning), Some(default)) => meaning == default.into(),
                _ => false,
            }
        }
        Kind::Volume => value == "-1",
        Kind::YesNo => value == "no",
        Kind::Number { .. } => value == "0",
        Kind::Text { .. } => value.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{find, Scope};

    fn meaning(scope: Scope, name: &str, value: &str) -> Result<Meaning, BadValue> {
        check(&find(&[scope], name).unwrap(), Some(value))
    }

    #[test]
    fn suffixes_and_default_units() {
        let rate = |value| meaning(Scope::PeerDevice, "c-max-rate", value);
        assert_eq!(rate("10240"), Ok(Meaning::Number(10240)));
        assert_eq!(rate("10M"), Ok(Meaning::Number(10240)));
        assert_eq!(rate("10240k"), rate("10M"));
        assert!(rate("5G").unwrap_err().0.starts_with("too big"));
        let size = |value| meaning(Scope::Disk, "size", value);
        assert_eq!(size("8s"), Ok(Meaning::Number(8)));
        assert_eq!(size("4k"), Ok(Meaning::Number(8)));
        assert!(size("10T").unwrap_err().0.starts_with("expected a number"));
        assert!(size("").is_err());
        assert!(size("k").is_err());
        assert!(size("99999999999999999999999999999999999999G").is_err());
    }

    #[test]
    fn the_activity_log_size_is_clamped_and_others_are_not() {
        assert_eq!(
            meaning(Scope::Disk, "al-extents", "7"),
            Ok(Meaning::Number(67))
        );
        assert!(meaning(Scope::Net, "timeout", "0").is_err());
        assert!(meaning(Scope::Net, "timeout", "601").is_err());
    }

    #[test]
    fn words_and_quorum() {
        assert_eq!(
            meaning(Scope::Net, "protocol", "c"),
            meaning(Scope::Net, "protocol", "C")
        );
        assert!(meaning(Scope::Net, "protocol", "D").is_err());
        assert_eq!(
            meaning(Scope::Resource, "quorum", "2"),
            Ok(Meaning::Number(2))
        );
        assert!(meaning(Scope::Resource, "quorum", "33").is_err());
        assert!(meaning(Scope::Net, "shared-secret", &"x".repeat(64)).is_err());
    }

    #[test]
    fn defaults_are_recognised_in_any_spelling() {
        let rate = find(&[Scope::PeerDevice], "c-max-rate").unwrap();
        assert!(is_default(&rate, "100M"));
        assert!(!is_default(&rate, "101M"));
        let after = find(&[Scope::Disk], "resync-after").unwrap();
        assert!(is_default(&after, "-1"));
        let cork = find(&[Scope::Net], "tcp-cork").unwrap();
        assert!(is_default(&cork, "yes"));
        let promote = find(&[Scope::Resource], "auto-promote").unwrap();
        assert!(is_default(&promote, "yes") && !is_module_default(&promote, "yes"));
        assert!(!is_default(&promote, "no") && is_module_default(&promote, "no"));
    }
}
