// SPDX-License-Identifier: GPL-2.0-or-later
//! The products a node of ours gets, and the guest's agent.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::initrd::GuestFile;

/// Programs that go before the distribution's of the same name.
const TOOLS: [&str; 3] = ["drbdadm", "drbdsetup", "drbdmeta"];

/// The agent for Pacemaker, and its place and name there.
const OCF_AGENT: (&str, &str) = ("drbd-ocf", "/usr/lib/ocf/resource.d/linbit/drbd");

/// The checkout this crate was compiled in.
pub(crate) fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Where the build left the products: `DRBD_DIST`, else `target/dist`.
#[must_use]
pub fn dist_dir() -> PathBuf {
    std::env::var_os("DRBD_DIST").map_or_else(|| workspace().join("target/dist"), PathBuf::from)
}

fn product(dist: &Path, name: &str) -> Result<PathBuf> {
    let path = dist.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::Host(format!(
        "{} is not there\n  make it:  cargo xtask build",
        path.display()
    )))
}

/// The agent: of the products' and the one built beside this program, the
/// newer.
pub(crate) fn agent(dist: &Path) -> Result<PathBuf> {
    let this = std::env::current_exe().unwrap_or_default();
    let beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("drbd-agent"));
    let age = |path: &PathBuf| {
        std::fs::metadata(path)
            .and_then(|found| found.modified())
            .ok()
    };
    beside
        .chain([dist.join("drbd-agent")])
        .filter(|path| path.is_file())
        .max_by_key(age)
        .map_or_else(|| product(dist, "drbd-agent"), Ok)
}

/// The files that make a node ours.
pub(crate) fn ours(dist: &Path, kernel_release: &str) -> Result<Vec<GuestFile>> {
    let module = format!("/usr/lib/modules/{kernel_release}/updates/drbd.ko");
    let mut files = vec![GuestFile::host(product(dist, "drbd.ko")?, module)];
    for tool in TOOLS {
        files.push(GuestFile::host(
            product(dist, tool)?,
            format!("/usr/sbin/{tool}"),
        ));
    }
    let (agent, place) = OCF_AGENT;
    files.push(GuestFile::host(product(dist, agent)?, place));
    Ok(files)
}
