// SPDX-License-Identifier: GPL-2.0-or-later
//! `/proc/drbd`: what user space needs to see before it talks to the module (drbd9-api section 1).

use crate::{
    os::{
        lock::Arc,
        procfs::{ProcFile, Show},
    },
    resource::Registry,
};
use core::fmt::Write;
use drbd_core::wire::Dialect;
use kernel::prelude::*;

struct Version;

impl Show for Version {
    fn show(&self, out: &mut dyn Write) -> core::fmt::Result {
        // The tools take the first word behind "version:".
        writeln!(
            out,
            "version: 9.90.0 (api:2/proto:{}-{})",
            Dialect::OWN_MIN,
            Dialect::OWN_MAX
        )?;
        writeln!(
            out,
            "drbd-rs: DRBD in Rust\nTransports (api:22): tcp (9.90.0)"
        )
    }
}

/// Creates the file. Context: task.
pub(crate) fn create(_registry: &Arc<Registry>) -> Result<ProcFile> {
    ProcFile::new(c"drbd", Arc::new(Version, GFP_KERNEL)?)
}
