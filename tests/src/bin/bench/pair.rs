// SPDX-License-Identifier: GPL-2.0-or-later
//! The two machines both drivers are measured on.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use drbd_qemu::{scan, Accel, Lab, Node, NodeSpec};

use crate::driver::{products, Driver, Protocol, RESOURCE};

/// The replicated disk. In memory, so that the host's disks and QEMU's block
/// layer are no part of what is measured.
pub(crate) const DISK: &str = "/dev/ram0";

/// Bytes that are resynchronised at least.
const DATA_BYTES: u64 = 256 << 20;

/// Size of the disk: the data and, for either format, the metadata (4 KiB of
/// superblock, 32 KiB of activity log, 12 KiB of bitmap).
const DISK_KIB: u64 = (DATA_BYTES >> 10) + 48;

/// Two guests on two busy cores.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// For steps that take seconds.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// Two nodes with one processor each, joined without a switch between.
pub(crate) struct Pair {
    /// The machines.
    pub(crate) lab: Lab,
    /// It writes.
    pub(crate) primary: Node,
    /// It gets what is written.
    pub(crate) secondary: Node,
}

impl Pair {
    /// Boots the nodes, once no other exclusive lab is there, and tells when
    /// that was; `counted` ones tell what their kernels execute.
    ///
    /// # Errors
    ///
    /// If that takes longer than `patience`, they do not boot, or this host
    /// cannot count.
    pub(crate) fn boot(patience: Duration, counted: bool) -> Result<(Pair, Instant)> {
        let mut lab = Lab::exclusive("bench", patience)?;
        let started = Instant::now();
        lab.join_directly(0)?;
        let mut add = |name: &str| {
            // Bare nodes: no kernel argument that slows one driver more than
            // the other, and nothing on the console is let pass.
            let mut spec = NodeSpec::bare(name).cpus(1).mem_mb(1024);
            spec.counted = counted;
            for file in products() {
                spec = spec.file(file);
            }
            lab.add(spec)
        };
        let (primary, secondary) = (add("alpha")?, add("beta")?);
        lab.boot(BOOT_LIMIT)?;
        let pair = Pair {
            lab,
            primary,
            secondary,
        };
        for known in scan::known_of_stock() {
            let marks: Vec<&str> = known.marks.iter().map(String::as_str).collect();
            for node in pair.nodes() {
                node.tolerate(&known.name, &marks);
            }
        }
        // Every page of the RAM disks is there before the first measurement.
        pair.on_both(&format!(
            "modprobe brd rd_nr=1 rd_size={DISK_KIB} max_part=0\n\
             fio --name=fill --filename={DISK} --rw=write --bs=64k --direct=1 --ioengine=psync"
        ))?;
        Ok((pair, started))
    }

    /// The primary and the secondary.
    pub(crate) fn nodes(&self) -> [&Node; 2] {
        [&self.primary, &self.secondary]
    }

    /// What the machines are.
    pub(crate) fn description(&self) -> &'static str {
        match self.lab.accel() {
            Accel::Kvm => "KVM, 1 processor and 1 GiB each, disks in memory",
            Accel::Tcg => "TCG, 1 processor and 1 GiB each, disks in memory",
        }
    }

    /// Runs a script on both nodes at once; what it printed.
    ///
    /// # Errors
    ///
    /// If it fails on one.
    pub(crate) fn on_both(&self, script: &str) -> Result<[String; 2]> {
        let jobs = [self.primary.spawn(script)?, self.secondary.spawn(script)?];
        let mut said = [String::new(), String::new()];
        for ((job, node), said) in jobs.into_iter().zip(self.nodes()).zip(&mut said) {
            let output = job.wait(STEP_LIMIT)?;
            ensure!(
                output.success(),
                "{}: status {} of\n{script}\n{}{}",
                node.name(),
                output.status,
                output.stdout,
                output.stderr
            );
            *said = output.stdout;
        }
        Ok(said)
    }

    /// Loads the driver, gives the disks different content and new metadata,
    /// and connects the nodes; both disks are Inconsistent afterwards.
    ///
    /// # Errors
    ///
    /// If a tool or the driver refuses, or they do not find each other.
    pub(crate) fn up(&self, driver: Driver) -> Result<()> {
        self.configure(driver, Protocol::C)?;
        let mib = DATA_BYTES >> 20;
        self.secondary.sh(&format!(
            "dd if=/dev/zero of={DISK} bs=1M count={mib} oflag=direct status=none"
        ))?;
        // The metadata of the other driver's turn must not be converted.
        let wipe = format!(
            "dd if=/dev/zero of={DISK} bs=1k seek={} count=1024 oflag=direct status=none",
            DISK_KIB - 1024
        );
        let tools = driver.tools();
        let loaded = self.on_both(&format!("set -e; {wipe}; {}", driver.load()))?;
        for version in loaded {
            let wanted = driver.version();
            ensure!(
                version.starts_with(wanted),
                "driver {version} instead of {wanted}"
            );
        }
        self.on_both(&format!(
            "{tools} yes yes | $adm -- --force create-md {RESOURCE} && $adm up {RESOURCE}"
        ))?;
        self.wait(driver, driver.is_connected())?;
        ensure!(
            self.device_bytes()? >= DATA_BYTES,
            "the device is smaller than {DATA_BYTES} bytes"
        );
        Ok(())
    }

    /// Writes the configuration of both nodes.
    fn configure(&self, driver: Driver, protocol: Protocol) -> Result<()> {
        let host = |node: &Node| (node.name().to_owned(), node.ip(0).to_string());
        let config = driver.config(protocol, &[host(&self.primary), host(&self.secondary)]);
        for node in self.nodes() {
            node.put("/etc/drbd.conf", config.as_bytes())?;
        }
        Ok(())
    }

    /// Waits on both nodes until the driver's shell condition holds.
    ///
    /// # Errors
    ///
    /// If it does not within a minute.
    pub(crate) fn wait(&self, driver: Driver, condition: &str) -> Result<()> {
        let tools = driver.tools();
        self.on_both(&format!(
            "{tools} for i in {{1..250}}; do {condition} && exit 0; sleep 0.2; done\n\
             echo 'in vain: {}' >&2; $setup status >&2; cat /proc/drbd >&2; exit 1",
            condition.replace('\'', "")
        ))
        .map(drop)
    }

    /// Takes the resource, whose disks are good, down and up again with
    /// another protocol; the primary is Primary then, if it was or not.
    ///
    /// # Errors
    ///
    /// If the tools or the driver refuse.
    pub(crate) fn use_protocol(&self, driver: Driver, protocol: Protocol) -> Result<()> {
        let tools = driver.tools();
        self.on_both(&format!("{tools} $adm down {RESOURCE}"))?;
        self.configure(driver, protocol)?;
        self.on_both(&format!("{tools} $adm up {RESOURCE}"))?;
        self.wait(driver, driver.is_healthy())?;
        self.primary
            .sh(&format!("{tools} $adm primary {RESOURCE}"))
            .map(drop)?;
        Ok(())
    }

    /// Size of the replicated device in bytes.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn device_bytes(&self) -> Result<u64> {
        let sectors = self.primary.sh("cat /sys/block/drbd0/size")?;
        let sectors: u64 = sectors.trim().parse().context("size of the device")?;
        Ok(sectors * 512)
    }

    /// Takes the resource down, unloads the driver, and makes sure that it did
    /// replicate: both disks must be equal.
    ///
    /// # Errors
    ///
    /// If the driver does not go, or the disks differ.
    pub(crate) fn down(&self, driver: Driver) -> Result<()> {
        let tools = driver.tools();
        let blocks = self.device_bytes()? / 4096;
        self.on_both(&format!("{tools} $adm down {RESOURCE}; rmmod drbd"))?;
        let [one, two] = self.on_both(&format!(
            "set -o pipefail; head -c {} {DISK} | md5sum",
            blocks * 4096
        ))?;
        ensure!(
            one == two,
            "the disks differ after {driver}'s turn: it does not replicate"
        );
        Ok(())
    }
}
