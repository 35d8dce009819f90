// SPDX-License-Identifier: GPL-2.0-or-later
//! Release of things whose destructor sleeps, when they are dropped where sleeping is forbidden.
//!
//! A safe host can drop the last reference to a socket under a spinlock or in I/O completion. Then
//! the destructor runs a little later on a work queue; in task context it runs at once.

use crate::sys as c;
use core::{mem::MaybeUninit, ops::Deref, ptr::NonNull};
use kernel::{error::to_result, prelude::*, types::Opaque};

/// What a [`Deferred`] needs to know about its content beyond its destructor.
pub(crate) trait Release: Send + 'static {
    /// True where the destructor would wait for the caller itself, whatever the context.
    fn must_defer(&self) -> bool {
        false
    }
}

#[repr(C)]
struct Slot<T> {
    node: Opaque<c::kg_deferred>,
    value: T,
}

/// A boxed `T` whose destructor may sleep. Dropping it is allowed in any context.
///
/// # Invariants
///
/// `slot` came from `KBox::into_raw` and is owned by this object.
pub(crate) struct Deferred<T: Release> {
    slot: NonNull<Slot<T>>,
}

// SAFETY: The box is owned, `T: Release` implies `T: Send`.
unsafe impl<T: Release> Send for Deferred<T> {}
// SAFETY: Only `&T` is reachable through `&Deferred<T>`.
unsafe impl<T: Release + Sync> Sync for Deferred<T> {}

impl<T: Release> Deferred<T> {
    /// Boxes `value`. Context: task.
    pub(crate) fn new(value: T) -> Result<Self> {
        let slot = KBox::new(
            Slot {
                node: Opaque::zeroed(),
                value,
            },
            GFP_KERNEL,
        )?;
        let slot = NonNull::new(KBox::into_raw(slot)).ok_or(ENOMEM)?;
        // INVARIANT: Just came from `KBox::into_raw`.
        Ok(Deferred { slot })
    }

    /// Boxes an object that is initialised in place and never moves afterwards. Context: task.
    pub(crate) fn pin_init<E>(init: impl PinInit<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        let slot = KBox::<Slot<T>>::new_uninit(GFP_KERNEL)?;
        let raw = KBox::into_raw(slot).cast::<Slot<T>>();
        // SAFETY: `raw` is an allocation for a `Slot<T>`; the field pointer is inside it.
        let value = unsafe { &raw mut (*raw).value };
        // SAFETY: `value` is valid for writes and will stay where it is: nothing moves out of the
        // box before the destructor, `&mut T` is never handed out.
        if let Err(e) = unsafe { pin_init::raw_try_init(value, init) } {
            // SAFETY: Nothing is initialised; this frees the memory alone.
            drop(unsafe { KBox::from_raw(raw.cast::<MaybeUninit<Slot<T>>>()) });
            return Err(e.into());
        }
        // `node` is `Opaque`: it needs no initialisation before `kg_defer` does it.
        // INVARIANT: Came from `KBox::into_raw`, and `value` is initialised.
        Ok(Deferred {
            slot: NonNull::new(raw).ok_or(ENOMEM)?,
        })
    }
}

impl<T: Release> Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: Owned and initialised, by the type invariant.
        unsafe { &self.slot.as_ref().value }
    }
}

/// Drops the box. Called once by the work queue.
///
/// # Safety
///
/// `node` is the first field of a `Slot<T>` that came from `KBox::into_raw` and nobody else owns.
unsafe extern "C" fn release<T: Release>(node: *mut c::kg_deferred) {
    // SAFETY: By the contract of this function; `Slot` is `repr(C)` with `node` first.
    drop(unsafe { KBox::from_raw(node.cast::<Slot<T>>()) });
}

/// True where a destructor may sleep: task context, no spinlock, interrupts on.
pub(crate) fn may_sleep() -> bool {
    // SAFETY: Only reads state of the current context.
    unsafe { c::kg_may_sleep() }
}

impl<T: Release> Drop for Deferred<T> {
    fn drop(&mut self) {
        let slot = self.slot.as_ptr();
        if may_sleep() && !self.must_defer() {
            // SAFETY: Owned by the type invariant; `self` is not used again.
            drop(unsafe { KBox::from_raw(slot) });
        } else {
            // SAFETY: The node is inside the box, which the work item now owns. The queue exists:
            // `Queue` outlives every other object of the module.
            unsafe { c::kg_defer(slot.cast(), Some(release::<T>)) };
        }
    }
}

/// The work queue behind [`Deferred`]. The module creates it first and drops it last; dropping
/// waits for everything queued. Context: task.
pub(crate) struct Queue(());

impl Queue {
    /// Creates the queue; once per module.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Called once, from module initialisation.
        to_result(unsafe { c::kg_deferred_init() })?;
        Ok(Queue(()))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: Created in `new`; destroying drains it, so no work of ours is left behind.
        unsafe { c::kg_deferred_exit() };
    }
}
