// SPDX-License-Identifier: GPL-2.0-or-later
//! Sleeping until something is true: wait queues and auto-reset events.
//!
//! Waking is allowed in any context, also from I/O completion in hardirq. Waiting threads are in
//! `TASK_IDLE`: they neither count as load nor alarm the hung-task watchdog.

use super::{
    kthread::Ctl,
    lock::{Atomic, Full},
};
use crate::sys as c;
use kernel::{prelude::*, static_lock_class, types::Opaque};

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// The condition is true, or the event was signaled.
    Signaled,
    /// The time is over and the condition still false.
    TimedOut,
    /// The thread was asked to stop.
    Stopped,
}

/// A queue of threads that wait for conditions of the caller's choice.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<c::wait_queue_head>,
}

// SAFETY: A wait queue head is locked internally.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// An empty queue.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is pinned memory for the head; name and class are static.
            head <- Opaque::ffi_init(|slot| unsafe {
                c::__init_waitqueue_head(
                    slot,
                    c"drbd_wait".as_char_ptr(),
                    static_lock_class!().as_ptr(),
                )
            }),
        })
    }

    /// Wakes every waiter; each evaluates its condition again. Context: any.
    ///
    /// What they wait for was changed before: a waiter queues itself, then looks, and here it is
    /// looked for waiters after a full barrier, so one of the two sees the other.
    #[inline]
    pub(crate) fn wake_all(&self) {
        // SAFETY: Initialised head.
        if unsafe { c::kg_wait_has_sleeper(self.head.get()) } {
            // SAFETY: Initialised head. 0 means all waiters.
            unsafe { c::__wake_up(self.head.get(), c::TASK_NORMAL, 0, core::ptr::null_mut()) };
        }
    }

    /// Sleeps until `cond()` is true, `timeout_ms` passed, or `ctl` was asked to stop.
    ///
    /// `cond` runs between "about to sleep" and "asleep": it may take a `SpinLockIrq` and read
    /// atomics, but not sleep. Context: task.
    pub(crate) fn wait_until(
        &self,
        ctl: Option<&Ctl>,
        timeout_ms: Option<u32>,
        mut cond: impl FnMut() -> bool,
    ) -> Wake {
        if cond() {
            return Wake::Signaled;
        }
        let entry = Opaque::<c::wait_queue_entry>::uninit();
        // SAFETY: `entry` stays at this place until `finish_wait` has unlinked it.
        unsafe { c::init_wait_entry(entry.get(), 0) };
        let mut left = match timeout_ms {
            // SAFETY: Pure arithmetic.
            Some(ms) => unsafe { c::kg_ms_to_jiffies(ms) },
            None => c::MAX_SCHEDULE_TIMEOUT,
        };
        let wake = loop {
            // SAFETY: Initialised head and entry; the entry belongs to this thread.
            unsafe { c::prepare_to_wait(self.head.get(), entry.get(), c::TASK_IDLE as c_int) };
            if cond() {
                break Wake::Signaled;
            }
            if ctl.is_some_and(Ctl::should_stop) {
                break Wake::Stopped;
            }
            if left == 0 {
                break Wake::TimedOut;
            }
            // SAFETY: Task context by the contract of this function.
            left = unsafe { c::schedule_timeout(left) };
        };
        // SAFETY: As for `prepare_to_wait`; unlinks the entry and makes the thread runnable.
        unsafe { c::finish_wait(self.head.get(), entry.get()) };
        wake
    }

    /// Like [`Self::wait_until`] for a process of user space: a fatal signal ends the wait with
    /// `EINTR`. Context: task.
    pub(crate) fn wait_killable(
        &self,
        timeout_ms: Option<u32>,
        mut cond: impl FnMut() -> bool,
    ) -> Result<Wake> {
        let entry = Opaque::<c::wait_queue_entry>::uninit();
        // SAFETY: `entry` stays at this place until `finish_wait` has unlinked it.
        unsafe { c::init_wait_entry(entry.get(), 0) };
        let mut left = match timeout_ms {
            // SAFETY: Pure arithmetic.
            Some(ms) => unsafe { c::kg_ms_to_jiffies(ms) },
            None => c::MAX_SCHEDULE_TIMEOUT,
        };
        let wake = loop {
            // SAFETY: Initialised head and entry; the entry belongs to this thread.
            let signal = unsafe {
                c::prepare_to_wait_event(self.head.get(), entry.get(), c::TASK_KILLABLE as c_int)
            };
            if cond() {
                break Ok(Wake::Signaled);
            }
            if signal != 0 {
                break Err(EINTR);
            }
            if left == 0 {
                break Ok(Wake::TimedOut);
            }
            // SAFETY: Task context by the contract of this function.
            left = unsafe { c::schedule_timeout(left) };
        };
        // SAFETY: As for `prepare_to_wait_event`.
        unsafe { c::finish_wait(self.head.get(), entry.get()) };
        wake
    }
}

/// A sticky, auto-reset flag: `signal` before `wait` is not lost, one wait consumes it.
#[pin_data]
pub(crate) struct Event {
    set: Atomic<bool>,
    #[pin]
    queue: WaitQueue,
}

impl Event {
    /// An event that is not signaled.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self { set: Atomic::new(false), queue <- WaitQueue::new() })
    }

    /// Sets the flag and wakes the waiter. Context: any.
    pub(crate) fn signal(&self) {
        if !self.set.xchg(true, Full) {
            self.queue.wake_all();
        }
    }

    /// Waits for the flag and clears it; see [`WaitQueue::wait_until`]. Context: task.
    pub(crate) fn wait(&self, ctl: Option<&Ctl>, timeout_ms: Option<u32>) -> Wake {
        self.queue.wait_until(ctl, timeout_ms, || self.take())
    }

    /// Clears the flag and tells whether it was set. Context: any.
    pub(crate) fn take(&self) -> bool {
        self.set.xchg(false, Full)
    }
}
