// SPDX-License-Identifier: GPL-2.0-or-later
//! One node of the pair and its part of the resource.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use drbd_qemu::{Kind, Node, Output};

use crate::config::{MetaDisk, DEVICE, RESOURCE};
use crate::view::View;
use crate::wait;

/// Any number will do; bit 0 would mean Primary.
const GOOD_GENERATION: &str = "AAAABBBBCCCCDDD0";

/// For what takes a second or two on an idle host.
pub const SOON: Duration = Duration::from_secs(40);

/// For a resync.
pub const SYNC_LIMIT: Duration = Duration::from_secs(180);

/// A booted node with the resource in its configuration.
#[derive(Clone)]
pub struct Side {
    /// The machine.
    pub node: Node,
}

impl Side {
    /// Whose driver it runs.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.node.spec().kind
    }

    /// Host name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.node.name()
    }

    /// Whether it runs ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.kind() == Kind::Ours
    }

    /// Runs a shell script that must succeed.
    ///
    /// # Errors
    ///
    /// See [`Node::sh`].
    pub fn sh(&self, script: &str) -> Result<String> {
        Ok(self.node.sh(script)?)
    }

    /// Runs a shell script that must fail; what it said and its status.
    ///
    /// # Errors
    ///
    /// If it succeeds.
    pub fn refused(&self, script: &str) -> Result<Output> {
        let output = self.node.run(script, drbd_qemu::SH_LIMIT)?;
        ensure!(
            !output.success(),
            "{}: `{script}` should have been refused, but succeeded\n{}{}",
            self.name(),
            output.stdout,
            output.stderr
        );
        Ok(output)
    }

    /// `drbdadm WORDS r0`.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn drbdadm(&self, words: &str) -> Result<String> {
        self.sh(&format!("drbdadm {words} {RESOURCE}"))
    }

    /// Loads the driver; on stock nodes that is the distribution's.
    ///
    /// # Errors
    ///
    /// If there is none, or it is the wrong one.
    pub fn load(&self) -> Result<()> {
        let version = self.sh("modprobe drbd && cat /sys/module/drbd/version")?;
        let wanted = if self.is_ours() { "9.90." } else { "8.4." };
        ensure!(
            version.starts_with(wanted),
            "{} runs driver {version}",
            self.name()
        );
        Ok(())
    }

    /// Writes fresh metadata over whatever is there.
    ///
    /// # Errors
    ///
    /// If the disk is in use or the tools refuse.
    pub fn create_md(&self) -> Result<()> {
        self.drbdadm("-- --force create-md").map(drop)
    }

    /// Makes the metadata of a resource that was up once say that the disk is
    /// good and equal to that of every node declared good so.
    ///
    /// # Errors
    ///
    /// If the disk is attached, or the driver is not ours.
    pub fn declare_good(&self, meta_disk: MetaDisk, peer_id: u8) -> Result<()> {
        ensure!(self.is_ours(), "{}: for v09 metadata only", self.name());
        let drbdmeta = format!("drbdmeta --force 0 v09 {}", meta_disk.drbdmeta_words());
        self.sh(&format!(
            "set -e -o pipefail\n\
             {drbdmeta} apply-al\n\
             {drbdmeta} set-gi --node-id {peer_id} {GOOD_GENERATION}:0:0:0:1:1\n\
             {drbdmeta} dump-md | sed '/^bitmap\\[/,$ s/0x[0-9A-F]*/0x0000000000000000/g' >/run/md\n\
             {drbdmeta} restore-md /run/md"
        ))
        .map(drop)
    }

    /// What it says about the resource.
    ///
    /// # Errors
    ///
    /// If the resource is not configured.
    pub fn view(&self) -> Result<View> {
        self.view_of(0)
    }

    /// What it says about a volume of the resource, whose minor has the same number.
    ///
    /// # Errors
    ///
    /// If the resource is not configured.
    pub fn view_of(&self, volume: u16) -> Result<View> {
        if self.is_ours() {
            let words = format!("drbdsetup status --json --statistics --verbose {RESOURCE}");
            View::of_volume(&self.sh(&words)?, volume)
        } else {
            View::of_minor(&self.sh("cat /proc/drbd")?, volume)
        }
    }

    /// Waits until its view is `good`.
    ///
    /// # Errors
    ///
    /// After `limit`, with the last view.
    pub fn wait(
        &self,
        what: &str,
        limit: Duration,
        good: impl FnMut(&View) -> bool,
    ) -> Result<View> {
        self.wait_of(0, what, limit, good)
    }

    /// The same for its view of a volume.
    ///
    /// # Errors
    ///
    /// As [`Side::wait`].
    pub fn wait_of(
        &self,
        volume: u16,
        what: &str,
        limit: Duration,
        good: impl FnMut(&View) -> bool,
    ) -> Result<View> {
        wait::until(what, limit, || self.view_of(volume), good)
            .with_context(|| format!("{}: {}", self.name(), self.node.console_tail()))
    }

    /// Waits until the connection is in `state`.
    ///
    /// # Errors
    ///
    /// After [`SOON`].
    pub fn wait_connection(&self, state: &str) -> Result<View> {
        let what = format!("connection state {state}");
        self.wait(&what, SOON, |view| view.connection == state)
    }

    /// Waits until both disks are good and nothing is resynchronised.
    ///
    /// # Errors
    ///
    /// After [`SYNC_LIMIT`].
    pub fn wait_healthy(&self) -> Result<View> {
        self.wait("both disks UpToDate", SYNC_LIMIT, View::is_healthy)
    }

    /// Becomes Primary.
    ///
    /// # Errors
    ///
    /// If the driver refuses.
    pub fn primary(&self) -> Result<()> {
        self.drbdadm("primary").map(drop)
    }

    /// Becomes Primary although its disk is not known to be good.
    ///
    /// # Errors
    ///
    /// If the driver refuses.
    pub fn primary_force(&self) -> Result<()> {
        self.drbdadm("-- --force primary").map(drop)
    }

    /// Becomes Secondary.
    ///
    /// # Errors
    ///
    /// If the device is in use.
    pub fn secondary(&self) -> Result<()> {
        self.drbdadm("secondary").map(drop)
    }

    /// Makes a file system on the device and mounts it on /mnt.
    ///
    /// # Errors
    ///
    /// If the node is not Primary.
    pub fn mkfs_and_mount(&self) -> Result<()> {
        self.sh(&format!("mkfs.ext4 -q {DEVICE} && mount {DEVICE} /mnt"))
            .map(drop)
    }

    /// Mounts the device on /mnt.
    ///
    /// # Errors
    ///
    /// If the node is not Primary, or there is no file system.
    pub fn mount(&self) -> Result<()> {
        self.sh(&format!("mount {DEVICE} /mnt")).map(drop)
    }

    /// Unmounts /mnt.
    ///
    /// # Errors
    ///
    /// If something uses it.
    pub fn umount(&self) -> Result<()> {
        self.sh("umount /mnt").map(drop)
    }

    /// Checks the unmounted file system without repairing anything; the
    /// journal has been replayed by then, or is by this.
    ///
    /// # Errors
    ///
    /// If it is damaged.
    pub fn fsck(&self) -> Result<()> {
        // Status 1: the journal was replayed, which a crash explains.
        let output = self
            .node
            .run(&format!("e2fsck -f -p {DEVICE}"), drbd_qemu::SH_LIMIT)?;
        ensure!(
            output.status <= 1,
            "{}: the file system is damaged\n{}{}",
            self.name(),
            output.stdout,
            output.stderr
        );
        Ok(())
    }

    /// Size of the device in bytes: the part of the disk that is replicated.
    ///
    /// # Errors
    ///
    /// If there is no device.
    pub fn device_bytes(&self) -> Result<u64> {
        let sectors: u64 = self.sh("cat /sys/block/drbd0/size")?.trim().parse()?;
        ensure!(sectors > 0, "{}: the device has no size", self.name());
        Ok(sectors * 512)
    }

    /// What the data disks acknowledged is on their media.
    ///
    /// # Errors
    ///
    /// If a disk fails.
    pub fn flush_disks(&self) -> Result<()> {
        self.sh("python3 -c 'import glob, os
for disk in glob.glob(\"/dev/vd[b-z]\"): os.fsync(os.open(disk, os.O_RDONLY))'")
            .map(drop)
    }

    /// Bytes that the guest sent over all its links since it booted.
    ///
    /// # Errors
    ///
    /// If the guest does not answer.
    pub fn bytes_sent(&self) -> Result<u64> {
        let counters = self.sh(
            "for i in /sys/class/net/*; do case $i in */lo) ;; *) cat $i/statistics/tx_bytes;; esac; done",
        )?;
        let numbers = counters.split_whitespace().map(str::parse::<u64>);
        Ok(numbers.flatten().sum())
    }

    /// MiB that the first disk takes on the host: what was discarded takes none.
    ///
    /// # Errors
    ///
    /// If the disk has no file of its own.
    pub fn allocated_mib(&self) -> Result<u64> {
        let file = std::fs::metadata(self.node.disk_file(0)?)?;
        Ok((file.blocks() * 512) >> 20)
    }

    /// Unmounts nothing, takes the resource down and the driver out.
    ///
    /// # Errors
    ///
    /// If anything still uses it.
    pub fn down(&self) -> Result<()> {
        self.drbdadm("down").map(drop)
    }
}
