// SPDX-License-Identifier: GPL-2.0-or-later
//! Who may need whom among our crates, as design and ARCHITECTURE.md say.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Finding;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` for what the crate itself needs, else `dev` or `build`.
    kind: Option<String>,
}

/// All that the engine may need: the kernel has it too.
const ENGINE_NEEDS: [&str; 2] = ["zerocopy", "zerocopy-derive"];

/// What a crate of ours may need of ours; a crate that is not listed may need nothing of ours.
const MAY_NEED: [(&str, &[&str]); 14] = [
    ("drbd_core", &[]),
    ("drbd-conf", &["drbd_core"]),
    ("drbd-netlink", &["drbd_core"]),
    ("drbd-pages", &[]),
    (
        "drbdsetup",
        &["drbd_core", "drbd-conf", "drbd-netlink", "drbd-pages"],
    ),
    (
        "drbdadm",
        &[
            "drbd_core",
            "drbd-conf",
            "drbd-netlink",
            "drbd-pages",
            "drbdsetup",
            "drbdmeta",
        ],
    ),
    (
        "drbdmeta",
        &["drbd_core", "drbd-conf", "drbd-netlink", "drbd-pages"],
    ),
    (
        "drbd-ha",
        &["drbd_core", "drbd-conf", "drbd-netlink", "drbd-pages"],
    ),
    ("drbd-sim", &["drbd_core"]),
    ("drbd-docs", &["drbd_core"]),
    ("drbd-qemu", &["xtask"]),
    ("drbd-fuzz", &["drbd_core", "drbd-conf", "drbd-netlink"]),
    (
        "drbd-tests",
        &[
            "drbd_core",
            "drbd-conf",
            "drbd-netlink",
            "drbd-qemu",
            "drbd-sim",
            "xtask",
        ],
    ),
    ("xtask", &[]),
];

pub(super) fn check(metadata: &str) -> Result<Vec<Finding>> {
    let metadata: Metadata =
        serde_json::from_str(metadata).context("cargo metadata said something unexpected")?;
    let ours: Vec<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let file = package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .unwrap_or(&package.manifest_path);
        let allowed = MAY_NEED
            .iter()
            .find(|(name, _)| *name == package.name)
            .map_or(&[] as &[&str], |(_, allowed)| allowed);
        for dependency in &package.dependencies {
            findings.extend(judge(file, package, dependency, allowed, &ours));
        }
    }
    Ok(findings)
}

fn judge(
    file: &Path,
    package: &Package,
    dependency: &Dependency,
    allowed: &[&str],
    ours: &[&str],
) -> Option<Finding> {
    let name = dependency.name.as_str();
    let of_tests = dependency.kind.as_deref() == Some("dev");
    let engine_wants_more =
        package.name == "drbd_core" && !of_tests && !ENGINE_NEEDS.contains(&name);
    // A crate's tests may ask for its own features.
    let itself = of_tests && name == package.name;
    let not_its_business = ours.contains(&name) && !allowed.contains(&name) && !itself;
    (engine_wants_more || not_its_business)
        .then(|| Finding::new(file, 1, format!("{} must not need {name}", package.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, needs: &str, kind: &str) -> Vec<String> {
        let text = format!(
            r#"{{"workspace_root": "/w", "packages": [
                {{"name": "{name}", "manifest_path": "/w/x/Cargo.toml",
                  "dependencies": [{{"name": "{needs}", "kind": {kind}}}]}},
                {{"name": "drbd-qemu", "manifest_path": "/w/qemu/Cargo.toml", "dependencies": []}},
                {{"name": "drbd-conf", "manifest_path": "/w/conf/Cargo.toml", "dependencies": []}}]}}"#
        );
        check(&text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_engine_needs_nothing_but_zerocopy() {
        assert!(found("drbd_core", "zerocopy", "null").is_empty());
        assert!(found("drbd_core", "proptest", "\"dev\"").is_empty());
        assert_eq!(
            found("drbd_core", "serde", "null"),
            ["x/Cargo.toml:1: drbd_core must not need serde"]
        );
        assert_eq!(found("drbd_core", "cc", "\"build\"").len(), 1);
    }

    #[test]
    fn nothing_needs_the_harness_but_the_tests() {
        assert_eq!(found("drbdadm", "drbd-qemu", "null").len(), 1);
        assert_eq!(found("drbdadm", "drbd-qemu", "\"dev\"").len(), 1);
        assert!(found("drbd-tests", "drbd-qemu", "null").is_empty());
        assert!(found("drbdadm", "drbd-conf", "null").is_empty());
        assert!(found("drbdadm", "clap", "null").is_empty());
        assert_eq!(found("newcomer", "drbd-conf", "null").len(), 1);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(check("[]").is_err());
    }
}
