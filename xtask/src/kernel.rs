// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel: which one, its headers with Rust metadata, its image and modules.
//!
//! Debian's headers carry no `rust/` directory. It is made once from the same kernel's source package with the same
//! compilers (kernel-glue 1.1).

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cache::{write_atomically, Cache};
use crate::debroot::SUITE;
use crate::enter::Root;
use crate::module;
use crate::packages;
use crate::patience::{patiently, PAUSES};
use crate::problem::Problem;
use crate::process::{captured, logged};
use crate::progress::Step;

/// The series that the module is written for; another one is taken only when the archive has it no more.
const SERIES: &str = "7.3";

/// Where apt inside the root keeps packages; our own directory is shown there.
pub(crate) const ARCHIVES: &str = "/var/cache/apt/archives";

/// Inside the root: what we add to Debian's files.
const OURS: &str = "/opt/drbd-rs";

/// Fetches lists when there are none or when they are asked for.
const UPDATE: &str = "mkdir -p /var/cache/apt/archives/partial; apt-get update --error-on=any";

/// Makes line `$1` apt's only source, and takes that back.
const TO_KEPT: &str = r#"mkdir -p /etc/apt/online; [ ! -e /etc/apt/sources.list ] || mv /etc/apt/sources.list /etc/apt/online/
echo "$1" > /etc/apt/sources.list; apt-get update"#;
const TO_MIRROR: &str =
    "[ ! -e /etc/apt/online/sources.list ] || mv /etc/apt/online/sources.list /etc/apt/sources.list";

/// Installs headers and source of kernel `$1` (source package `$2`), fetches its image and modules and unpacks them.
const INSTALL: &str = r#"
apt-get install --yes --no-install-recommends "linux-headers-$1" "$2"
cd /var/cache/apt/archives
apt-get -o APT::Sandbox::User=root download "linux-base-$1" "linux-binary-$1" "linux-modules-$1"
version=$(dpkg-query -W -f '${Version}' "linux-headers-$1")
[ "$version" = "$(dpkg-query -W -f '${Version}' "$2")" ] || { echo "E: linux-headers-$1 $version has no $2 of its version"; exit 1; }
tree="$3/kernel-$1"
rm -rf "$tree" "$tree.tmp"
mkdir -p "$tree.tmp"
for part in base binary modules; do
    dpkg-deb -x "linux-$part-$1_$(echo "$version" | sed 's/:/%3a/')_amd64.deb" "$tree.tmp"
done
ln -sfn usr/lib "$tree.tmp/lib"
depmod -b "$tree.tmp" "$1"
mv "$tree.tmp" "$tree"
"#;

/// Makes the Rust metadata for kernel `$1` from source package `$2`.
const METADATA: &str = r#"
headers="/usr/src/linux-headers-$1"
rm -rf /build; mkdir -p /build/out; cd /build
tar xf "/usr/src/$2.tar.xz"
cp "$headers/.config" out/.config
cd "$2"
make O=/build/out olddefconfig
grep -q '^CONFIG_RUST=y' /build/out/.config || { echo "E: this kernel is not configured for Rust with these compilers"; exit 1; }
make O=/build/out -j"$(nproc)" prepare
cp /build/out/scripts/target.json "$headers/scripts/"
rm -rf "$headers/rust" "$headers/rust.tmp"
cp -a /build/out/rust "$headers/rust.tmp"
mv "$headers/rust.tmp" "$headers/rust"
cd /; rm -rf /build "/usr/src/$2.tar.xz"
"#;

/// A kernel that is ready to build modules for and to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// Version of its Debian package.
    pub version: String,
}

impl Kernel {
    /// The unpacked packages of image and modules, on the host.
    pub fn tree(&self, toolchain: &Path) -> PathBuf {
        toolchain
            .join(OURS.trim_start_matches('/'))
            .join(format!("kernel-{}", self.release))
    }

    /// The kernel that `DRBD_KERNEL` (a release or a series) or our own choice means, when it is ready.
    pub fn ready(toolchain: &Path) -> Option<Self> {
        let text = fs::read_to_string(stamp(toolchain)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

fn wish() -> Option<String> {
    std::env::var("DRBD_KERNEL")
        .ok()
        .filter(|wish| !wish.is_empty())
}

fn stamp(toolchain: &Path) -> PathBuf {
    let wish = wish().map_or_else(|| "default".to_owned(), |wish| wish.replace('/', "_"));
    toolchain
        .join(OURS.trim_start_matches('/'))
        .join(format!("kernel-{wish}.json"))
}

/// Makes the kernel ready inside the tool-chain root unless it is.
///
/// # Errors
///
/// When no kernel fits, a package cannot be fetched or the metadata cannot be built.
pub fn prepare(cache: &Cache, toolchain: &Path) -> Result<Kernel> {
    if let Some(kernel) = Kernel::ready(toolchain) {
        return Ok(kernel);
    }
    let root = Root::at(toolchain).bind(cache.packages(), ARCHIVES);
    let log = cache.fresh_log("kernel");
    let release = choose(&available(&root)?, wish().as_deref())?;
    let source = module::source_package(&release);

    let step = Step::start(format!("kernel {release}: packages"));
    let install = || {
        logged(
            &mut root.script(INSTALL, &[&release, &source, OURS]),
            &log,
            &format!("cannot install the packages of kernel {release}"),
            "check the network, then run the same command again\n(another kernel: DRBD_KERNEL=<release or series>)",
        )
    };
    if let Err(error) = install() {
        // Lists that are older than the mirror name files that are gone; without a mirror the kept packages may do.
        let update = || {
            logged(
                &mut root.script(UPDATE, &[]),
                &log,
                "cannot fetch package lists",
                "",
            )
        };
        let online = update().and_then(|()| install());
        if online.is_err() && !install_kept_packages(cache, &root, &log, &install)? {
            eprintln!("{error:#}");
            patiently("fetching the kernel", &PAUSES, || {
                update()?;
                install()
            })?;
        }
    }
    step.done("");

    let step = Step::start(format!("kernel {release}: Rust metadata"));
    logged(
        &mut root.script(METADATA, &[&release, &source]),
        &log,
        &format!("cannot build the Rust metadata of kernel {release}"),
        "try another kernel:  DRBD_KERNEL=<release or series> cargo xtask setup",
    )?;
    let version = captured(&mut root.command(&[
        "dpkg-query",
        "-W",
        "-f",
        "${Version}",
        &format!("linux-headers-{release}"),
    ]))?;
    let kernel = Kernel { release, version };
    let stamp = stamp(toolchain);
    if let Some(dir) = stamp.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    write_atomically(&stamp, &serde_json::to_string(&kernel)?)?;
    step.done("");
    Ok(kernel)
}

/// Releases of which the archive has headers.
fn available(root: &Root) -> Result<Vec<String>> {
    let names = captured(&mut root.command(&["apt-cache", "pkgnames", "linux-headers-"]))?;
    Ok(names
        .lines()
        .filter_map(|name| name.strip_prefix("linux-headers-"))
        .filter(|release| release.starts_with(|first: char| first.is_ascii_digit()))
        .filter(|release| release.ends_with("-amd64"))
        .filter(|release| {
            !["-rt-", "-cloud-", "-dbg"]
                .iter()
                .any(|other| release.contains(other))
        })
        .map(str::to_owned)
        .collect())
}

/// The newest release of the wished series, or the wished release itself; without a wish the newest of our series,
/// else the newest there is.
fn choose(available: &[String], wish: Option<&str>) -> Result<String> {
    let newest = |wanted: &str| {
        available
            .iter()
            .filter(|release| wanted.is_empty() || *release == wanted || series(release) == wanted)
            .min_by_key(|release| Reverse(numbers(release)))
            .cloned()
    };
    let found = match wish {
        Some(wish) => newest(wish),
        None => newest(SERIES).or_else(|| newest("")),
    };
    found.ok_or_else(|| {
        let mut all = available.to_vec();
        all.sort_by_key(|release| Reverse(numbers(release)));
        Problem::new(
            format!("no kernel {} for modules", wish.unwrap_or(SERIES)),
            format!("{SUITE} and its backports have: {}", all.join(" ")),
            "DRBD_KERNEL=<one of these, or a series like 7.3> cargo xtask setup",
        )
        .into()
    })
}

/// `7.3` of `7.3.4+deb13-amd64`.
pub(crate) fn series(release: &str) -> String {
    let mut parts = release.split(['.', '+', '-']);
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        _ => release.to_owned(),
    }
}

/// The numbers of a release, for comparing.
fn numbers(release: &str) -> Vec<u32> {
    release
        .split(|other: char| !other.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// Installs from the packages of earlier runs alone; false when there are none or they do not do, and apt's sources are
/// what they were.
pub(crate) fn install_kept_packages(
    cache: &Cache,
    root: &Root,
    log: &Path,
    install: &impl Fn() -> Result<()>,
) -> Result<bool> {
    if packages::offline_repository(&cache.packages())?.is_none() {
        return Ok(false);
    }
    eprintln!("the mirror failed: trying the packages of earlier runs");
    let line = packages::source_line(&format!("{ARCHIVES}/offline"));
    let switched = |script: &str| {
        logged(
            &mut root.script(script, &[&line]),
            log,
            "cannot use the kept packages",
            "",
        )
    };
    if switched(TO_KEPT).and_then(|()| install()).is_ok() {
        return Ok(true);
    }
    switched(TO_MIRROR)?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<String> {
        [
            "6.12.9+deb13-amd64",
            "7.3.4+deb13-amd64",
            "7.3.12+deb13-amd64",
            "7.4.1+deb13-amd64",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn prefers_the_newest_of_our_series() {
        assert_eq!(choose(&archive(), None).unwrap(), "7.3.12+deb13-amd64");
    }

    #[test]
    fn falls_back_to_the_newest() {
        let without: Vec<String> = archive()
            .into_iter()
            .filter(|release| !release.starts_with("7.3"))
            .collect();
        assert_eq!(choose(&without, None).unwrap(), "7.4.1+deb13-amd64");
    }

    #[test]
    fn takes_a_wish_for_release_or_series() {
        assert_eq!(
            choose(&archive(), Some("7.3.4+deb13-amd64")).unwrap(),
            "7.3.4+deb13-amd64"
        );
        assert_eq!(
            choose(&archive(), Some("6.12")).unwrap(),
            "6.12.9+deb13-amd64"
        );
        let error = choose(&archive(), Some("5.10")).unwrap_err().to_string();
        assert!(
            error.contains("no kernel 5.10") && error.contains("7.4.1"),
            "{error}"
        );
    }

    #[test]
    fn series_and_numbers_of_a_release() {
        assert_eq!(series("7.3.4+deb13-amd64"), "7.3");
        assert!(numbers("7.3.12+deb13-amd64") > numbers("7.3.4+deb13-amd64"));
    }
}
