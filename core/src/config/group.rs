// SPDX-License-Identifier: GPL-2.0-or-later
//! A group of options: the nest of the netlink interface and the typed struct of the engine.

use super::field::Field;
use super::spec::{Kind, OptionSpec, Support, Wire};
use super::value::Value;
use crate::genl::{RetCode, Tla};

/// Why a request is refused: the code of the reply and one sentence for the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Code in the reply's header.
    pub code: RetCode,
    /// Text of its CFG_REPLY attribute; empty when the code says it all.
    pub text: &'static str,
}

impl Refusal {
    /// A refusal with a sentence.
    pub const fn new(code: RetCode, text: &'static str) -> Self {
        Self { code, text }
    }
}

const INVALID_VALUE: Refusal = Refusal::new(RetCode::ERR_MANDATORY_TAG, "invalid attribute value");

/// A typed set of options with its table.
pub trait OptionGroup: Copy + Default {
    /// Top level attribute that carries the group.
    const TLA: Tla;
    /// The rows, in the order in which the kernel writes them.
    const TABLE: &'static [OptionSpec];

    /// Sets the field with attribute number `nr`; numbers that the table does not know are ignored.
    ///
    /// # Errors
    ///
    /// Undefined enumeration numbers, over-long strings and values the module does not implement.
    /// Numbers outside the range are clamped: the tools refuse them, the kernel must be safe for any (design 8.14).
    fn set(&mut self, nr: u16, value: Value<'_>) -> Result<(), Refusal>;

    /// Value of the field with attribute number `nr`.
    fn get(&self, nr: u16) -> Option<Value<'_>>;

    /// Applies SET_DEFAULTS: fields without default and invariant ones keep their value.
    fn reset_to_defaults(&mut self);

    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// The code and sentence for a contradictory combination.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// The row with attribute number `nr`.
    fn spec(nr: u16) -> Option<&'static OptionSpec> {
        Self::TABLE.iter().find(|spec| spec.nr == nr)
    }
}

impl OptionSpec {
    /// Value this module uses when the option is unset.
    ///
    /// Differs from [`OptionSpec::default`] only where the module cannot do what the default asks for.
    pub fn module_default(&self) -> Option<Value<'static>> {
        let default = self.default()?;
        let Support::Only { values, .. } = self.support else {
            return Some(default);
        };
        if values.contains(&number_of(default)) {
            return Some(default);
        }
        let first = values.first().copied()?;
        Some(match default {
            Value::Bool(_) => Value::Bool(first != 0),
            Value::Int(_) | Value::Text(_) => Value::Int(first),
        })
    }

    /// Checks the type, clamps a number into its range and refuses what is undefined or not implemented.
    ///
    /// # Errors
    ///
    /// ERR_MANDATORY_TAG for a value that means nothing, ERR_INVALID_REQUEST for one that is not implemented.
    pub fn admit<'a>(&self, value: Value<'a>) -> Result<Value<'a>, Refusal> {
        let value = match (self.kind, value) {
            (Kind::Flag { .. }, Value::Bool(_)) => value,
            (
                Kind::Number {
                    min,
                    max,
                    default,
                    choices,
                    ..
                },
                Value::Int(number),
            ) => {
                if Some(number) == default || choices.iter().any(|choice| choice.number == number) {
                    value
                } else {
                    Value::Int(number.clamp(min, max))
                }
            }
            (Kind::Choice { choices, .. }, Value::Int(number)) => {
                if !choices.iter().any(|choice| choice.number == number) {
                    return Err(INVALID_VALUE);
                }
                value
            }
            (Kind::Text { capacity, .. }, Value::Text(text)) => {
                if text.len() >= capacity {
                    return Err(INVALID_VALUE);
                }
                value
            }
            (
                Kind::Flag { .. } | Kind::Number { .. } | Kind::Choice { .. } | Kind::Text { .. },
                _,
            ) => {
                return Err(INVALID_VALUE);
            }
        };
        self.implemented(value)?;
        Ok(value)
    }

    fn implemented(&self, value: Value<'_>) -> Result<(), Refusal> {
        let (accepted, reason) = match (self.support, value) {
            (Support::Any, _) => return Ok(()),
            (Support::Only { values, reason }, value) => {
                (values.contains(&number_of(value)), reason)
            }
            (Support::OnlyText { values, reason }, Value::Text(text)) => {
                (values.contains(&text), reason)
            }
            (Support::OnlyText { reason, .. }, Value::Bool(_) | Value::Int(_)) => (false, reason),
            // An option without default counts as unset when it is off, zero or empty.
            (Support::DefaultOnly { reason }, value) => match self.default() {
                Some(default) => (default == value, reason),
                None => (
                    matches!(value, Value::Bool(false) | Value::Int(0) | Value::Text("")),
                    reason,
                ),
            },
        };
        if accepted {
            Ok(())
        } else {
            Err(Refusal::new(RetCode::ERR_INVALID_REQUEST, reason))
        }
    }

    /// Admits a value and converts it to the field's type.
    pub(crate) fn accept<F: Field>(&self, value: Value<'_>) -> Result<F, Refusal> {
        F::from_value(self.admit(value)?).ok_or(INVALID_VALUE)
    }

    /// What a field of this option starts with.
    pub(crate) fn initial<F: Field>(&self) -> F {
        self.module_default()
            .and_then(F::from_value)
            .unwrap_or(F::FALLBACK)
    }

    /// True when an attribute of `len` payload bytes can carry this option.
    pub(crate) const fn fits(&self, len: usize) -> bool {
        match self.wire() {
            Wire::Flag => len == 1,
            Wire::U32 | Wire::S32 => len == 4,
            Wire::U64 => len == 8,
            Wire::Text => len >= 1,
        }
    }
}

fn number_of(value: Value<'_>) -> i64 {
    match value {
        Value::Bool(flag) => i64::from(flag),
        Value::Int(number) => number,
        Value::Text(_) => -1,
    }
}

/// Declares a group: one line per option gives the field, its row and its help text.
macro_rules! option_group {
    (
        $(#[$doc:meta])*
        $name:ident in $tla:expr;
        $( $(#[doc = $help:literal])+ $field:ident: $type:ty = $spec:expr; )+
        $( check $check:path; )?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $( $(#[doc = $help])+ pub $field: $type, )+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: { const SPEC: OptionSpec = $spec; SPEC.initial() }, )+ }
            }
        }

        impl OptionGroup for $name {
            const TLA: Tla = $tla;
            const TABLE: &'static [OptionSpec] = &[
                $( $spec.named(stringify!($field), concat!($($help),+)), )+
            ];

            fn set(&mut self, nr: u16, value: Value<'_>) -> Result<(), Refusal> {
                $(
                    const { assert!($spec.nr < 64, "duplicates are tracked in a word of 64 bits") };
                    if nr == const { $spec.nr } {
                        const SPEC: OptionSpec = $spec;
                        self.$field = SPEC.accept(value)?;
                        return Ok(());
                    }
                )+
                Ok(())
            }

            fn get(&self, nr: u16) -> Option<Value<'_>> {
                $(
                    if nr == const { $spec.nr } {
                        return Some(self.$field.value());
                    }
                )+
                None
            }

            fn reset_to_defaults(&mut self) {
                $(
                    {
                        const SPEC: OptionSpec = $spec;
                        if SPEC.default().is_some() && !SPEC.invariant {
                            self.$field = SPEC.initial();
                        }
                    }
                )+
            }

            $(
                fn check(&self) -> Result<(), Refusal> {
                    $check(self)
                }
            )?
        }
    };
}
pub(crate) use option_group;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::*;
    use super::*;

    fn check_group<G: OptionGroup + core::fmt::Debug + PartialEq>() {
        let initial = G::default();
        for (index, spec) in G::TABLE.iter().enumerate() {
            assert!(
                G::TABLE
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.nr != spec.nr),
                "{} twice",
                spec.field
            );
            assert!(
                spec.help.len() > 5 && spec.help.trim_end().ends_with('.'),
                "{} has no help",
                spec.field
            );
            let value = initial.get(spec.nr).unwrap();
            // What a field starts with must be what it can be set to, or an unset (refused later) requirement.
            let mut group = G::default();
            group.set(spec.nr, value).unwrap();
            assert_eq!(group, initial, "{}", spec.field);
            if let Some(default) = spec.module_default() {
                assert_eq!(value, default, "{}", spec.field);
            }
            // A value of another kind is refused.
            let other = if matches!(value, Value::Text(_)) {
                Value::Bool(true)
            } else {
                Value::Text("x")
            };
            assert_eq!(
                group.set(spec.nr, other).unwrap_err().code,
                RetCode::ERR_MANDATORY_TAG,
                "{}",
                spec.field
            );
            if let Some(reason) = spec.restriction() {
                assert!(reason.len() < 128 && reason.is_ascii(), "{}", spec.field);
            }
        }
        assert_eq!(G::default().get(63), None);
        assert_eq!(G::default().set(63, Value::Int(1)), Ok(()));
    }

    #[test]
    fn every_row_has_a_field_of_its_type_and_a_default_it_accepts() {
        check_group::<ResourceOptions>();
        check_group::<DiskOptions>();
        check_group::<NetOptions>();
        check_group::<PeerDeviceOptions>();
        check_group::<DeviceOptions>();
        check_group::<SetRoleParams>();
        check_group::<ResizeParams>();
        check_group::<StartVerifyParams>();
        check_group::<NewCurrentUuidParams>();
        check_group::<DisconnectParams>();
        check_group::<DetachParams>();
        check_group::<ConnectParams>();
        check_group::<InvalidateParams>();
        check_group::<InvalidatePeerParams>();
        check_group::<SuspendIoParams>();
        check_group::<ForgetPeerParams>();
    }

    #[test]
    fn numbers_are_clamped_and_words_are_not() {
        let mut net = NetOptions::default();
        net.set(8, Value::Int(9999)).unwrap();
        net.set(10, Value::Int(0)).unwrap();
        assert_eq!((net.timeout, net.ping_timeo), (600, 1));
        assert_eq!(
            net.set(6, Value::Int(4)).unwrap_err().code,
            RetCode::ERR_MANDATORY_TAG
        );
        assert_eq!(
            net.set(17, Value::Int(7)).unwrap_err().code,
            RetCode::ERR_MANDATORY_TAG
        );
        let mut device = DeviceOptions::default();
        device.set(4, Value::Int(0xffff_ffff)).unwrap();
        assert_eq!(device.discard_granularity, u32::MAX);
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        let mut net = NetOptions::default();
        for (nr, value, word) in [
            (5, Value::Text("crc32c"), "csums-alg"),
            (30, Value::Int(2), "fencing"),
            (20, Value::Int(11), "rr-conflict"),
            (35, Value::Text("rdma"), "transport"),
        ] {
            let refusal = net.set(nr, value).unwrap_err();
            assert_eq!(refusal.code, RetCode::ERR_INVALID_REQUEST);
            assert!(refusal.text.contains(word), "{}", refusal.text);
        }
        assert_eq!(net, NetOptions::default());
        net.set(35, Value::Text("tcp")).unwrap();
        let mut disk = DiskOptions::default();
        disk.set(6, Value::Int(0)).unwrap();
        assert_eq!(disk.on_io_error, OnIoError::PassOn);
        assert!(disk.set(6, Value::Int(1)).is_err());
        let mut resource = ResourceOptions::default();
        assert!(!resource.auto_promote);
        assert!(resource
            .set(3, Value::Bool(true))
            .unwrap_err()
            .text
            .contains("auto-promote"));
        assert!(resource
            .set(11, Value::Int(1024))
            .unwrap_err()
            .text
            .contains("quorum"));
    }

    #[test]
    fn defaults_leave_identity_alone() {
        let mut disk = DiskOptions::default();
        disk.set(1, Value::Text("/dev/vdb")).unwrap();
        disk.set(10, Value::Int(67)).unwrap();
        disk.reset_to_defaults();
        assert_eq!(
            (disk.backing_dev.as_str(), disk.al_extents),
            ("/dev/vdb", 1237)
        );
    }

    #[test]
    fn contradictions_are_named() {
        let mut net = NetOptions {
            on_congestion: OnCongestion::PullAhead,
            ..NetOptions::default()
        };
        assert_eq!(net.check().unwrap_err().code, RetCode::ERR_CONG_NOT_PROTO_A);
        net.wire_protocol = Protocol::A;
        assert_eq!(net.check(), Ok(()));
        net.two_primaries = true;
        assert_eq!(net.check().unwrap_err().code, RetCode::ERR_NOT_PROTO_C);
        let disk = DiskOptions {
            meta_dev_idx: META_INDEX_INTERNAL,
            ..DiskOptions::default()
        };
        assert_eq!(disk.check(), Ok(()));
        let disk = DiskOptions {
            meta_dev: Text::new("/dev/vdc").unwrap(),
            ..disk
        };
        assert_eq!(disk.check().unwrap_err().code, RetCode::ERR_MD_IDX_INVALID);
    }
}
