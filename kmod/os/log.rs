// SPDX-License-Identifier: GPL-2.0-or-later
//! Rate limits for log lines that a peer or a disk could provoke without end.

use super::{
    lock::{Atomic, Relaxed},
    timer,
};

/// Lets `burst` events pass per `interval_ms`; usable in a static. Context: any.
///
/// Under concurrency a few more may pass: it limits a log, nothing else.
pub(crate) struct RateLimit {
    burst: u32,
    interval_ms: u64,
    begin_ms: Atomic<u64>,
    passed: Atomic<u32>,
}

impl RateLimit {
    /// A limit that starts with a full burst.
    pub(crate) const fn new(burst: u32, interval_ms: u32) -> Self {
        RateLimit {
            burst,
            interval_ms: interval_ms as u64,
            begin_ms: Atomic::new(0),
            passed: Atomic::new(0),
        }
    }

    /// True when this event may be logged.
    pub(crate) fn ok(&self) -> bool {
        let now = timer::now_ms();
        if now.wrapping_sub(self.begin_ms.load(Relaxed)) >= self.interval_ms {
            self.begin_ms.store(now, Relaxed);
            self.passed.store(0, Relaxed);
        }
        self.passed.fetch_add(1, Relaxed) < self.burst
    }
}
