// SPDX-License-Identifier: GPL-2.0-or-later
//! One control group for what the agents of a group start, so that nothing of it can hide when it has to end.

use std::path::{Path, PathBuf};

/// Where the unified hierarchy is mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// The control groups below this daemon's own.
#[derive(Debug, Clone)]
pub struct Cgroups {
    base: Option<PathBuf>,
}

impl Cgroups {
    /// Below the one of this process; none where there is no unified hierarchy that it may write to.
    #[must_use]
    pub fn of_process() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let base = path.map(|path| {
            // After a restart in place the daemon may be found in a part of its own.
            let own = path.split("/drbd-ha.").next().unwrap_or_default();
            let own = if own.starts_with("drbd-ha.") { "" } else { own };
            Path::new(MOUNT).join(own)
        });
        let usable = |base: &PathBuf| base.join("cgroup.procs").exists();
        Cgroups {
            base: base.filter(usable),
        }
    }

    /// None: leftovers of agents can't be found.
    #[must_use]
    pub fn none() -> Self {
        Cgroups { base: None }
    }

    /// The one for a group, made if it is not there; `None` when that does not work.
    #[must_use]
    pub fn of(&self, group: &str) -> Option<PathBuf> {
        let path = self.base.as_ref()?.join(format!("drbd-ha.{group}"));
        match std::fs::create_dir(&path) {
            Ok(()) => Some(path),
            Err(_) => path.join("cgroup.procs").exists().then_some(path),
        }
    }

    /// Kills all that runs in the one for a group.
    ///
    /// # Errors
    ///
    /// When there is one and it can't be written to.
    pub fn kill(&self, group: &str) -> std::io::Result<()> {
        match self.of(group) {
            Some(path) => std::fs::write(path.join("cgroup.kill"), "1"),
            None => Ok(()),
        }
    }
}
