// SPDX-License-Identifier: GPL-2.0-or-later
//! Making a Debian root with mmdebstrap, from the mirror or, when that fails, from packages fetched earlier.

use std::fs;
use std::path::Path;
use std::thread::sleep;

use anyhow::{Context, Result};

use crate::cache::{remove_tree, with_suffix, Cache};
use crate::enter;
use crate::mirror::Mirror;
use crate::packages;
use crate::patience::{patiently, PAUSES};
use crate::process::logged;

/// The release that roots are made of; backports bring the kernel.
pub const SUITE: &str = "trixie";

/// Puts the packages of earlier runs where apt looks before it downloads; `$1` is the root, `KEEP` our directory.
const SYNC_IN: &str = r#"mkdir -p "$1/var/cache/apt/archives" "$KEEP"; for f in "$KEEP"/*.deb; do [ ! -e "$f" ] || ln "$f" "$1/var/cache/apt/archives/" 2>/dev/null || cp "$f" "$1/var/cache/apt/archives/"; done"#;

/// Keeps what was downloaded for the next time.
const SYNC_OUT: &str = r#"for f in "$1"/var/cache/apt/archives/*.deb; do [ -e "$KEEP/${f##*/}" ] || ln "$f" "$KEEP/" 2>/dev/null || cp "$f" "$KEEP/"; done"#;

/// What a root is made of.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// Name for log files and messages.
    pub name: &'a str,
    /// Packages beside the essential ones.
    pub packages: &'a [&'a str],
    /// Paths that dpkg leaves out, as shell patterns.
    pub without: &'a [&'a str],
    /// Keep apt's package lists, to install more later.
    pub keep_lists: bool,
}

impl Recipe<'_> {
    /// The recipe as text, for a content key.
    pub fn text(&self) -> String {
        format!(
            "{SUITE} {} without {}",
            self.packages.join(","),
            self.without.join(",")
        )
    }

    /// Makes the root at `target`, which must not exist yet.
    ///
    /// # Errors
    ///
    /// When neither the mirror nor the kept packages can make it.
    pub fn make(&self, cache: &Cache, target: &Path) -> Result<()> {
        let log = cache.fresh_log(self.name);
        let online = || {
            let mirror = Mirror::of_this_machine()?;
            let sources: Vec<String> = ["", "-updates", "-backports"]
                .iter()
                .map(|part| format!("deb {} {SUITE}{part} main", mirror.uri))
                .collect();
            self.bootstrap(cache, target, &sources, &mirror.apt_options, &log)
        };
        let Err(error) = online() else { return Ok(()) };
        eprintln!("the mirror failed: {error:#}");
        if self.make_of_kept_packages(cache, target)? {
            return Ok(());
        }
        // What was kept does not do either: there is nothing but the mirror to hope for.
        sleep(PAUSES[0]);
        patiently(
            &format!("making the {} root", self.name),
            &PAUSES[1..],
            online,
        )
    }

    /// Makes the root of packages that earlier runs fetched; false when these do not do.
    fn make_of_kept_packages(&self, cache: &Cache, target: &Path) -> Result<bool> {
        let Some(repository) = packages::offline_repository(&cache.packages())? else {
            return Ok(false);
        };
        eprintln!("trying the packages of earlier runs");
        let source = packages::source_line(&repository.to_string_lossy());
        let log = cache.fresh_log(&format!("{}-offline", self.name));
        let made = self.bootstrap(cache, target, &[source], &[], &log);
        if made.is_err() {
            eprintln!(
                "the packages of earlier runs do not do: see {}",
                log.display()
            );
        }
        Ok(made.is_ok())
    }

    fn bootstrap(
        &self,
        cache: &Cache,
        target: &Path,
        sources: &[String],
        apt_options: &[String],
        log: &Path,
    ) -> Result<()> {
        let unfinished = with_suffix(target, ".tmp");
        remove_tree(&unfinished)?;
        let keep = cache.packages();
        fs::create_dir_all(&keep).with_context(|| format!("cannot create {}", keep.display()))?;
        let mut command = enter::namespace();
        command
            .env("KEEP", &keep)
            .args([
                "mmdebstrap",
                "--mode=root",
                "--format=directory",
                "--variant=minbase",
            ])
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            .args(
                apt_options
                    .iter()
                    .map(|option| format!("--aptopt={option}")),
            )
            .args(
                self.without
                    .iter()
                    .map(|path| format!("--dpkgopt=path-exclude={path}")),
            )
            .arg("--skip=essential/unlink")
            .args(self.keep_lists.then_some("--skip=cleanup/apt/lists"))
            .arg(format!("--setup-hook={SYNC_IN}"))
            .arg(format!("--customize-hook={SYNC_OUT}"))
            .arg(format!("--include={}", self.packages.join(",")))
            .arg(SUITE)
            .arg(&unfinished)
            .args(sources);
        let next = "check the network and this machine's apt, then run the same command again\n\
                    (another mirror: DEBIAN_MIRROR=<URI>)";
        logged(
            &mut command,
            log,
            &format!("cannot make the {} root", self.name),
            next,
        )?;
        fs::rename(&unfinished, target)
            .with_context(|| format!("cannot move {} into place", unfinished.display()))
    }
}
