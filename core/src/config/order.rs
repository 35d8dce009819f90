// SPDX-License-Identifier: GPL-2.0-or-later
//! The order in which options are shown and offered, which is not that of the attributes.
//!
//! Source: golden/drbd9, `show --show-defaults` and the help texts of drbdsetup 9.34.

use super::spec::OptionSpec;

/// Attribute numbers of the resource options in the order of `show`.
pub const RESOURCE_ORDER: &[u16] = &[1, 2, 3, 5, 8, 6, 7, 9, 10, 11, 12, 13, 14, 16];
/// Attribute numbers of the disk options in the order of `show`.
pub const DISK_ORDER: &[u16] = &[4, 6, 16, 17, 18, 19, 9, 10, 23, 24, 26, 20, 21, 25, 27];
/// Attribute numbers of the device options in the order of `show`.
pub const DEVICE_ORDER: &[u16] = &[1, 2, 3, 4];
/// Attribute numbers of the net options in the order of `show`.
pub const NET_ORDER: &[u16] = &[
    35, 42, 6, 8, 15, 7, 9, 11, 12, 13, 24, 2, 1, 17, 18, 19, 27, 20, 10, 3, 26, 21, 22, 23, 5, 33,
    4, 29, 34, 30, 36, 37, 38, 41, 39, 40, 43, 44, 31,
];
/// Attribute numbers of the peer device options in the order of `show`.
pub const PEER_DEVICE_ORDER: &[u16] = &[1, 2, 3, 4, 5, 6, 7, 8, 9];

/// The row of `table` whose option name is `name`.
pub fn find(table: &'static [OptionSpec], name: &str) -> Option<&'static OptionSpec> {
    table.iter().find(|spec| spec.option == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    fn assert_order(table: &[OptionSpec], order: &[u16]) {
        for nr in order {
            assert!(
                table
                    .iter()
                    .any(|spec| spec.nr == *nr && spec.option.is_some()),
                "{nr} is not an option"
            );
            assert_eq!(order.iter().filter(|other| *other == nr).count(), 1);
        }
        for spec in table.iter().filter(|spec| spec.option.is_some()) {
            assert!(order.contains(&spec.nr), "{} is in no order", spec.field);
        }
    }

    #[test]
    fn every_option_is_shown_once() {
        assert_order(ResourceOptions::TABLE, RESOURCE_ORDER);
        assert_order(DiskOptions::TABLE, DISK_ORDER);
        assert_order(DeviceOptions::TABLE, DEVICE_ORDER);
        assert_order(NetOptions::TABLE, NET_ORDER);
        assert_order(PeerDeviceOptions::TABLE, PEER_DEVICE_ORDER);
    }
}
