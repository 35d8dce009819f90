// SPDX-License-Identifier: GPL-2.0-or-later
//! Options of a backing device (DISK_CONF; section `disk` of drbd.conf).

use super::choices::{OnIoError, ReadBalancing, ON_IO_ERROR, READ_BALANCING};
use super::field::Field;
use super::group::{option_group, OptionGroup, Refusal};
use super::spec::{flag, s32, s32_given, text_given, u32, u64, word, OptionSpec, Scale, Unit};
use super::text::Text;
use super::value::Value;
use crate::genl::{RetCode, Tla};

/// `meta_dev_idx` of `internal` (flexible size, at the end of the backing device).
pub const META_INDEX_INTERNAL: i32 = -3;
/// `meta_dev_idx` of `flexible` (the whole metadata device).
pub const META_INDEX_FLEXIBLE: i32 = -2;

option_group! {
    /// Options of a backing device.
    DiskOptions in Tla::DiskConf;
    /// Backing block device.
    backing_dev: Text<128> = text_given(1, 128).required().invariant().also_84();
    /// Block device with the metadata; the backing device itself for internal metadata.
    meta_dev: Text<128> = text_given(2, 128).required().invariant().also_84();
    /// Place of the metadata: -3 internal, -2 flexible, 0 and up the slot of 128 MiB.
    meta_dev_idx: i32 = s32_given(3, -3, 1_048_575).required().invariant().also_84();
    /// Size to use of the backing device; 0 for all of it.
    disk_size: u64 = u64(4, 0, 1 << 41, 0).scale(Scale::Sectors).unit(Unit::Bytes).option("size").invariant()
        .also_84();
    /// What a local I/O error does.
    on_io_error: OnIoError = word(6, ON_IO_ERROR, 2).option("on-io-error").also_84();
    /// Minor whose resync goes first; -1 for none.
    resync_after: i32 = s32(9, -1, 1_048_575, -1).option("resync-after").also_84();
    /// Extents of 4 MiB that can be written to without a metadata update.
    al_extents: u32 = u32(10, 67, 65_534, 1237).option("al-extents").also_84();
    /// Without effect: no kernel of today has the requests that it would order writes with, and disk-flushes does.
    disk_barrier: bool = flag(16, false).option("disk-barrier").also_84();
    /// Flush the backing device between dependent writes.
    disk_flushes: bool = flag(17, true).option("disk-flushes").also_84();
    /// Let the backing device's queue drain between dependent writes.
    disk_drain: bool = flag(18, true).option("disk-drain").also_84();
    /// Flush the metadata device after metadata writes.
    md_flushes: bool = flag(19, true).option("md-flushes").also_84();
    /// Time after which a request to the backing device counts as failed; 0 for never.
    disk_timeout: u32 = u32(20, 0, 6000, 0).unit(Unit::Deciseconds).option("disk-timeout").also_84();
    /// How reads are spread over the nodes.
    read_balancing: ReadBalancing = word(21, READ_BALANCING, 0).option("read-balancing").also_84();
    /// Unused; kept by the interface.
    unplug_watermark: u32 = u32(22, 1, 131_072, 128).default_only("unplug-watermark has no effect and is not stored")
        .at_84(5, 16);
    /// Granularity with which a resync turns zeroes into discards; 0 for off.
    rs_discard_granularity: u32 = u32(25, 0, 1 << 20, 0).unit(Unit::Bytes).option("rs-discard-granularity").also_84();
    /// Keep the activity log on disk; without it a crashed primary needs a full resync.
    al_updates: bool = flag(23, true).option("al-updates").also_84();
    /// Trust discards that are aligned to read back as zeroes.
    discard_zeroes_if_aligned: bool = flag(24, true).option("discard-zeroes-if-aligned").also_84();
    /// Do not use WRITE SAME; kernels of today do not have that request.
    disable_write_same: bool = flag(26, false).option("disable-write-same").also_84();
    /// Keep a bitmap for peers.
    d_bitmap: bool = flag(27, true).option("bitmap")
        .default_only("bitmap: a disk without a bitmap is not implemented in this version");
    check check_disk;
}

fn check_disk(options: &DiskOptions) -> Result<(), Refusal> {
    let internal = options.backing_dev == options.meta_dev;
    if options.meta_dev_idx == META_INDEX_INTERNAL && !internal {
        return Err(Refusal::new(
            RetCode::ERR_MD_IDX_INVALID,
            "internal metadata lives on the backing device itself",
        ));
    }
    if options.meta_dev_idx != META_INDEX_INTERNAL && internal && !options.backing_dev.is_empty() {
        return Err(Refusal::new(
            RetCode::ERR_MD_IDX_INVALID,
            "external metadata needs a device of its own",
        ));
    }
    if options.meta_dev_idx == -1 {
        return Err(Refusal::new(
            RetCode::ERR_MD_IDX_INVALID,
            "metadata index -1 is not supported; use 'internal'",
        ));
    }
    Ok(())
}
