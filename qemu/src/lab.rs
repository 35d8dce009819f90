// SPDX-License-Identifier: GPL-2.0-or-later
//! A set of nodes and their networks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::Flock;

use crate::accel::Accel;
use crate::console::Console;
use crate::counting;
use crate::disk::ServedDisk;
use crate::dist;
use crate::error::{Error, Result};
use crate::image::{patient, Image};
use crate::machine::{Medium, Plug};
use crate::node::{Inner, Node};
use crate::place;
use crate::power::PowerSwitch;
use crate::scan;
use crate::spec::{Cache, Kind, NodeSpec};
use crate::switch::Switch;

/// What all nodes of a lab share.
pub(crate) struct Shared {
    pub(crate) image: Image,
    pub(crate) accel: Accel,
    pub(crate) dist: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    names: Mutex<Vec<(String, String)>>,
    /// QEMU's plugin for nodes that are counted.
    counting: OnceLock<PathBuf>,
}

impl Shared {
    /// Content of `/etc/hosts` for all nodes added so far.
    pub(crate) fn hosts(&self) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = names.iter().map(|(ip, name)| format!("{ip} {name}\n"));
        std::iter::once("127.0.0.1 localhost\n".to_owned())
            .chain(lines)
            .collect()
    }

    /// The plugin of nodes that are counted, made for the first of them.
    fn counting(&self) -> Result<PathBuf> {
        if let Some(plugin) = self.counting.get() {
            return Ok(plugin.clone());
        }
        let plugin = counting::plugin(&self.run_dir)?;
        Ok(self.counting.get_or_init(|| plugin).clone())
    }
}

/// Nodes, networks, disks and consoles, all gone when this is dropped but the
/// consoles' logs.
pub struct Lab {
    name: String,
    shared: Arc<Shared>,
    nodes: Vec<Node>,
    switches: Vec<Switch>,
    direct: Vec<u8>,
    power: Option<PowerSwitch>,
    /// Keeps others' labs away.
    _exclusive: Option<Flock<File>>,
}

impl Lab {
    /// A lab without nodes. `name` is for the directory of its logs,
    /// `target/lab/NAME.PID`.
    ///
    /// # Errors
    ///
    /// [`Error::Image`] without an image; what making directories reports.
    pub fn new(name: &str) -> Result<Lab> {
        Lab::with_lock(name, None)
    }

    /// As [`Lab::new`], once no other lab made so exists on this host: for
    /// measurements.
    ///
    /// # Errors
    ///
    /// Also [`Error::Timeout`] after `limit`.
    pub fn exclusive(name: &str, limit: Duration) -> Result<Lab> {
        let lock = place::lock(name, limit)?;
        Lab::with_lock(name, Some(lock))
    }

    fn with_lock(name: &str, exclusive: Option<Flock<File>>) -> Result<Lab> {
        let image = Image::current()?;
        let accel = Accel::detect(&image)?;
        let run_dir = place::run_dir()?;
        let log_dir = place::log_dir(name)?;
        let names = Mutex::default();
        let shared = Shared {
            image,
            accel,
            dist: dist::dist_dir(),
            run_dir,
            log_dir,
            names,
            counting: OnceLock::new(),
        };
        Ok(Lab {
            name: name.to_owned(),
            shared: Arc::new(shared),
            nodes: Vec::new(),
            switches: Vec::new(),
            direct: Vec::new(),
            power: None,
            _exclusive: exclusive,
        })
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its guests are run.
    #[must_use]
    pub fn accel(&self) -> Accel {
        self.shared.accel
    }

    /// Whether the kernel of its nodes has lockdep.
    #[must_use]
    pub fn has_lockdep(&self) -> bool {
        self.shared.image.lockdep
    }

    /// Where the consoles' logs are: `NODE.console`.
    #[must_use]
    pub fn log_dir(&self) -> &Path {
        &self.shared.log_dir
    }

    /// The nodes, in order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Joins the cards of number `nic` of the first two nodes directly, with
    /// no switch between: for benchmarks. Faults and counters do not exist
    /// there, and both nodes must be started together. To be called before the
    /// nodes are added.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if there are nodes.
    pub fn join_directly(&mut self, nic: u8) -> Result<()> {
        if !self.nodes.is_empty() {
            return Err(Error::Usage("join_directly comes before add".to_owned()));
        }
        self.direct.push(nic);
        Ok(())
    }

    /// A power switch that the nodes to be added can use on each other, see [`PowerSwitch`]. To be called before the
    /// nodes are added.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if there are nodes or there is a switch already; [`Error::File`].
    pub fn power_switch(&mut self) -> Result<PowerSwitch> {
        if !self.nodes.is_empty() || self.power.is_some() {
            return Err(Error::Usage(
                "there is one power switch, made before the nodes".to_owned(),
            ));
        }
        let switch = PowerSwitch::new(&self.shared.run_dir.join("power"))?;
        self.power = Some(switch.clone());
        Ok(switch)
    }

    /// The network of the cards of number `nic`.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if no node has such a card.
    pub fn network(&self, nic: usize) -> Result<&Switch> {
        self.switches
            .get(nic)
            .ok_or_else(|| Error::Usage(format!("there is no network {nic}")))
    }

    /// Adds a node. It is not started yet, see [`Lab::boot`].
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a name that is no host name or is taken, or a node
    /// too many; [`Error::File`]; [`Error::Host`] for a node to be counted if
    /// this host's QEMU cannot.
    pub fn add(&mut self, mut spec: NodeSpec) -> Result<Node> {
        let index = self.nodes.len();
        if let Some(power) = &self.power {
            power.wire(&mut spec);
        }
        check_name(&spec.name)?;
        if self.nodes.iter().any(|node| node.name() == spec.name) {
            return Err(Error::Usage(format!(
                "there is a node {} already",
                spec.name
            )));
        }
        if index >= 200 {
            return Err(Error::Usage("200 nodes are the limit".to_owned()));
        }
        let dir = &self.shared.run_dir;
        let console_log = self.shared.log_dir.join(format!("{}.console", spec.name));
        let (mut media, mut disk_files, mut served) = (Vec::new(), Vec::new(), Vec::new());
        for (number, disk) in spec.disks.iter().enumerate() {
            let path = dir.join(format!("{}.disk{number}", spec.name));
            let mut options = File::options();
            options.read(true).write(true).create_new(true);
            let file = options.open(&path).map_err(Error::file(&path))?;
            file.set_len(disk.size_bytes).map_err(Error::file(&path))?;
            match disk.cache {
                Cache::Kept => {
                    media.push(Medium::File(path.clone()));
                    served.push(None);
                }
                Cache::Volatile => {
                    let socket = dir.join(format!("{}.nbd{number}", spec.name));
                    let size = disk.size_bytes;
                    served.push(Some(ServedDisk::serve(
                        file,
                        size,
                        disk.block_size,
                        &socket,
                    )?));
                    media.push(Medium::Server(socket));
                }
            }
            disk_files.push(path);
        }
        let counting = spec.counted.then(|| self.shared.counting()).transpose()?;
        let (mut plugs, mut switches) = (Vec::new(), Vec::new());
        for nic in 0..spec.nics {
            let (plug, switch) = self.plug(nic, index)?;
            plugs.push(plug);
            switches.push(switch);
        }
        let inner = Inner {
            index,
            shared: Arc::clone(&self.shared),
            console: Arc::new(Console::new(&console_log)?),
            media,
            disk_files,
            served,
            plugs,
            switches,
            counting,
            tolerated: Mutex::default(),
            power: Mutex::default(),
            spec,
        };
        let node = Node {
            inner: Arc::new(inner),
        };
        self.names()
            .push((node.ip(0).to_string(), node.name().to_owned()));
        if let Some(power) = &self.power {
            power.connect(&node);
        }
        self.nodes.push(node.clone());
        Ok(node)
    }

    fn names(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.shared
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn plug(
        &mut self,
        nic: u8,
        index: usize,
    ) -> Result<(Plug, Option<(Switch, crate::switch::Port)>)> {
        while self.switches.len() <= usize::from(nic) {
            self.switches.push(Switch::new());
        }
        let dir = &self.shared.run_dir;
        if self.direct.contains(&nic) {
            let path = dir.join(format!("direct{nic}"));
            return match index {
                0 => Ok((Plug::Listens(path), None)),
                1 => Ok((Plug::Calls(path), None)),
                _ => Err(Error::Usage(format!(
                    "only two nodes fit on direct network {nic}"
                ))),
            };
        }
        let path = dir.join(format!("net{nic}.{index}"));
        let switch = self.network(usize::from(nic))?.clone();
        let port = switch.add_port(&path)?;
        Ok((Plug::Calls(path), Some((switch, port))))
    }

    /// Starts all nodes that were never started or are off, at once, and waits
    /// until all are ready.
    ///
    /// # Errors
    ///
    /// As [`Node::start`] and [`Node::wait_ready`].
    pub fn boot(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + patient(limit);
        let (off, on): (Vec<&Node>, Vec<&Node>) =
            self.nodes.iter().partition(|node| !node.is_running());
        for node in &off {
            let sockets: Vec<&PathBuf> = node
                .inner
                .plugs
                .iter()
                .filter_map(|plug| match plug {
                    Plug::Listens(path) => Some(path),
                    Plug::Calls(_) => None,
                })
                .collect();
            for path in &sockets {
                // One from an earlier power-on would look as if it listened.
                let _ = std::fs::remove_file(path);
            }
            node.start()?;
            for path in sockets {
                wait_for_file(node, path, end)?;
            }
        }
        for node in off {
            node.wait_ready(limit)?;
        }
        // Nodes that were there before learn the names of the new ones.
        for node in on {
            node.put("/etc/hosts", self.shared.hosts().as_bytes())?;
        }
        Ok(())
    }

    /// Looks for kernel errors on all consoles so far.
    ///
    /// # Errors
    ///
    /// [`Error::Console`] with every report that is not tolerated.
    pub fn check_consoles(&self) -> Result<()> {
        let mut all = Vec::new();
        for node in &self.nodes {
            let inner = &node.inner;
            let mut known = inner
                .tolerated
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if inner.spec.kind == Kind::Stock {
                known.extend(scan::known_of_stock());
            }
            for report in scan::reports(&inner.console.text(), &known) {
                all.push(format!("{}:\n{report}\n", node.name()));
            }
        }
        if all.is_empty() {
            return Ok(());
        }
        all.push(format!("whole consoles: {}", self.shared.log_dir.display()));
        Err(Error::Console(all.join("\n")))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(power) = &self.power {
            power.close();
        }
        for node in &self.nodes {
            if node.is_running() {
                let _ = node.power_cut();
            }
            for disk in node.inner.served.iter().flatten() {
                disk.close();
            }
        }
        for switch in &self.switches {
            switch.close();
        }
        let _ = fs::remove_dir_all(&self.shared.run_dir);
    }
}

fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > 30 || !name.chars().all(good) {
        return Err(Error::Usage(format!(
            "{name:?} is no host name: letters, digits, hyphens"
        )));
    }
    Ok(())
}

fn wait_for_file(node: &Node, path: &Path, end: Instant) -> Result<()> {
    while !path.exists() {
        if Instant::now() >= end || !node.is_running() {
            let what = format!("QEMU to listen on {}", path.display());
            return Err(node.gone(&what, "it does not"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
