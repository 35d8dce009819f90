// SPDX-License-Identifier: GPL-2.0-or-later
//! The CPUs that a group of threads runs on.

use super::lock::{new_mutex, Arc, Mutex};
use crate::sys as c;
use core::ptr::NonNull;
use kernel::{prelude::*, str::CString};

/// A thread that runs: it takes itself off the list before it ends.
struct Task(NonNull<c::task_struct>);

// SAFETY: Only used while the thread runs, to name it.
unsafe impl Send for Task {}

struct Inner {
    /// `None` for all CPUs.
    mask: Option<KBox<c::cpumask>>,
    tasks: KVec<Task>,
}

/// Threads that share a CPU mask.
#[pin_data]
pub(crate) struct Crew {
    #[pin]
    inner: Mutex<Inner>,
}

impl Crew {
    /// A group without threads, on all CPUs. Context: task.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let inner = Inner {
            mask: None,
            tasks: KVec::new(),
        };
        Arc::pin_init(
            pin_init!(Crew { inner <- new_mutex!(inner, "drbd_crew") }),
            GFP_KERNEL,
        )
    }

    /// Binds its threads, those that run and those to come, to the CPUs of the hexadecimal mask
    /// `text`; with an empty one to none. Context: task.
    ///
    /// Errors: `EINVAL` and `EOVERFLOW` when it is no mask, `ENODEV` when none of its CPUs is online;
    /// nothing has changed then.
    pub(crate) fn bind(&self, text: &str) -> Result {
        let mask = if text.is_empty() {
            None
        } else {
            Some(parse(text)?)
        };
        let mut inner = self.inner.lock();
        inner.mask = mask;
        for Task(task) in inner.tasks.iter() {
            // SAFETY: It is on the list, so it has not ended, and waits for our lock before it does.
            unsafe { allow(task.as_ptr(), inner.mask.as_deref()) };
        }
        Ok(())
    }

    /// The calling thread joins until the result is dropped. Context: that thread.
    pub(super) fn enlist(&self) -> Member<'_> {
        let mut inner = self.inner.lock();
        // SAFETY: Always valid in task context.
        let task = unsafe { c::get_current() };
        if inner.mask.is_some() {
            // SAFETY: It is the one that runs this.
            unsafe { allow(task, inner.mask.as_deref()) };
        }
        if let Some(task) = NonNull::new(task) {
            // Without memory for that it stays where it is when the mask changes.
            let _ = inner.tasks.push(Task(task), GFP_KERNEL);
        }
        drop(inner);
        Member(self)
    }
}

/// A thread's place in a [`Crew`].
pub(super) struct Member<'a>(&'a Crew);

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // SAFETY: Always valid in task context; the pointer is only compared.
        let current = unsafe { c::get_current() };
        let is_other = |task: &mut Task| !core::ptr::eq(task.0.as_ptr(), current);
        self.0.inner.lock().tasks.retain(is_other);
    }
}

fn parse(text: &str) -> Result<KBox<c::cpumask>> {
    let text = CString::try_from_fmt(fmt!("{}", text))?;
    let mut mask = KBox::new(c::cpumask::default(), GFP_KERNEL)?;
    // SAFETY: A C string, and a mask of the size that the kernel was built with.
    kernel::error::to_result(unsafe { c::kg_cpumask_parse(text.as_char_ptr(), &mut *mask) })?;
    // SAFETY: A mask as above.
    if !unsafe { c::kg_cpumask_any_online(&*mask) } {
        return Err(ENODEV);
    }
    Ok(mask)
}

/// # Safety
///
/// `task` has not ended.
unsafe fn allow(task: *mut c::task_struct, mask: Option<&c::cpumask>) {
    let mask = mask.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: By the contract; no mask stands for all CPUs.
    unsafe { c::kg_set_cpus_allowed(task, mask) };
}
