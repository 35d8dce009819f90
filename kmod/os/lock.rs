// SPDX-License-Identifier: GPL-2.0-or-later
//! Locks, counted pointers and atomics: the kernel crate has safe ones, named here once.
//!
//! `SpinLockIrq` is the lock for state that I/O completion touches (hardirq). `Mutex` sleeps:
//! task context only. A guard temporary lives to the end of its statement: allocate before locking.

#[allow(unused_imports, reason = "a list for the hosts")]
pub(crate) use kernel::{
    new_condvar, new_mutex, new_spinlock_irq,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc, ArcBorrow, Completion, CondVar, Mutex, SpinLockIrq,
    },
};
