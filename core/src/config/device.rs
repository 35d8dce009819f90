// SPDX-License-Identifier: GPL-2.0-or-later
//! Options of a device (DEVICE_CONF; section `disk` of drbd.conf).

use super::field::Field;
use super::group::{option_group, OptionGroup, Refusal};
use super::spec::{flag, u32, OptionSpec};
use super::value::Value;
use crate::genl::Tla;

option_group! {
    /// Options of a device.
    DeviceOptions in Tla::DeviceConf;
    /// Largest request the device takes.
    max_bio_size: u32 = u32(1, 512, 1 << 20, 1 << 20).option("max-bio-size").invariant()
        .default_only("max-bio-size: only the default of 1 MiB is implemented in this version");
    /// The device has no disk on purpose.
    intentional_diskless: bool = flag(2, false).option("diskless")
        .default_only("diskless: a client without a disk is not implemented in this version");
    /// Logical block size of the device.
    block_size: u32 = u32(3, 512, 4096, 512).option("block-size")
        .default_only("block-size: only 512 is implemented in this version");
    /// Discard granularity of the device; 4294967295 for that of the disk.
    discard_granularity: u32 = u32(4, 0, 128 << 20, 0xffff_ffff).option("discard-granularity")
        .default_only("discard-granularity: only the disk's own is implemented in this version");
}
