// SPDX-License-Identifier: GPL-2.0-or-later
//! References on this module: while one exists, `rmmod` is refused.

use crate::sys as c;

/// The module's own `struct module`.
pub(super) const fn this() -> *mut c::module {
    kernel::module::this_module::<crate::Drbd>().as_ptr()
}

/// A counted reference on the module, e.g. held by a configured resource. Context: any.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference; `None` while the module is being removed.
    pub(crate) fn get() -> Option<Self> {
        // SAFETY: `this` is the module this code is part of.
        unsafe { c::try_module_get(this()) }.then_some(ModuleRef(()))
    }
}

impl Clone for ModuleRef {
    fn clone(&self) -> Self {
        // SAFETY: `self` is a reference, so the module is not going away.
        unsafe { c::__module_get(this()) };
        ModuleRef(())
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference of `get` or `clone`. Whoever drops the last one runs
        // in a thread or call that something else keeps inside the module.
        unsafe { c::module_put(this()) };
    }
}
