// SPDX-License-Identifier: GPL-2.0-or-later
//! Kernel threads that run a closure, can be asked to stop and never leak.

use super::{
    cpus::Crew,
    deferred::{Deferred, Release},
    lock::{Arc, Atomic, Completion, Full, Relaxed},
    noio,
    wait::WaitQueue,
};
use crate::sys as c;
use core::ptr::NonNull;
use kernel::{error::from_err_ptr, prelude::*};

#[pin_data]
struct Shared {
    stop: Atomic<bool>,
    finished: Atomic<bool>,
    #[pin]
    started: Completion,
    #[pin]
    sleep: WaitQueue,
}

/// What the thread's closure sees of its own thread.
pub(crate) struct Ctl {
    shared: Arc<Shared>,
}

impl Ctl {
    /// True once somebody asked the thread to stop. Context: any.
    pub(crate) fn should_stop(&self) -> bool {
        self.shared.stop.load(Relaxed)
    }

    /// Sleeps, but returns early when asked to stop. Context: the thread itself.
    pub(crate) fn sleep_ms(&self, ms: u32) {
        let _ = self.shared.sleep.wait_until(Some(self), Some(ms), || false);
    }
}

struct Handle {
    task: NonNull<c::task_struct>,
    shared: Arc<Shared>,
}

// SAFETY: A counted task reference may be used from any thread.
unsafe impl Send for Handle {}
// SAFETY: As above; the shared part is atomic.
unsafe impl Sync for Handle {}

impl Handle {
    fn is_current(&self) -> bool {
        // SAFETY: Always valid in task context; the pointer is only compared.
        core::ptr::eq(unsafe { c::get_current() }, self.task.as_ptr())
    }

    fn request_stop(&self) {
        let _ = self.shared.stop.xchg(true, Full);
        // SAFETY: We hold a reference on the task. A spurious wake-up is harmless: all sleeps
        // re-check their condition.
        unsafe { c::wake_up_process(self.task.as_ptr()) };
    }
}

impl Release for Handle {
    fn must_defer(&self) -> bool {
        // The closure dropped the last handle of its own thread: it cannot join itself.
        self.is_current()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.request_stop();
        // The closure may still use sockets that `kthread_stop` would make fail with EINTR; the
        // thread tells when it is past it.
        let _ = self
            .shared
            .sleep
            .wait_until(None, None, || self.shared.finished.load(Relaxed));
        // SAFETY: Our own reference, given back exactly once; the trampoline waits for
        // `kthread_stop`, so the task runs code of ours until here.
        unsafe {
            c::kthread_stop(self.task.as_ptr());
            c::put_task_struct(self.task.as_ptr());
        }
    }
}

/// A running thread. Dropping it asks it to stop and waits until the closure has returned (in
/// atomic context, or on the thread itself, a work item does the waiting).
///
/// A blocking socket call is not interrupted by that: shut the socket down as well.
pub(crate) struct KThread {
    handle: Deferred<Handle>,
}

type Start<F> = (Arc<Shared>, F);

/// # Safety
///
/// `arg` is a `KBox<Start<F>>` turned raw, which this thread owns.
unsafe extern "C" fn trampoline<F: FnOnce(&Ctl) + Send + 'static>(arg: *mut c_void) -> c_int {
    // SAFETY: By the contract; consumed once.
    let (shared, f) = KBox::into_inner(unsafe { KBox::<Start<F>>::from_raw(arg.cast()) });
    shared.started.complete_all();
    let ctl = Ctl { shared };
    noio::scope(|| f(&ctl));
    let _ = ctl.shared.finished.xchg(true, Full);
    ctl.shared.sleep.wake_all();
    // The module may go once everybody has joined: stay until `kthread_stop`.
    let stop = || {
        // SAFETY: Called on a kthread.
        unsafe { c::kthread_should_stop() }
    };
    let _ = ctl.shared.sleep.wait_until(None, None, stop);
    0
}

impl KThread {
    /// Starts a thread called `name` (at most 15 bytes are visible). Context: task.
    ///
    /// The closure runs in a [`noio::scope`]. Errors: `ENOMEM`, `EINTR` when the calling process
    /// was killed.
    pub(crate) fn spawn<F: FnOnce(&Ctl) + Send + 'static>(name: &CStr, f: F) -> Result<Self> {
        let shared = Arc::pin_init(
            pin_init!(Shared {
                stop: Atomic::new(false),
                finished: Atomic::new(false),
                started <- Completion::new(),
                sleep <- WaitQueue::new(),
            }),
            GFP_KERNEL,
        )?;
        let start: KBox<Start<F>> = KBox::new((shared.clone(), f), GFP_KERNEL)?;
        let arg = KBox::into_raw(start);
        // SAFETY: The format takes one C string; `arg` is what the trampoline expects.
        let task = from_err_ptr(unsafe {
            c::kthread_create_on_node(
                Some(trampoline::<F>),
                arg.cast(),
                c::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        });
        let task = match task.and_then(|t| NonNull::new(t).ok_or(ENOMEM)) {
            Ok(task) => task,
            Err(e) => {
                // SAFETY: No thread exists, so `arg` is still ours.
                drop(unsafe { KBox::from_raw(arg) });
                return Err(e);
            }
        };
        // SAFETY: A fresh task that has not run yet; the reference is dropped by `Handle`.
        unsafe {
            c::get_task_struct(task.as_ptr());
            c::wake_up_process(task.as_ptr());
        }
        // `kthread_stop` before its first instruction makes a kthread skip the function, which
        // would leak the closure. So wait until it runs.
        shared.started.wait_for_completion();
        let handle = Handle { task, shared };
        Ok(KThread {
            handle: Deferred::new(handle)?,
        })
    }

    /// As [`Self::spawn`]; the thread runs on the CPUs of `crew`. Context: task.
    pub(crate) fn spawn_in<F: FnOnce(&Ctl) + Send + 'static>(
        crew: &Arc<Crew>,
        name: &CStr,
        f: F,
    ) -> Result<Self> {
        let crew = crew.clone();
        Self::spawn(name, move |ctl| {
            let _member = crew.enlist();
            f(ctl);
        })
    }

    /// Asks the thread to stop and wakes it; does not wait. Context: any.
    pub(crate) fn request_stop(&self) {
        self.handle.request_stop();
    }

    /// Asks the thread to stop and waits until its closure has returned. Context: task.
    pub(crate) fn join(self) {}

    /// True after the closure has returned. Context: any.
    pub(crate) fn finished(&self) -> bool {
        self.handle.shared.finished.load(Relaxed)
    }

    /// True when called on this very thread. Context: task.
    pub(crate) fn is_current(&self) -> bool {
        self.handle.is_current()
    }
}
