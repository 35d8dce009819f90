// SPDX-License-Identifier: GPL-2.0-or-later
//! An exclusively claimed backing device; the I/O on it is in [`super::io`].
//!
//! Each I/O carries a token of the host's choice and, for reads and writes of our own, the payload
//! it works on. Completion reports both to one [`IoDone`] per device, in whatever context the
//! device's driver completes: virtio-blk does it in hardirq with interrupts off.

use super::{
    deferred::{Deferred, Release},
    inflight::InFlight,
    io::BioSet,
    limits::Facts,
    lock::{Arc, Atomic},
    module::ModuleRef,
    pages::{PagePool, Payload},
    status::Status,
};
use crate::sys as c;
use core::ptr::NonNull;
use kernel::{error::from_err_ptr, prelude::*};

pub(crate) use super::io::{with_plug, WriteFlags};

/// Receiver of completions.
pub(crate) trait IoDone: Send + Sync + 'static {
    /// The I/O with this token ended; `pages` is the payload it was submitted with.
    ///
    /// Context: any, and possibly inside the submitting call: hold no lock across `submit_*` that
    /// this function takes.
    fn io_done(&self, token: u64, status: Status, pages: Option<Payload>);
}

/// # Invariants
///
/// `file` is open and ours. `bios` is initialised and stays where it is. I/Os under way
/// refer to this object by plain pointer; `in_flight` counts them and the destructor waits.
#[pin_data(PinnedDrop)]
pub(super) struct Inner {
    file: NonNull<c::file>,
    pub(super) bios: BioSet,
    pub(super) done: Arc<dyn IoDone>,
    pub(super) scratch: PagePool,
    #[pin]
    pub(super) in_flight: InFlight,
    // A device may answer, and be closed, long after whoever opened it is gone.
    _module: ModuleRef,
}

// SAFETY: File and bio_set are usable from any thread; the rest is Send and Sync itself.
unsafe impl Send for Inner {}
// SAFETY: As above.
unsafe impl Sync for Inner {}

impl Release for Inner {
    fn must_defer(&self) -> bool {
        // The last handle may be dropped inside `io_done`, by an I/O that we would wait for.
        self.in_flight.count() > 0
    }
}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        self.in_flight.wait_idle();
        // SAFETY: Our own reference, and no I/O of ours is left. Gives the claim back at once.
        unsafe { c::bdev_fput(self.file.as_ptr()) };
    }
}

static HOLDER_OPS: c::blk_holder_ops = c::blk_holder_ops {
    mark_dead: None,
    sync: None,
    freeze: None,
    thaw: None,
};
// Its address is the holder that all devices of ours share for an external metadata device.
static SHARED_HOLDER: Atomic<u32> = Atomic::new(0);

/// A claimed device; clones share it. Dropping the last one gives the claim back: at once when
/// nothing is under way (see [`Self::drain`]), else a work item does it after the last I/O.
#[derive(Clone)]
pub(crate) struct Backing {
    pub(super) inner: Arc<Deferred<Inner>>,
}

impl Backing {
    /// Opens and claims the device at `path`. Context: task.
    ///
    /// `shared` claims it together with other devices of ours that say so (indexed external
    /// metadata); otherwise the claim is exclusive. Errors: `EBUSY` (claimed, mounted), `ENOENT`,
    /// `ENOTBLK`, `EACCES`, `EROFS`, `ENOMEM`.
    pub(crate) fn open(path: &CStr, done: Arc<dyn IoDone>, shared: bool) -> Result<Self> {
        let module = ModuleRef::get().ok_or(ENODEV)?;
        let bios = BioSet::new()?;
        let scratch = PagePool::new(0)?;
        let holder = if shared {
            (&raw const SHARED_HOLDER).cast_mut().cast::<c_void>()
        } else {
            // Any address that is ours alone while the claim lasts.
            bios.raw().cast()
        };
        // SAFETY: C string; the holder is only compared; the operations are static.
        let file = from_err_ptr(unsafe {
            c::bdev_file_open_by_path(
                path.as_char_ptr(),
                c::BLK_OPEN_READ | c::BLK_OPEN_WRITE,
                holder,
                &HOLDER_OPS,
            )
        })?;
        let file = ClaimedFile(NonNull::new(file).ok_or(ENODEV)?);
        let inner = Deferred::pin_init(pin_init!(Inner {
            file: file.0,
            bios,
            done,
            scratch,
            in_flight <- InFlight::new(),
            _module: module,
        }))?;
        // From here on `inner` closes it.
        core::mem::forget(file);
        Ok(Backing {
            inner: Arc::new(inner, GFP_KERNEL)?,
        })
    }

    pub(super) fn bdev(&self) -> *mut c::block_device {
        // SAFETY: The file is open, by the invariant of `Inner`.
        unsafe { c::file_bdev(self.inner.file.as_ptr()) }
    }

    /// Size in sectors of 512 bytes. Context: any.
    pub(crate) fn sectors(&self) -> u64 {
        // SAFETY: Open device.
        unsafe { c::kg_bdev_nr_sectors(self.bdev()) }
    }

    /// Its limits and features. Context: any.
    pub(crate) fn facts(&self) -> Facts {
        // SAFETY: Open device.
        unsafe { Facts::of(self.bdev()) }
    }

    /// Major and minor number. Context: any.
    pub(crate) fn dev(&self) -> (u32, u32) {
        // SAFETY: Open device.
        let dev = unsafe { c::kg_bdev_dev(self.bdev()) };
        (dev >> 20, dev & 0xf_ffff)
    }

    /// Writes the kernel's name for it (`vdb`, `dm-3`) to `buf`. Context: any.
    pub(crate) fn name<'a>(&self, buf: &'a mut [u8; 32]) -> &'a CStr {
        // SAFETY: Open device; the callee writes at most 32 bytes with a final NUL.
        unsafe { c::kg_bdev_name(self.bdev(), buf.as_mut_ptr(), buf.len()) };
        CStr::from_bytes_until_nul(buf).unwrap_or(c"")
    }

    /// True when both are the same device. Context: any.
    pub(crate) fn same_device(&self, other: &Backing) -> bool {
        self.dev() == other.dev()
    }

    /// I/Os under way. Context: any.
    pub(crate) fn in_flight(&self) -> u32 {
        self.inner.in_flight.count()
    }

    /// Waits until nothing is under way. Context: task.
    pub(crate) fn drain(&self) {
        self.inner.in_flight.wait_idle();
    }
}

/// Closes a file that did not become part of a [`Backing`].
struct ClaimedFile(NonNull<c::file>);

impl Drop for ClaimedFile {
    fn drop(&mut self) {
        // SAFETY: Open and ours.
        unsafe { c::bdev_fput(self.0.as_ptr()) };
    }
}
