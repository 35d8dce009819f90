// SPDX-License-Identifier: GPL-2.0-or-later
//! What a daemon tells while it works, and when the parts of a take-over were done.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use drbd_qemu::Running;
use serde::Deserialize;

use crate::config::RESOURCE;
use crate::side::Side;

/// Something that a daemon told.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// By the guest's clock, in milliseconds.
    pub when_ms: u64,
    /// Kind.
    pub kind: String,
    /// The node it is about.
    pub node: Option<String>,
    /// One sentence.
    pub text: String,
    /// What was done, for the kind `action`.
    pub action: Option<Action>,
}

/// An action on a resource that ended.
#[derive(Clone, Debug, Deserialize)]
pub struct Action {
    /// Name of the resource.
    pub resource: String,
    /// `start`, `stop` or another operation.
    pub operation: String,
    /// It ended as it should.
    pub good: bool,
}

impl Event {
    /// A resource whose name has that part was started.
    #[must_use]
    pub fn is_start(&self, part: &str) -> bool {
        let action = self.action.as_ref();
        action.is_some_and(|action| {
            action.operation == "start" && action.good && action.resource.contains(part)
        })
    }

    fn is_about(&self, kind: &str, side: &Side, part: &str) -> bool {
        self.kind == kind && self.node.as_deref() == Some(side.name()) && self.text.contains(part)
    }
}

/// The event stream of one node.
pub struct Events {
    running: Running,
    /// A moment on both clocks: the guest's in milliseconds, and this one's.
    moment: (u64, Instant),
}

impl Events {
    /// Follows the events of a node from here on.
    ///
    /// # Errors
    ///
    /// If its daemon does not answer.
    pub fn of(side: &Side) -> Result<Events> {
        let running = side.node.spawn("exec drbd-hactl watch --json")?;
        let before = Instant::now();
        let guest_ms = side.sh("date +%s%3N")?.trim().parse()?;
        // Halfway between question and answer.
        let moment = (guest_ms, before + before.elapsed() / 2);
        Ok(Events { running, moment })
    }

    /// What was told so far.
    ///
    /// # Errors
    ///
    /// If a line can't be read.
    pub fn all(&self) -> Result<Vec<Event>> {
        let (said, _) = self.running.so_far();
        // The last line may be on its way.
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        let read = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
        whole.lines().map(read).collect()
    }

    /// The guest's clock at that moment here, in milliseconds.
    #[must_use]
    pub fn clock_ms(&self, at: Instant) -> u64 {
        let (guest_ms, here) = self.moment;
        guest_ms + u64::try_from((at - here).as_millis()).unwrap_or(0)
    }
}

/// When the parts of a take-over were done, in milliseconds since its cause, by the clock of the node that took over.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver {
    /// The other node counted as dead.
    pub detected_ms: u64,
    /// It was switched off.
    pub fenced_ms: u64,
    /// DRBD was Primary.
    pub promoted_ms: u64,
    /// The file system was mounted.
    pub mounted_ms: u64,
    /// The address was there.
    pub address_ms: u64,
    /// The service was started.
    pub served_ms: u64,
}

impl TakeOver {
    /// Of what was told when `lost` was lost for that cause.
    ///
    /// # Errors
    ///
    /// If a part of it was never told.
    pub(super) fn of(all: &[Event], lost: &Side, zero_ms: u64) -> Result<TakeOver> {
        let first = |what: &str, is: &dyn Fn(&Event) -> bool| -> Result<u64> {
            let mut since = all.iter().filter(|event| event.when_ms >= zero_ms);
            let found = since.find(|event| is(event));
            let found = found.with_context(|| format!("never told: {what}\n{all:#?}"))?;
            Ok(found.when_ms - zero_ms)
        };
        Ok(TakeOver {
            detected_ms: first("death", &|it| it.is_about("node", lost, " is Dead"))?,
            fenced_ms: first("fencing", &|it| it.is_about("fencing", lost, " is fenced"))?,
            promoted_ms: first("promotion", &|it| it.is_start(RESOURCE))?,
            mounted_ms: first("mount", &|it| it.is_start("Filesystem"))?,
            address_ms: first("address", &|it| it.is_start("IPaddr2"))?,
            served_ms: first("service", &|it| it.is_start("service"))?,
        })
    }

    /// What was done when, in order.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 6] {
        [
            ("the other node counted as dead", self.detected_ms),
            ("it was fenced: its power is off", self.fenced_ms),
            ("DRBD is Primary", self.promoted_ms),
            ("the file system is mounted", self.mounted_ms),
            ("the address is there", self.address_ms),
            ("the service runs", self.served_ms),
        ]
    }

    /// Prints them.
    pub fn print(&self) {
        for (what, ms) in self.parts() {
            println!(
                "  {:>6.2} s: {what}",
                Duration::from_millis(ms).as_secs_f64()
            );
        }
    }
}
