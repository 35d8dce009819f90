// SPDX-License-Identifier: GPL-2.0-or-later
//! Options the kernel knows: the table of `drbd_core` in the eyes of drbd.conf.

use drbd_core::config::{
    DeviceOptions, DiskOptions, NetOptions, OptionGroup, OptionSpec as KernelSpec,
    PeerDeviceOptions, ResourceOptions,
};

use super::{Kind, OptionSpec, Scope};

/// The configuration names a key, the kernel gets its number.
const KEYS: &[&str] = &["tls-keyring", "tls-privkey", "tls-certificate"];
/// Longest name of a key.
const KEY_BYTES_MAX: usize = 255;

/// The options of one group.
pub(super) fn options(scope: Scope) -> impl Iterator<Item = OptionSpec> {
    let table: &'static [KernelSpec] = match scope {
        Scope::Resource => ResourceOptions::TABLE,
        Scope::Disk => DiskOptions::TABLE,
        Scope::PeerDevice => PeerDeviceOptions::TABLE,
        Scope::Device => DeviceOptions::TABLE,
        Scope::Net => NetOptions::TABLE,
        Scope::Startup | Scope::Handlers | Scope::Proxy => &[],
    };
    table.iter().filter_map(move |spec| {
        let name = spec.option?;
        let kind = match name {
            "resync-after" => Kind::Volume,
            "al-extents" => Kind::Clamped(spec),
            _ if KEYS.contains(&name) => Kind::Text { max: KEY_BYTES_MAX },
            _ => Kind::Kernel(spec),
        };
        Some(OptionSpec {
            name,
            scope,
            kind,
            changeable: scope != Scope::Device && !spec.invariant,
            help: spec.help,
        })
    })
}
