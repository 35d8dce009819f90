// SPDX-License-Identifier: GPL-2.0-or-later
//! Heartbeats of drbd-had that were recorded on their way, and what somebody who sits on the network sends instead.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use drbd_qemu::Running;

use crate::had::Had;
use crate::services::LIMIT;
use crate::side::Side;

const SOURCE: &str = include_str!("../guest/heartbeats.py");
const PROGRAM: &str = "/run/heartbeats.py";
const KEPT: &str = "/run/heartbeats";

/// The link they were recorded on.
const INTERFACE: &str = "eth0";

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// What was recorded, as it was.
    Again,
    /// Heartbeats that nobody sealed, and greetings that name the cluster's key and were signed with another.
    Forged,
    /// Greetings of a node with another key.
    WrongKey,
    /// No heartbeats at all.
    Garbage,
}

impl How {
    fn word(self) -> &'static str {
        match self {
            How::Again => "again",
            How::Forged => "forged",
            How::WrongKey => "wrong-key",
            How::Garbage => "garbage",
        }
    }

    /// As what the daemon counts it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            How::Again => "replayed",
            How::Forged => "forged",
            How::WrongKey => "wrong_key",
            How::Garbage => "malformed",
        }
    }
}

/// What a node said on its first link, greetings and heartbeats.
pub struct Heartbeats<'a> {
    side: &'a Side,
}

impl<'a> Heartbeats<'a> {
    /// Listens to a node whose daemon runs.
    ///
    /// # Errors
    ///
    /// If it says too little for too long.
    pub fn record(side: &'a Side) -> Result<Heartbeats<'a>> {
        side.node.put(PROGRAM, SOURCE.as_bytes())?;
        let script = format!("python3 {PROGRAM} record {INTERFACE} {KEPT}");
        side.node.sh_within(&script, LIMIT)?;
        Ok(Heartbeats { side })
    }

    /// Sends them from the same address; the number of datagrams.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn send(&self, how: How) -> Result<u64> {
        let word = how.word();
        let script = format!("python3 {PROGRAM} send {INTERFACE} {KEPT} {word}");
        let said = self.side.node.sh_within(&script, LIMIT)?;
        Ok(said.trim().parse()?)
    }

    /// Sends them as they were, again and again for so long, or until the node is off.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn repeat(&self, pause: Duration) -> Result<Running> {
        let seconds = pause.as_secs();
        let script = format!("exec python3 {PROGRAM} repeat {INTERFACE} {KEPT} {seconds}");
        Ok(self.side.node.spawn(&script)?)
    }
}

/// What the daemon of a node threw away so far, by reason, as `drbd-hactl status` tells it.
///
/// # Errors
///
/// If it does not answer.
pub fn thrown_away(had: &Had<'_>, side: &Side) -> Result<BTreeMap<String, u64>> {
    let mut report = had.report(side)?;
    serde_json::from_value(report["refused"].take()).context("no counters in the status")
}

/// The same as the metrics tell it.
///
/// # Errors
///
/// If there are none.
pub fn metric(side: &Side, reason: &str) -> Result<u64> {
    let page = side.sh(
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:9943/metrics\").read().decode())'",
    )?;
    let label = format!("reason=\"{reason}\"");
    let mut lines = page.lines();
    let line = lines.find(|it| it.starts_with("had_auth_failures_total{") && it.contains(&label));
    let line = line.with_context(|| format!("no counter of {reason} in\n{page}"))?;
    let value = line.rsplit(' ').next().unwrap_or_default();
    Ok(value.parse()?)
}
