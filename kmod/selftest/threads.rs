// SPDX-License-Identifier: GPL-2.0-or-later
//! Threads, waiting, timers, deferred release.

use super::check;
use crate::os::{
    kthread::KThread,
    lock::{new_mutex, new_spinlock_irq, Arc, Atomic, Mutex, Relaxed, SpinLockIrq},
    timer::{now_ms, sleep_ms, Timer, TimerDone},
    wait::{Event, WaitQueue, Wake},
};
use kernel::prelude::*;

#[pin_data]
struct Shared {
    count: Atomic<u32>,
    #[pin]
    event: Event,
    #[pin]
    queue: WaitQueue,
    #[pin]
    thread: Mutex<Option<KThread>>,
    #[pin]
    spin: SpinLockIrq<Option<KThread>>,
}

impl TimerDone for Shared {
    fn fired(&self, token: u64) {
        let _ = self.count.fetch_add(token as u32, Relaxed);
        self.event.signal();
    }
}

pub(super) fn run() -> Result {
    let shared = Arc::pin_init(
        pin_init!(Shared {
            count: Atomic::new(0),
            event <- Event::new(),
            queue <- WaitQueue::new(),
            thread <- new_mutex!(None),
            spin <- new_spinlock_irq!(None),
        }),
        GFP_KERNEL,
    )?;

    check(
        shared.event.wait(None, Some(20)) == Wake::TimedOut,
        "event wait times out",
    )?;
    shared.event.signal();
    check(
        shared.event.wait(None, None) == Wake::Signaled,
        "a signal before the wait is kept",
    )?;

    let s = shared.clone();
    let thread = KThread::spawn(c"drbd_st_stop", move |ctl| {
        let wake = s.event.wait(Some(ctl), None);
        s.count
            .store(if wake == Wake::Stopped { 1 } else { 2 }, Relaxed);
    })?;
    sleep_ms(20);
    check(!thread.finished(), "thread waits")?;
    thread.join();
    check(
        shared.count.load(Relaxed) == 1,
        "stop wakes a waiting thread",
    )?;

    let begin = now_ms();
    KThread::spawn(c"drbd_st_sleep", |ctl| ctl.sleep_ms(30_000))?.join();
    check(now_ms().wrapping_sub(begin) < 5_000, "stop ends a sleep")?;

    let s = shared.clone();
    let thread = KThread::spawn(c"drbd_st_cond", move |ctl| {
        let wake = s
            .queue
            .wait_until(Some(ctl), Some(10_000), || s.count.load(Relaxed) == 7);
        if wake == Wake::Signaled {
            s.count.store(8, Relaxed);
        }
    })?;
    sleep_ms(20);
    shared.queue.wake_all();
    sleep_ms(20);
    check(
        shared.count.load(Relaxed) == 1,
        "a wake-up without its condition is ignored",
    )?;
    shared.count.store(7, Relaxed);
    shared.queue.wake_all();
    for _ in 0..100 {
        if thread.finished() {
            break;
        }
        sleep_ms(10);
    }
    check(
        thread.finished() && shared.count.load(Relaxed) == 8,
        "condition wakes",
    )?;
    drop(thread);

    // A thread that drops its own handle is joined by a work item.
    let s = shared.clone();
    let thread = KThread::spawn(c"drbd_st_self", move |_| {
        let _ = s
            .queue
            .wait_until(None, Some(5_000), || s.count.load(Relaxed) == 9);
        let me = s.thread.lock().take();
        let is_me = me.as_ref().is_some_and(KThread::is_current);
        drop(me);
        s.count.store(if is_me { 10 } else { 11 }, Relaxed);
        s.event.signal();
    })?;
    *shared.thread.lock() = Some(thread);
    shared.count.store(9, Relaxed);
    shared.queue.wake_all();
    let _ = shared.event.wait(None, Some(5_000));
    check(
        shared.count.load(Relaxed) == 10,
        "a thread may drop its own handle",
    )?;

    // Dropped under a spinlock: the destructor sleeps, so it runs later.
    let thread = KThread::spawn(c"drbd_st_atomic", |ctl| ctl.sleep_ms(30_000))?;
    *shared.spin.lock() = Some(thread);
    *shared.spin.lock() = None;
    check(true, "a thread handle may be dropped under a spinlock")?;

    shared.count.store(0, Relaxed);
    let timer = Timer::new(shared.clone(), 5)?;
    timer.arm_in_ms(60_000);
    timer.arm_in_ms(20);
    check(
        shared.event.wait(None, Some(5_000)) == Wake::Signaled,
        "timer fires",
    )?;
    check(shared.count.load(Relaxed) == 5, "timer passes its token")?;
    timer.arm_in_ms(20);
    timer.cancel();
    check(
        shared.event.wait(None, Some(60)) == Wake::TimedOut,
        "cancelled timer stays silent",
    )?;
    timer.arm_in_ms(10_000);
    drop(timer);
    check(true, "armed timer dropped")
}
