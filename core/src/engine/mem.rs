// SPDX-License-Identifier: GPL-2.0-or-later
//! Storage that the host hands to the engine.
//!
//! The engine never allocates. Everything that grows with a configured limit lives in buffers
//! that the host makes (vmalloc in the kernel, boxed slices in user space) and gives away when a
//! volume is created or a disk is attached (design section 8.5).

/// The host's family of owned buffers.
pub trait Mem {
    /// An owned, fixed-size buffer of `T`.
    type Buf<T: Copy + 'static>: AsRef<[T]> + AsMut<[T]>;
}

/// A bounded first-in first-out queue over a host buffer.
///
/// # Invariants
///
/// `len <= capacity` and `head < capacity` unless the capacity is 0.
pub struct Ring<T: Copy + 'static, M: Mem> {
    buf: M::Buf<T>,
    head: usize,
    len: usize,
}

impl<T: Copy + 'static, M: Mem> Ring<T, M> {
    /// An empty queue that holds as many elements as `buf` has.
    pub fn new(buf: M::Buf<T>) -> Self {
        Self {
            buf,
            head: 0,
            len: 0,
        }
    }

    /// Elements it can hold.
    pub fn capacity(&self) -> usize {
        self.buf.as_ref().len()
    }

    /// Elements it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `value`; false when full, and then nothing changed.
    #[must_use]
    pub fn push(&mut self, value: T) -> bool {
        let capacity = self.capacity();
        if self.len >= capacity {
            return false;
        }
        let mut at = self.head.wrapping_add(self.len);
        if at >= capacity {
            at = at.wrapping_sub(capacity);
        }
        if let Some(slot) = self.buf.as_mut().get_mut(at) {
            *slot = value;
        }
        self.len = self.len.wrapping_add(1);
        true
    }

    /// The oldest element.
    pub fn front(&self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        self.buf.as_ref().get(self.head).copied()
    }

    /// The element `index` places behind the oldest, to change.
    pub fn at_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let capacity = self.capacity();
        let mut at = self.head.wrapping_add(index);
        if at >= capacity {
            at = at.wrapping_sub(capacity);
        }
        self.buf.as_mut().get_mut(at)
    }

    /// Takes the oldest element.
    pub fn pop(&mut self) -> Option<T> {
        let value = self.front()?;
        self.head = self.head.wrapping_add(1);
        if self.head >= self.capacity() {
            self.head = 0;
        }
        self.len = self.len.wrapping_sub(1);
        Some(value)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.head = 0;
        self.len = 0;
    }

    /// Moves everything into a larger buffer and returns the old one; `Err` gives `buf` back
    /// when it is too small.
    pub fn grow(&mut self, buf: M::Buf<T>) -> Result<M::Buf<T>, M::Buf<T>> {
        if buf.as_ref().len() < self.len {
            return Err(buf);
        }
        let mut next = Self::new(buf);
        while let Some(value) = self.pop() {
            let _ = next.push(value);
        }
        core::mem::swap(self, &mut next);
        Ok(next.buf)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;
    use super::*;
    use std::{boxed::Box, collections::VecDeque, vec, vec::Vec};

    /// Boxed slices: the storage of tests.
    pub(crate) struct Heap;
    impl Mem for Heap {
        type Buf<T: Copy + 'static> = Box<[T]>;
    }

    #[test]
    fn ring_is_a_bounded_queue() {
        let mut ring: Ring<u32, Heap> = Ring::new(vec![0; 3].into_boxed_slice());
        let mut twin = VecDeque::new();
        for step in 0u32..200 {
            if step % 7 < 4 {
                let pushed = ring.push(step);
                assert_eq!(pushed, twin.len() < 3);
                if pushed {
                    twin.push_back(step);
                }
            } else {
                assert_eq!(ring.pop(), twin.pop_front());
            }
            assert_eq!(ring.front(), twin.front().copied());
            for index in 0..4 {
                assert_eq!(ring.at_mut(index).copied(), twin.get(index).copied());
            }
            assert_eq!(ring.len(), twin.len());
        }
    }

    #[test]
    fn ring_grows_in_order() {
        let mut ring: Ring<u32, Heap> = Ring::new(vec![0; 3].into_boxed_slice());
        assert!(ring.push(1) && ring.push(2));
        assert_eq!(ring.pop(), Some(1));
        assert!(ring.push(3) && ring.push(4) && !ring.push(5));
        assert!(ring.grow(vec![0; 2].into_boxed_slice()).is_err());
        assert!(ring.grow(vec![0; 5].into_boxed_slice()).is_ok());
        assert!(ring.push(5));
        let all: Vec<u32> = core::iter::from_fn(|| ring.pop()).collect();
        assert_eq!(all, [2, 3, 4, 5]);
    }
}
