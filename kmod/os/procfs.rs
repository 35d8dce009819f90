// SPDX-License-Identifier: GPL-2.0-or-later
//! One read-only file in `/proc` with a text made at each read.

use super::lock::Arc;
use crate::sys as c;
use core::fmt;
use kernel::prelude::*;

/// Author of the text.
pub(crate) trait Show: Send + Sync + 'static {
    /// Writes the whole text. May be called again with a larger buffer. Context: task.
    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

struct Inner {
    show: Arc<dyn Show>,
}

/// The file; dropping it removes it and waits for readers. Context: task.
pub(crate) struct ProcFile {
    name: &'static CStr,
    // Boxed: the C side keeps its address.
    _inner: KBox<Inner>,
}

struct Out(*mut c::seq_file);

impl fmt::Write for Out {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: The seq_file is valid during `show`; an overflow is remembered in it.
        unsafe { c::seq_write(self.0, s.as_ptr().cast(), s.len()) };
        Ok(())
    }
}

/// # Safety
///
/// Called by the seq_file core with a file whose `private` is the `Inner` of a live `ProcFile`.
unsafe extern "C" fn show(m: *mut c::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By the contract; removing the entry waits for calls of this function.
    let inner = unsafe { &*(*m).private.cast::<Inner>() };
    match inner.show.show(&mut Out(m)) {
        Ok(()) => 0,
        Err(fmt::Error) => EIO.to_errno(),
    }
}

impl ProcFile {
    /// Creates `/proc/<name>`, mode 0444. Errors: `ENOMEM` (also when the name exists).
    pub(crate) fn new(name: &'static CStr, author: Arc<dyn Show>) -> Result<Self> {
        let mut inner = KBox::new(Inner { show: author }, GFP_KERNEL)?;
        let data = (&raw mut *inner).cast();
        // SAFETY: `inner` outlives the entry: `drop` removes the entry first.
        let entry = unsafe { c::kg_proc_create_single(name.as_char_ptr(), Some(show), data) };
        if entry.is_null() {
            return Err(ENOMEM);
        }
        Ok(ProcFile {
            name,
            _inner: inner,
        })
    }
}

impl Drop for ProcFile {
    fn drop(&mut self) {
        // SAFETY: Created in `new`.
        unsafe { c::remove_proc_entry(self.name.as_char_ptr(), core::ptr::null_mut()) };
    }
}
