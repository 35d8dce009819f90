// SPDX-License-Identifier: GPL-2.0-or-later
//! Storage for the engine, and a small queue.

use crate::os::mem::Buf;
use drbd_core::engine::mem::Mem;
use kernel::prelude::*;

/// The kernel's buffers: kmalloc or vmalloc memory.
pub(crate) struct KMem;

impl Mem for KMem {
    type Buf<T: Copy + 'static> = Buf<T>;
}

/// A bounded first-in first-out queue of things that are not `Copy`.
pub(crate) struct Fifo<T> {
    slots: Buf<Option<T>>,
    head: usize,
    len: usize,
}

impl<T> Fifo<T> {
    /// An empty queue for `capacity` things. Context: task.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        Ok(Fifo {
            slots: Buf::from_fn(capacity, |_| None)?,
            head: 0,
            len: 0,
        })
    }

    /// Appends `value`, or gives it back when the queue is full. Context: any.
    pub(crate) fn push(&mut self, value: T) -> Result<(), T> {
        let capacity = self.slots.len();
        if self.len >= capacity {
            return Err(value);
        }
        let mut at = self.head.wrapping_add(self.len);
        if at >= capacity {
            at = at.wrapping_sub(capacity);
        }
        match self.slots.get_mut(at) {
            Some(slot) => *slot = Some(value),
            None => return Err(value),
        }
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    /// The oldest one. Context: any.
    pub(crate) fn front(&self) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        self.slots.get(self.head)?.as_ref()
    }

    /// Takes the oldest one. Context: any.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let value = self.slots.get_mut(self.head)?.take();
        self.head = self.head.wrapping_add(1);
        if self.head >= self.slots.len() {
            self.head = 0;
        }
        self.len = self.len.wrapping_sub(1);
        value
    }

    /// Whether nothing is in it. Context: any.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether nothing more fits. Context: any.
    pub(crate) fn is_full(&self) -> bool {
        self.len >= self.slots.len()
    }
}
