// SPDX-License-Identifier: GPL-2.0-or-later
//! A program in a guest that says what it was promised.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_qemu::Running;

use crate::Side;

/// Where the program lies in the guests.
const PROGRAM: &str = "/run/writer.py";

const SOURCE: &str = include_str!("../guest/writer.py");

/// Writes numbered records to a file, one fsync each, until it is stopped or
/// its machine loses power; each record's number is known here only after its
/// fsync returned.
pub struct Writer {
    running: Running,
    path: String,
}

impl Writer {
    /// Starts writing to `path`, or goes on behind the records there.
    ///
    /// # Errors
    ///
    /// If the node is gone, or nothing is acknowledged within ten seconds.
    pub fn start(side: &Side, path: &str) -> Result<Writer> {
        side.node.put(PROGRAM, SOURCE.as_bytes())?;
        let running = side
            .node
            .spawn(&format!("exec python3 {PROGRAM} write {path}"))?;
        let writer = Writer {
            running,
            path: path.to_owned(),
        };
        writer
            .running
            .wait_for("\n", Duration::from_secs(20))
            .context("the first fsync of the writer")?;
        Ok(writer)
    }

    /// Number of the last acknowledged record so far.
    ///
    /// # Errors
    ///
    /// If the program has failed (its machine's end is no failure).
    pub fn acknowledged(&self) -> Result<u64> {
        let (said, errors) = self.running.so_far();
        ensure!(errors.trim().is_empty(), "the writer failed: {errors}");
        let last = said
            .rsplit_terminator('\n')
            .find_map(|line| line.parse().ok());
        last.context("the writer has not said anything")
    }

    /// Waits until `count` more records are acknowledged.
    ///
    /// # Errors
    ///
    /// After `limit`.
    pub fn wait_more(&self, count: u64, limit: Duration) -> Result<()> {
        let target = self.acknowledged()? + count;
        let what = format!("record {target} of the writer");
        crate::wait::until(&what, limit, || self.acknowledged(), |last| *last >= target).map(drop)
    }

    /// Stops it; returns the number of the last acknowledged record.
    ///
    /// # Errors
    ///
    /// If it has failed or does not die.
    pub fn stop(self) -> Result<u64> {
        let last = self.acknowledged()?;
        self.running.kill()?;
        self.running.wait(Duration::from_secs(20))?;
        Ok(last)
    }

    /// Fails unless all records up to `last` are in the file at `path`, as seen
    /// by `side`.
    ///
    /// # Errors
    ///
    /// With the first record that is lost or damaged.
    pub fn check(side: &Side, path: &str, last: u64) -> Result<()> {
        side.node.put(PROGRAM, SOURCE.as_bytes())?;
        side.node
            .sh(&format!("python3 {PROGRAM} check {path} {last}"))?;
        Ok(())
    }

    /// The file it writes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}
