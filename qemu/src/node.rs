// SPDX-License-Identifier: GPL-2.0-or-later
//! A node of a lab: a computer with a power switch, cables and a keyboard.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::accel::Accel;
use crate::agent::{Agent, Failure};
use crate::command::{self, Output, Running};
use crate::console::Console;
use crate::disk::ServedDisk;
use crate::error::{Context, Error, Result};
use crate::image::patient;
use crate::lab::Shared;
use crate::machine::{Machine, Medium, Plan, Plug};
use crate::proto::{self, Request};
use crate::scan::Known;
use crate::spec::{Kind, NodeSpec};
use crate::switch::{Port, Switch};
use crate::{dist, initrd};

/// How long [`Node::sh`] waits: longer than anything that is not stuck takes.
pub const SH_LIMIT: Duration = Duration::from_secs(120);

/// How long file transfers may take.
const COPY_LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Inner {
    pub(crate) spec: NodeSpec,
    /// Position in the lab, from 0.
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) console: Arc<Console>,
    pub(crate) media: Vec<Medium>,
    pub(crate) disk_files: Vec<PathBuf>,
    /// The disks the harness serves itself, at their numbers.
    pub(crate) served: Vec<Option<ServedDisk>>,
    pub(crate) plugs: Vec<Plug>,
    /// The networks of the cards that are not joined directly.
    pub(crate) switches: Vec<Option<(Switch, Port)>>,
    /// QEMU's plugin, for a node that is counted.
    pub(crate) counting: Option<PathBuf>,
    pub(crate) tolerated: Mutex<Vec<Known>>,
    pub(crate) power: Mutex<Power>,
}

/// The node's machine, and how the last one ended.
pub(crate) struct Power {
    pub(crate) machine: Option<Machine>,
    state: String,
}

impl Default for Power {
    fn default() -> Self {
        Power {
            machine: None,
            state: "it was never started".to_owned(),
        }
    }
}

/// A node. Copies are the same node.
#[derive(Clone)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

impl Node {
    /// Host name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.spec.name
    }

    /// What it was made of.
    #[must_use]
    pub fn spec(&self) -> &NodeSpec {
        &self.inner.spec
    }

    /// Position in the lab, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.inner.index
    }

    /// Address of a network card: `10.77.NIC.(index + 1)`.
    #[must_use]
    pub fn ip(&self, nic: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, nic, self.number())
    }

    pub(crate) fn number(&self) -> u8 {
        u8::try_from(self.inner.index + 1).unwrap_or(u8::MAX)
    }

    /// Path of a data disk in the guest: `/dev/vdb`, `/dev/vdc`, ...
    #[must_use]
    pub fn disk(&self, number: u8) -> String {
        format!("/dev/vd{}", char::from(b'b'.saturating_add(number)))
    }

    /// The host's file with a data disk's content: to be read or damaged
    /// while the power is off, or read with care while it is on.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a disk the node does not have.
    pub fn disk_file(&self, number: usize) -> Result<&Path> {
        self.inner
            .disk_files
            .get(number)
            .map(PathBuf::as_path)
            .ok_or_else(|| Error::Usage(format!("{} has no data disk {number}", self.name())))
    }

    /// A data disk that the harness serves itself, made with
    /// [`crate::Disk::volatile`].
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for any other.
    pub fn served_disk(&self, number: usize) -> Result<&ServedDisk> {
        match self.inner.served.get(number) {
            Some(Some(disk)) => Ok(disk),
            _ => Err(Error::Usage(format!(
                "{}: disk {number} has no volatile cache",
                self.name()
            ))),
        }
    }

    /// The port of the switch that a network card is connected to, for faults
    /// and counters.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a card the node does not have or that is joined
    /// directly.
    pub fn port(&self, nic: usize) -> Result<&Port> {
        match self.inner.switches.get(nic) {
            Some(Some((_, port))) => Ok(port),
            _ => Err(Error::Usage(format!(
                "{}: card {nic} is on no switch",
                self.name()
            ))),
        }
    }

    /// The console.
    pub(crate) fn console(&self) -> &Console {
        &self.inner.console
    }

    /// All the console has said since the lab began.
    #[must_use]
    pub fn console_text(&self) -> String {
        self.inner.console.text()
    }

    /// The last lines of the console.
    #[must_use]
    pub fn console_tail(&self) -> String {
        self.inner.console.tail()
    }

    /// Bytes the console has said, for [`Node::wait_console`].
    #[must_use]
    pub fn console_position(&self) -> usize {
        self.inner.console.length()
    }

    /// Waits until the console says `needle` after the first `from` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`].
    pub fn wait_console(&self, needle: &str, from: usize, limit: Duration) -> Result<()> {
        let limit = patient(limit);
        if self.inner.console.wait_for(needle, from, limit) {
            return Ok(());
        }
        Err(self.late(
            &format!("{needle:?} on the console"),
            limit,
            Context::default(),
        ))
    }

    /// Lets kernel reports with all of `marks` pass in this node's console:
    /// for tests that provoke them.
    pub fn tolerate(&self, name: &str, marks: &[&str]) {
        let mut tolerated = self
            .inner
            .tolerated
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tolerated.push(Known::new(name, marks));
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.inner
            .power
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn agent(&self) -> Result<Arc<Agent>> {
        let power = self.power();
        match &power.machine {
            Some(machine) => Ok(Arc::clone(&machine.agent)),
            None => Err(self.gone_because("talking to it", power.state.clone())),
        }
    }

    /// Whether QEMU runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let mut power = self.power();
        power
            .machine
            .as_mut()
            .is_some_and(|m| matches!(m.child.try_wait(), Ok(None)))
    }

    /// Switches the power on; returns before the guest is ready.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if it is on; what starting QEMU reports.
    pub fn start(&self) -> Result<()> {
        let mut power = self.power();
        if power.machine.is_some() {
            return Err(Error::Usage(format!("{} is running already", self.name())));
        }
        let inner = &self.inner;
        let shared = &inner.shared;
        let initrd_file = shared.run_dir.join(format!("{}.initrd", self.name()));
        self.write_initrd(&initrd_file)?;
        let kernel_args = self.kernel_args();
        let counts = self.counts_file();
        let counting = inner.counting.as_deref().map(|plugin| (plugin, &*counts));
        let plan = Plan {
            spec: &inner.spec,
            number: self.number(),
            image: &shared.image,
            // No processor of the host counts what it executes for a plugin.
            accel: if counting.is_some() {
                Accel::Tcg
            } else {
                shared.accel
            },
            initrd: &initrd_file,
            dir: &shared.run_dir,
            media: &inner.media,
            plugs: &inner.plugs,
            kernel_args: &kernel_args,
            counting,
        };
        inner.console.note("power on");
        power.machine = Some(Machine::start(&plan, &inner.console)?);
        Ok(())
    }

    fn write_initrd(&self, target: &Path) -> Result<()> {
        let shared = &self.inner.shared;
        let mut files = match self.inner.spec.kind {
            Kind::Ours => dist::ours(&shared.dist, &shared.image.kernel_release)?,
            Kind::Stock | Kind::Bare => Vec::new(),
        };
        files.push(initrd::GuestFile::text(shared.hosts(), "/etc/hosts"));
        files.push(initrd::GuestFile::text(
            format!("{}\n", self.name()),
            "/etc/hostname",
        ));
        files.extend(self.inner.spec.files.iter().cloned());
        let agent = dist::agent(&shared.dist)?;
        initrd::build(target, &shared.image.base_initrd, &agent, &files)
    }

    fn kernel_args(&self) -> String {
        let inner = &self.inner;
        // The kernel patches its own code while it boots, which QEMU before 8.1
        // does not always notice when another virtual processor is about to
        // execute it ("Oops: int3"): so it boots with one.
        let mut words = vec![
            "maxcpus=1".to_owned(),
            "console=ttyS0 quiet panic=-1 net.ifnames=0 no_timer_check tsc=reliable mitigations=off".to_owned(),
            format!("lab_name={} lab_node={}", self.name(), self.number()),
            format!("lab_nics={}", inner.plugs.len()),
            format!("lab_fstype={}", inner.shared.image.rootfs_fstype),
        ];
        if inner.spec.kind == Kind::Ours {
            words.push("lab_ours=1 panic_on_warn=1 oops=panic".to_owned());
            words.push("kfence.sample_interval=1 slub_debug=FZPU page_poison=1".to_owned());
        }
        words.push(inner.shared.image.kernel_args.clone());
        words.extend(inner.spec.kernel_args.iter().cloned());
        words.join(" ")
    }

    /// Waits until the guest takes commands.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Gone`] if it ends or was never started.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        let (agent, limit) = (self.agent()?, patient(limit));
        match agent.wait_ready(limit) {
            Ok(ready) if ready.version == proto::VERSION => Ok(()),
            Ok(ready) => Err(Error::Host(format!(
                "{}: the agent speaks version {} instead of {}\n  make it anew:  cargo xtask build",
                self.name(),
                ready.version,
                proto::VERSION
            ))),
            Err(Failure::Late) => Err(self.late("being ready", limit, Context::default())),
            Err(Failure::Gone(why)) => Err(self.gone("booting", &why)),
        }
    }

    /// Runs a shell script; its status is for the caller to judge.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Gone`].
    pub fn run(&self, script: &str, limit: Duration) -> Result<Output> {
        self.spawn(script)?.wait(limit)
    }

    /// Runs a shell script that must succeed; its standard output.
    ///
    /// # Errors
    ///
    /// Also [`Error::Command`], with all output and the console's end.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.sh_within(script, SH_LIMIT)
    }

    /// As [`Node::sh`] with a limit of the caller's.
    ///
    /// # Errors
    ///
    /// As [`Node::sh`].
    pub fn sh_within(&self, script: &str, limit: Duration) -> Result<String> {
        command::successful(self, script, self.run(script, limit)?)
    }

    /// Starts a shell script and lets it run.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`].
    pub fn spawn(&self, script: &str) -> Result<Running> {
        Running::start(self, &command::shell(script), script)
    }

    /// Starts a program (no shell) whose input the caller writes.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`].
    pub fn spawn_with_input(&self, argv: &[&str]) -> Result<Running> {
        let request = Request::Exec {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: std::collections::BTreeMap::new(),
            cwd: None,
            input: true,
        };
        Running::start(self, &request, &argv.join(" "))
    }

    /// Writes a file in the guest (directories are made); mode 0644.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Gone`] with the reason.
    pub fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        self.put_mode(path, content, 0o644)
    }

    /// As [`Node::put`] with permission bits.
    ///
    /// # Errors
    ///
    /// As [`Node::put`].
    pub fn put_mode(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let request = Request::Put {
            path: path.to_owned(),
            mode,
        };
        let job = Running::start(self, &request, &format!("put {path}"))?;
        job.write(content, COPY_LIMIT)?;
        job.end_input()?;
        self.copied(&job).map(drop)
    }

    /// Copies a file of the host, permissions included.
    ///
    /// # Errors
    ///
    /// As [`Node::put`]; [`Error::File`].
    pub fn put_file(&self, host: &Path, path: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let content = std::fs::read(host).map_err(Error::file(host))?;
        let metadata = std::fs::metadata(host).map_err(Error::file(host))?;
        self.put_mode(path, &content, metadata.permissions().mode() & 0o7777)
    }

    /// Reads a file of the guest.
    ///
    /// # Errors
    ///
    /// As [`Node::put`].
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let request = Request::Get {
            path: path.to_owned(),
        };
        self.copied(&Running::start(self, &request, &format!("get {path}"))?)
    }

    fn copied(&self, job: &Running) -> Result<Vec<u8>> {
        let (exit, transcript) = job.finish(COPY_LIMIT)?;
        match exit.error {
            Some(why) => Err(self.gone("copying a file", &why)),
            None if transcript.lost_bytes > 0 => {
                Err(self.gone("copying a file", "it is too large"))
            }
            None => Ok(transcript.output),
        }
    }

    /// Cuts the power: nothing the guest has not flushed to its disks' caches
    /// survives.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if the power is off.
    pub fn power_cut(&self) -> Result<()> {
        let mut power = self.power();
        let Some(mut machine) = power.machine.take() else {
            return Err(Error::Usage(format!("{}: {}", self.name(), power.state)));
        };
        machine.kill();
        power.state = "its power was cut".to_owned();
        self.inner.console.note("power cut");
        drop(power);
        self.lose_caches()
    }

    /// Waits for a guest that powers itself off, reboots or panics, and
    /// switches it off.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`].
    pub fn wait_off(&self, limit: Duration) -> Result<()> {
        let limit = patient(limit);
        let end = std::time::Instant::now() + limit;
        while self.is_running() {
            if std::time::Instant::now() >= end {
                return Err(self.late("its power to go off", limit, Context::default()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut power = self.power();
        if power.machine.take().is_some() {
            power.state = "it switched itself off".to_owned();
            self.inner.console.note("switched itself off");
            drop(power);
            self.lose_caches()?;
        }
        Ok(())
    }

    /// Switches the power on after [`Node::power_cut`] or a panic and waits
    /// until the guest is ready. The disks are as they were left.
    ///
    /// # Errors
    ///
    /// As [`Node::start`] and [`Node::wait_ready`].
    pub fn start_again(&self, limit: Duration) -> Result<()> {
        if !self.is_running() {
            self.wait_off(Duration::ZERO)?;
        }
        self.start()?;
        self.wait_ready(limit)
    }

    /// The disks with a volatile cache are without power too.
    fn lose_caches(&self) -> Result<()> {
        for disk in self.inner.served.iter().flatten() {
            disk.lose_power()
                .map_err(|error| Error::Host(format!("{}: {error}", self.name())))?;
        }
        Ok(())
    }

    fn monitor<T>(&self, what: &str, act: impl FnOnce(&mut Machine) -> Result<T>) -> Result<T> {
        let mut power = self.power();
        let state = power.state.clone();
        match power.machine.as_mut() {
            Some(machine) => act(machine),
            None => Err(self.gone_because(what, state)),
        }
    }

    /// Stops the virtual processors: to the others the node is silent, to
    /// itself no time passes.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::Monitor`].
    pub fn freeze(&self) -> Result<()> {
        self.monitor("freezing", |machine| machine.monitor.set_running(false))
    }

    /// Lets a frozen node go on.
    ///
    /// # Errors
    ///
    /// As [`Node::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.monitor("thawing", |machine| machine.monitor.set_running(true))
    }

    /// Raises or drops the carrier of a network card; the guest notices.
    ///
    /// # Errors
    ///
    /// As [`Node::freeze`].
    pub fn set_link(&self, nic: usize, up: bool) -> Result<()> {
        self.monitor("setting a link", |machine| {
            machine.monitor.set_link(&format!("nic{nic}"), up)
        })
    }

    /// Presses the reset button; [`Node::wait_ready`] waits for the new boot.
    ///
    /// # Errors
    ///
    /// As [`Node::power_cut`] and [`Node::start`].
    pub fn reset(&self) -> Result<()> {
        self.inner.console.note("reset");
        // To the guest the same as a power cut without a pause; QEMU's own reset ends a machine
        // that was told to end at reboots.
        self.power_cut()?;
        self.start()
    }

    pub(crate) fn late(&self, what: &str, limit: Duration, context: Context) -> Error {
        Error::Timeout {
            node: self.name().to_owned(),
            what: what.to_owned(),
            limit,
            context: context.with("console", &self.inner.console.tail()),
        }
    }

    /// The node's end, as far as it is known, or why it did not do something.
    pub(crate) fn gone(&self, what: &str, why: &str) -> Error {
        let state = {
            let mut power = self.power();
            match power
                .machine
                .as_mut()
                .map(|machine| machine.child.try_wait())
            {
                Some(Ok(Some(status))) => format!("{why}; QEMU ended with {status}"),
                Some(_) => why.to_owned(),
                None => format!("{why}; {}", power.state),
            }
        };
        self.gone_because(what, state)
    }

    fn gone_because(&self, what: &str, state: String) -> Error {
        let context = Context::default().with("console", &self.inner.console.tail());
        Error::Gone {
            node: self.name().to_owned(),
            what: what.to_owned(),
            state,
            context,
        }
    }
}
