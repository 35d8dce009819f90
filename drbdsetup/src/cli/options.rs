// SPDX-License-Identifier: GPL-2.0-or-later
//! Options: from a row of the table to an argument, and from an argument to a value.

use clap::{Arg, ArgMatches};
use drbd_core::config::{Dialect84, Kind, OptionSpec, ParseError, Value};
use drbd_core::genl::Tla;
use drbd_netlink::OptionValue;

use super::commands::CommandSpec;
use super::Generation;
use crate::render::option_name;

/// The argument of a row.
pub(super) fn arg((_, spec): (Tla, &'static OptionSpec), generation: Generation) -> Arg {
    let name = option_name(spec);
    let mut arg = Arg::new(name.clone())
        .long(name.clone())
        .help(help(spec))
        .value_name(range(spec, generation))
        .allow_hyphen_values(true)
        .value_parser(move |text: &str| parse(spec, text, generation));
    if matches!(spec.kind, Kind::Flag { .. }) {
        arg = arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("yes");
    }
    match name.as_str() {
        "force" => arg.visible_alias("overwrite-data-of-peer"),
        "tentative" => arg.visible_alias("dry-run"),
        _ => arg,
    }
}

fn help(spec: &OptionSpec) -> String {
    let mut text = spec.help.trim().to_owned();
    let words: Vec<_> = spec.choices().iter().map(|choice| choice.word).collect();
    match spec.kind {
        Kind::Choice { .. } => text = format!("{text} One of {}.", words.join(", ")),
        Kind::Number { .. } if !words.is_empty() => {
            text = format!("{text} Or one of {}.", words.join(", "))
        }
        Kind::Flag { .. } | Kind::Number { .. } | Kind::Text { .. } => {}
    }
    if let Some(default) = spec.default() {
        let shown = spec.show(default).to_string();
        if !shown.is_empty() {
            text = format!("{text} Default: {shown}.");
        }
    }
    match spec.unit.word() {
        "" => text,
        unit => format!("{text} Unit: {unit}."),
    }
}

/// The range of a number, as far as a generation has another than that of the table.
fn limits(spec: &OptionSpec, generation: Generation) -> (i64, i64) {
    match (generation, spec.dialect84) {
        (Generation::V84, Dialect84::Differs { min, max, .. }) => {
            (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX))
        }
        _ => (i64::MIN, i64::MAX),
    }
}

fn within<'v>(
    spec: &OptionSpec,
    value: Value<'v>,
    generation: Generation,
) -> Result<Value<'v>, ParseError> {
    let (min, max) = limits(spec, generation);
    match value {
        Value::Int(number) if number < min || number > max => Err(ParseError::OutOfRange {
            value: number,
            min,
            max,
        }),
        value => Ok(value),
    }
}

fn range(spec: &OptionSpec, generation: Generation) -> String {
    let (low, high) = limits(spec, generation);
    match spec.kind {
        Kind::Flag { .. } => "yes|no".into(),
        Kind::Choice { .. } => "word".into(),
        Kind::Number { min, max, .. } => format!("{}...{}", min.max(low), max.min(high)),
        Kind::Text { .. } => "str".into(),
    }
}

fn parse(spec: &OptionSpec, text: &str, generation: Generation) -> Result<OptionValue, String> {
    spec.parse(text)
        .and_then(|value| within(spec, value, generation))
        .map(OptionValue::from)
        .map_err(|error| match error {
            ParseError::NotABool => format!("'{text}' is neither yes nor no"),
            ParseError::NotANumber => format!("{text} is not a valid number"),
            ParseError::OutOfRange { value, min, max } => {
                format!("{value} is out of range [{min}..{max}]")
            }
            ParseError::UnknownWord => {
                let words: Vec<_> = spec.choices().iter().map(|choice| choice.word).collect();
                format!(
                    "invalid argument '{text}'; expected one of {}",
                    words.join(", ")
                )
            }
            ParseError::TooLong { max } => format!("longer than {max} bytes"),
        })
}

/// The options of a command that were given.
pub(crate) fn given_options<'a>(
    spec: &'static CommandSpec,
    matches: &'a ArgMatches,
) -> impl Iterator<Item = (Tla, &'static OptionSpec, &'a OptionValue)> + 'a {
    spec.options
        .iter()
        .flat_map(super::Options::rows)
        .filter_map(|(tla, row)| {
            let value = matches.get_one::<OptionValue>(&option_name(row))?;
            Some((tla, row, value))
        })
}
