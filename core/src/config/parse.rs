// SPDX-License-Identifier: GPL-2.0-or-later
//! From the text an administrator types to a value, with the range check of the tools.

use super::spec::{Kind, OptionSpec, Scale};
use super::value::Value;

/// Why a text is not a value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Not yes or no.
    NotABool,
    /// Not a number with an optional suffix k, K, M, G or s.
    NotANumber,
    /// A number outside the range; all three in the option's unit.
    OutOfRange {
        /// What was given.
        value: i64,
        /// Smallest accepted.
        min: i64,
        /// Largest accepted.
        max: i64,
    },
    /// Not one of the option's words.
    UnknownWord,
    /// Longer than the option can hold.
    TooLong {
        /// Largest number of bytes.
        max: usize,
    },
}

impl OptionSpec {
    /// Reads a value; a flag without text counts as yes.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse<'a>(&self, text: &'a str) -> Result<Value<'a>, ParseError> {
        match self.kind {
            Kind::Flag { .. } => match text {
                "yes" | "" => Ok(Value::Bool(true)),
                "no" => Ok(Value::Bool(false)),
                _ => Err(ParseError::NotABool),
            },
            Kind::Choice { choices, .. } => {
                // Only `protocol` is spelt in both cases; no option has two words that differ in case alone.
                let short = |word: &str| word.len() == 1;
                choices
                    .iter()
                    .find(|choice| {
                        choice.word == text
                            || (short(choice.word) && choice.word.eq_ignore_ascii_case(text))
                    })
                    .map(|choice| Value::Int(choice.number))
                    .ok_or(ParseError::UnknownWord)
            }
            Kind::Number {
                min,
                max,
                scale,
                choices,
                ..
            } => {
                if let Some(choice) = choices.iter().find(|choice| choice.word == text) {
                    return Ok(Value::Int(choice.number));
                }
                let value = number(text, scale).ok_or(ParseError::NotANumber)?;
                if value < min || value > max {
                    return Err(ParseError::OutOfRange { value, min, max });
                }
                Ok(Value::Int(value))
            }
            Kind::Text { capacity, .. } => {
                if text.len() >= capacity {
                    return Err(ParseError::TooLong {
                        max: capacity.saturating_sub(1),
                    });
                }
                Ok(Value::Text(text))
            }
        }
    }
}

/// Reads `digits[kKMGs]`; without suffix the number is in units of `scale`, with one it is converted, rounding up.
fn number(text: &str, scale: Scale) -> Option<i64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1_i64, rest),
        None => (1, text),
    };
    let digits_end = unsigned
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at_checked(digits_end)?;
    let plain: u64 = digits.parse().ok()?;
    let factor = match suffix {
        "" => scale.factor(),
        "s" => 512,
        "k" | "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    let scaled = plain.checked_mul(factor)?.div_ceil(scale.factor());
    i64::try_from(scaled).ok()?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::super::*;

    fn parse(
        table: &'static [OptionSpec],
        name: &str,
        text: &'static str,
    ) -> Result<Value<'static>, ParseError> {
        find(table, name).unwrap().parse(text)
    }

    #[test]
    fn numbers_take_suffixes_and_round_up_to_the_unit() {
        let rate = |text| parse(PeerDeviceOptions::TABLE, "resync-rate", text);
        assert_eq!(rate("250"), Ok(Value::Int(250)));
        assert_eq!(rate("400M"), Ok(Value::Int(409_600)));
        assert_eq!(rate("1s"), Ok(Value::Int(1)));
        assert_eq!(rate("1025"), Ok(Value::Int(1025)));
        assert_eq!(
            rate("0"),
            Err(ParseError::OutOfRange {
                value: 0,
                min: 1,
                max: 8 << 20
            })
        );
        assert_eq!(rate("1T"), Err(ParseError::NotANumber));
        assert_eq!(rate(""), Err(ParseError::NotANumber));
        assert_eq!(rate("k"), Err(ParseError::NotANumber));
        assert_eq!(rate("99999999999999999999G"), Err(ParseError::NotANumber));
        assert_eq!(
            parse(DiskOptions::TABLE, "size", "1G"),
            Ok(Value::Int(2 << 20))
        );
        assert_eq!(
            parse(DiskOptions::TABLE, "resync-after", "-1"),
            Ok(Value::Int(-1))
        );
    }

    #[test]
    fn words_are_those_of_the_option() {
        let one = |text| parse(NetOptions::TABLE, "after-sb-1pri", text);
        assert_eq!(one("violently-as0p"), Ok(Value::Int(10)));
        assert_eq!(one("discard-local"), Err(ParseError::UnknownWord));
        assert_eq!(parse(NetOptions::TABLE, "protocol", "c"), Ok(Value::Int(3)));
        assert_eq!(
            parse(ResourceOptions::TABLE, "quorum", "majority"),
            Ok(Value::Int(1024))
        );
        assert_eq!(
            parse(ResourceOptions::TABLE, "quorum", "2"),
            Ok(Value::Int(2))
        );
        assert!(parse(ResourceOptions::TABLE, "quorum", "33").is_err());
    }

    #[test]
    fn flags_and_texts() {
        assert_eq!(
            parse(DiskOptions::TABLE, "md-flushes", "no"),
            Ok(Value::Bool(false))
        );
        assert_eq!(
            parse(DiskOptions::TABLE, "md-flushes", "maybe"),
            Err(ParseError::NotABool)
        );
        let long = "123456789012345678901234567890123456789012345678901234567890123456";
        assert_eq!(
            parse(NetOptions::TABLE, "shared-secret", long),
            Err(ParseError::TooLong { max: 63 })
        );
    }
}
