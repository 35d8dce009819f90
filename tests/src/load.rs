// SPDX-License-Identifier: GPL-2.0-or-later
//! Random writes that go on while something else happens.

use std::time::Duration;

use anyhow::{ensure, Result};
use drbd_qemu::Running;

use crate::Side;

/// `fio` writing all over a file in a mounted file system, past the page
/// cache, until it is stopped.
pub struct Load {
    running: Running,
}

impl Load {
    /// Starts writing blocks of `block_kib` to `/mnt/load`, 16 MiB long,
    /// `depth` at a time.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn start(side: &Side, block_kib: u32, depth: u32) -> Result<Load> {
        // Jobs of fio are processes in sessions of their own unless they are
        // threads, and would outlive it.
        let running = side.node.spawn(&format!(
            "exec fio --thread --name=load --filename=/mnt/load --size=16m --rw=randwrite \
             --bs={block_kib}k --ioengine=libaio --direct=1 --iodepth={depth} \
             --time_based --runtime=900 --output=/run/load.log"
        ))?;
        Ok(Load { running })
    }

    /// Fails if it has ended, which it does at the first I/O error.
    ///
    /// # Errors
    ///
    /// With what fio said.
    pub fn check(&self) -> Result<()> {
        ensure!(
            !self.running.is_over(),
            "the load has ended: {:?} {}",
            self.running.so_far(),
            self.running
                .node()
                .sh("cat /run/load.log")
                .unwrap_or_default()
        );
        Ok(())
    }

    /// Stops it.
    ///
    /// # Errors
    ///
    /// If it has ended before, or does not die.
    pub fn stop(self) -> Result<()> {
        self.check()?;
        self.running.kill()?;
        self.running.wait(Duration::from_secs(30))?;
        Ok(())
    }
}
