// SPDX-License-Identifier: GPL-2.0-or-later
//! Bugs on purpose, to show that the simulator finds them.
//!
//! Without the feature `planted-bugs`, which no product has, [`is`] is a constant.

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Bug {
    /// A record of the activity log counts as written and is not.
    SkipActivityLog = 1,
    /// The barrier is acknowledged before what came before it is flushed. A matter of the host,
    /// which asks.
    AckBeforeFlush,
    /// Some writes that the peer may have missed are not marked when the connection breaks.
    ForgetBit,
    /// Who has newer data becomes the target of the resync, unless one is Primary.
    SwapDirection,
    /// Some barriers are not sent.
    DropBarrier,
}

impl Bug {
    /// All of them, with names for a command line.
    pub const ALL: [(&'static str, Bug); 5] = [
        ("skip-activity-log", Bug::SkipActivityLog),
        ("ack-before-flush", Bug::AckBeforeFlush),
        ("forget-bit", Bug::ForgetBit),
        ("swap-direction", Bug::SwapDirection),
        ("drop-barrier", Bug::DropBarrier),
    ];
}

#[cfg(feature = "planted-bugs")]
static PLANTED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Plants a bug, or takes it out, for the whole process.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u8);
    PLANTED.store(number, core::sync::atomic::Ordering::Relaxed);
}

/// Whether `bug` is planted.
#[cfg(feature = "planted-bugs")]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether `bug` is planted.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub const fn is(_: Bug) -> bool {
    false
}
