// SPDX-License-Identifier: GPL-2.0-or-later
//! Queue limits: what our disk promises to those above, and what a backing device offers.

use crate::sys as c;
use core::mem::MaybeUninit;

/// What our disk announces. Units are bytes unless the name says sectors (512 bytes).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Largest read or write; at least a page.
    pub(crate) max_bytes: u32,
    /// Logical block size, a power of two from 512 to the page size.
    pub(crate) logical_block: u32,
    /// Physical block size.
    pub(crate) physical_block: u32,
    /// Preferred smallest I/O; 0 keeps what the backing device says.
    pub(crate) io_min: u32,
    /// Preferred I/O; 0 keeps what the backing device says.
    pub(crate) io_opt: u32,
    /// Largest discard; 0 = none.
    pub(crate) discard_max_sectors: u32,
    /// Granularity of discards.
    pub(crate) discard_granularity: u32,
    /// Largest write-zeroes; 0 = none.
    pub(crate) write_zeroes_max_sectors: u32,
    /// Flushes are wanted.
    pub(crate) write_cache: bool,
    /// FUA writes are wanted.
    pub(crate) fua: bool,
}

impl Limits {
    /// A disk without anything below it.
    pub(crate) const fn diskless() -> Self {
        Limits {
            max_bytes: 1 << 20,
            logical_block: 512,
            physical_block: 4096,
            io_min: 0,
            io_opt: 0,
            discard_max_sectors: 0,
            discard_granularity: 0,
            write_zeroes_max_sectors: 0,
            write_cache: true,
            fua: true,
        }
    }

    /// Limits for our disk; those of `below` are stacked first, ours can only be stricter.
    ///
    /// # Safety
    ///
    /// `below` is null or a block device that stays open during the call.
    pub(super) unsafe fn to_raw(
        self,
        below: *mut c::block_device,
        name: *const u8,
    ) -> c::queue_limits {
        // SAFETY: Plain integers, valid when zero.
        let mut raw: c::queue_limits = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: A live structure.
        unsafe { c::blk_set_stacking_limits(&mut raw) };
        // Ours before stacking: alignment and sizes are merged with those below.
        raw.logical_block_size = self.logical_block.max(512);
        raw.physical_block_size = self.physical_block.max(raw.logical_block_size);
        raw.io_min = self.io_min.max(raw.physical_block_size);
        raw.io_opt = self.io_opt;
        raw.max_segments = 256;
        if !below.is_null() {
            // SAFETY: Open device by the contract; `name` is a C string of the caller.
            unsafe { c::queue_limits_stack_bdev(&mut raw, below, 0, name) };
        }
        raw.max_hw_sectors = raw.max_hw_sectors.min((self.max_bytes >> 9).max(8));
        raw.max_sectors = raw.max_hw_sectors;
        raw.max_hw_discard_sectors = self.discard_max_sectors;
        raw.max_discard_sectors = self.discard_max_sectors;
        raw.discard_granularity = self.discard_granularity;
        raw.discard_alignment = 0;
        raw.max_discard_segments = 1;
        raw.max_secure_erase_sectors = 0;
        raw.max_write_zeroes_sectors = self.write_zeroes_max_sectors;
        raw.max_hw_wzeroes_unmap_sectors = 0;
        raw.max_wzeroes_unmap_sectors = 0;
        // Bios can wait for the peer and for activity-log writes, and they are mirrored: nothing
        // that bypasses `submit_bio` or changes pages under I/O.
        raw.features |= c::BLK_FEAT_STABLE_WRITES;
        raw.features &= !(c::BLK_FEAT_NOWAIT
            | c::BLK_FEAT_POLL
            | c::BLK_FEAT_DAX
            | c::BLK_FEAT_ZONED
            | c::BLK_FEAT_ATOMIC_WRITES
            | c::BLK_FEAT_WRITE_CACHE
            | c::BLK_FEAT_FUA);
        if self.write_cache {
            raw.features |= c::BLK_FEAT_WRITE_CACHE;
            if self.fua {
                raw.features |= c::BLK_FEAT_FUA;
            }
        }
        raw
    }
}

/// What a backing device offers. Units as in [`Limits`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Logical block size.
    pub(crate) logical_block: u32,
    /// Physical block size.
    pub(crate) physical_block: u32,
    /// Preferred smallest I/O.
    pub(crate) io_min: u32,
    /// Preferred I/O, 0 = unknown.
    pub(crate) io_opt: u32,
    /// Largest read or write without a split.
    pub(crate) max_bytes: u32,
    /// Largest discard, 0 = cannot.
    pub(crate) discard_max_sectors: u32,
    /// Discard granularity.
    pub(crate) discard_granularity: u32,
    /// Discard alignment.
    pub(crate) discard_alignment: u32,
    /// Largest write-zeroes, 0 = cannot.
    pub(crate) write_zeroes_max_sectors: u32,
    /// Has a volatile cache.
    pub(crate) write_cache: bool,
    /// Does FUA itself.
    pub(crate) fua: bool,
    /// Is a spinning disk.
    pub(crate) rotational: bool,
    /// Is read-only.
    pub(crate) read_only: bool,
}

impl Facts {
    /// Reads them from an open device.
    ///
    /// # Safety
    ///
    /// `bdev` is open.
    pub(super) unsafe fn of(bdev: *mut c::block_device) -> Self {
        // SAFETY: Open device by the contract; limits may change concurrently, each is one word.
        unsafe {
            let limits = &*c::kg_bdev_limits(bdev);
            Facts {
                logical_block: limits.logical_block_size,
                physical_block: limits.physical_block_size,
                io_min: limits.io_min,
                io_opt: limits.io_opt,
                max_bytes: limits.max_sectors.min(u32::MAX >> 9) << 9,
                discard_max_sectors: limits.max_discard_sectors,
                discard_granularity: limits.discard_granularity,
                // Of a partition it is another than of the whole device.
                discard_alignment: c::bdev_discard_alignment(bdev),
                write_zeroes_max_sectors: limits.max_write_zeroes_sectors,
                write_cache: c::kg_bdev_write_cache(bdev),
                fua: c::kg_bdev_fua(bdev),
                rotational: c::kg_bdev_rotational(bdev),
                read_only: c::kg_bdev_read_only(bdev),
            }
        }
    }
}
