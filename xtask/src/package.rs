// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask package`: Debian packages of the tools and of the module, in `target/packages`.

mod check;
mod content;
mod fail_over;
mod stage;
mod trial;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::remove_tree;
use crate::enter::Root;
use crate::env::Env;
use crate::process::compiled;
use crate::progress::Step;
use crate::{build, workspace};

pub use content::Package;

/// Where the directories are seen inside the tool-chain root.
const INSIDE: &str = "/mnt/packages";

/// Makes the package in the tree `$1` into the directory `/mnt/packages`.
///
/// What is compressed and listed here is the same however often it is made.
const MAKE: &str = r#"
cd "/mnt/packages/tree/$1"
find usr/share/doc usr/share/man -type f \( -name 'changelog*' -o -path '*/man/man*' \) -exec gzip -9n {} + 2>/dev/null || true
find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 -r md5sum > DEBIAN/md5sums
chmod 644 DEBIAN/md5sums
size=$(du -k -s --apparent-size --exclude=DEBIAN . | cut -f1)
sed -i "s/^Installed-Size: .*/Installed-Size: $size/" DEBIAN/control
find . -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0 -r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
dpkg-deb --root-owner-group -Zxz --build . "/mnt/packages/$2" >/dev/null
"#;

/// What `cargo xtask package` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Take the packages apart again, look whether everything is where it belongs, and have systemd and udev verify units
    /// and rules if this machine has them.
    #[arg(long)]
    pub check: bool,
    /// Install them in a fresh Debian, which is thrown away: systemd and udev verify units and rules, DKMS builds the
    /// module, which has to be that of `cargo xtask build`, and nothing is left of what is removed. Takes half an hour.
    #[arg(long = "try")]
    pub trial: bool,
    /// Build nothing: take what `cargo xtask build` left in target/dist.
    #[arg(long)]
    pub no_build: bool,
}

/// Builds everything and makes the packages; gives their files.
///
/// # Errors
///
/// When something does not compile, or a package is not as it has to be.
pub fn run(options: &Options) -> Result<Vec<PathBuf>> {
    let env = if options.no_build {
        Env::current()?
    } else {
        build::run(&build::Options::default())?
    };
    make(&env, options)
}

/// Makes the packages of what was built.
///
/// # Errors
///
/// As [`run`].
pub fn make(env: &Env, options: &Options) -> Result<Vec<PathBuf>> {
    let directory = workspace::root().join("target/packages");
    remove_tree(&directory)?;
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let packages = content::all(env)?;
    let mut files = Vec::new();
    for package in &packages {
        let step = Step::start(package.file_name());
        stage::stage(package, &directory.join("tree").join(&package.name))?;
        dpkg_deb(env, &directory, package)?;
        if options.check {
            check::check(env, &directory, package)?;
        }
        let file = directory.join(package.file_name());
        step.done(&file.display().to_string());
        files.push(file);
    }
    if options.check {
        let step = Step::start("units and rules");
        let verified = units::verify(&directory.join("tree"), &directory.join("root"))?;
        step.done(if verified {
            ""
        } else {
            "not verified: neither systemd-analyze nor udevadm is here"
        });
    }
    if options.trial {
        trial::run(env, &directory, &packages)?;
    }
    Ok(files)
}

fn dpkg_deb(env: &Env, directory: &Path, package: &Package) -> Result<()> {
    let script = format!("export SOURCE_DATE_EPOCH={}\n{MAKE}", package.date);
    let root = Root::at(&env.toolchain_root).bind(directory, INSIDE);
    compiled(
        &mut root.script(&script, &[&package.name, &package.file_name()]),
        &format!("cannot make the package {}", package.name),
    )
}
