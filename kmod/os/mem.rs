// SPDX-License-Identifier: GPL-2.0-or-later
//! Large arrays for the engine's slabs and bitmap: virtually contiguous memory.

use core::ops::{Deref, DerefMut};
use kernel::{alloc::KVVec, prelude::*};

/// A fixed array of `T`, from kmalloc or vmalloc. Create and drop in task context.
pub(crate) struct Buf<T> {
    items: KVVec<T>,
}

impl<T> Buf<T> {
    /// `n` items, item `i` made by `f(i)`. Errors: `ENOMEM`.
    pub(crate) fn from_fn(n: usize, mut f: impl FnMut(usize) -> T) -> Result<Self> {
        let mut items = KVVec::with_capacity(n, GFP_KERNEL)?;
        for i in 0..n {
            items.push(f(i), GFP_KERNEL)?;
        }
        Ok(Buf { items })
    }
}

impl<T: Clone> Buf<T> {
    /// `n` clones of `value`. Errors: `ENOMEM`.
    pub(crate) fn filled(n: usize, value: T) -> Result<Self> {
        Ok(Buf {
            items: KVVec::from_elem(value, n, GFP_KERNEL)?,
        })
    }
}

impl<T> Deref for Buf<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> DerefMut for Buf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<T> AsRef<[T]> for Buf<T> {
    fn as_ref(&self) -> &[T] {
        &self.items
    }
}

impl<T> AsMut<[T]> for Buf<T> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}
