// SPDX-License-Identifier: GPL-2.0-or-later
//! A few values on the stack that cost nothing until they are there.

use core::mem::MaybeUninit;

/// Up to `N` values, taken in the order they came.
///
/// # Invariants
///
/// `from <= to <= N`, and exactly the items `from..to` are initialised.
pub(crate) struct Batch<T, const N: usize> {
    from: usize,
    to: usize,
    items: [MaybeUninit<T>; N],
}

impl<T, const N: usize> Batch<T, N> {
    /// Nothing. Context: any.
    #[inline]
    pub(crate) fn new() -> Self {
        // INVARIANT: None is initialised.
        Batch {
            from: 0,
            to: 0,
            items: [const { MaybeUninit::uninit() }; N],
        }
    }

    /// Whether nothing more fits. Context: any.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.to >= N
    }

    /// Whether nothing is in it. Context: any.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Appends `value`, or gives it back when it does not fit. Context: any.
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> Result<(), T> {
        match self.items.get_mut(self.to) {
            Some(item) => {
                item.write(value);
                // INVARIANT: It is initialised, and `to` was below N.
                self.to = self.to.wrapping_add(1);
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Takes the oldest value. Context: any.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.from == self.to {
            return None;
        }
        let item = self.items.get(self.from)?;
        // INVARIANT: The item counts as not initialised from here on.
        self.from = self.from.wrapping_add(1);
        // SAFETY: Initialised, by the type invariant, and taken once.
        Some(unsafe { item.assume_init_read() })
    }
}

impl<T, const N: usize> Drop for Batch<T, N> {
    #[inline]
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
