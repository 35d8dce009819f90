// SPDX-License-Identifier: GPL-2.0-or-later
//! The pool that payloads come from: large folios first, single pages from a reserve as the way
//! out when memory is short, so that an allocation may wait but never fails.

use super::{
    lock::{new_mutex, Arc, Atomic, Mutex, Relaxed},
    pages::{Header, Payload, INLINE_CHUNKS, MAX_PAYLOAD},
};
use crate::sys as c;
use core::ptr::NonNull;
use kernel::prelude::*;

pub(super) const PAGE_SIZE: usize = c::PAGE_SIZE as usize;
// One largest payload in single pages, and the page with its table.
const RESERVE_MIN: c_int = (MAX_PAYLOAD / PAGE_SIZE) as c_int + 1;
// The largest folio that is tried, as a power of two of pages: 1 MiB.
const MAX_ORDER: u32 = 8;
// Chunks above this order are not worth waiting for memory compaction.
const CHEAP_ORDER: u32 = 3;
/// Does not sleep.
pub(super) const GFP_NOW: c::gfp_t = (c::GFP_NOIO & !c::__GFP_DIRECT_RECLAIM) | c::__GFP_NOWARN;

#[pin_data(PinnedDrop)]
pub(super) struct Inner {
    pub(super) headers: NonNull<c::mempool>,
    pub(super) pages: NonNull<c::mempool>,
    pub(super) in_use_pages: Atomic<i32>,
    // Taken by whoever collects single pages: two collectors that each hold half of the reserve
    // would wait for each other.
    #[pin]
    collecting: Mutex<()>,
}

// SAFETY: mempools are locked internally.
unsafe impl Send for Inner {}
// SAFETY: As above.
unsafe impl Sync for Inner {}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Every payload holds a reference on us, so all elements are back.
        unsafe {
            c::mempool_destroy(self.headers.as_ptr());
            c::mempool_destroy(self.pages.as_ptr());
        }
    }
}

/// Owns a mempool until it is stored for good.
struct NewPool(NonNull<c::mempool>);

impl NewPool {
    /// # Safety
    ///
    /// `alloc` and `free` match each other and `data`.
    unsafe fn create(
        n: c_int,
        alloc: unsafe extern "C" fn(c::gfp_t, *mut c_void) -> *mut c_void,
        free: unsafe extern "C" fn(*mut c_void, *mut c_void),
        data: usize,
    ) -> Result<Self> {
        // SAFETY: By the contract of this function.
        let pool = unsafe {
            c::mempool_create_node_noprof(
                n,
                Some(alloc),
                Some(free),
                data as *mut c_void,
                c::GFP_KERNEL,
                c::NUMA_NO_NODE,
            )
        };
        Ok(NewPool(NonNull::new(pool).ok_or(ENOMEM)?))
    }

    fn keep(self) -> NonNull<c::mempool> {
        let pool = self.0;
        core::mem::forget(self);
        pool
    }
}

impl Drop for NewPool {
    fn drop(&mut self) {
        // SAFETY: Created by `create`, nothing allocated from it yet.
        unsafe { c::mempool_destroy(self.0.as_ptr()) };
    }
}

/// Where payloads come from; one per connection (and one per purpose that must not starve
/// another). Cheap to clone. It lives until the last payload is gone.
#[derive(Clone)]
pub(crate) struct PagePool {
    inner: Arc<Inner>,
}

impl PagePool {
    /// A pool with at least `reserve_pages` pages set aside (raised to one largest payload plus
    /// its table, 257). Context: task. Errors: `ENOMEM`, `EINVAL`.
    pub(crate) fn new(reserve_pages: u32) -> Result<Self> {
        let pages = c_int::try_from(reserve_pages).map_err(|_| EINVAL)?;
        let pages = pages.max(RESERVE_MIN);
        // SAFETY: kmalloc functions with the element size as data.
        let headers = unsafe {
            NewPool::create(
                16,
                c::mempool_kmalloc,
                c::mempool_kfree,
                core::mem::size_of::<Header>(),
            )
        }?;
        let (alloc, free) = (c::mempool_alloc_pages, c::mempool_free_pages);
        // SAFETY: Page functions with the order as data.
        let pages = unsafe { NewPool::create(pages, alloc, free, 0) }?;
        let inner = Arc::pin_init(
            pin_init!(Inner {
                headers: headers.keep(),
                pages: pages.keep(),
                in_use_pages: Atomic::new(0),
                collecting <- new_mutex!((), "drbd_page_pool"),
            }),
            GFP_KERNEL,
        )?;
        Ok(PagePool { inner })
    }

    /// Pages in payloads that are alive. Context: any.
    pub(crate) fn in_use_pages(&self) -> u32 {
        u32::try_from(self.inner.in_use_pages.load(Relaxed)).unwrap_or(0)
    }

    /// A payload of `len` bytes with arbitrary contents; waits for memory if it must. Context:
    /// task, without a lock that freeing payloads needs.
    ///
    /// Errors: `EINVAL` when `len` is 0 or above [`MAX_PAYLOAD`]; nothing else.
    #[inline]
    pub(crate) fn alloc(&self, len: usize) -> Result<Payload> {
        if len <= PAGE_SIZE {
            if let Some((page, _)) = try_chunk(1) {
                return Payload::of_page(&self.inner, page, len);
            }
        }
        self.alloc_chunks(len)
    }

    #[inline(never)]
    fn alloc_chunks(&self, len: usize) -> Result<Payload> {
        let mut payload = Payload::empty(&self.inner, len)?;
        let mut left = len.div_ceil(PAGE_SIZE);
        while left > 0 {
            match try_chunk(left) {
                Some((page, order)) => {
                    payload.push(page, PAGE_SIZE << order);
                    left = left.saturating_sub(1 << order);
                }
                None => {
                    let _one_collector = self.inner.collecting.lock();
                    while left > 0 {
                        let page = self.reserve_page();
                        payload.push(page, PAGE_SIZE);
                        left = left.saturating_sub(1);
                    }
                }
            }
        }
        payload.truncate(len);
        Ok(payload)
    }

    /// Like [`Self::alloc`], but `None` when memory is short. Context: task.
    pub(crate) fn try_alloc(&self, len: usize) -> Option<Payload> {
        let mut payload = Payload::empty(&self.inner, len).ok()?;
        let mut left = len.div_ceil(PAGE_SIZE);
        while left > 0 && payload.chunk_count() < INLINE_CHUNKS {
            let (page, order) = try_chunk(left)?;
            payload.push(page, PAGE_SIZE << order);
            left = left.saturating_sub(1 << order);
        }
        if left > 0 {
            return None;
        }
        payload.truncate(len);
        Some(payload)
    }

    /// Like [`Self::alloc`], but does not wait for payloads to come back: `None` when memory is
    /// short and the reserve in use. Context: task.
    pub(crate) fn alloc_now(&self, len: usize) -> Option<Payload> {
        if let Some(payload) = self.try_alloc_now(len) {
            return Some(payload);
        }
        // One at a time, or two that each got half of the reserve would both go without.
        let _one_collector = self.inner.collecting.lock();
        let mut payload = Payload::empty_now(&self.inner, len)?;
        for _ in 0..len.div_ceil(PAGE_SIZE) {
            let page = self.reserve_page_now()?;
            if !payload.push_now(page, PAGE_SIZE) {
                return None;
            }
        }
        payload.truncate(len);
        Some(payload)
    }

    fn try_alloc_now(&self, len: usize) -> Option<Payload> {
        let mut payload = Payload::empty_now(&self.inner, len)?;
        let mut left = len.div_ceil(PAGE_SIZE);
        while left > 0 && payload.chunk_count() < INLINE_CHUNKS {
            let (page, order) = try_chunk(left)?;
            payload.push(page, PAGE_SIZE << order);
            left = left.saturating_sub(1 << order);
        }
        payload.truncate(len);
        (left == 0).then_some(payload)
    }

    fn reserve_page_now(&self) -> Option<*mut c::page> {
        // SAFETY: A pool of pages. Without direct reclaim it does not sleep, and may have none.
        let page = unsafe { c::mempool_alloc_noprof(self.inner.pages.as_ptr(), GFP_NOW) };
        (!page.is_null()).then_some(page.cast())
    }

    fn reserve_page(&self) -> *mut c::page {
        // SAFETY: As in `empty`: waits until a page comes back, never null.
        unsafe { c::mempool_alloc_noprof(self.inner.pages.as_ptr(), c::GFP_NOIO) }.cast()
    }
}

/// One chunk of at most `pages` pages without touching the reserve, and its order.
#[inline]
fn try_chunk(pages: usize) -> Option<(*mut c::page, u32)> {
    if pages == 1 {
        let gfp = c::GFP_NOIO | c::__GFP_NOWARN | c::__GFP_NORETRY;
        // SAFETY: Task context; low memory, so that the page has an address.
        let page = unsafe { c::alloc_pages(gfp, 0) };
        return (!page.is_null()).then_some((page, 0));
    }
    try_large_chunk(pages)
}

fn try_large_chunk(pages: usize) -> Option<(*mut c::page, u32)> {
    let mut order = pages.checked_ilog2()?.min(MAX_ORDER);
    loop {
        let mut gfp = c::GFP_NOIO | c::__GFP_NOWARN | c::__GFP_NORETRY;
        if order > 0 {
            gfp |= c::__GFP_COMP;
        }
        if order > CHEAP_ORDER {
            gfp &= !c::__GFP_DIRECT_RECLAIM;
        }
        // SAFETY: Task context; low memory, so that the pages have an address.
        let page = unsafe { c::alloc_pages(gfp, order) };
        if !page.is_null() {
            return Some((page, order));
        }
        if order == 0 {
            return None;
        }
        order = order.saturating_sub(2);
    }
}

/// Gives a chunk back; returns its number of pages.
///
/// # Safety
///
/// `page` is the head of a chunk that the caller owns and forgets.
pub(super) unsafe fn free_chunk(pool: &Inner, page: *mut c::page) -> u32 {
    // A page that a socket still refers to must not go to the reserve: it would be reused.
    // SAFETY: Live page, by the contract.
    if unsafe { c::kg_page_is_plain(page) } {
        // SAFETY: An order-0 page of ours, whichever way it was allocated.
        unsafe { c::mempool_free(page.cast(), pool.pages.as_ptr()) };
        return 1;
    }
    // SAFETY: As above; drops our reference, and compound pages are freed by the last one.
    unsafe {
        let order = c::kg_page_order(page);
        c::__free_pages(page, order);
        1 << order
    }
}
