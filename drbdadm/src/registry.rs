// SPDX-License-Identifier: GPL-2.0-or-later
//! Which configuration file a resource came from.
//!
//! A handler is started by the kernel with a name and nothing else; a link in
//! the run directory leads it to the file the resource was brought up with.

use std::path::PathBuf;

/// Where the links are; `DRBDADM_RUN_DIRECTORY` is another place for tests.
fn run_directory() -> PathBuf {
    std::env::var_os("DRBDADM_RUN_DIRECTORY").map_or_else(|| "/var/run/drbd".into(), PathBuf::from)
}

/// Notes the file for a resource and a minor. Without the link only handlers
/// of a file in an unusual place are lost, so nothing is refused for it.
pub(crate) fn note(name: &str, config: &str) {
    let Some(target) = target(config) else {
        return;
    };
    let link = link(name);
    if std::fs::read_link(&link).is_ok_and(|old| old == target) {
        return;
    }
    let _ = std::fs::create_dir_all(run_directory());
    let _ = std::fs::remove_file(&link);
    let _ = std::os::unix::fs::symlink(&target, &link);
}

/// The file noted for `minor-N` or `resource-NAME`.
pub(crate) fn lookup(name: &str) -> Option<String> {
    let target = std::fs::read_link(link(name)).ok()?;
    target
        .is_absolute()
        .then(|| target.to_string_lossy().into_owned())
}

/// A name may hold a slash; a file name may not.
fn link(name: &str) -> PathBuf {
    run_directory().join(format!("drbd-{}.conf", name.replace('/', "_")))
}

fn target(config: &str) -> Option<PathBuf> {
    if config == "STDIN" {
        return None;
    }
    let path = std::fs::canonicalize(config).ok()?;
    let run = std::fs::canonicalize(run_directory()).unwrap_or_else(|_| run_directory());
    (!path.starts_with(run)).then_some(path)
}
