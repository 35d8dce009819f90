// SPDX-License-Identifier: GPL-2.0-or-later
//! Packages that the host itself needs. Everything else lives in roots of our own.

use std::process::Command;

use anyhow::Result;

use crate::cache::Cache;
use crate::enter;
use crate::patience::{patiently, APT_WAITS_FOR_LOCK, PAUSES};
use crate::problem::Problem;
use crate::process::{is_installed, logged};
use crate::progress::Step;

/// A program and the package that brings it.
const NEEDED: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("newuidmap", "uidmap"),
    ("unshare", "util-linux"),
];

/// Packages of [`NEEDED`] whose program is not there.
fn missing() -> Vec<&'static str> {
    NEEDED
        .iter()
        // Only an ordinary user needs mapped user ids.
        .filter(|(program, _)| *program != "newuidmap" || !enter::is_root())
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect()
}

/// Installs what is missing on this machine.
///
/// # Errors
///
/// When something is missing and the user is not root, or apt cannot bring it.
pub fn prepare(cache: &Cache) -> Result<()> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get update && apt-get install {}", packages.join(" "));
    if !enter::is_root() {
        return Err(Problem::new(
            "host packages are missing",
            format!(
                "{}: only root can install them; everything else works as an ordinary user",
                packages.join(" ")
            ),
            format!("sudo sh -c '{by_hand}'"),
        )
        .into());
    }
    let step = Step::start("host packages");
    let log = cache.fresh_log("host-packages");
    let install = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(APT_WAITS_FOR_LOCK)
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&packages);
        logged(
            &mut command,
            &log,
            "cannot install host packages",
            &format!("see that this works, then run again:  {by_hand}"),
        )
    };
    // The package lists may be old or absent: fetch them only when they do not do.
    if install().is_err() {
        patiently("installing host packages", &PAUSES, || {
            let mut update = Command::new("apt-get");
            logged(
                update.args(APT_WAITS_FOR_LOCK).arg("update"),
                &log,
                "cannot fetch apt's package lists",
                "check the network, then:  apt-get update",
            )?;
            install()
        })?;
    }
    step.done(&packages.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_packages_not_programs() {
        for package in missing() {
            assert!(NEEDED.iter().any(|(_, known)| *known == package));
        }
    }
}
