// SPDX-License-Identifier: GPL-2.0-or-later
//! Payload buffers: up to 1 MiB in a few large chunks.
//!
//! A payload is received into, written to disk, read from disk or sent as one object; whoever
//! works on it owns it.

use super::{
    hash::Hash,
    lock::{Arc, Relaxed},
    pool::{free_chunk, Inner, GFP_NOW, PAGE_SIZE},
};
use crate::sys as c;
use core::{mem::MaybeUninit, ptr::NonNull};
use kernel::prelude::*;

pub(crate) use super::pool::PagePool;

/// Largest payload in bytes: what one bio can carry in single pages.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

// 1 MiB less one page is the worst case of large chunks: eight of them.
pub(super) const INLINE_CHUNKS: usize = 8;

pub(super) struct Header {
    pool: Arc<Inner>,
    len: u32,
    chunks: u32,
    pages: u32,
    table_page: *mut c::page,
    // `chunks` valid vectors; points to `inline`, or to `table_page` when there are more.
    table: *mut c::bio_vec,
    inline: [MaybeUninit<c::bio_vec>; INLINE_CHUNKS],
}

/// An owned buffer. Dropping it gives the pages back (pages that a socket still holds stay alive
/// until TCP is done with them and are never reused before).
///
/// # Invariants
///
/// `header` is a live element of the pool's header mempool. Its `table` holds `chunks` vectors,
/// each the start of an allocation of our own with `bv_offset` 0, whose lengths add up to `len`.
pub(crate) struct Payload {
    header: NonNull<Header>,
}

// SAFETY: The pages and the header are owned.
unsafe impl Send for Payload {}
// SAFETY: `&Payload` only reads.
unsafe impl Sync for Payload {}

impl Payload {
    /// A payload without chunks, for the pool to fill up to `len` bytes. Context: task.
    pub(super) fn empty(pool: &Arc<Inner>, len: usize) -> Result<Payload> {
        if len == 0 || len > MAX_PAYLOAD {
            return Err(EINVAL);
        }
        Self::with_header(pool, c::GFP_NOIO)
    }

    /// The same without waiting; `None` when there is none.
    pub(super) fn empty_now(pool: &Arc<Inner>, len: usize) -> Option<Payload> {
        if len == 0 || len > MAX_PAYLOAD {
            return None;
        }
        Self::with_header(pool, GFP_NOW).ok()
    }

    /// A payload of the first `len` bytes of `page`, which it owns. Context: task.
    #[inline]
    pub(super) fn of_page(pool: &Arc<Inner>, page: *mut c::page, len: usize) -> Result<Payload> {
        match Self::empty(pool, len) {
            Ok(mut payload) => {
                payload.fill_page(page, len);
                Ok(payload)
            }
            Err(error) => {
                // SAFETY: The caller's page, which it forgets.
                unsafe { free_chunk(pool, page) };
                Err(error)
            }
        }
    }

    #[inline]
    fn with_header(pool: &Arc<Inner>, gfp: c::gfp_t) -> Result<Payload> {
        // SAFETY: GFP_NOIO from a mempool waits, in task context, and never fails.
        let raw = unsafe { c::mempool_alloc_noprof(pool.headers.as_ptr(), gfp) };
        let header = NonNull::new(raw.cast::<Header>()).ok_or(ENOMEM)?;
        let at = header.as_ptr();
        // SAFETY: Fresh memory of this size, all of whose fields are written, but for `inline`, which
        // need not be: as a whole, the compiler would clear it. The table pointer is set to a field of
        // the same memory, which never moves.
        unsafe {
            (&raw mut (*at).pool).write(pool.clone());
            (&raw mut (*at).len).write(0);
            (&raw mut (*at).chunks).write(0);
            (&raw mut (*at).pages).write(0);
            (&raw mut (*at).table_page).write(core::ptr::null_mut());
            (&raw mut (*at).table).write((&raw mut (*at).inline).cast());
        }
        Ok(Payload { header })
    }

    fn header(&self) -> &Header {
        // SAFETY: Live by the type invariant.
        unsafe { self.header.as_ref() }
    }

    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: Live by the type invariant, and owned.
        unsafe { self.header.as_mut() }
    }

    /// Length in bytes, never 0. Context: any.
    pub(crate) fn len(&self) -> usize {
        self.header().len as usize
    }

    pub(super) fn chunk_count(&self) -> usize {
        self.header().chunks as usize
    }

    /// The vectors, for bios and iterators of sockets.
    pub(super) fn table(&self) -> *mut c::bio_vec {
        self.header().table
    }

    fn vecs(&self) -> &[c::bio_vec] {
        let header = self.header();
        // SAFETY: `chunks` vectors are initialised, by the type invariant.
        unsafe { core::slice::from_raw_parts(header.table, header.chunks as usize) }
    }

    fn vecs_mut(&mut self) -> &mut [c::bio_vec] {
        let header = self.header_mut();
        // SAFETY: As in `vecs`; owned.
        unsafe { core::slice::from_raw_parts_mut(header.table, header.chunks as usize) }
    }

    /// Makes an empty payload one of the first `bytes` bytes of `page`, which it now owns.
    #[inline]
    pub(super) fn fill_page(&mut self, page: *mut c::page, bytes: usize) {
        let header = self.header_mut();
        let [first, ..] = &mut header.inline;
        first.write(c::bio_vec {
            bv_page: page,
            bv_len: bytes as u32,
            bv_offset: 0,
        });
        header.chunks = 1;
        header.len = bytes as u32;
        header.pages = 1;
        let _ = header.pool.in_use_pages.fetch_add(1, Relaxed);
    }

    /// Appends a chunk of `bytes` bytes that this payload now owns.
    pub(super) fn push(&mut self, page: *mut c::page, bytes: usize) {
        if self.chunk_count() == INLINE_CHUNKS && self.header().table_page.is_null() {
            let _ = self.move_table(c::GFP_NOIO);
        }
        let header = self.header_mut();
        // SAFETY: The table has room: eight inline, or 256 in its page, and a payload has at most
        // 256 pages.
        unsafe {
            header.table.add(header.chunks as usize).write(c::bio_vec {
                bv_page: page,
                bv_len: bytes as u32,
                bv_offset: 0,
            });
        }
        let pages = (bytes / PAGE_SIZE) as u32;
        header.chunks = header.chunks.saturating_add(1);
        header.len = header.len.saturating_add(bytes as u32);
        header.pages = header.pages.saturating_add(pages);
        let _ = header.pool.in_use_pages.fetch_add(pages as i32, Relaxed);
    }

    /// Like [`Self::push`] without waiting; false when there is no page for the vectors, and the
    /// chunk is given back.
    pub(super) fn push_now(&mut self, page: *mut c::page, bytes: usize) -> bool {
        let full = self.chunk_count() == INLINE_CHUNKS && self.header().table_page.is_null();
        if full && !self.move_table(GFP_NOW) {
            // SAFETY: The caller's page, which it forgets.
            let _ = unsafe { free_chunk(&self.header().pool, page) };
            return false;
        }
        self.push(page, bytes);
        true
    }

    /// Moves the inline vectors to a page of their own, if there is one.
    fn move_table(&mut self, gfp: c::gfp_t) -> bool {
        let header = self.header_mut();
        // SAFETY: GFP_NOIO waits for a page of the reserve; task context (from `alloc`).
        let page = unsafe { c::mempool_alloc_noprof(header.pool.pages.as_ptr(), gfp) };
        let page = page.cast::<c::page>();
        if page.is_null() {
            return false;
        }
        // SAFETY: A low-memory page has an address; it is aligned and large enough.
        unsafe {
            let table = c::kg_page_address(page).cast::<c::bio_vec>();
            let inline = header.inline.as_ptr().cast::<c::bio_vec>();
            core::ptr::copy_nonoverlapping(inline, table, INLINE_CHUNKS);
            header.table = table;
        }
        header.table_page = page;
        true
    }

    /// Cuts the payload to its first `len` bytes (at least 1) and frees whole chunks behind them.
    /// Context: any.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        let len = len.max(1);
        if len < self.len() {
            self.cut(len);
        }
    }

    #[inline(never)]
    fn cut(&mut self, len: usize) {
        let mut seen = 0usize;
        let mut keep = 0usize;
        for vec in self.vecs_mut() {
            let room = len.saturating_sub(seen);
            if room == 0 {
                break;
            }
            vec.bv_len = vec.bv_len.min(room as u32);
            seen = seen.saturating_add(vec.bv_len as usize);
            keep = keep.saturating_add(1);
        }
        let mut freed = 0;
        for vec in self.vecs().iter().skip(keep) {
            // SAFETY: Owned chunks; they leave the table below.
            let pages = unsafe { free_chunk(&self.header().pool, vec.bv_page) };
            freed = pages.saturating_add(freed);
        }
        let header = self.header_mut();
        header.chunks = keep as u32;
        header.len = len as u32;
        header.pages = header.pages.saturating_sub(freed);
        let _ = header.pool.in_use_pages.fetch_sub(freed as i32, Relaxed);
    }

    /// The contents, in a few slices. Context: any.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.vecs().iter().map(|vec| {
            // SAFETY: Low-memory pages of ours, `bv_len` bytes inside the allocation; borrowed
            // from `self`. Uninitialised memory of the page allocator is plain bytes.
            unsafe {
                let base = c::kg_page_address(vec.bv_page).cast::<u8>();
                core::slice::from_raw_parts(base, vec.bv_len as usize)
            }
        })
    }

    /// The contents, to be changed. Context: any.
    pub(crate) fn chunks_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.vecs().iter().map(|vec| {
            // SAFETY: As in `chunks`; chunks do not overlap and `self` is borrowed exclusively.
            unsafe {
                let base = c::kg_page_address(vec.bv_page).cast::<u8>();
                core::slice::from_raw_parts_mut(base, vec.bv_len as usize)
            }
        })
    }

    /// Copies `bytes` to offset `at`. Errors: `EINVAL` beyond the end. Context: any.
    pub(crate) fn copy_in(&mut self, at: usize, bytes: &[u8]) -> Result {
        if at
            .checked_add(bytes.len())
            .is_none_or(|end| end > self.len())
        {
            return Err(EINVAL);
        }
        let mut skip = at;
        let mut rest = bytes;
        for chunk in self.chunks_mut() {
            let Some(room) = chunk.get_mut(skip..) else {
                skip = skip.saturating_sub(chunk.len());
                continue;
            };
            skip = 0;
            let n = room.len().min(rest.len());
            let (now, later) = rest.split_at(n);
            if let Some(room) = room.get_mut(..n) {
                room.copy_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }

    /// Copies from offset `from` into all of `out`. Errors: `EINVAL` beyond the end. Context: any.
    pub(crate) fn copy_out(&self, from: usize, out: &mut [u8]) -> Result {
        if from
            .checked_add(out.len())
            .is_none_or(|end| end > self.len())
        {
            return Err(EINVAL);
        }
        let mut skip = from;
        let mut rest = out;
        for chunk in self.chunks() {
            let Some(data) = chunk.get(skip..) else {
                skip = skip.saturating_sub(chunk.len());
                continue;
            };
            skip = 0;
            let n = data.len().min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            if let Some(data) = data.get(..n) {
                now.copy_from_slice(data);
            }
            rest = later;
        }
        Ok(())
    }

    /// Sets every byte. Context: any.
    pub(crate) fn fill(&mut self, byte: u8) {
        for chunk in self.chunks_mut() {
            chunk.fill(byte);
        }
    }

    /// True when every byte is 0. Context: any.
    pub(crate) fn is_zero(&self) -> bool {
        self.chunks()
            .all(|chunk| chunk.iter().all(|byte| *byte == 0))
    }

    /// CRC-32C (Castagnoli), as iSCSI and ext4 have it. Context: any.
    pub(crate) fn crc32c(&self) -> u32 {
        // SAFETY: The table holds `chunks` vectors of low-memory pages.
        !unsafe { c::kg_bvecs_csum(!0, self.table(), self.header().chunks) }
    }

    /// Adds the contents to a digest.
    pub(crate) fn digest(&self, hash: &mut Hash) -> Result {
        self.chunks().try_for_each(|chunk| hash.update(chunk))
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let header = self.header.as_ptr();
        for vec in self.vecs() {
            // SAFETY: Owned chunks, forgotten with the header.
            unsafe { free_chunk(&self.header().pool, vec.bv_page) };
        }
        let freed = self.header().pages;
        // SAFETY: Nobody reads the header after this: the reference on the pool moves out of it, and
        // keeps alive what its page and itself go back to.
        unsafe {
            let pool = core::ptr::read(&raw const (*header).pool);
            let _ = pool.in_use_pages.fetch_sub(freed as i32, Relaxed);
            if !(*header).table_page.is_null() {
                c::mempool_free((*header).table_page.cast(), pool.pages.as_ptr());
            }
            c::mempool_free(header.cast(), pool.headers.as_ptr());
        }
    }
}
