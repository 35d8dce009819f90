// SPDX-License-Identifier: GPL-2.0-or-later
//! Two nodes that share a resource.

use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use drbd_qemu::{Disk, Kind, Lab, NodeSpec, PowerSwitch, MIB};

use crate::config::Config;
use crate::disks;
use crate::mapper;
use crate::side::Side;
use crate::writer::Writer;

/// Two guests on two busy cores.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// Which drivers meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairing {
    /// Ours on both.
    #[default]
    OursOurs,
    /// Ours on the first, the distribution's on the second.
    OursStock,
    /// The distribution's on the first, ours on the second.
    StockOurs,
    /// The distribution's on both, to compare with.
    StockStock,
}

impl Pairing {
    fn kinds(self) -> [Kind; 2] {
        match self {
            Pairing::OursOurs => [Kind::Ours, Kind::Ours],
            Pairing::OursStock => [Kind::Ours, Kind::Stock],
            Pairing::StockOurs => [Kind::Stock, Kind::Ours],
            Pairing::StockStock => [Kind::Stock, Kind::Stock],
        }
    }
}

/// What to boot.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which drivers meet.
    pub pairing: Pairing,
    /// Sizes of the data disks in MiB, on both nodes.
    pub disks_mib: Vec<u64>,
    /// The resource.
    pub config: Config,
    /// Memory of each node in MiB.
    pub mem_mb: u32,
    /// Whether the disks have write caches that forget what was not flushed
    /// when the power is cut.
    pub volatile: bool,
    /// Network cards; DRBD uses the first.
    pub nics: u8,
    /// Whether the nodes can switch each other off, see [`PowerSwitch`].
    pub power_switch: bool,
}

impl Default for Setup {
    /// Ours on both, one disk of 64 MiB, metadata on it.
    fn default() -> Setup {
        Setup {
            pairing: Pairing::default(),
            disks_mib: vec![64],
            config: Config::default(),
            mem_mb: 384,
            volatile: false,
            nics: 1,
            power_switch: false,
        }
    }
}

impl Setup {
    /// The default with another pairing.
    #[must_use]
    pub fn pairing(pairing: Pairing) -> Setup {
        Setup {
            pairing,
            ..Setup::default()
        }
    }

    /// The same with one data disk of `mib` MiB.
    #[must_use]
    pub fn disk_mib(mut self, mib: u64) -> Setup {
        self.disks_mib = vec![mib];
        self
    }

    /// The same with the disk behind a device mapper, see [`mapper`].
    #[must_use]
    pub fn mapped(mut self) -> Setup {
        self.config.mapped = true;
        self
    }

    /// The same with another line in the `net` section.
    #[must_use]
    pub fn net(mut self, line: &str) -> Setup {
        self.config.net.push(line.to_owned());
        self
    }

    /// The same with another line in the `options` section.
    #[must_use]
    pub fn option(mut self, line: &str) -> Setup {
        self.config.options.push(line.to_owned());
        self
    }

    /// The same with another line in the `handlers` section.
    #[must_use]
    pub fn handler(mut self, line: &str) -> Setup {
        self.config.handlers.push(line.to_owned());
        self
    }

    /// The same with another line in the `disk` section.
    #[must_use]
    pub fn disk_option(mut self, line: &str) -> Setup {
        self.config.disk.push(line.to_owned());
        self
    }
}

/// Two booted nodes, alpha and beta, each with `/etc/drbd.conf` and the driver
/// loaded.
pub struct Cluster {
    /// The machines and their network.
    pub lab: Lab,
    /// The first node.
    pub alpha: Side,
    /// The second node.
    pub beta: Side,
    /// The power switch of both, if they have one.
    pub power: Option<PowerSwitch>,
    config: Config,
}

impl Cluster {
    /// Boots two nodes.
    ///
    /// # Errors
    ///
    /// If they do not boot, or the driver cannot be loaded.
    pub fn boot(name: &str, setup: &Setup) -> Result<Cluster> {
        Cluster::boot_in(Lab::new(name)?, setup)
    }

    /// Boots two nodes in `lab`.
    ///
    /// # Errors
    ///
    /// As [`Cluster::boot`].
    pub fn boot_in(mut lab: Lab, setup: &Setup) -> Result<Cluster> {
        let power = match setup.power_switch {
            true => Some(lab.power_switch()?),
            false => None,
        };
        let mut add = |name: &str, kind: Kind| -> Result<Side> {
            let mut spec = NodeSpec::new(name, kind)
                .mem_mb(setup.mem_mb)
                .nics(setup.nics);
            for mib in &setup.disks_mib {
                let disk = Disk::new(mib * MIB);
                spec = spec.disk(if setup.volatile {
                    disk.volatile()
                } else {
                    disk
                });
            }
            Ok(Side {
                node: lab.add(spec)?,
            })
        };
        let [first, second] = setup.pairing.kinds();
        let (alpha, beta) = (add("alpha", first)?, add("beta", second)?);
        let started = Instant::now();
        lab.boot(BOOT_LIMIT)?;
        println!(
            "two nodes are up after {:.1} s",
            started.elapsed().as_secs_f64()
        );
        let cluster = Cluster {
            lab,
            alpha,
            beta,
            power,
            config: setup.config.clone(),
        };
        for side in cluster.sides() {
            cluster.prepare(side)?;
        }
        Ok(cluster)
    }

    /// Both nodes.
    #[must_use]
    pub fn sides(&self) -> [&Side; 2] {
        [&self.alpha, &self.beta]
    }

    /// Gives a freshly booted node its configuration and its driver.
    ///
    /// # Errors
    ///
    /// If the driver cannot be loaded.
    pub fn prepare(&self, side: &Side) -> Result<()> {
        self.configure(side, &self.config)?;
        if self.config.mapped {
            mapper::create(side)?;
        }
        side.load()
    }

    /// The configuration that nodes boot with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes `/etc/drbd.conf` of one node.
    ///
    /// # Errors
    ///
    /// If the node is gone.
    pub fn configure(&self, side: &Side, config: &Config) -> Result<()> {
        let hosts = self
            .sides()
            .map(|side| (side.name().to_owned(), side.node.ip(0).to_string()));
        let text = config.text(side.kind(), &hosts);
        Ok(side.node.put("/etc/drbd.conf", text.as_bytes())?)
    }

    /// Fresh metadata and a connection.
    ///
    /// # Errors
    ///
    /// If the nodes do not find each other.
    pub fn up(&self) -> Result<()> {
        for side in self.sides() {
            side.create_md()?;
            side.drbdadm("up")?;
        }
        for side in self.sides() {
            side.wait_connection("Connected")?;
        }
        Ok(())
    }

    /// Fresh metadata, a connection, and good data on both: alpha is Primary,
    /// and beta got all of its disk.
    ///
    /// # Errors
    ///
    /// If any of it takes too long.
    pub fn up_and_synced(&self) -> Result<()> {
        self.up()?;
        self.alpha.primary_force()?;
        for side in self.sides() {
            side.wait_healthy()?;
        }
        Ok(())
    }

    /// A connection of two disks that are declared good and equal, which they
    /// are if nobody wrote to them: spares large disks the initial sync. For
    /// ours on both.
    ///
    /// # Errors
    ///
    /// If any of it takes too long.
    pub fn up_without_sync(&self) -> Result<()> {
        for (side, peer_id) in self.sides().into_iter().zip([1, 0]) {
            side.create_md()?;
            // The size has to be known, or all of the disk is new to it.
            side.drbdadm("up")?;
            side.down()?;
            side.declare_good(self.config.meta_disk, peer_id)?;
        }
        for side in self.sides() {
            side.drbdadm("up")?;
        }
        for side in self.sides() {
            let view = side.wait_healthy()?;
            ensure!(
                view.out_of_sync_kib == 0,
                "{}: bits are set: {view:?}",
                side.name()
            );
        }
        Ok(())
    }

    /// Switches a node on again and gives it configuration and driver; the
    /// resource stays down.
    ///
    /// # Errors
    ///
    /// If it does not boot.
    pub fn power_on(&self, side: &Side) -> Result<()> {
        side.node.start_again(BOOT_LIMIT)?;
        self.prepare(side)
    }

    /// Alpha, Primary and mounted, hands over to beta: the disks are equal, the
    /// file system is clean and has every record that was acknowledged. Both
    /// are Secondary at the end.
    ///
    /// # Errors
    ///
    /// If any of it fails.
    pub fn hand_over(&self, acknowledged: u64) -> Result<()> {
        let (alpha, beta) = (&self.alpha, &self.beta);
        alpha.umount()?;
        alpha.secondary()?;
        self.compare_disks()?;
        beta.primary()?;
        beta.fsck()?;
        beta.mount()?;
        Writer::check(beta, "/mnt/records", acknowledged)?;
        beta.umount()?;
        beta.secondary()
    }

    /// Compares the replicated parts of both backing disks. Nothing may be
    /// writing.
    ///
    /// # Errors
    ///
    /// If they differ.
    pub fn compare_disks(&self) -> Result<()> {
        let bytes = self.alpha.device_bytes()?;
        self.compare_disks_of(bytes)
    }

    /// As [`Cluster::compare_disks`], for when no node is up.
    ///
    /// # Errors
    ///
    /// If they differ.
    pub fn compare_disks_of(&self, bytes: u64) -> Result<()> {
        let (one, two) = (self.alpha.node.disk_file(0)?, self.beta.node.disk_file(0)?);
        disks::compare(one, two, bytes)
    }

    /// Both nodes let go of everything; the drivers must be unloadable and
    /// the consoles clean.
    ///
    /// # Errors
    ///
    /// If something is left, or a kernel reported an error.
    pub fn finish(&self) -> Result<()> {
        for side in self.sides().into_iter().filter(|s| s.node.is_running()) {
            side.down()?;
        }
        for side in self.sides().into_iter().filter(|s| s.node.is_running()) {
            side.sh("rmmod drbd")?;
        }
        Ok(self.lab.check_consoles()?)
    }
}
