// SPDX-License-Identifier: GPL-2.0-or-later
//! The tool-chain root: Debian's own compilers, the same that built the kernel.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::{content_key, Cache};
use crate::debroot::Recipe;
use crate::progress::Step;

/// Compilers and tools that a kernel module needs, and those that make our images.
const RECIPE: Recipe<'_> = Recipe {
    name: "toolchain",
    packages: &[
        "rustc",
        "rust-src",
        "rustfmt",
        "rust-clippy",
        "bindgen",
        "gcc",
        "gcc-14",
        "libc6-dev",
        "make",
        "bc",
        "flex",
        "bison",
        "libelf-dev",
        "libssl-dev",
        "clang-19",
        "libclang-19-dev",
        "dwarves",
        "xz-utils",
        "cpio",
        "kmod",
        "python3-minimal",
        "ca-certificates",
        "erofs-utils",
    ],
    without: &[
        "/usr/share/man/*",
        "/usr/share/doc/*",
        "/usr/share/locale/*",
        "/usr/share/info/*",
    ],
    keep_lists: true,
};

/// Where the root is or will be.
pub fn path(cache: &Cache) -> PathBuf {
    cache.path(&format!("toolchain-{}", content_key(&[&RECIPE.text()])))
}

/// Makes the root unless it is there.
///
/// # Errors
///
/// As [`Recipe::make`].
pub fn prepare(cache: &Cache) -> Result<PathBuf> {
    let root = path(cache);
    if root.is_dir() {
        return Ok(root);
    }
    let step = Step::start("tool-chain root");
    RECIPE.make(cache, &root)?;
    step.done(&root.display().to_string());
    Ok(root)
}
