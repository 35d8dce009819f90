// SPDX-License-Identifier: GPL-2.0-or-later
//! A count of operations under way that an owner can wait for.

use super::{
    lock::{Atomic, Full, Relaxed},
    wait::{WaitQueue, Wake},
};
use kernel::{prelude::*, sync::rcu};

/// Operations under way. The last [`Self::leave`] may be the last touch of the surrounding object
/// by that operation: the destructor waits for it (count zero, then an RCU grace period).
#[pin_data(PinnedDrop)]
pub(crate) struct InFlight {
    count: Atomic<i32>,
    #[pin]
    idle: WaitQueue,
}

impl InFlight {
    /// Nothing under way.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self { count: Atomic::new(0), idle <- WaitQueue::new() })
    }

    /// One more. Context: any.
    pub(crate) fn enter(&self) {
        let _ = self.count.fetch_add(1, Relaxed);
    }

    /// One less; wakes those who wait for zero. Context: any.
    pub(crate) fn leave(&self) {
        // Once the count is zero the waiter may free us as soon as it has seen a grace period.
        let guard = rcu::read_lock();
        if self.count.fetch_sub(1, Full) == 1 {
            self.idle.wake_all();
        }
        drop(guard);
    }

    /// How many are under way right now. Context: any.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.count.load(Relaxed)).unwrap_or(0)
    }

    /// Sleeps until nothing is under way. Context: task.
    pub(crate) fn wait_idle(&self) {
        let _ = self
            .idle
            .wait_until(None, None, || self.count.load(Relaxed) == 0);
    }

    /// Sleeps until nothing is under way or `ms` are over; whether nothing is. Context: task.
    pub(crate) fn wait_idle_within(&self, ms: u32) -> bool {
        let idle = || self.count.load(Relaxed) == 0;
        self.idle.wait_until(None, Some(ms), idle) == Wake::Signaled
    }
}

#[pinned_drop]
impl PinnedDrop for InFlight {
    fn drop(self: Pin<&mut Self>) {
        self.wait_idle();
        rcu::synchronize_rcu();
    }
}
