// SPDX-License-Identifier: GPL-2.0-or-later
//! One row of the option table.

use super::choices::Choice;
use super::value::Value;

/// Type of the netlink attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// One byte, 0 or 1.
    Flag,
    /// Unsigned, four bytes.
    U32,
    /// Signed, four bytes.
    S32,
    /// Unsigned, eight bytes.
    U64,
    /// String with its NUL.
    Text,
}

/// Unit of a bare number on the command line and of the value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The number itself.
    One,
    /// KiB, shown with the suffix `k`.
    Kibi,
    /// 512-byte sectors, shown with the suffix `s`.
    Sectors,
}

impl Scale {
    /// Bytes (or ones) per unit.
    pub const fn factor(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Kibi => 1024,
            Self::Sectors => 512,
        }
    }

    /// Suffix in `show` output.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Kibi => "k",
            Self::Sectors => "s",
        }
    }
}

/// What a number counts; printed as a comment by `show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing in particular.
    None,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// Tenths of a second.
    Deciseconds,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    /// Word in `show` output; empty for none.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes/second",
            Self::Seconds => "seconds",
            Self::Deciseconds => "1/10 seconds",
            Self::Milliseconds => "milliseconds",
        }
    }
}

/// Kind of value, its range and its default in API version 2.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// yes / no.
    Flag {
        /// Value when unset; `None`: a plain switch that is only sent when given.
        default: Option<bool>,
    },
    /// A number, or (with `choices`) a word that stands for a number outside the range.
    Number {
        /// Attribute type.
        wire: Wire,
        /// Smallest value accepted by the tools.
        min: i64,
        /// Largest value accepted by the tools.
        max: i64,
        /// Value when unset.
        default: Option<i64>,
        /// Unit of a bare number.
        scale: Scale,
        /// Words that are accepted beside numbers.
        choices: &'static [Choice],
    },
    /// One word of a list.
    Choice {
        /// The words.
        choices: &'static [Choice],
        /// Number of the word that counts when unset.
        default: i64,
    },
    /// A string.
    Text {
        /// Size of the C buffer; content is at most one byte less.
        capacity: usize,
        /// Value when unset.
        default: Option<&'static str>,
    },
}

/// Whether this module implements the option.
///
/// A value that is not implemented is refused, never stored and ignored (design 8.10).
#[derive(Clone, Copy, Debug)]
pub enum Support {
    /// Every value.
    Any,
    /// Only these numbers (flags: 0 and 1). The first one is used when the default is not among them.
    Only {
        /// Accepted numbers.
        values: &'static [i64],
        /// Sentence for every other value.
        reason: &'static str,
    },
    /// Only these strings.
    OnlyText {
        /// Accepted strings.
        values: &'static [&'static str],
        /// Sentence for every other value.
        reason: &'static str,
    },
    /// Only the default.
    DefaultOnly {
        /// Sentence for every other value.
        reason: &'static str,
    },
}

/// The same option in API version 1 (dialect 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect84 {
    /// Same group, number and range.
    Same,
    /// Not there.
    Absent,
    /// There with another place or range; `None` means as in version 2.
    Differs {
        /// Number of the top level attribute.
        group: Option<u16>,
        /// Attribute number inside the group.
        nr: Option<u16>,
        /// Smallest value.
        min: Option<i64>,
        /// Largest value.
        max: Option<i64>,
    },
}

/// One option: everything the parsers, printers and manuals know about it.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Attribute number inside its group.
    pub nr: u16,
    /// Name of the field in the netlink specification.
    pub field: &'static str,
    /// Name on the command line and in drbd.conf; `None` when the tools cannot set it by name.
    pub option: Option<&'static str>,
    /// Kind, range and default.
    pub kind: Kind,
    /// What numbers count.
    pub unit: Unit,
    /// Must be present when the object is created.
    pub required: bool,
    /// Cannot be changed later.
    pub invariant: bool,
    /// Not told to the unprivileged.
    pub sensitive: bool,
    /// What the module implements.
    pub support: Support,
    /// Where the option is in API version 1.
    pub dialect84: Dialect84,
    /// Help text, one or two sentences.
    pub help: &'static str,
}

impl OptionSpec {
    const fn new(nr: u16, kind: Kind) -> Self {
        Self {
            nr,
            field: "",
            option: None,
            kind,
            unit: Unit::None,
            required: false,
            invariant: false,
            sensitive: false,
            support: Support::Any,
            dialect84: Dialect84::Absent,
            help: "",
        }
    }

    /// Attribute type.
    pub const fn wire(&self) -> Wire {
        match self.kind {
            Kind::Flag { .. } => Wire::Flag,
            Kind::Number { wire, .. } => wire,
            Kind::Choice { .. } => Wire::U32,
            Kind::Text { .. } => Wire::Text,
        }
    }

    /// Value when unset, as the tools and the configuration language see it.
    pub const fn default(&self) -> Option<Value<'static>> {
        match self.kind {
            Kind::Flag {
                default: Some(flag),
            } => Some(Value::Bool(flag)),
            Kind::Number {
                default: Some(number),
                ..
            } => Some(Value::Int(number)),
            Kind::Choice { default, .. } => Some(Value::Int(default)),
            Kind::Text {
                default: Some(text),
                ..
            } => Some(Value::Text(text)),
            Kind::Flag { default: None }
            | Kind::Number { default: None, .. }
            | Kind::Text { default: None, .. } => None,
        }
    }

    /// Words of an enumerated option; empty for others.
    pub const fn choices(&self) -> &'static [Choice] {
        match self.kind {
            Kind::Choice { choices, .. } | Kind::Number { choices, .. } => choices,
            Kind::Flag { .. } | Kind::Text { .. } => &[],
        }
    }

    /// Sentence for values that the module does not implement, when there are such.
    pub const fn restriction(&self) -> Option<&'static str> {
        match self.support {
            Support::Any => None,
            Support::Only { reason, .. }
            | Support::OnlyText { reason, .. }
            | Support::DefaultOnly { reason } => Some(reason),
        }
    }

    pub(crate) const fn named(mut self, field: &'static str, help: &'static str) -> Self {
        self.field = field;
        self.help = help;
        self
    }

    pub(crate) const fn option(mut self, name: &'static str) -> Self {
        self.option = Some(name);
        self
    }

    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) const fn invariant(mut self) -> Self {
        self.invariant = true;
        self
    }

    pub(crate) const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub(crate) const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    pub(crate) const fn scale(mut self, new: Scale) -> Self {
        if let Kind::Number {
            wire,
            min,
            max,
            default,
            choices,
            ..
        } = self.kind
        {
            self.kind = Kind::Number {
                wire,
                min,
                max,
                default,
                scale: new,
                choices,
            };
        }
        self
    }

    pub(crate) const fn or_word(mut self, words: &'static [Choice]) -> Self {
        if let Kind::Number {
            wire,
            min,
            max,
            default,
            scale,
            ..
        } = self.kind
        {
            self.kind = Kind::Number {
                wire,
                min,
                max,
                default,
                scale,
                choices: words,
            };
        }
        self
    }

    pub(crate) const fn only(mut self, values: &'static [i64], reason: &'static str) -> Self {
        self.support = Support::Only { values, reason };
        self
    }

    pub(crate) const fn only_text(
        mut self,
        values: &'static [&'static str],
        reason: &'static str,
    ) -> Self {
        self.support = Support::OnlyText { values, reason };
        self
    }

    pub(crate) const fn default_only(mut self, reason: &'static str) -> Self {
        self.support = Support::DefaultOnly { reason };
        self
    }

    pub(crate) const fn also_84(mut self) -> Self {
        self.dialect84 = Dialect84::Same;
        self
    }

    pub(crate) const fn at_84(mut self, group: u16, nr: u16) -> Self {
        self.dialect84 = Dialect84::Differs {
            group: Some(group),
            nr: Some(nr),
            min: None,
            max: None,
        };
        self
    }

    pub(crate) const fn range_84(mut self, low: i64, high: i64) -> Self {
        self.dialect84 = match self.dialect84 {
            Dialect84::Differs { group, nr, .. } => Dialect84::Differs {
                group,
                nr,
                min: Some(low),
                max: Some(high),
            },
            Dialect84::Same | Dialect84::Absent => Dialect84::Differs {
                group: None,
                nr: None,
                min: Some(low),
                max: Some(high),
            },
        };
        self
    }
}

/// A flag with a default.
pub(crate) const fn flag(nr: u16, default: bool) -> OptionSpec {
    OptionSpec::new(
        nr,
        Kind::Flag {
            default: Some(default),
        },
    )
}

/// A switch: absent means no, and it is only sent when given.
pub(crate) const fn switch(nr: u16) -> OptionSpec {
    OptionSpec::new(nr, Kind::Flag { default: None })
}

const fn number(nr: u16, wire: Wire, min: i64, max: i64, default: Option<i64>) -> OptionSpec {
    OptionSpec::new(
        nr,
        Kind::Number {
            wire,
            min,
            max,
            default,
            scale: Scale::One,
            choices: &[],
        },
    )
}

/// An unsigned 32-bit number.
pub(crate) const fn u32(nr: u16, min: i64, max: i64, default: i64) -> OptionSpec {
    number(nr, Wire::U32, min, max, Some(default))
}

/// An unsigned 32-bit number without default.
pub(crate) const fn u32_given(nr: u16, min: i64, max: i64) -> OptionSpec {
    number(nr, Wire::U32, min, max, None)
}

/// A signed 32-bit number.
pub(crate) const fn s32(nr: u16, min: i64, max: i64, default: i64) -> OptionSpec {
    number(nr, Wire::S32, min, max, Some(default))
}

/// A signed 32-bit number without default.
pub(crate) const fn s32_given(nr: u16, min: i64, max: i64) -> OptionSpec {
    number(nr, Wire::S32, min, max, None)
}

/// An unsigned 64-bit number.
pub(crate) const fn u64(nr: u16, min: i64, max: i64, default: i64) -> OptionSpec {
    number(nr, Wire::U64, min, max, Some(default))
}

/// An unsigned 64-bit number without default.
pub(crate) const fn u64_given(nr: u16, min: i64, max: i64) -> OptionSpec {
    number(nr, Wire::U64, min, max, None)
}

/// One word of a list.
pub(crate) const fn word(nr: u16, choices: &'static [Choice], default: i64) -> OptionSpec {
    OptionSpec::new(nr, Kind::Choice { choices, default })
}

/// A string with an empty default.
pub(crate) const fn text(nr: u16, capacity: usize) -> OptionSpec {
    OptionSpec::new(
        nr,
        Kind::Text {
            capacity,
            default: Some(""),
        },
    )
}

/// A string without default.
pub(crate) const fn text_given(nr: u16, capacity: usize) -> OptionSpec {
    OptionSpec::new(
        nr,
        Kind::Text {
            capacity,
            default: None,
        },
    )
}
