// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask setup`: everything that a build and a boot need, made once per machine.

use anyhow::Result;

use crate::cache::{remove_tree, Cache};
use crate::env::Env;
use crate::kernel::{self, Kernel};
use crate::{host, image, toolchain};

/// What a setup from nothing needs at its peak.
const ROOM_BYTES: u64 = 6 << 30;

/// Makes ready what is missing and returns where everything is; costs nothing when nothing is missing.
///
/// With `refresh`, everything is made anew from what the mirror has today.
///
/// # Errors
///
/// When a step fails; a later run resumes behind the last step that was finished.
pub fn run(refresh: bool) -> Result<Env> {
    let cache = Cache::of_user()?;
    host::prepare(&cache)?;
    if !refresh {
        if let Some(env) = ready(&cache) {
            env.store(&cache)?;
            return Ok(env);
        }
    }
    let _lock = cache.lock()?;
    cache.want_room(ROOM_BYTES)?;
    if refresh {
        if let Some(kernel) = Kernel::ready(&toolchain::path(&cache)) {
            remove_tree(&image::path(&cache, &kernel))?;
        }
        remove_tree(&toolchain::path(&cache))?;
    }
    let toolchain_root = toolchain::prepare(&cache)?;
    let kernel = kernel::prepare(&cache, &toolchain_root)?;
    // A build can start before the image is there.
    let ready = ready(&cache).unwrap_or(Env {
        toolchain_root: toolchain_root.clone(),
        kernel_release: kernel.release.clone(),
        ..Env::default()
    });
    ready.store(&cache)?;
    let image = image::prepare(&cache, &toolchain_root, &kernel)?;
    let env = complete(ready, &image);
    env.store(&cache)?;
    Ok(env)
}

/// The manifest when nothing is missing.
fn ready(cache: &Cache) -> Option<Env> {
    let toolchain_root = toolchain::path(cache);
    let kernel = Kernel::ready(&toolchain_root)?;
    let image = image::existing(cache, &kernel)?;
    let env = Env {
        toolchain_root,
        kernel_release: kernel.release,
        ..Env::default()
    };
    Some(complete(env, &image))
}

fn complete(env: Env, image: &image::Image) -> Env {
    Env {
        vmlinuz: Some(image.vmlinuz()),
        base_initrd: Some(image.base_initrd()),
        rootfs: Some(image.rootfs()),
        rootfs_fstype: Some(image::ROOTFS_TYPE.to_owned()),
        ..env
    }
}
