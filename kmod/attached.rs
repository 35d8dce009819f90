// SPDX-License-Identifier: GPL-2.0-or-later
//! The devices of a volume's disk, and the ways to wait for them.
//!
//! Without disk-timeout there is one test between the engine and the block layer: everything out of
//! the ordinary is behind it.

use crate::{
    device::Device,
    os::{
        backing::{Backing, WriteFlags},
        lock::{new_mutex, Arc, Atomic, Mutex, Relaxed},
        patience::Waiter,
    },
    watch,
};
use drbd_core::{config::DiskOptions, granules::Granules};
use kernel::{prelude::*, str::CString};

/// The attached devices.
#[pin_data]
pub(crate) struct Attached {
    /// Where the data is.
    pub(crate) data: Backing,
    /// Where the metadata is; the same device for internal metadata.
    pub(crate) meta: Backing,
    /// Path of the data device, as configured.
    pub(crate) path: CString,
    /// They are two devices, each with a cache of its own.
    separate: bool,
    /// Disk option disk-flushes.
    flushes: Atomic<bool>,
    /// Disk option discard-zeroes-if-aligned.
    discards_zero: Atomic<bool>,
    /// It turned out not to have flushes.
    cannot_flush: Atomic<bool>,
    /// disk-timeout is set.
    timed: Atomic<bool>,
    /// A flush of the data is one, and is waited for.
    plain_flush: Atomic<bool>,
    /// A block of metadata is written and waited for, with nothing before it.
    plain_metadata: Atomic<bool>,
    /// With which one flush is waited for, as long as disk-timeout allows.
    #[pin]
    flusher: Mutex<Waiter>,
    /// The same of a write of metadata.
    #[pin]
    writer: Mutex<Waiter>,
}

impl Attached {
    /// Devices that are open. Context: task. Errors: `ENOMEM`.
    pub(crate) fn new(data: Backing, meta: Backing, path: CString) -> Result<Arc<Self>> {
        let flusher = Waiter::new()?;
        let writer = Waiter::new()?;
        let separate = !data.same_device(&meta);
        Arc::pin_init(
            pin_init!(Attached {
                separate,
                data,
                meta,
                path,
                flushes: Atomic::new(true),
                discards_zero: Atomic::new(true),
                cannot_flush: Atomic::new(false),
                timed: Atomic::new(false),
                plain_flush: Atomic::new(true),
                plain_metadata: Atomic::new(!*separate),
                flusher <- new_mutex!(flusher, "drbd_flusher"),
                writer <- new_mutex!(writer, "drbd_md_writer"),
            }),
            GFP_KERNEL,
        )
    }

    /// Goes by `options` from here on. Context: any; one at a time.
    pub(crate) fn follow(&self, options: &DiskOptions) {
        self.flushes.store(options.disk_flushes, Relaxed);
        self.discards_zero
            .store(options.discard_zeroes_if_aligned, Relaxed);
        self.timed.store(options.disk_timeout > 0, Relaxed);
        self.plain_metadata
            .store(!self.separate && options.disk_timeout == 0, Relaxed);
        self.choose_flush();
    }

    /// Whether the range is discarded by a discard: the device has them, they are trusted to leave zeroes, and the range is
    /// of whole granules, none of which is ignored (wire-protocol section 6.4). Otherwise it is zeroed. Context: any.
    pub(crate) fn discards(&self, sector: u64, len_sectors: u32) -> bool {
        let facts = self.data.facts();
        let granules = Granules {
            bytes: facts.discard_granularity,
            alignment_bytes: facts.discard_alignment,
        };
        self.discard_max_sectors() > 0 && granules.are_whole(sector, len_sectors)
    }

    /// The largest discard that this disk is asked for; 0 if it has none, or they are not trusted. Context: any.
    pub(crate) fn discard_max_sectors(&self) -> u32 {
        match self.discards_zero.load(Relaxed) {
            true => self.data.facts().discard_max_sectors,
            false => 0,
        }
    }

    /// Whether the device said that it has no flushes. Context: any.
    pub(crate) fn cannot_flush(&self) -> bool {
        self.cannot_flush.load(Relaxed)
    }

    fn is_flushed(&self) -> bool {
        self.flushes.load(Relaxed) && !self.cannot_flush()
    }

    // Two at once may leave "plain" for a device without flushes: it says so again.
    fn choose_flush(&self) {
        let plain = self.is_flushed() && !self.timed.load(Relaxed);
        self.plain_flush.store(plain, Relaxed);
    }

    /// Makes durable what the data device has, if it has a cache that is asked to. Context: task.
    /// Errors: `ECANCELED` after disk-timeout; what the device says.
    #[inline]
    pub(crate) fn flush_data(&self, device: &Device) -> Result {
        if self.plain_flush.load(Relaxed) {
            match self.data.flush_sync() {
                Ok(()) => return Ok(()),
                result => return self.learn(result),
            }
        }
        self.flush_otherwise(device)
    }

    #[inline(never)]
    fn flush_otherwise(&self, device: &Device) -> Result {
        if !self.is_flushed() {
            return Ok(());
        }
        let result = if self.timed.load(Relaxed) {
            watch::flush(device, &self.data, &mut self.flusher.lock())
        } else {
            self.data.flush_sync()
        };
        self.learn(result)
    }

    #[inline(never)]
    fn learn(&self, result: Result) -> Result {
        if result != Err(EOPNOTSUPP) {
            return result;
        }
        self.cannot_flush.store(true, Relaxed);
        self.choose_flush();
        pr_warn!(
            "{}: the disk has no flushes: draining it is all that orders writes\n",
            self.path.to_str().unwrap_or("?")
        );
        Ok(())
    }

    /// Writes a block of metadata. With `durable` it is on the medium when this returns, and what
    /// the data device had before: the block may say that data need not be looked at after a
    /// crash, and the preflush of a write reaches only the device that it goes to. Context: task.
    /// Errors: `ECANCELED` after disk-timeout; what a device says.
    pub(crate) fn write_metadata(
        &self,
        device: &Device,
        sector: u64,
        block: &[u8],
        durable: bool,
    ) -> Result {
        let flags = WriteFlags {
            preflush: durable,
            fua: durable,
            sync: true,
            meta: true,
        };
        if self.plain_metadata.load(Relaxed) {
            return self.meta.write_sync(sector, block, flags);
        }
        if durable && self.separate {
            self.flush_data(device)?;
        }
        if !self.timed.load(Relaxed) {
            return self.meta.write_sync(sector, block, flags);
        }
        let mut writer = self.writer.lock();
        watch::write_block(device, &self.meta, sector, block, flags, &mut writer)
    }
}
