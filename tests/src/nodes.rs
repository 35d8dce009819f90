// SPDX-License-Identifier: GPL-2.0-or-later
//! Any number of small nodes without DRBD: for what a cluster manager does by itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use drbd_qemu::{Lab, NodeSpec, PowerSwitch};

use crate::had::Had;
use crate::scenario::conclude;
use crate::side::Side;

/// Several guests on two busy cores.
const BOOT_LIMIT: Duration = Duration::from_secs(180);

const MEM_MB: u32 = 256;

/// What the nodes store data on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// On nothing that outlives them.
    #[default]
    Nothing,
    /// A disk of so many MiB that all of them have, `/dev/vdb`.
    SharedMib(u64),
    /// A disk of so many MiB that the last of them has, `/dev/vdb`, and a third network by which the others reach that node.
    OfLastMib(u64),
}

/// Nodes with two networks and a power switch.
pub struct Nodes {
    /// The machines and their networks.
    pub lab: Lab,
    /// The nodes, in the order of their names.
    pub sides: Vec<Side>,
    /// The power switch of all.
    pub power: PowerSwitch,
}

impl Nodes {
    /// Boots one node for each name.
    ///
    /// # Errors
    ///
    /// If one does not boot.
    pub fn boot(name: &str, names: &[&str], storage: Storage) -> Result<Nodes> {
        let mut lab = Lab::new(name)?;
        let power = lab.power_switch()?;
        let mut sides: Vec<Side> = Vec::new();
        for name in names {
            let mut spec = NodeSpec::bare(*name).cpus(1).mem_mb(MEM_MB).nics(2);
            match (storage, sides.first()) {
                (Storage::Nothing, _) => {}
                (Storage::SharedMib(mib), None) => spec = spec.disk_mib(mib),
                (Storage::SharedMib(_), Some(first)) => {
                    spec.qemu_args.extend(shares(first.node.disk_file(0)?));
                }
                (Storage::OfLastMib(mib), _) => {
                    spec = spec.nics(3);
                    if sides.len() + 1 == names.len() {
                        spec = spec.disk_mib(mib);
                    }
                }
            }
            let node = lab.add(spec)?;
            sides.push(Side { node });
        }
        let started = Instant::now();
        lab.boot(BOOT_LIMIT)?;
        let (count, took_s) = (sides.len(), started.elapsed().as_secs_f64());
        println!("{count} nodes are up after {took_s:.1} s");
        Ok(Nodes { lab, sides, power })
    }

    /// The nodes.
    #[must_use]
    pub fn all(&self) -> Vec<&Side> {
        self.sides.iter().collect()
    }

    /// Switches a node on again, with drbd-had on it.
    ///
    /// # Errors
    ///
    /// If it does not boot.
    pub fn rejoin(&self, had: &Had<'_>, side: &Side) -> Result<()> {
        side.node.start_again(BOOT_LIMIT)?;
        had.prepare(side)?;
        had.start(side)
    }
}

/// QEMU's words for a disk that another machine has as well. Both write to the host's memory of the file: what one flushed, the
/// other one reads.
fn shares(file: &Path) -> [String; 4] {
    let drive = format!(
        "file={},if=none,id=shared,format=raw,file.locking=off",
        file.display()
    );
    let device = "virtio-blk-pci,drive=shared,share-rw=on".to_owned();
    ["-drive".to_owned(), drive, "-device".to_owned(), device]
}

/// Cuts all links of a node, or repairs them.
///
/// # Errors
///
/// If it has none.
pub fn cut_off(side: &Side, cut: bool) -> Result<()> {
    for nic in 0..side.node.spec().nics {
        side.node.port(usize::from(nic))?.cut(cut);
    }
    Ok(())
}

/// Boots nodes of these names, plays `story`, checks the consoles and says how long it took.
///
/// # Panics
///
/// As [`crate::scenario()`].
pub fn scenario(name: &str, names: &[&str], story: impl FnOnce(&Nodes) -> Result<()>) {
    scenario_with(name, names, Storage::Nothing, story);
}

/// The same with something to store data on.
///
/// # Panics
///
/// As [`crate::scenario()`].
pub fn scenario_with(
    name: &str,
    names: &[&str],
    storage: Storage,
    story: impl FnOnce(&Nodes) -> Result<()>,
) {
    let started = Instant::now();
    let nodes = match Nodes::boot(name, names, storage) {
        Ok(nodes) => nodes,
        Err(error) => panic!("{name}: the nodes do not boot: {error:#}"),
    };
    let told = story(&nodes);
    conclude(name, &nodes.lab, &nodes.all(), told, started);
}
