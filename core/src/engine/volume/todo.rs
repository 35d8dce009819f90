// SPDX-License-Identifier: GPL-2.0-or-later
//! What an input left to do for the host's threads.

/// Work for the host's threads, as a set. Each bit may be set by any input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Todo(u32);

impl Todo {
    /// Nothing.
    pub const NONE: Todo = Todo(0);
    /// Call [`super::Volume::run_ready`].
    pub const READY: Todo = Todo(1);
    /// Metadata thread: call [`super::Volume::md_poll`].
    pub const METADATA: Todo = Todo(1 << 1);
    /// Application I/O that was told [`super::Admission::Later`] may be offered again.
    pub const ADMIT: Todo = Todo(1 << 2);
    /// The state changed: tell user space.
    pub const NOTIFY: Todo = Todo(1 << 3);
    /// Call [`super::Volume::resync_work`].
    pub const RESYNC: Todo = Todo(1 << 4);
    /// [`super::Volume::capacity_sectors`] changed.
    pub const CAPACITY: Todo = Todo(1 << 5);
    /// [`super::Volume::take_connection_request`] has something.
    pub const CONNECTION: Todo = Todo(1 << 6);
    /// Somebody who waits for a condition should look again.
    pub const WAKE: Todo = Todo(1 << 7);
    /// The disk is not used any more: call [`super::Volume::take_disk`] and give it back.
    pub const DISK_GONE: Todo = Todo(1 << 8);
    /// The role changed: adjust the block device's read-only flag.
    pub const ROLE: Todo = Todo(1 << 9);
    /// [`super::Volume::next_helper`] has something.
    pub const HELPER: Todo = Todo(1 << 10);
    /// [`super::Volume::next_compare`] has something.
    pub const COMPARE: Todo = Todo(1 << 11);
    /// [`super::Volume::take_finding`] has something.
    pub const FINDING: Todo = Todo(1 << 12);
    /// The peer was brought up to date: see [`crate::engine::fencing::may_unfence`].
    pub const UNFENCE: Todo = Todo(1 << 13);
    /// Those whose resync comes after this one's may have to wait, or to go on: see
    /// [`crate::engine::dependency`].
    pub const DEPENDENTS: Todo = Todo(1 << 14);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Todo) -> Todo {
        Todo(self.0 | other.0)
    }

    /// This set less the other.
    #[must_use]
    pub const fn without(self, other: Todo) -> Todo {
        Todo(self.0 & !other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Todo) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
