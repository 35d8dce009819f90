// SPDX-License-Identifier: GPL-2.0-or-later
//! Bios from above: requests that we owe a completion.
//!
//! The C bio counts its users (`__bi_remaining`): the [`Bio`] itself, every [`BioData`] and every
//! clone on the backing device. Its real end, after which the pages belong to others again, is
//! when the last of them is gone. So completing a request early, e.g. because the disk hangs, can
//! delay the end of the bio but never corrupts memory.

use super::{disk, hash::Hash, pages::Payload, status::Status};
use crate::sys as c;
use core::ptr::NonNull;
use kernel::prelude::*;

/// What a bio asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Read.
    Read,
    /// Write, with payload.
    Write,
    /// Discard a range.
    Discard,
    /// Write zeroes to a range.
    WriteZeroes,
    /// Flush without payload.
    Flush,
    /// Something our limits do not announce; answer [`Status::NOTSUPP`].
    Other,
}

/// Modifiers of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BioFlags {
    /// Flush the cache before (`REQ_PREFLUSH`).
    pub(crate) preflush: bool,
    /// Durable when completed (`REQ_FUA`).
    pub(crate) fua: bool,
    /// Somebody waits (`REQ_SYNC`).
    pub(crate) sync: bool,
    /// Read-ahead: may be failed at will.
    pub(crate) readahead: bool,
    /// Write zeroes without deallocating.
    pub(crate) nounmap: bool,
}

/// One request from above. Dropping it without [`Self::complete`] completes it with an I/O error.
///
/// # Invariants
///
/// `raw` came from `submit_bio` and has not ended; this object owns one of its counts. The disk it
/// was submitted to is alive: it waits for its in-flight count, of which this object holds one.
pub(crate) struct Bio {
    raw: NonNull<c::bio>,
    acct_start: usize,
}

// SAFETY: A bio may be completed from any thread and context.
unsafe impl Send for Bio {}
// SAFETY: `&Bio` reads fields that nobody changes, and counts atomically.
unsafe impl Sync for Bio {}

impl Bio {
    /// Takes over a bio and starts its I/O accounting.
    ///
    /// # Safety
    ///
    /// Called from `submit_bio` of a disk of ours, once per bio, after the disk's in-flight count
    /// was raised for it.
    pub(super) unsafe fn from_raw(raw: NonNull<c::bio>) -> Self {
        // SAFETY: We are the only user of the bio yet.
        let acct_start = unsafe {
            c::kg_bio_make_counted(raw.as_ptr());
            c::bio_start_io_acct(raw.as_ptr())
        };
        // INVARIANT: By the contract.
        Bio { raw, acct_start }
    }

    fn opf(&self) -> u32 {
        // SAFETY: Live bio; nobody changes the field after submission.
        unsafe { (*self.raw.as_ptr()).bi_opf }
    }

    /// The operation. Context: any.
    pub(crate) fn op(&self) -> Op {
        match self.opf() & c::REQ_OP_MASK {
            c::REQ_OP_READ => Op::Read,
            c::REQ_OP_WRITE if self.len() == 0 => Op::Flush,
            c::REQ_OP_WRITE => Op::Write,
            c::REQ_OP_DISCARD => Op::Discard,
            c::REQ_OP_WRITE_ZEROES => Op::WriteZeroes,
            c::req_op_REQ_OP_FLUSH => Op::Flush,
            _ => Op::Other,
        }
    }

    /// Its modifiers. Context: any.
    pub(crate) fn flags(&self) -> BioFlags {
        let opf = self.opf();
        BioFlags {
            preflush: opf & c::REQ_PREFLUSH != 0,
            fua: opf & c::REQ_FUA != 0,
            sync: opf & c::REQ_SYNC != 0,
            readahead: opf & c::REQ_RAHEAD != 0,
            nounmap: opf & c::REQ_NOUNMAP != 0,
        }
    }

    /// First sector (512 bytes). Context: any.
    pub(crate) fn sector(&self) -> u64 {
        // SAFETY: Live bio. The iterator stays as submitted: only clones advance theirs.
        unsafe { (*self.raw.as_ptr()).bi_iter.bi_sector }
    }

    /// Length in bytes, 0 for a flush. Context: any.
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: As in `sector`.
        unsafe { (*self.raw.as_ptr()).bi_iter.bi_size }
    }

    /// A counted handle on the payload. Context: any.
    pub(crate) fn data(&self) -> BioData {
        // SAFETY: Live and counted, so the count is above zero.
        unsafe { c::kg_bio_ref(self.raw.as_ptr()) };
        // INVARIANT: The count just taken.
        BioData { raw: self.raw }
    }

    /// Ends the request. Context: any.
    pub(crate) fn complete(self, status: Status) {
        self.end(status);
        core::mem::forget(self);
    }

    fn end(&self, status: Status) {
        let raw = self.raw.as_ptr();
        // SAFETY: Our count is given back by `bio_endio`, after which `raw` is not touched. The
        // disk stays until its in-flight count, given back last, is zero.
        unsafe {
            let disk = disk::of_bio(raw);
            if !status.is_ok() {
                (*raw).bi_status = status.raw();
            }
            c::kg_bio_end_io_acct(raw, self.acct_start);
            c::bio_endio(raw);
            disk::bio_done(disk);
        }
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        self.end(Status::IOERR);
    }
}

/// A counted handle on the payload of a [`Bio`]: keeps its pages until dropped.
///
/// # Invariants
///
/// `raw` has not ended; this object owns one of its counts.
pub(crate) struct BioData {
    raw: NonNull<c::bio>,
}

// SAFETY: As for `Bio`.
unsafe impl Send for BioData {}
// SAFETY: As for `Bio`.
unsafe impl Sync for BioData {}

impl Drop for BioData {
    fn drop(&mut self) {
        // SAFETY: Gives our count back; may end the bio.
        unsafe { c::bio_endio(self.raw.as_ptr()) };
    }
}

impl BioData {
    pub(super) fn raw(&self) -> *mut c::bio {
        self.raw.as_ptr()
    }

    /// Hands the count over to the caller.
    pub(super) fn into_raw(self) -> *mut c::bio {
        let raw = self.raw.as_ptr();
        core::mem::forget(self);
        raw
    }

    /// Payload bytes; for a discard the length of the range. Context: any.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: Live bio, the iterator does not change.
        unsafe { (*self.raw.as_ptr()).bi_iter.bi_size as usize }
    }

    /// True for operations whose bio has pages behind it.
    pub(super) fn has_pages(&self) -> bool {
        // SAFETY: Live bio.
        let op = unsafe { (*self.raw.as_ptr()).bi_opf } & c::REQ_OP_MASK;
        op == c::REQ_OP_READ || op == c::REQ_OP_WRITE
    }

    /// Calls `f(address, length)` for each segment of at most a page, until it returns false.
    fn segments(&self, mut f: impl FnMut(*mut u8, usize) -> bool) {
        if !self.has_pages() {
            return;
        }
        // SAFETY: Live bio with pages; `it` is a copy. The mapping ends before the next one.
        unsafe {
            let raw = self.raw.as_ptr();
            let mut it = (*raw).bi_iter;
            let mut vec = c::bio_vec {
                bv_page: core::ptr::null_mut(),
                bv_len: 0,
                bv_offset: 0,
            };
            while c::kg_bio_next_segment(raw, &mut it, &mut vec) {
                let address = c::kg_kmap_segment(&vec);
                let go_on = f(address.cast(), vec.bv_len as usize);
                c::kg_kunmap_segment(address);
                if !go_on {
                    break;
                }
            }
        }
    }

    /// Copies from offset `from` to `buf`; returns the bytes copied. Context: any.
    ///
    /// The owner of the pages may change them meanwhile (direct I/O): the copy is then one or the
    /// other, per byte.
    pub(crate) fn copy_to(&self, from: usize, buf: &mut [u8]) -> usize {
        let mut skip = from;
        let mut done = 0usize;
        self.segments(|address, len| {
            if skip >= len {
                skip = skip.saturating_sub(len);
                return true;
            }
            let Some(rest) = buf.get_mut(done..) else {
                return false;
            };
            let n = rest.len().min(len.saturating_sub(skip));
            // SAFETY: `n` bytes inside the mapped segment and inside `rest`, which is ours.
            unsafe { core::ptr::copy_nonoverlapping(address.add(skip), rest.as_mut_ptr(), n) };
            skip = 0;
            done = done.saturating_add(n);
            n > 0
        });
        done
    }

    /// Copies `buf` to offset `at`; returns the bytes copied. For reads. Context: any.
    pub(crate) fn copy_from(&self, at: usize, buf: &[u8]) -> usize {
        if !self.is_read() {
            return 0;
        }
        let mut skip = at;
        let mut done = 0usize;
        self.segments(|address, len| {
            if skip >= len {
                skip = skip.saturating_sub(len);
                return true;
            }
            let Some(rest) = buf.get(done..) else {
                return false;
            };
            let n = rest.len().min(len.saturating_sub(skip));
            // SAFETY: `n` bytes inside the mapped segment, which a read lets us write.
            unsafe { core::ptr::copy_nonoverlapping(rest.as_ptr(), address.add(skip), n) };
            skip = 0;
            done = done.saturating_add(n);
            n > 0
        });
        done
    }

    /// True when the bio is a read, so that its pages may be written.
    pub(super) fn is_read(&self) -> bool {
        // SAFETY: Live bio.
        unsafe { (*self.raw.as_ptr()).bi_opf & c::REQ_OP_MASK == c::REQ_OP_READ }
    }

    /// Copies everything into a payload of the same length. Errors: `EINVAL`. Context: any.
    pub(crate) fn copy_to_payload(&self, payload: &mut Payload) -> Result {
        if payload.len() != self.len() || !self.has_pages() {
            return Err(EINVAL);
        }
        let mut from = 0usize;
        for chunk in payload.chunks_mut() {
            from = from.saturating_add(self.copy_to(from, chunk));
        }
        Ok(())
    }

    /// Fills a read from a payload of the same length. Errors: `EINVAL`. Context: any.
    pub(crate) fn copy_from_payload(&self, payload: &Payload) -> Result {
        if payload.len() != self.len() || !self.is_read() {
            return Err(EINVAL);
        }
        let mut at = 0usize;
        for chunk in payload.chunks() {
            at = at.saturating_add(self.copy_from(at, chunk));
        }
        Ok(())
    }

    /// Adds the payload to a digest.
    pub(crate) fn digest(&self, hash: &mut Hash) -> Result {
        let mut result = Ok(());
        self.segments(|address, len| {
            // SAFETY: A mapped segment. The hash reads it byte-wise in C; concurrent changes by
            // the owner of the pages give a wrong digest, nothing worse.
            result = hash.update(unsafe { core::slice::from_raw_parts(address, len) });
            result.is_ok()
        });
        result
    }
}
