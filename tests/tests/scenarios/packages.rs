// SPDX-License-Identifier: GPL-2.0-or-later
//! The Debian packages take the place of the distribution's: installed by dpkg over its drbd-utils and its driver, used,
//! and removed again.

use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use drbd_tests::scenario::step;
use drbd_tests::{scenario, Cluster, Pairing, Setup, Side};

/// Nobody is asked; the administrator's files stay as they are.
const DPKG: &str = "export DEBIAN_FRONTEND=noninteractive; dpkg --force-confdef --force-confold";

#[test]
fn packages() {
    let setup = Setup::pairing(Pairing::StockStock);
    scenario("packages", &setup, story);
}

fn story(cluster: &Cluster) -> Result<()> {
    let files = files()?;
    for side in cluster.sides() {
        for file in &files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            side.node.put_file(file, &format!("/root/{name}"))?;
        }
        step("install", || install(side))?;
    }
    let (alpha, beta) = (&cluster.alpha, &cluster.beta);
    step("up", || -> Result<()> {
        for side in cluster.sides() {
            side.sh("drbdadm -- --force create-md r0 && drbdadm up r0")?;
        }
        alpha.sh("drbdsetup wait-connect-resource r0 --wfc-timeout=120")?;
        alpha.sh("drbdadm primary --force r0")?;
        alpha.sh("drbdsetup wait-sync-resource r0 --wfc-timeout=240")?;
        alpha.mkfs_and_mount()?;
        alpha.sh("echo kept >/mnt/file && umount /mnt && drbdadm secondary r0")?;
        beta.sh("/usr/lib/drbd/scripts/drbd-wait-promotable.sh r0 && drbdadm primary r0")?;
        let read = beta.sh("mount /dev/drbd0 /mnt && cat /mnt/file && umount /mnt")?;
        ensure!(read.trim() == "kept", "{read}");
        beta.sh("drbdadm secondary r0").map(drop)
    })?;
    step("links", || links(alpha))?;
    for side in cluster.sides() {
        side.sh("drbdadm down r0 && rmmod drbd")?;
        step("remove", || remove(side))?;
    }
    Ok(cluster.lab.check_consoles()?)
}

/// The packages that were made; the sources are for machines with compilers.
fn files() -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/packages");
    let entries = std::fs::read_dir(&directory).with_context(|| {
        format!(
            "{} is not there\n  make it:  cargo xtask package",
            directory.display()
        )
    })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".deb") && !name.contains("-dkms_")
        })
        .collect();
    files.sort();
    ensure!(files.len() == 3, "three packages: {files:?}");
    Ok(files)
}

fn install(side: &Side) -> Result<()> {
    let before = side.sh("cat /etc/drbd.conf")?;
    side.sh("rmmod drbd")?;
    side.sh(&format!("{DPKG} -i /root/*.deb"))?;
    ensure!(side.sh("dpkg --audit")?.is_empty(), "dpkg is not content");
    // Its files below /etc may be left, nothing else.
    let gone = side.sh("dpkg-query --show --showformat='${db:Status-Status}' drbd-utils")?;
    ensure!(gone == "config-files", "drbd-utils is {gone}");
    // The image has no manual pages, whatever package they are of.
    let altered =
        side.sh("dpkg --verify drbd-rs-utils | grep -v -e ' c /etc/' -e ' /usr/share/' || true")?;
    ensure!(altered.is_empty(), "{altered}");
    ensure!(
        before == side.sh("cat /etc/drbd.conf")?,
        "drbd.conf changed"
    );
    let version = side.sh("drbdadm --version")?;
    ensure!(version.contains("DRBDADM_VERSION=9.90"), "{version}");
    let module = side.sh("modinfo -F filename drbd")?;
    ensure!(module.contains("/updates/drbd.ko"), "{module}");
    let loaded = side.sh("modprobe drbd && cat /sys/module/drbd/version")?;
    ensure!(loaded.starts_with("9.90."), "{loaded}");
    Ok(())
}

/// udev makes the links that are documented, from the configuration and without.
fn links(side: &Side) -> Result<()> {
    side.sh("/usr/lib/systemd/systemd-udevd --daemon")?;
    let trigger =
        "udevadm trigger --action=change --sysname-match='drbd*' && udevadm settle --timeout=60";
    side.sh(trigger)?;
    let by_disk = side.sh("readlink -f /dev/drbd/by-disk/vdb")?;
    ensure!(by_disk.trim() == "/dev/drbd0", "by-disk: {by_disk}");
    let by_res = side.sh("find /dev/drbd/by-res -type l | xargs readlink -f")?;
    ensure!(by_res.trim() == "/dev/drbd0", "by-res: {by_res}");
    side.sh("mv /etc/drbd.conf /etc/drbd.conf.away")?;
    side.sh(trigger)?;
    let without = side.sh("readlink -f /dev/drbd/by-res/r0/0")?;
    ensure!(without.trim() == "/dev/drbd0", "from the kernel: {without}");
    side.sh("mv /etc/drbd.conf.away /etc/drbd.conf; udevadm control --exit")
        .map(drop)
}

fn remove(side: &Side) -> Result<()> {
    let modules = "$(dpkg-query -W -f='${Package}\\n' 'drbd-rs-modules-*')";
    side.sh(&format!("dpkg --remove drbd-rs-ha drbd-rs-utils {modules}"))?;
    side.sh("dpkg --purge drbd-rs-ha drbd-rs-utils")?;
    let module = side.sh("modinfo -F filename drbd")?;
    ensure!(module.contains("/kernel/"), "{module}");
    let left =
        side.sh("ls /usr/sbin/drbd* /usr/lib/udev/rules.d/65-drbd.rules 2>/dev/null || true")?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}
