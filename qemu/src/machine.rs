// SPDX-License-Identifier: GPL-2.0-or-later
//! One power-on of a node: a QEMU process and the three lines to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::accel::Accel;
use crate::agent::Agent;
use crate::console::Console;
use crate::counting;
use crate::error::{tail, Context, Error, Result};
use crate::image::Image;
use crate::process;
use crate::proto;
use crate::qmp::Monitor;
use crate::socket::Door;
use crate::spec::NodeSpec;

/// QEMU calls back within tens of milliseconds, unless the host is very busy.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How a network card is connected.
#[derive(Clone, Debug)]
pub(crate) enum Plug {
    /// To whoever listens on the file.
    Calls(PathBuf),
    /// To whoever calls the file.
    Listens(PathBuf),
}

impl Plug {
    fn argument(&self, nic: usize) -> String {
        let (server, path) = match self {
            Plug::Calls(path) => ("off", path),
            Plug::Listens(path) => ("on", path),
        };
        let path = comma_safe(path);
        format!("stream,id=net{nic},server={server},addr.type=unix,addr.path={path}")
    }
}

/// Where a data disk is kept.
#[derive(Clone, Debug)]
pub(crate) enum Medium {
    /// A raw file on the host.
    File(PathBuf),
    /// A block server of the harness that listens on the socket.
    Server(PathBuf),
}

/// All that a power-on needs.
pub(crate) struct Plan<'a> {
    pub(crate) spec: &'a NodeSpec,
    pub(crate) number: u8,
    pub(crate) image: &'a Image,
    pub(crate) accel: Accel,
    pub(crate) initrd: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) media: &'a [Medium],
    pub(crate) plugs: &'a [Plug],
    pub(crate) kernel_args: &'a str,
    /// Plugin and file, for a node that is counted.
    pub(crate) counting: Option<(&'a Path, &'a Path)>,
}

/// A running QEMU.
pub(crate) struct Machine {
    pub(crate) child: Child,
    pub(crate) monitor: Monitor,
    pub(crate) agent: Arc<Agent>,
}

/// In QEMU's option syntax a comma is written twice.
pub(crate) fn comma_safe(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

impl Machine {
    /// Switches the power on.
    pub(crate) fn start(plan: &Plan<'_>, console: &Arc<Console>) -> Result<Machine> {
        let name = &plan.spec.name;
        let door = |what: &str| Door::open(&plan.dir.join(format!("{name}.{what}")));
        let (serial, agent, qmp) = (door("serial")?, door("agent")?, door("qmp")?);
        let log_path = plan.dir.join(format!("{name}.qemu"));
        let log = File::create(&log_path).map_err(Error::file(&log_path))?;

        let mut command = process::tied("qemu-system-x86_64");
        arguments(&mut command, plan);
        let lines = [("serial", &serial), ("agent", &agent), ("qmp", &qmp)];
        for (id, door) in lines {
            let path = comma_safe(door.path());
            command
                .arg("-chardev")
                .arg(format!("socket,id={id},path={path}"));
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(Error::file(&log_path))?);
        command.stderr(log);
        let mut child = process::start(command)
            .map_err(|error| Error::Host(format!("cannot start qemu-system-x86_64: {error}")))?;

        let mut call = |door: &Door, what: &str| {
            let alive = || matches!(child.try_wait(), Ok(None));
            door.accept(CALL_LIMIT, alive).map_err(|error| {
                let said = std::fs::read_to_string(&log_path).unwrap_or_default();
                Error::Gone {
                    node: name.clone(),
                    what: format!("waiting for QEMU's {what} line"),
                    state: error.to_string(),
                    context: Context::default().with("QEMU said", &tail(&said, 20)),
                }
            })
        };
        let streams = call(&serial, "serial")
            .and_then(|s| Ok((s, call(&agent, "agent")?, call(&qmp, "monitor")?)));
        let lines = streams.and_then(|(serial, agent, qmp)| {
            let line = |error| Error::Host(format!("{name}: {error}"));
            console.follow(serial).map_err(line)?;
            Ok((Agent::new(agent).map_err(line)?, Monitor::new(name, qmp)?))
        });
        match lines {
            Ok((agent, monitor)) => Ok(Machine {
                child,
                monitor,
                agent,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Pulls the plug.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn arguments(command: &mut Command, plan: &Plan<'_>) {
    let spec = plan.spec;
    command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
    command.args(["-name", &spec.name]);
    command.args([
        "-machine",
        "q35,hpet=off,usb=off,vmport=off,smbus=off,sata=off,graphics=off",
    ]);
    command.args(plan.accel.arguments());
    if let Some((plugin, out)) = plan.counting {
        command.args(["-plugin", &counting::argument(plugin, out)]);
    }
    command.args([
        "-smp",
        &spec.cpus.to_string(),
        "-m",
        &format!("{}M", spec.mem_mb.saturating_mul(plan.image.memory_factor)),
    ]);
    // A reboot or a panic of the guest ends QEMU, so that it is noticed.
    command.args(["-action", "reboot=shutdown", "-action", "watchdog=reset"]);
    command.arg("-kernel").arg(&plan.image.vmlinuz);
    command.arg("-initrd").arg(plan.initrd);
    command.args(["-append", plan.kernel_args]);
    command.args([
        "-serial",
        "chardev:serial",
        "-mon",
        "chardev=qmp,mode=control",
    ]);
    command.args(["-device", "virtio-serial-pci"]);
    let port = format!("virtserialport,chardev=agent,name={}", proto::PORT_NAME);
    command.args(["-device", &port, "-device", "virtio-rng-pci"]);

    let root = comma_safe(&plan.image.rootfs);
    let drive = format!("file={root},if=none,id=root,format=raw,readonly=on,cache=unsafe");
    command.args(["-drive", &drive]);
    command.args(["-device", "virtio-blk-pci,drive=root,serial=drbd-lab-root"]);
    for (number, (disk, medium)) in spec.disks.iter().zip(plan.media).enumerate() {
        let source = match medium {
            Medium::File(path) => format!("file={}", comma_safe(path)),
            Medium::Server(path) => {
                format!(
                    "file.driver=nbd,file.server.type=unix,file.server.path={}",
                    comma_safe(path)
                )
            }
        };
        // The host's page cache survives the guest's power cut, and the host's
        // own is nothing a test is about.
        let drive =
            format!("{source},if=none,id=disk{number},format=raw,cache=writeback,discard=unmap");
        let size = disk.block_size;
        let device = format!(
            "virtio-blk-pci,drive=disk{number},serial=data{number},\
             logical_block_size={size},physical_block_size={size}"
        );
        command.args(["-drive", &drive, "-device", &device]);
    }
    for (nic, plug) in plan.plugs.iter().enumerate() {
        let mac = format!("52:54:00:77:{nic:02x}:{:02x}", plan.number);
        command.args(["-netdev", &plug.argument(nic), "-device"]);
        command.arg(format!(
            "virtio-net-pci,netdev=net{nic},id=nic{nic},mac={mac},romfile="
        ));
    }
    command.args(&spec.qemu_args);
}
