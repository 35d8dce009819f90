// SPDX-License-Identifier: GPL-2.0-or-later
//! One-shot timers and the clock.

use super::{
    deferred::{Deferred, Release},
    lock::Arc,
};
use crate::sys as c;
use kernel::{prelude::*, static_lock_class, types::Opaque};

/// Nanoseconds of the monotonic clock. Context: any.
pub(crate) fn now_ns() -> u64 {
    // SAFETY: Always callable outside of early boot and suspend.
    u64::try_from(unsafe { c::ktime_get() }).unwrap_or(0)
}

/// Milliseconds of a monotonic clock that moves with the timer tick: what costs nothing to read
/// and is as exact as time-outs are. Never compared with [`now_ns`]. Context: any.
#[inline]
pub(crate) fn now_ms() -> u64 {
    // SAFETY: Only reads the tick counter.
    unsafe { c::kg_now_ms() }
}

/// Seconds since 1970. Context: any.
pub(crate) fn wall_secs() -> u64 {
    // SAFETY: As for `now_ns`.
    u64::try_from(unsafe { c::ktime_get_real_seconds() }).unwrap_or(0)
}

/// Sleeps uninterruptibly. Context: task.
pub(crate) fn sleep_ms(ms: u32) {
    // SAFETY: Task context by the contract of this function.
    unsafe { c::schedule_timeout_idle(c::kg_ms_to_jiffies(ms)) };
}

/// Receiver of [`Timer`] expiries.
pub(crate) trait TimerDone: Send + Sync + 'static {
    /// The timer with this token expired. Context: softirq.
    fn fired(&self, token: u64);
}

#[repr(C)]
#[pin_data(PinnedDrop)]
struct Inner {
    #[pin]
    timer: Opaque<c::timer_list>,
    done: Arc<dyn TimerDone>,
    token: u64,
}

// SAFETY: `timer_list` is locked by the timer core, the rest is immutable.
unsafe impl Send for Inner {}
// SAFETY: As above.
unsafe impl Sync for Inner {}

impl Release for Inner {}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised timer; waits for a running callback and forbids re-arming.
        unsafe { c::timer_shutdown_sync(self.timer.get()) };
    }
}

/// A one-shot timer with jiffy resolution. Dropping it waits for a running callback.
pub(crate) struct Timer {
    inner: Deferred<Inner>,
}

/// # Safety
///
/// `timer` is the first field of a live `Inner`.
unsafe extern "C" fn expired(timer: *mut c::timer_list) {
    // SAFETY: By the contract; `Inner` is `repr(C)` and freed only after `timer_shutdown_sync`.
    let inner = unsafe { &*timer.cast::<Inner>() };
    inner.done.fired(inner.token);
}

impl Timer {
    /// A timer that is not armed. Context: task.
    pub(crate) fn new(done: Arc<dyn TimerDone>, token: u64) -> Result<Self> {
        Ok(Timer {
            inner: Deferred::pin_init(pin_init!(Inner {
                // SAFETY: `slot` is pinned memory for the timer; name and class are static.
                timer <- Opaque::ffi_init(|slot| unsafe {
                    c::timer_init_key(
                        slot,
                        Some(expired),
                        0,
                        c"drbd_timer".as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    )
                }),
                done,
                token,
            }))?,
        })
    }

    /// Arms the timer, or moves it if it is armed. Context: any.
    pub(crate) fn arm_in_ms(&self, ms: u32) {
        // SAFETY: Initialised timer, not shut down while `self` lives.
        unsafe { c::kg_timer_arm(self.inner.timer.get(), ms) };
    }

    /// Disarms the timer; a callback that is already running is not waited for. Context: any.
    pub(crate) fn cancel(&self) {
        // SAFETY: As above.
        unsafe { c::timer_delete(self.inner.timer.get()) };
    }
}
