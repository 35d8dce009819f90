// SPDX-License-Identifier: GPL-2.0-or-later
//! Asynchronous and synchronous I/O on a [`Backing`] device.

use super::{
    backing::{Backing, Inner},
    bio::BioData,
    noio,
    pages::{Payload, MAX_PAYLOAD},
    status::Status,
};
use crate::sys as c;
use core::mem::{size_of, MaybeUninit};
use kernel::{error::to_result, prelude::*};

/// Modifiers of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WriteFlags {
    /// Flush the cache before the write.
    pub(crate) preflush: bool,
    /// Durable when completed.
    pub(crate) fua: bool,
    /// Somebody waits.
    pub(crate) sync: bool,
    /// Metadata: may overtake data in I/O schedulers.
    pub(crate) meta: bool,
}

impl WriteFlags {
    /// A plain write.
    pub(crate) const NONE: Self = WriteFlags {
        preflush: false,
        fua: false,
        sync: false,
        meta: false,
    };
    /// A metadata write that is durable, as is everything completed before it.
    pub(crate) const DURABLE: Self = WriteFlags {
        preflush: true,
        fua: true,
        sync: true,
        meta: true,
    };

    pub(super) fn opf(self) -> u32 {
        let mut opf = c::REQ_OP_WRITE;
        for (on, flag) in [
            (self.preflush, c::REQ_PREFLUSH),
            (self.fua, c::REQ_FUA),
            (self.sync, c::REQ_SYNC),
            (self.meta, c::REQ_META | c::REQ_PRIO),
        ] {
            if on {
                opf |= flag;
            }
        }
        opf
    }
}

// Concurrent I/Os that are guaranteed not to wait for memory.
const BIO_RESERVE: u32 = 64;

/// What a bio of ours carries in front of it (`front_pad`).
#[repr(C)]
pub(super) struct IoContext {
    pub(super) inner: *const Inner,
    pub(super) token: u64,
    pub(super) upper: *mut c::bio,
    pub(super) payload: Option<Payload>,
}

// `bioset_init` places the bio right behind the pad, which must keep it aligned.
const _: () = assert!(size_of::<IoContext>() == 32);

pub(super) struct BioSet(KBox<MaybeUninit<c::bio_set>>);

impl BioSet {
    pub(super) fn new() -> Result<Self> {
        let mut set = KBox::new(MaybeUninit::<c::bio_set>::zeroed(), GFP_KERNEL)?;
        // SAFETY: Zeroed memory that never moves. No vectors of its own: clones and payloads bring
        // theirs.
        to_result(unsafe {
            c::bioset_init(
                set.as_mut_ptr(),
                BIO_RESERVE,
                size_of::<IoContext>() as u32,
                0,
            )
        })?;
        Ok(BioSet(set))
    }

    pub(super) fn raw(&self) -> *mut c::bio_set {
        self.0.as_ptr().cast_mut()
    }
}

impl Drop for BioSet {
    fn drop(&mut self) {
        // SAFETY: Initialised in `new`; every bio has been given back (see `Inner`).
        unsafe { c::bioset_exit(self.raw()) };
    }
}

impl Backing {
    /// Arms a bio of ours and submits it.
    ///
    /// # Safety
    ///
    /// `raw` came from this device's bio_set and is complete but for its context. `upper` is null
    /// or a bio on which this I/O owns a count.
    unsafe fn go(
        &self,
        raw: *mut c::bio,
        token: u64,
        upper: *mut c::bio,
        payload: Option<Payload>,
    ) {
        self.inner.in_flight.enter();
        let inner: &Inner = &self.inner;
        // SAFETY: The pad in front of the bio has room for the context and is not initialised.
        unsafe {
            raw.cast::<IoContext>().sub(1).write(IoContext {
                inner,
                token,
                upper,
                payload,
            });
            (*raw).bi_end_io = Some(end_io);
            c::submit_bio_noacct(raw);
        }
    }

    /// A bio without pages for this device.
    pub(super) fn bare_bio(&self, opf: u32, sector: u64) -> *mut c::bio {
        // SAFETY: Our own bio_set; GFP_NOIO with a reserve waits and never fails in task context.
        unsafe {
            let raw = c::bio_alloc_bioset(self.bdev(), 0, opf, c::GFP_NOIO, self.inner.bios.raw());
            (*raw).bi_iter.bi_sector = sector;
            raw
        }
    }

    /// Sends a whole bio from above to the same place of this device, flags included. The handle's
    /// count goes to the clone: the bio does not really end before it. Context: task (also inside
    /// `submit_bio`).
    pub(crate) fn submit_clone(&self, data: BioData, token: u64) {
        let upper = data.into_raw();
        // SAFETY: Live upper bio, our own bio_set; waits for memory.
        let raw =
            unsafe { c::bio_alloc_clone(self.bdev(), upper, c::GFP_NOIO, self.inner.bios.raw()) };
        if raw.is_null() {
            self.inner.done.io_done(token, Status::RESOURCE, None);
            // SAFETY: The count that `into_raw` handed over.
            unsafe { c::bio_endio(upper) };
            return;
        }
        // SAFETY: A clone of ours; the count on `upper` is the one of `data`.
        unsafe { self.go(raw, token, upper, None) };
    }

    fn submit_payload(&self, opf: u32, sector: u64, payload: Payload, token: u64) {
        let raw = self.bare_bio(opf, sector);
        // SAFETY: The table and the pages stay with the I/O until it has ended.
        unsafe {
            c::kg_bio_set_bvecs(raw, payload.table(), payload.len() as u32);
            self.go(raw, token, core::ptr::null_mut(), Some(payload));
        }
    }

    /// Reads into `payload` (its length, a multiple of the logical block). Context: task.
    pub(crate) fn submit_read(&self, sector: u64, payload: Payload, token: u64) {
        self.submit_payload(c::REQ_OP_READ, sector, payload, token);
    }

    /// Writes `payload`. Context: task.
    pub(crate) fn submit_write(&self, sector: u64, payload: Payload, f: WriteFlags, token: u64) {
        self.submit_payload(f.opf(), sector, payload, token);
    }

    /// Flushes the device's cache. Context: task.
    pub(crate) fn submit_flush(&self, token: u64) {
        let raw = self.bare_bio(c::REQ_OP_WRITE | c::REQ_PREFLUSH | c::REQ_SYNC, 0);
        // SAFETY: An empty flush needs nothing more.
        unsafe { self.go(raw, token, core::ptr::null_mut(), None) };
    }

    fn submit_range(&self, opf: u32, sector: u64, sectors: u32, token: u64) {
        let Some(bytes) = sectors.checked_mul(512) else {
            self.inner.done.io_done(token, Status::NOTSUPP, None);
            return;
        };
        let raw = self.bare_bio(opf, sector);
        // SAFETY: Operations on a range have a size and no pages.
        unsafe {
            (*raw).bi_iter.bi_size = bytes;
            self.go(raw, token, core::ptr::null_mut(), None);
        }
    }

    /// Discards; below 4 GiB. [`Status::NOTSUPP`] when the device cannot. Context: task.
    pub(crate) fn submit_discard(&self, sector: u64, sectors: u32, token: u64) {
        self.submit_range(c::REQ_OP_DISCARD, sector, sectors, token);
    }

    /// Zeroes without payload; below 4 GiB. [`Status::NOTSUPP`] when the device cannot: then see
    /// [`Self::zeroout_sync`]. Context: task.
    pub(crate) fn submit_write_zeroes(&self, sector: u64, sectors: u32, unmap: bool, token: u64) {
        let nounmap = if unmap { 0 } else { c::REQ_NOUNMAP };
        self.submit_range(c::REQ_OP_WRITE_ZEROES | nounmap, sector, sectors, token);
    }

    /// Submits a payload bio and waits for its end.
    fn payload_sync(&self, opf: u32, sector: u64, payload: &Payload) -> Result {
        let raw = self.bare_bio(opf, sector);
        // SAFETY: Payload outlives the wait; the bio is ours and put once. The context in front is
        // not used: `submit_bio_wait` brings its own completion.
        unsafe {
            c::kg_bio_set_bvecs(raw, payload.table(), payload.len() as u32);
            let rc = c::submit_bio_wait(raw);
            c::bio_put(raw);
            to_result(rc)
        }
    }

    /// Reads `buf`, a multiple of the logical block, and waits. Context: task. Errors: `EIO`, ...
    pub(crate) fn read_sync(&self, sector: u64, buf: &mut [u8]) -> Result {
        noio::scope(|| {
            let mut sector = sector;
            for part in buf.chunks_mut(MAX_PAYLOAD) {
                let payload = self.inner.scratch.alloc(part.len())?;
                self.payload_sync(c::REQ_OP_READ | c::REQ_SYNC, sector, &payload)?;
                payload.copy_out(0, part)?;
                sector = sector.saturating_add(part.len() as u64 >> 9);
            }
            Ok(())
        })
    }

    /// Writes `buf`, a multiple of the logical block, and waits. Context: task. Errors: `EIO`, ...
    pub(crate) fn write_sync(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        noio::scope(|| {
            let mut sector = sector;
            for part in buf.chunks(MAX_PAYLOAD) {
                let mut payload = self.inner.scratch.alloc(part.len())?;
                payload.copy_in(0, part)?;
                self.payload_sync(flags.opf() | c::REQ_SYNC, sector, &payload)?;
                sector = sector.saturating_add(part.len() as u64 >> 9);
            }
            Ok(())
        })
    }

    /// Flushes the device's cache and waits. Context: task.
    pub(crate) fn flush_sync(&self) -> Result {
        // SAFETY: Open device.
        noio::scope(|| to_result(unsafe { c::blkdev_issue_flush(self.bdev()) }))
    }

    /// Zeroes a range, by writing if need be, and waits. Context: task.
    pub(crate) fn zeroout_sync(&self, sector: u64, sectors: u64, may_unmap: bool) -> Result {
        let flags = if may_unmap { 0 } else { c::BLKDEV_ZERO_NOUNMAP };
        // SAFETY: Open device; ranges beyond its end are refused by the callee.
        to_result(unsafe {
            c::blkdev_issue_zeroout(self.bdev(), sector, sectors, c::GFP_NOIO, flags)
        })
    }

    /// Discards a range and waits. Errors: `EOPNOTSUPP`. Context: task.
    pub(crate) fn discard_sync(&self, sector: u64, sectors: u64) -> Result {
        // SAFETY: As above.
        to_result(unsafe { c::blkdev_issue_discard(self.bdev(), sector, sectors, c::GFP_NOIO) })
    }
}

/// # Safety
///
/// Called by the block layer at the end of a bio that `Backing::go` submitted.
unsafe extern "C" fn end_io(raw: *mut c::bio) {
    // SAFETY: `go` wrote the context, this is its only reader. `inner` lives: it waits for
    // `in_flight`, which this I/O gives back last. The count on `upper` is ours.
    unsafe {
        let context = raw.cast::<IoContext>().sub(1).read();
        let status = Status::from_raw((*raw).bi_status);
        c::bio_put(raw);
        let inner = &*context.inner;
        inner.done.io_done(context.token, status, context.payload);
        if !context.upper.is_null() {
            c::bio_endio(context.upper);
        }
        inner.in_flight.leave();
    }
}

/// Holds back what `f` submits and passes it on in one go at its end. Context: task.
pub(crate) fn with_plug<R>(f: impl FnOnce() -> R) -> R {
    let mut plug = MaybeUninit::<c::blk_plug>::zeroed();
    // SAFETY: `plug` stays on this stack until `blk_finish_plug`.
    unsafe { c::blk_start_plug(plug.as_mut_ptr()) };
    let result = f();
    // SAFETY: Started above, on this thread.
    unsafe { c::blk_finish_plug(plug.as_mut_ptr()) };
    result
}
