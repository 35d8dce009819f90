// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask package --try`: the packages as a user has them, in a Debian of their own that is thrown away.
//!
//! The Debian has nothing beside its essential packages and systemd, so that a dependency nobody declared is missed. Its
//! DKMS builds and installs the module, which is compared with the one of `cargo xtask build`, and removes it again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::content::{upstream, Package};
use super::{units, INSIDE};
use crate::cache::{remove_tree, with_suffix, Cache};
use crate::debroot::Recipe;
use crate::enter::Root;
use crate::env::Env;
use crate::kernel::{self, ARCHIVES};
use crate::process::logged;
use crate::progress::Step;
use crate::workspace;

/// What is there before the packages are.
const RECIPE: Recipe<'_> = Recipe {
    name: "package-trial",
    packages: &["ca-certificates", "kmod", "systemd", "udev"],
    without: &["/usr/share/locale/*", "/usr/share/info/*"],
    keep_lists: true,
};

/// Debian's part of the root, the compilers and the kernel's source, unpacked and compiled.
const ROOM_BYTES: u64 = 8 << 30;

/// Where the module of `cargo xtask build` is seen.
const DIST: &str = "/mnt/dist";

/// Debian's options for installing what somebody declines who wants nothing that is only recommended.
const APT_INSTALL: &str =
    "apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-unsafe-io";

/// What is left of ours when a package is gone, but for what the kernel's headers call drbd.
const LEFT: &str = r#"
nothing_left() {
    left=$(find / \( -path /proc -o -path /sys -o -path /dev -o -path /mnt -o -path /var/cache/apt \) -prune -o -name '*drbd*' -print)
    left=$(echo "$left" | grep -v -e '^/usr/include/linux/' -e '^/usr/src/linux-' -e '^/usr/lib/modules/[^/]*/kernel/' || true)
    [ -z "$left" ] || { echo "E: is left:"; echo "$left"; exit 1; }
}
"#;

/// What the kernel's own packages have: building is to change nothing of it.
const KERNEL: &str = r#"
of_the_kernel() {
    find "/usr/src/linux-headers-$1" "/usr/src/linux-headers-${1%-*}-common" "/usr/lib/linux-kbuild-${1%-*}" -ls | sort
}
"#;

/// Installs headers and modules of the kernel, then the package of the sources: its script has DKMS build and install.
const INSTALL: &str = r#"
release=$1; version=$2; deb=$3
mkdir -p /var/cache/apt/archives/partial
$apt_install "linux-headers-$release" "linux-modules-$release"
# The image's package would do that; nothing boots here.
depmod "$release"
modinfo -k "$release" -n drbd > /var/tmp/stock
of_the_kernel "$release" > /var/tmp/before
$apt_install "/mnt/packages/$deb"
dkms status drbd-rs | grep -q "^drbd-rs/$version, $release, x86_64: installed" || {
    cat /var/lib/dkms/drbd-rs/*/build/make.log 2>/dev/null
    echo "E: DKMS did not build and install it:"; dkms status
    exit 1
}
"#;

/// Compares DKMS's module with that of `cargo xtask build`: for which kernel, with what parameters, which symbols it has
/// and which it wants of the kernel. Debug information and signatures are not the same.
const COMPARE: &str = r#"
release=$1
mkdir -p /tmp/compare; cd /tmp/compare
file=$(modinfo -k "$release" -n drbd)
case $file in
    */updates/dkms/drbd.ko*) ;;
    *) echo "E: modprobe would take $file"; exit 1 ;;
esac
case $file in
    *.xz) xz -dc "$file" > dkms.ko ;;
    *.zst) zstd -dc "$file" > dkms.ko ;;
    *.gz) gzip -dc "$file" > dkms.ko ;;
    *) cp "$file" dkms.ko ;;
esac
cp /mnt/dist/drbd.ko built.ko
facts() {
    for field in vermagic version license depends alias parm; do modinfo -F "$field" "$1" | sort | sed "s/^/$field /"; done
    # Not every kernel has versions of symbols.
    modprobe --dump-modversions "$1" 2>/dev/null | sort -k 2 | sed 's/^/version /' || true
    nm --format=posix "$1" | cut -d ' ' -f 1,2 | sort | sed 's/^/symbol /'
}
facts built.ko > built.facts
facts dkms.ko > dkms.facts
[ "$(grep -c '^symbol .* U$' built.facts)" -gt 50 ] && [ "$(grep -c '^symbol ' built.facts)" -gt 500 ] || { echo "E: cannot read the symbols of a module"; exit 1; }
grep -q "^vermagic $release " dkms.facts || { echo "E: not for this kernel:"; grep ^vermagic dkms.facts; exit 1; }
diff built.facts dkms.facts || { echo "E: < is only in the module of cargo xtask build, > only in that of DKMS"; exit 1; }
wc -l < dkms.facts
cd /; rm -rf /tmp/compare
"#;

/// Removes the module with DKMS, then its package. Of the first the package's own files are left, of the second nothing.
const REMOVE: &str = r#"
release=$1; version=$2
dkms remove "drbd-rs/$version" --all
[ -z "$(dkms status drbd-rs)" ] || { echo "E: DKMS still has it:"; dkms status; exit 1; }
left=$(find /var/lib/dkms "/lib/modules/$release/" -path '*/kernel' -prune -o -name '*drbd*' -print)
[ -z "$left" ] || { echo "E: DKMS leaves: $left"; exit 1; }
modinfo -k "$release" -n drbd | diff /var/tmp/stock - || { echo "E: modprobe does not take the kernel's own again"; exit 1; }
find "/usr/src/drbd-rs-$version" | sort > /tmp/there
dpkg -L drbd-rs-dkms | grep "^/usr/src/drbd-rs-$version" | sort | diff - /tmp/there
rm /tmp/there
of_the_kernel "$release" | diff /var/tmp/before - || { echo "E: this became of the kernel's headers"; exit 1; }
altered=$(dpkg --verify drbd-rs-dkms)
[ -z "$altered" ] || { echo "E: altered: $altered"; exit 1; }
dpkg --purge drbd-rs-dkms
nothing_left
"#;

/// Installs the tools and the daemon. Nothing may be enabled by that.
const INSTALL_TOOLS: &str = r#"
for deb; do set -- "$@" "/mnt/packages/$deb"; shift; done
$apt_install "$@"
for unit in drbd.service drbd-had.service drbd@r0.target; do
    state=$(systemctl is-enabled "$unit" || true)
    [ "$state" = disabled ] || { echo "E: $unit is $state"; exit 1; }
done
drbdadm --version
drbd-had --version
"#;

/// Removes them, after the daemon's unit was enabled as its manual says.
const REMOVE_TOOLS: &str = r#"
systemctl enable drbd-had.service
dpkg --purge drbd-rs-ha drbd-rs-utils
nothing_left
"#;

/// Tries the packages that were made into `directory`.
///
/// # Errors
///
/// When the Debian cannot be made, a package cannot be installed or removed, systemd or udev complain of it, or DKMS's
/// module is not the one of `cargo xtask build`. The log is kept, the Debian is not.
pub(super) fn run(env: &Env, directory: &Path, packages: &[Package]) -> Result<()> {
    let cache = Cache::of_user()?;
    let _lock = cache.lock_part("package-trial")?;
    cache.want_room(ROOM_BYTES)?;
    let path = cache.path("package-trial");
    let clear = || remove_tree(&path).and_then(|()| remove_tree(&with_suffix(&path, ".tmp")));
    clear()?;
    let verdict = Trial::new(&cache, &path, env, directory).and_then(|trial| trial.run(packages));
    // What went wrong in the Debian matters more than that it stays.
    let cleared = clear();
    verdict.and(cleared)
}

struct Trial<'a> {
    cache: &'a Cache,
    root: Root,
    release: &'a str,
    log: PathBuf,
}

impl<'a> Trial<'a> {
    fn new(cache: &'a Cache, path: &Path, env: &'a Env, directory: &Path) -> Result<Self> {
        let step = Step::start("a Debian for the packages");
        RECIPE.make(cache, path)?;
        step.done("");
        let root = Root::at(path)
            .bind(cache.packages(), ARCHIVES)
            .bind(directory, INSIDE)
            .bind(workspace::dist(), DIST);
        Ok(Self {
            cache,
            root,
            release: &env.kernel_release,
            log: cache.fresh_log("package-trial-run"),
        })
    }

    fn run(&self, packages: &[Package]) -> Result<()> {
        let file = |name: &str| {
            let found = packages.iter().find(|package| package.name == name);
            found
                .map(Package::file_name)
                .with_context(|| format!("there is no package {name}"))
        };
        let (tools, daemon) = (file("drbd-rs-utils")?, file("drbd-rs-ha")?);
        self.step("install tools and daemon", || {
            self.online(INSTALL_TOOLS, &[&tools, &daemon])
        })?;
        self.step("units and rules", || {
            units::silent(&mut self.root.script(units::VERIFY_INSTALLED, &[]))
        })?;
        self.step("remove tools and daemon", || self.script(REMOVE_TOOLS, &[]))?;
        let (sources, version) = (file("drbd-rs-dkms")?, upstream());
        self.step("drbd.ko by DKMS", || {
            self.online(INSTALL, &[self.release, version, &sources])
        })?;
        self.step("compare", || self.script(COMPARE, &[self.release]))?;
        self.step("remove the module", || {
            self.script(REMOVE, &[self.release, version])
        })
    }

    fn step(&self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let step = Step::start(name.to_owned());
        work()?;
        step.done("");
        Ok(())
    }

    fn script(&self, text: &str, arguments: &[&str]) -> Result<()> {
        let script = format!("apt_install='{APT_INSTALL}'\n{LEFT}\n{KERNEL}\n{text}");
        logged(
            &mut self.root.script(&script, arguments),
            &self.log,
            "the packages do not do what they have to in a Debian of their own",
            "",
        )
    }

    /// Runs a script that fetches packages; without a mirror, those of earlier runs may do.
    fn online(&self, text: &str, arguments: &[&str]) -> Result<()> {
        let install = || self.script(text, arguments);
        install().or_else(|error| {
            match kernel::install_kept_packages(self.cache, &self.root, &self.log, &install) {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            }
        })
    }
}
