// SPDX-License-Identifier: GPL-2.0-or-later
//! The block device that applications see: life cycle, open/release, limits, size.

use super::{
    backing::Backing,
    bio::Bio,
    deferred::{Deferred, Release},
    inflight::InFlight,
    limits::Limits,
    lock::{new_mutex, Acquire, Arc, Atomic, Mutex, Relaxed, Release as ReleaseOrder},
    module, timer,
};
use crate::sys as c;
use core::{mem::MaybeUninit, ptr::NonNull};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
    static_lock_class,
    sync::rcu,
};

/// Block major number of DRBD.
pub(crate) const MAJOR: u32 = 147;

/// What stands behind a disk.
pub(crate) trait BlockDriver: Send + Sync + 'static {
    /// A request arrived. Context: task, inside `submit_bio`: may sleep, but not until I/O has
    /// ended that it submitted itself (that is queued until it returns).
    fn submit(&self, bio: Bio);

    /// Somebody opens the device, for writing if `write`. Context: task.
    fn open(&self, write: bool) -> Result;

    /// An opener is gone. Context: task.
    fn release(&self);
}

/// The registered major number; dropping it gives it back. Context: task.
pub(crate) struct Major(());

impl Major {
    /// Registers block major 147. Errors: `EBUSY` when another driver has it.
    pub(crate) fn register() -> Result<Self> {
        // SAFETY: Static name, no probe function.
        let rc = unsafe { c::__register_blkdev(MAJOR, c"drbd".as_char_ptr(), None) };
        if rc < 0 {
            let e = Error::from_errno(rc);
            if e == EBUSY {
                pr_err!("block major 147 is taken: is another drbd driver loaded?\n");
            }
            return Err(e);
        }
        Ok(Major(()))
    }
}

// Disks whose last reference is not gone yet: `free_disk` is code of this module.
static LIVE_DISKS: Atomic<u32> = Atomic::new(0);

impl Drop for Major {
    fn drop(&mut self) {
        // An opener holds the module, but somebody inside the block layer can hold a deleted disk
        // for a moment without it.
        while LIVE_DISKS.load(Acquire) != 0 {
            timer::sleep_ms(10);
        }
        rcu::synchronize_rcu();
        // SAFETY: Registered in `register`.
        unsafe { c::unregister_blkdev(MAJOR, c"drbd".as_char_ptr()) };
    }
}

/// What `private_data` of the gendisk points to; freed with the gendisk.
#[pin_data]
pub(super) struct Private {
    driver: Arc<dyn BlockDriver>,
    // Bios that were submitted and not completed by the driver yet.
    #[pin]
    in_flight: InFlight,
}

/// # Invariants
///
/// `raw` is a published gendisk of ours that has not been deleted. `private` is its data, alive as
/// long as the gendisk, on which this object holds a reference.
struct Inner {
    raw: NonNull<c::gendisk>,
    private: NonNull<Private>,
    minor: u32,
    linked: Pin<KBox<Mutex<Option<Backing>>>>,
}

// SAFETY: gendisk functions may be called from any thread.
unsafe impl Send for Inner {}
// SAFETY: As above.
unsafe impl Sync for Inner {}

impl Release for Inner {}

/// A published disk `/dev/drbd<minor>`. Dropping it unlinks the holders, deletes it and waits until
/// the driver has completed every bio; a driver that holds back requests must fail them first, also
/// those that sleep inside `submit`. If it is still open somewhere, its last parts go at the last
/// close; the module stays loaded until then.
pub(crate) struct Disk {
    inner: Deferred<Inner>,
}

struct Table(c::block_device_operations);
// SAFETY: Never written.
unsafe impl Sync for Table {}

static TABLE: Table = Table({
    // SAFETY: Function pointers as options and null pointers: valid when zero.
    let mut t: c::block_device_operations = unsafe { MaybeUninit::zeroed().assume_init() };
    t.submit_bio = Some(submit_bio);
    t.open = Some(open);
    t.release = Some(release);
    t.free_disk = Some(free_disk);
    t.owner = module::this();
    t
});

impl Disk {
    /// Makes and publishes a disk with size 0, read-only. Context: task.
    ///
    /// udev may open it before this returns. The caller knows which minors exist: a second disk
    /// with the same minor gives `EEXIST` and a stack trace in the log. Errors: `ENOMEM`.
    pub(crate) fn create(
        minor: u32,
        driver: Arc<dyn BlockDriver>,
        limits: &Limits,
    ) -> Result<Self> {
        let minor_c = c_int::try_from(minor).map_err(|_| EINVAL)?;
        let mut name = [0u8; 32];
        write_name(&mut name, minor);
        let linked = KBox::pin_init(new_mutex!(None, "drbd_disk_link"), GFP_KERNEL)?;
        let private = KBox::pin_init(
            pin_init!(Private { driver, in_flight <- InFlight::new() }),
            GFP_KERNEL,
        )?;
        // SAFETY: No device below; the name is a C string.
        let mut raw_limits = unsafe { limits.to_raw(core::ptr::null_mut(), name.as_ptr()) };
        // SAFETY: Valid limits, static lock class.
        let raw = from_err_ptr(unsafe {
            c::__blk_alloc_disk(
                &mut raw_limits,
                c::NUMA_NO_NODE,
                static_lock_class!().as_ptr(),
            )
        })?;
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: The pin guarantee is kept: the box is only dropped, by `free_disk`.
        let private = NonNull::from(KBox::leak(unsafe { Pin::into_inner_unchecked(private) }));
        let _ = LIVE_DISKS.fetch_add(1, Relaxed);
        let disk = raw.as_ptr();
        // SAFETY: A fresh disk that nobody else sees yet.
        let rc = unsafe {
            (*disk).major = MAJOR as c_int;
            (*disk).first_minor = minor_c;
            (*disk).minors = 1;
            (*disk).flags |= c::GENHD_FL_NO_PART as c_int;
            (*disk).fops = &TABLE.0;
            (*disk).private_data = private.as_ptr().cast();
            (*disk).disk_name = name;
            c::set_disk_ro(disk, true);
            c::set_capacity(disk, 0);
            c::device_add_disk(core::ptr::null_mut(), disk, core::ptr::null_mut())
        };
        if let Err(e) = to_result(rc) {
            // SAFETY: The disk is ours. `free_disk` is called only for a disk that was added.
            unsafe {
                let freed_with_disk = c::kg_disk_was_added(disk);
                c::put_disk(disk);
                if !freed_with_disk {
                    free_private(private.as_ptr());
                }
            }
            return Err(e);
        }
        // INVARIANT: Published just now; the reference of `__blk_alloc_disk` is ours.
        let inner = Inner {
            raw,
            private,
            minor,
            linked,
        };
        Ok(Disk {
            inner: Deferred::new(inner)?,
        })
    }

    fn raw(&self) -> *mut c::gendisk {
        self.inner.raw.as_ptr()
    }

    fn private(&self) -> &Private {
        // SAFETY: Alive by the invariant of `Inner`.
        unsafe { self.inner.private.as_ref() }
    }

    /// The minor number. Context: any.
    pub(crate) fn minor(&self) -> u32 {
        self.inner.minor
    }

    /// The size in sectors of 512 bytes. Context: any.
    pub(crate) fn capacity(&self) -> u64 {
        // SAFETY: Published disk; `part0` is its whole-disk device.
        unsafe { c::kg_bdev_nr_sectors((*self.raw()).part0) }
    }

    /// Sets the size in sectors of 512 bytes; true when it changed. Sends the uevent, except for a
    /// change from or to 0. Context: task, one caller at a time.
    pub(crate) fn set_capacity(&self, sectors: u64) -> bool {
        let changed = self.capacity() != sectors;
        // SAFETY: Published disk. The result tells whether a uevent was sent, which is less.
        unsafe { c::set_capacity_and_notify(self.raw(), sectors) };
        changed
    }

    /// Allows or forbids writing. Context: task.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        // SAFETY: Published disk.
        unsafe { c::set_disk_ro(self.raw(), read_only) };
    }

    /// The file system on the device, if there is one. Context: task.
    pub(crate) fn filesystem(&self) -> Filesystem {
        // SAFETY: Published disk; the reference is given back by `Filesystem`.
        unsafe { c::kg_disk_get(self.raw()) };
        Filesystem {
            raw: self.inner.raw,
        }
    }

    /// Replaces the limits, with those of `below` stacked first. Context: task.
    ///
    /// What the administrator set through sysfs (`max_sectors_kb`, ...) is kept. The queue is not
    /// frozen: attaching a disk may be what suspended requests inside `submit` wait for. So for a
    /// moment requests cut to the old limits can still arrive.
    pub(crate) fn set_limits(&self, limits: &Limits, below: Option<&Backing>) -> Result {
        let bdev = below.map_or(core::ptr::null_mut(), Backing::bdev);
        // SAFETY: Plain data, valid when zero.
        let mut old: c::queue_limits = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: Published disk; `start_update` takes a lock that `commit` gives back, with
        // nothing in between that could return. `below` stays open during the call.
        to_result(unsafe {
            let queue = (*self.raw()).queue;
            c::kg_queue_limits_start_update(queue, &mut old);
            let name = (&raw const (*self.raw()).disk_name).cast::<u8>();
            let mut new = limits.to_raw(bdev, name);
            new.max_user_sectors = old.max_user_sectors;
            new.max_user_discard_sectors = old.max_user_discard_sectors;
            c::queue_limits_commit_update(queue, &mut new)
        })
    }

    /// Shows `below` as slave of this disk in sysfs, instead of the one before, and keeps it open
    /// until [`Self::unlink`]. Context: task.
    pub(crate) fn link(&self, below: &Backing) -> Result {
        self.inner.unlink();
        // SAFETY: Published disk, open and claimed device.
        to_result(unsafe { c::bd_link_disk_holder(below.bdev(), self.raw()) })?;
        *self.inner.linked.lock() = Some(below.clone());
        Ok(())
    }

    /// Undoes [`Self::link`]. Context: task.
    pub(crate) fn unlink(&self) {
        self.inner.unlink();
    }

    /// Bios that the driver has not completed. Context: any.
    pub(crate) fn in_flight(&self) -> u32 {
        self.private().in_flight.count()
    }

    /// Waits until the driver has completed every bio. Context: task.
    pub(crate) fn wait_idle(&self) {
        self.private().in_flight.wait_idle();
    }
}

impl Inner {
    fn unlink(&self) {
        let below = self.linked.lock().take();
        if let Some(below) = below {
            // SAFETY: Linked by `link`; both are alive.
            unsafe { c::bd_unlink_disk_holder(below.bdev(), self.raw.as_ptr()) };
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // `del_gendisk` removes the directory with the links.
        self.unlink();
        // SAFETY: Published disk. It waits for callers of `submit_bio`, not for bios that a
        // bio-based driver still has, so we do; then the reference goes.
        unsafe {
            c::del_gendisk(self.raw.as_ptr());
            self.private.as_ref().in_flight.wait_idle();
            c::put_disk(self.raw.as_ptr());
        }
    }
}

/// Frees the data of a disk.
///
/// # Safety
///
/// `private` was leaked by `Disk::create`; nobody uses it any more.
unsafe fn free_private(private: *mut Private) {
    // SAFETY: By the contract.
    drop(unsafe { KBox::from_raw(private) });
    let _ = LIVE_DISKS.fetch_sub(1, ReleaseOrder);
}

/// Writes `drbd<minor>` and a final NUL.
fn write_name(name: &mut [u8; 32], minor: u32) {
    let mut digits = [0u8; 10];
    let mut rest = minor;
    let mut n = 0usize;
    for d in digits.iter_mut().rev() {
        *d = b'0'.wrapping_add((rest % 10) as u8);
        rest /= 10;
        n = n.saturating_add(1);
        if rest == 0 {
            break;
        }
    }
    // `Iterator::` because pin-init has a `chain` as well.
    let text = Iterator::chain(
        b"drbd".iter(),
        digits.iter().skip(10usize.saturating_sub(n)),
    );
    for (to, from) in name.iter_mut().zip(text) {
        *to = *from;
    }
}

/// The data of the disk that a bio was submitted to.
///
/// # Safety
///
/// `bio` was submitted to a disk of ours, which is alive.
pub(super) unsafe fn of_bio(bio: *mut c::bio) -> *const Private {
    // SAFETY: By the contract.
    unsafe { (*(*(*bio).bi_bdev).bd_disk).private_data.cast() }
}

/// The driver completed a bio.
///
/// # Safety
///
/// `private` is the data of the bio's disk, alive because this bio is still counted.
pub(super) unsafe fn bio_done(private: *const Private) {
    // SAFETY: By the contract; the last touch of `private`.
    unsafe { (*private).in_flight.leave() };
}

/// # Safety
///
/// Called by the block layer for a bio of a disk of ours.
unsafe extern "C" fn submit_bio(bio: *mut c::bio) {
    // SAFETY: By the contract; the remainder of a split is resubmitted by the core. A null result
    // means that the bio was ended already.
    unsafe {
        let private = &*of_bio(bio);
        let Some(bio) = NonNull::new(c::bio_split_to_limits(bio)) else {
            return;
        };
        private.in_flight.enter();
        private.driver.submit(Bio::from_raw(bio));
    }
}

/// # Safety
///
/// Called by the block layer for a disk of ours.
unsafe extern "C" fn open(disk: *mut c::gendisk, mode: c::blk_mode_t) -> c_int {
    // SAFETY: By the contract.
    let private = unsafe { &*(*disk).private_data.cast::<Private>() };
    match private.driver.open(mode & c::BLK_OPEN_WRITE != 0) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// # Safety
///
/// Called by the block layer for a disk of ours.
unsafe extern "C" fn release(disk: *mut c::gendisk) {
    // SAFETY: By the contract.
    unsafe { (*(*disk).private_data.cast::<Private>()).driver.release() };
}

/// # Safety
///
/// Called once by the block layer when the last reference on a disk of ours is gone.
unsafe extern "C" fn free_disk(disk: *mut c::gendisk) {
    // SAFETY: The disk was published, so this is where its data ends.
    unsafe { free_private((*disk).private_data.cast()) };
}

/// Whatever file system is on a disk.
///
/// # Invariants
///
/// `raw` is a disk that was added, with a reference of ours.
pub(crate) struct Filesystem {
    raw: NonNull<c::gendisk>,
}

// SAFETY: A counted reference may be used from any thread.
unsafe impl Send for Filesystem {}
// SAFETY: As above; there is no access through a shared reference.
unsafe impl Sync for Filesystem {}

impl Filesystem {
    /// Makes it write everything and begin nothing until the result is dropped. Without a file system
    /// nobody can mount one meanwhile. Context: task; waits for I/O on this device, so no lock may be
    /// held that this needs. Errors: what the file system says.
    pub(crate) fn freeze(self) -> Result<FrozenFilesystem> {
        // SAFETY: By the invariant; `part0` lives as long as the disk.
        to_result(unsafe { c::kg_disk_freeze(self.raw.as_ptr()) })?;
        Ok(FrozenFilesystem(self))
    }
}

impl Drop for Filesystem {
    fn drop(&mut self) {
        // SAFETY: Our own reference, given back once.
        unsafe { c::put_disk(self.raw.as_ptr()) };
    }
}

/// A file system that rests. Dropping it lets it go on. Context of that: task.
pub(crate) struct FrozenFilesystem(Filesystem);

impl Drop for FrozenFilesystem {
    fn drop(&mut self) {
        // SAFETY: By the invariant of `Filesystem`; this takes back our own freeze.
        let _ = unsafe { c::kg_disk_thaw(self.0.raw.as_ptr()) };
    }
}
