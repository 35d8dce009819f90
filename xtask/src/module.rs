// SPDX-License-Identifier: GPL-2.0-or-later
//! Building the kernel module inside the tool-chain root, in a copy of its sources below `target/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::remove_tree;
use crate::debug_kernel::{self, DebugKernel};
use crate::enter::Root;
use crate::env::Env;
use crate::process::compiled;
use crate::{copy, workspace};

/// Where the copy of the sources is seen inside the root.
const INSIDE: &str = "/mnt/module";

/// Builds for the headers in `$1` with further arguments of make, then leaves the stripped module as `drbd.ko.dist`.
///
/// Type information (BTF) stays, line tables go: they are in the unstripped module.
const BUILD: &str = r#"
headers=$1; shift
make -C "$headers" M=/mnt/module -j"$(nproc)" "$@" modules
objcopy --strip-debug /mnt/module/drbd.ko /mnt/module/drbd.ko.dist
"#;

/// A way to build the module; each has its own directory, for each compiles everything differently.
#[derive(Debug, Clone, Copy)]
pub enum Flavour<'a> {
    /// What users get.
    Plain,
    /// With a self-test that runs when the module is loaded.
    SelfTest,
    /// By clippy, warnings denied; the module is thrown away.
    Clippy,
    /// For the kernel that watches itself.
    Debug(&'a DebugKernel),
}

impl Flavour<'_> {
    fn directory(self) -> &'static str {
        match self {
            Self::Plain => "kmod-build",
            Self::SelfTest => "kmod-selftest",
            Self::Clippy => "kmod-clippy",
            Self::Debug(_) => "kmod-debug",
        }
    }

    fn make_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::SelfTest => &["DRBD_SELFTEST=1"],
            Self::Clippy => &["CLIPPY=1", "KRUSTFLAGS=-Dwarnings"],
            Self::Debug(_) => &["LLVM=-19"],
        }
    }

    /// Where the finished module goes, below `target/`.
    fn product(self) -> Option<&'static str> {
        match self {
            Self::Plain => Some("dist/drbd.ko"),
            Self::SelfTest => Some("selftest/drbd.ko"),
            Self::Clippy => None,
            Self::Debug(_) => Some("dist-debug/drbd.ko"),
        }
    }

    /// The directory of the kernel it is built for, as a path inside the tool-chain root.
    fn headers(self, env: &Env) -> String {
        match self {
            Self::Debug(_) => format!("{}/out", debug_kernel::INSIDE),
            Self::Plain | Self::SelfTest | Self::Clippy => env.headers_inside(),
        }
    }
}

/// Name of the package with the source of kernel `release`.
pub fn source_package(release: &str) -> String {
    format!("linux-source-{}", crate::kernel::series(release))
}

/// Builds the module in one flavour.
///
/// # Errors
///
/// When it does not compile; the compiler's messages were printed.
pub fn build(env: &Env, flavour: Flavour<'_>) -> Result<()> {
    let target = workspace::root().join("target");
    let directory = target.join(flavour.directory());
    let mut root = Root::at(&env.toolchain_root).bind(&directory, INSIDE);
    let mut compiler = format!("{}\n{}\n", env.toolchain_root.display(), env.kernel_release);
    if let Flavour::Debug(kernel) = flavour {
        root = root.bind(kernel.directory(), debug_kernel::INSIDE);
        compiler += &kernel.directory().to_string_lossy();
    }
    let stamp = directory.join(".compiler");
    // make knows when sources change, not when the compiler or the kernel does.
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&compiler) {
        remove_tree(&directory)?;
    }
    copy::update(&workspace::root(), &directory, &sources()?)?;
    fs::write(&stamp, &compiler).with_context(|| format!("cannot write {}", stamp.display()))?;

    let headers = flavour.headers(env);
    let mut arguments = vec![headers.as_str()];
    arguments.extend_from_slice(flavour.make_arguments());
    compiled(
        &mut root.script(BUILD, &arguments),
        "the kernel module does not compile",
    )?;
    match flavour.product() {
        Some(product) => install(&directory.join("drbd.ko.dist"), &target.join(product)),
        None => Ok(()),
    }
}

/// Sources of the module: what Kbuild compiles, whoever else compiles it too.
pub(crate) fn sources() -> Result<BTreeSet<PathBuf>> {
    Ok(workspace::files()?
        .into_iter()
        .filter(|file| is_source(file))
        .collect())
}

fn is_source(file: &Path) -> bool {
    file == Path::new("Kbuild")
        || ((file.starts_with("kmod") || file.starts_with("core/src"))
            && file
                .extension()
                .is_some_and(|kind| ["rs", "c", "h"].iter().any(|known| kind == *known)))
}

/// Puts `from` at `to` in one step, for somebody may be reading the old one.
pub fn install(from: &Path, to: &Path) -> Result<()> {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let next = crate::cache::with_suffix(to, ".new");
    fs::copy(from, &next).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::rename(&next, to).with_context(|| format!("cannot replace {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_modules_sources() {
        for yes in [
            "Kbuild",
            "kmod/os/bio.rs",
            "kmod/shim.h",
            "core/src/wire/header.rs",
        ] {
            assert!(is_source(Path::new(yes)), "{yes}");
        }
        for no in [
            "core/tests/a.rs",
            "core/Cargo.toml",
            "conf/src/lib.rs",
            "kmod/README.md",
        ] {
            assert!(!is_source(Path::new(no)), "{no}");
        }
    }

    #[test]
    fn installs_over_an_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("deep/b"));
        fs::write(&from, "new").unwrap();
        install(&from, &to).unwrap();
        fs::write(&from, "newer").unwrap();
        install(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "newer");
    }
}
