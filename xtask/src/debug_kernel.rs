// SPDX-License-Identifier: GPL-2.0-or-later
//! A kernel that watches itself, for `cargo xtask test --debug-kernel`: KASAN sees every access to memory that is not
//! ours, lockdep every order of locks that could end in a deadlock and every sleep where none is allowed.
//!
//! It is made of the source of the kernel that everything else uses, once, in the cache; our module is built against
//! it, and the virtual machines boot it with the root file system they always have.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{content_key, remove_tree, with_suffix, write_atomically, Cache};
use crate::enter::Root;
use crate::env::Env;
use crate::module::{self, Flavour};
use crate::process::logged;
use crate::progress::Step;
use crate::scenario::Place;
use crate::{setup, workspace};

/// The scenarios that are worth the time such a kernel takes: every thread, lock and ending of the module, with load.
pub const SCENARIOS: [&str; 10] = [
    "life_of_the_module",
    "initial_sync_and_failover",
    "reconnect_resyncs_only_changed_blocks",
    "detach_attach_under_load",
    "link_down_under_load",
    "power_cut_of_secondary_under_load",
    "discard_and_zeroes",
    "flush_and_fua",
    "diskless_primary",
    "verify",
];

const CONFIG: &str = include_str!("../debug-kernel/config");

/// Raised when the way of making it changes.
const REVISION: &str = "1";

/// Where its directory is seen inside the tool-chain root; make writes this path into its files.
pub const INSIDE: &str = "/mnt/debug-kernel";

/// Where apt inside the root keeps packages.
const ARCHIVES: &str = "/var/cache/apt/archives";

/// What a build from nothing needs.
const ROOM_BYTES: u64 = 4 << 30;

/// Installs the LLVM tools that a kernel build needs beside clang, and unpacks source package `$1`.
const PREPARE: &str = r#"
if [ ! -x /usr/bin/ld.lld-19 ] || [ ! -x /usr/bin/llvm-nm-19 ]; then
    apt-get install --yes --no-install-recommends lld-19 llvm-19 || {
        apt-get update --error-on=any
        apt-get install --yes --no-install-recommends lld-19 llvm-19
    }
fi
cd /var/cache/apt/archives
version=$(dpkg-query -W -f '${Version}' "$1")
deb="$1_$(echo "$version" | sed 's/:/%3a/')_all.deb"
[ -e "$deb" ] || apt-get -o APT::Sandbox::User=root download "$1"
mkdir -p /mnt/debug-kernel/source /mnt/debug-kernel/out
dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$1.tar.xz" | tar -xJ -C /mnt/debug-kernel/source --strip-components=1
"#;

/// Configures and compiles. A build that was interrupted goes on.
const BUILD: &str = r#"
cd /mnt/debug-kernel/source
make O=/mnt/debug-kernel/out LLVM=-19 tinyconfig
scripts/kconfig/merge_config.sh -m -O /mnt/debug-kernel/out /mnt/debug-kernel/out/.config /mnt/debug-kernel/config
make O=/mnt/debug-kernel/out LLVM=-19 olddefconfig
for option in RUST KASAN PROVE_LOCKING DEBUG_ATOMIC_SLEEP VIRTIO_CONSOLE EROFS_FS OVERLAY_FS; do
    grep -q "^CONFIG_$option=y" /mnt/debug-kernel/out/.config || { echo "E: $option cannot be had"; exit 1; }
done
make O=/mnt/debug-kernel/out LLVM=-19 -j"$(nproc)" bzImage modules
cp /mnt/debug-kernel/out/arch/x86/boot/bzImage /mnt/debug-kernel/vmlinuz
cp /mnt/debug-kernel/out/include/config/kernel.release /mnt/debug-kernel/release
"#;

/// The kernel in the cache.
#[derive(Debug, Clone)]
pub struct DebugKernel {
    dir: PathBuf,
    /// `uname -r`.
    release: String,
}

impl DebugKernel {
    /// Its directory, to be seen at [`INSIDE`].
    pub fn directory(&self) -> &Path {
        &self.dir
    }
}

/// Makes the kernel unless it is there.
///
/// # Errors
///
/// When a package cannot be fetched, or it does not compile.
pub fn prepare() -> Result<DebugKernel> {
    let env = setup::run(false)?;
    let cache = Cache::of_user()?;
    let toolchain = env.toolchain_root.display().to_string();
    let key = content_key(&[REVISION, CONFIG, BUILD, &env.kernel_release, &toolchain]);
    let dir = cache.path(&format!("debug-kernel-{key}"));
    if !dir.is_dir() {
        // Half an hour in which nobody else has to wait for a set-up.
        let _lock = cache.lock_part("debug-kernel")?;
        make(&cache, &env, &dir)?;
    }
    let release = fs::read_to_string(dir.join("release"))
        .with_context(|| format!("cannot read the release of {}", dir.display()))?;
    Ok(DebugKernel {
        release: release.trim().to_owned(),
        dir,
    })
}

fn make(cache: &Cache, env: &Env, dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let unfinished = with_suffix(dir, ".tmp");
    fs::create_dir_all(&unfinished)
        .with_context(|| format!("cannot create {}", unfinished.display()))?;
    fs::write(unfinished.join("config"), CONFIG)?;
    let log = cache.fresh_log("debug-kernel");
    let root = Root::at(&env.toolchain_root)
        .bind(&unfinished, INSIDE)
        .bind(cache.packages(), ARCHIVES);
    let source = module::source_package(&env.kernel_release);
    let unpacked = unfinished.join("source/.unpacked");
    if !unpacked.is_file() {
        cache.want_room(ROOM_BYTES)?;
        let step = Step::start("debug kernel: source");
        let _packages = cache.lock()?;
        remove_tree(&unfinished.join("source"))?;
        logged(
            &mut root.script(PREPARE, &[&source]),
            &log,
            "cannot prepare the debug kernel",
            "check the network, then run the same command again",
        )?;
        fs::write(&unpacked, "")?;
        step.done("");
    }
    let step = Step::start("debug kernel: half an hour of compiling, once");
    logged(
        &mut root.script(BUILD, &[]),
        &log,
        "cannot compile the debug kernel",
        "the same command again goes on where it stopped",
    )?;
    step.done("");
    fs::rename(&unfinished, dir)
        .with_context(|| format!("cannot move {} into place", unfinished.display()))
}

/// Builds our module for the debug kernel, and lays out what the virtual machines get: that, the usual tools, and the
/// usual root file system.
///
/// # Errors
///
/// When the module does not compile, or a file cannot be written.
pub fn place(kernel: &DebugKernel) -> Result<Place> {
    let env = Env::current()?;
    let step = Step::start("drbd.ko for the debug kernel");
    module::build(&env, Flavour::Debug(kernel))?;
    step.done("");
    let dist = workspace::root().join("target/dist-debug");
    for tool in ["drbdadm", "drbdsetup", "drbdmeta", "drbd-ocf", "drbd-agent"] {
        module::install(&workspace::dist().join(tool), &dist.join(tool))?;
    }
    let manifest = dist.join("image.json");
    let description = serde_json::json!({
        "kernel_release": kernel.release,
        "vmlinuz": kernel.dir.join("vmlinuz"),
        "base_initrd": env.base_initrd,
        "rootfs": env.rootfs,
        "rootfs_fstype": env.rootfs_fstype,
        // Without the first, interpreting the firmware's interrupt tables under KASAN takes a minute. The allocator's own
        // checks, which nodes of ours boot with, see less than KASAN and made a resync take 1.7 times as long.
        "kernel_args": "pci=noacpi slub_debug=-",
        "memory_factor": 2,
        "patience": 5,
        "lockdep": true,
    });
    write_atomically(&manifest, &serde_json::to_string_pretty(&description)?)?;
    Ok(Place {
        dist,
        manifest,
        name: "scenarios-debug",
    })
}
