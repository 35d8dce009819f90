// SPDX-License-Identifier: GPL-2.0-or-later
//! Random numbers of the kernel's generator. Context: any.

use crate::sys as c;

/// Fills `buf`.
pub(crate) fn fill(buf: &mut [u8]) {
    // SAFETY: Pointer and length describe a writable slice.
    unsafe { c::get_random_bytes(buf.as_mut_ptr().cast(), buf.len()) };
}

/// 32 random bits.
pub(crate) fn u32() -> u32 {
    // SAFETY: No preconditions.
    unsafe { c::get_random_u32() }
}

/// 64 random bits.
pub(crate) fn u64() -> u64 {
    // SAFETY: No preconditions.
    unsafe { c::get_random_u64() }
}
