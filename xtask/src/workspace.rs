// SPDX-License-Identifier: GPL-2.0-or-later
//! The checkout that this program was built from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process::captured;

/// Top directory of the checkout.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// What a user installs, and what virtual machines get.
pub fn dist() -> PathBuf {
    root().join("target/dist")
}

/// The cargo that runs us, else the one in `PATH`; started in the checkout.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Files of the checkout, relative to its top: tracked ones and new ones that are not ignored.
///
/// # Errors
///
/// When git cannot list them.
pub fn files() -> Result<Vec<PathBuf>> {
    let root = root();
    let listed = captured(Command::new("git").arg("-C").arg(&root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files: Vec<PathBuf> = listed
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        // A file that was removed but not committed is still listed.
        .filter(|file| root.join(file).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
