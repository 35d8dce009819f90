// SPDX-License-Identifier: GPL-2.0-or-later
//! Which options there are, where they may stand, and what values they take.
//!
//! The parser, the printer and `drbdadm`'s command line all ask here. The
//! options the kernel knows come from one table; `startup`, `handlers`, `proxy`
//! and `global` belong to the configuration alone and are listed in `local`.

mod kernel;
mod local;
mod since;

use drbd_core::config::{Dialect84, OptionSpec as KernelSpec};

pub use since::since;

use crate::dialect::Dialect;

/// The group of options a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// `options { }`: the whole resource.
    Resource,
    /// `disk { }`: the backing device of a volume.
    Disk,
    /// `disk { }`, stored per connection and volume.
    PeerDevice,
    /// `disk { }`, stored with the volume itself.
    Device,
    /// `net { }`.
    Net,
    /// `startup { }`.
    Startup,
    /// `handlers { }`.
    Handlers,
    /// `proxy { }`.
    Proxy,
}

/// What values an option takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// As the kernel's table says.
    Kernel(&'static KernelSpec),
    /// As the kernel's table says, but a number outside its range is taken to
    /// the nearer end.
    Clamped(&'static KernelSpec),
    /// `yes` or `no`; the bare name means yes.
    YesNo,
    /// A number from 0 to a maximum, with an optional suffix.
    Number {
        /// Largest value.
        max: u64,
    },
    /// Any text up to a length in bytes.
    Text {
        /// Most bytes.
        max: usize,
    },
    /// A resource, or a resource and a volume: `resync-after`.
    Volume,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its name in drbd.conf and, after `--`, on drbdsetup's command line.
    pub name: &'static str,
    /// Its group.
    pub scope: Scope,
    /// Its values.
    pub kind: Kind,
    /// Whether the option can be changed while its object is in use.
    pub changeable: bool,
    /// One or two sentences for a manual.
    pub help: &'static str,
}

impl OptionSpec {
    /// Whether the option is `yes` or `no`, and may stand without a value.
    #[must_use]
    pub fn is_flag(&self) -> bool {
        match self.kind {
            Kind::YesNo => true,
            Kind::Kernel(spec) | Kind::Clamped(spec) => {
                matches!(spec.kind, drbd_core::config::Kind::Flag { .. })
            }
            Kind::Number { .. } | Kind::Text { .. } | Kind::Volume => false,
        }
    }

    /// Whether a driver of a generation knows the option.
    #[must_use]
    pub fn is_in(&self, dialect: Dialect) -> bool {
        match (dialect, self.kind) {
            (Dialect::V9, _) => !local::is_only_in_84(self),
            (Dialect::V84, Kind::Kernel(spec) | Kind::Clamped(spec)) => {
                spec.dialect84 != Dialect84::Absent
            }
            (Dialect::V84, Kind::Volume) => true,
            (Dialect::V84, _) => {
                since(self.name).is_none_or(|version| version.starts_with("DRBD 8"))
            }
        }
    }

    /// Whether one of [`OptionSpec::words`] is the only thing it takes.
    #[must_use]
    pub fn takes_only_words(&self) -> bool {
        match self.kind {
            Kind::Kernel(spec) | Kind::Clamped(spec) => {
                matches!(spec.kind, drbd_core::config::Kind::Choice { .. })
            }
            _ => false,
        }
    }

    /// Words it takes, beside numbers perhaps.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Kernel(spec) | Kind::Clamped(spec) => {
                spec.choices().iter().map(|choice| choice.word).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// All options of a group, in the order of the table.
pub fn options(scope: Scope) -> Box<dyn Iterator<Item = OptionSpec>> {
    match scope {
        Scope::Resource | Scope::Disk | Scope::PeerDevice | Scope::Device | Scope::Net => {
            Box::new(kernel::options(scope))
        }
        Scope::Startup | Scope::Handlers | Scope::Proxy => Box::new(local::options(scope)),
    }
}

/// An option by name, looked for in several groups in their order.
#[must_use]
pub fn find(scopes: &[Scope], name: &str) -> Option<OptionSpec> {
    scopes
        .iter()
        .find_map(|scope| options(*scope).find(|spec| spec.name == name))
}

/// Like [`find`], in the language of a generation: one that only the other
/// generation has is found, too, so that it can be told apart from a misspelt
/// one; options that went away with 9 are found for 8.4 only.
#[must_use]
pub fn find_in(dialect: Dialect, scopes: &[Scope], name: &str) -> Option<OptionSpec> {
    find(scopes, name).or_else(|| {
        dialect.is_84().then_some(())?;
        local::only_in_84().find(|spec| spec.name == name && scopes.contains(&spec.scope))
    })
}

/// All options of a group that a driver of a generation knows.
pub fn options_in(dialect: Dialect, scope: Scope) -> impl Iterator<Item = OptionSpec> {
    options(scope)
        .chain(local::only_in_84().filter(move |spec| spec.scope == scope))
        .filter(move |spec| spec.is_in(dialect))
}

/// The name an old spelling stands for.
#[must_use]
pub fn modern_name(name: &str) -> &str {
    match name {
        "rate" => "resync-rate",
        "after" => "resync-after",
        "outdate-peer" => "fence-peer",
        other => other,
    }
}

/// Options of 8.x that are read and have no effect.
pub const IGNORED: &[&str] = &[
    "delay-probe-volume",
    "delay-probe-interval",
    "throttle-threshold",
    "hold-off-threshold",
    "max-bio-bvecs",
    "unplug-watermark",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_unique_in_its_group() {
        for scope in [
            Scope::Resource,
            Scope::Disk,
            Scope::PeerDevice,
            Scope::Device,
            Scope::Net,
            Scope::Startup,
            Scope::Handlers,
            Scope::Proxy,
        ] {
            let names: Vec<_> = options(scope).map(|spec| spec.name).collect();
            assert!(!names.is_empty(), "{scope:?}");
            for name in &names {
                assert_eq!(names.iter().filter(|other| other == &name).count(), 1);
                assert!(find(&[scope], name).is_some());
            }
        }
        assert!(find(&[Scope::Net], "al-extents").is_none());
    }
}
