// SPDX-License-Identifier: GPL-2.0-or-later
//! A scope in which every allocation of this task avoids starting I/O.
//!
//! Memory reclaim may write to our own device. A thread that this write depends on must not wait
//! for it, so worker threads and netlink handlers run inside such a scope and may then use
//! `GFP_KERNEL` for `KBox`, `KVec` and `Arc`.

use crate::sys as c;

/// Runs `f` with allocations restricted to `GFP_NOIO`. Context: task. Scopes nest.
pub(crate) fn scope<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Only sets a flag of the current task.
    let flags = unsafe { c::kg_memalloc_noio_save() };
    let result = f();
    // SAFETY: `flags` is what the matching save returned, on the same task.
    unsafe { c::kg_memalloc_noio_restore(flags) };
    result
}

/// Runs `f` with access to the memory reserves and without reclaim (`PF_MEMALLOC`). Context: task.
///
/// Only around short work that frees memory when done, such as sending the acknowledgement that a
/// write of ours waits for on the other node.
pub(crate) fn reserves<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Only sets a flag of the current task.
    let flags = unsafe { c::kg_memalloc_noreclaim_save() };
    let result = f();
    // SAFETY: `flags` is what the matching save returned, on the same task.
    unsafe { c::kg_memalloc_noreclaim_restore(flags) };
    result
}
