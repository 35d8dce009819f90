// SPDX-License-Identifier: GPL-2.0-or-later
//! What virtual machines boot: kernel image, base of the initial file system, read-only root file system.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{content_key, remove_tree, with_suffix, Cache};
use crate::debroot::Recipe;
use crate::enter::Root;
use crate::initrd;
use crate::kernel::Kernel;
use crate::modules::{self, Dependencies};
use crate::process::logged;
use crate::progress::Step;

/// The type of the root file system: read-only, uncompressed pages are read straight from the image.
pub const ROOTFS_TYPE: &str = "erofs";

/// Raised when the way of making images changes, so that old ones are not taken for new.
const REVISION: &str = "1";

const RECIPE: Recipe<'_> = Recipe {
    name: "vm",
    packages: &[
        "busybox-static",
        "corosync",
        "dlm-controld",
        "dmsetup",
        "drbd-utils",
        "e2fsprogs",
        "ethtool",
        "fence-agents-common",
        "fio",
        "gfs2-utils",
        "iproute2",
        "iputils-ping",
        "kmod",
        "libxml2-utils",
        "nbd-client",
        "netcat-openbsd",
        "open-iscsi",
        "pacemaker",
        "pacemaker-cli-utils",
        "procps",
        "psmisc",
        "python3-minimal",
        "resource-agents",
        "strace",
        "tcpdump",
        "udev",
        "util-linux",
        "xfsprogs",
    ],
    without: &[
        "/usr/share/man/*",
        "/usr/share/doc/*",
        "/usr/share/locale/*",
        "/usr/share/info/*",
        "/usr/share/i18n/*",
        "/usr/share/zoneinfo/*",
        "/usr/lib/udev/hwdb.d/*",
    ],
    keep_lists: false,
};

/// Modules of the root file system: names, or directories below the kernel tree.
const MODULES: [&str; 42] = [
    "arch/",
    "block/",
    "crypto/",
    "lib/",
    "mm/",
    "drivers/block/",
    "drivers/md/",
    "drivers/virtio/",
    "drivers/char/hw_random/",
    "fs/btrfs/",
    "fs/erofs/",
    "fs/ext4/",
    "fs/gfs2/",
    "fs/xfs/",
    "fs/overlayfs/",
    "fs/squashfs/",
    "fs/9p/",
    "fs/fuse/",
    "fs/nls/",
    "net/9p/",
    "net/bridge/",
    "net/core/",
    "net/ipv4/",
    "net/sched/",
    "net/netfilter/",
    "net/vmw_vsock/",
    "virtio_net",
    "virtio_scsi",
    "scsi_debug",
    "sd_mod",
    "iscsi_tcp",
    "iscsi_target_mod",
    "target_core_iblock",
    "veth",
    "dummy",
    "tun",
    "bonding",
    "i6300esb",
    "softdog",
    "drbd",
    "brd",
    "null_blk",
];

/// Those of [`MODULES`] that a kernel may have built in.
const MAY_LACK: [&str; 5] = ["mm/", "block/", "drivers/virtio/", "net/core/", "sd_mod"];

/// Finishes the root file system at `/image`: kernel modules from `/lay/tree`, names, no passwords, nothing to do at boot.
const FINISH: &str = r#"
mkdir -p /image/usr/lib/modules
cp -a "/lay/tree/lib/modules/$1" /image/usr/lib/modules/
rm -rf /image/usr/lib/udev/hwdb.bin /image/boot /image/var/cache/apt/* /image/var/log/* /image/dev/*
mkdir -p /image/boot /image/opt/drbd-rs /image/var/lib/drbd /image/etc/drbd.d
sed -i 's/^root:[^:]*:/root::/' /image/etc/shadow
echo drbd > /image/etc/hostname
printf '127.0.0.1 localhost\n' > /image/etc/hosts
: > /image/etc/fstab
rm -f /image/etc/resolv.conf
rm -f /out/rootfs.erofs
mkfs.erofs -T0 -U 00000000-0000-4000-8000-000000000001 /out/rootfs.erofs /image
"#;

/// The three files, in a directory of the cache.
#[derive(Debug, Clone)]
pub struct Image {
    dir: PathBuf,
}

impl Image {
    /// Kernel image.
    pub fn vmlinuz(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// Base of the initial file system.
    pub fn base_initrd(&self) -> PathBuf {
        self.dir.join("base-initrd.cpio")
    }

    /// Root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs.erofs")
    }
}

/// Where the image for `kernel` is or will be.
pub fn path(cache: &Cache, kernel: &Kernel) -> PathBuf {
    let key = content_key(&[
        REVISION,
        &RECIPE.text(),
        FINISH,
        &MODULES.join(" "),
        &initrd::MODULES.join(" "),
        &kernel.release,
        &kernel.version,
    ]);
    cache.path(&format!("vm-{key}"))
}

/// The image for `kernel` when it is there.
pub fn existing(cache: &Cache, kernel: &Kernel) -> Option<Image> {
    let dir = path(cache, kernel);
    dir.is_dir().then_some(Image { dir })
}

/// Makes the image unless it is there.
///
/// # Errors
///
/// When a package cannot be fetched or a file system cannot be made.
pub fn prepare(cache: &Cache, toolchain: &Path, kernel: &Kernel) -> Result<Image> {
    if let Some(image) = existing(cache, kernel) {
        return Ok(image);
    }
    let dir = path(cache, kernel);
    let unfinished = Image {
        dir: with_suffix(&dir, ".tmp"),
    };
    let root_tree = with_suffix(&dir, ".root");
    let step = Step::start("virtual machines: Debian packages");
    if !root_tree.is_dir() {
        RECIPE.make(cache, &root_tree)?;
    }
    step.done("");

    let step = Step::start("virtual machines: image");
    remove_tree(&unfinished.dir)?;
    fs::create_dir_all(&unfinished.dir)
        .with_context(|| format!("cannot create {}", unfinished.dir.display()))?;
    assemble(cache, toolchain, kernel, &root_tree, &unfinished)?;
    fs::rename(&unfinished.dir, &dir)
        .with_context(|| format!("cannot move {} into place", unfinished.dir.display()))?;
    remove_tree(&root_tree)?;
    step.done(&dir.display().to_string());
    Ok(Image { dir })
}

fn assemble(
    cache: &Cache,
    toolchain: &Path,
    kernel: &Kernel,
    root_tree: &Path,
    image: &Image,
) -> Result<()> {
    let log = cache.fresh_log("vm-image");
    let tree = kernel.tree(toolchain);
    let inside = Path::new("/").join(tree.strip_prefix(toolchain)?);
    let inside = inside.to_string_lossy();
    let root = Root::at(toolchain);
    let dependencies = Dependencies::load(&tree, &kernel.release)?;

    let early = image.dir.join("early");
    let files = dependencies.select(&initrd::MODULES, &initrd::MAY_LACK)?;
    modules::lay_out(&root, &inside, &kernel.release, &files, &early, &log)?;
    initrd::write(
        &image.base_initrd(),
        &root_tree.join("usr/bin/busybox"),
        &early.join("tree"),
    )?;
    remove_tree(&early)?;

    let late = image.dir.join("late");
    let files = dependencies.select(&MODULES, &MAY_LACK)?;
    modules::lay_out(&root, &inside, &kernel.release, &files, &late, &log)?;
    let finish = root
        .bind(root_tree, "/image")
        .bind(&late, "/lay")
        .bind(&image.dir, "/out");
    logged(
        &mut finish.script(FINISH, &[&kernel.release]),
        &log,
        "cannot make the root file system of virtual machines",
        "cargo xtask setup --refresh",
    )?;
    remove_tree(&late)?;

    let vmlinuz = tree
        .join("usr/lib/modules")
        .join(&kernel.release)
        .join("vmlinuz");
    fs::copy(&vmlinuz, image.vmlinuz())
        .with_context(|| format!("cannot copy {}", vmlinuz.display()))?;
    Ok(())
}
