// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether this host can run guests on its own processor.
//!
//! `/dev/kvm` is no proof: in a container it may be forbidden, and nested in
//! another machine it may start guests that never get anywhere. So a guest is
//! booted once, and the answer kept for as long as the host is up.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::image::{cache_dir, Image};
use crate::initrd;
use crate::process;

/// How guests are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// On the host's processor.
    Kvm,
    /// By translation, one host thread per virtual processor.
    Tcg,
}

/// A guest that works says so in a tenth of this.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

static FOUND: OnceLock<Accel> = OnceLock::new();

impl Accel {
    /// Arguments for QEMU.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Accel::Kvm => &["-accel", "kvm", "-cpu", "host"],
            // Without 5-level page tables, which translation would have to
            // walk, and without what makes the kernel try out AVX code.
            Accel::Tcg => &[
                "-accel",
                "tcg,thread=multi,tb-size=256",
                "-cpu",
                "Nehalem,+rdrand,+pcid",
            ],
        }
    }

    /// The best way that works here; `DRBD_ACCEL` (`kvm`, `tcg`) overrides.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for another word in `DRBD_ACCEL`; what the probe's
    /// files report.
    pub fn detect(image: &Image) -> Result<Accel> {
        if let Some(accel) = FOUND.get() {
            return Ok(*accel);
        }
        let accel = match std::env::var("DRBD_ACCEL").as_deref() {
            Ok("kvm") => Accel::Kvm,
            Ok("tcg") => Accel::Tcg,
            Ok(word) if !word.is_empty() => {
                return Err(Error::Usage(format!(
                    "DRBD_ACCEL={word}: must be kvm or tcg"
                )))
            }
            _ => remembered(image)?,
        };
        Ok(*FOUND.get_or_init(|| accel))
    }
}

fn remembered(image: &Image) -> Result<Accel> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let memory = cache_dir()?.join("accel");
    let answer = |word: &str| format!("{word} {} {}\n", image.kernel_release, boot.trim());
    match fs::read_to_string(&memory) {
        Ok(text) if text == answer("kvm") => return Ok(Accel::Kvm),
        Ok(text) if text == answer("tcg") => return Ok(Accel::Tcg),
        _ => {}
    }
    let works = Path::new("/dev/kvm").exists() && probe(image)?;
    let word = if works { "kvm" } else { "tcg" };
    // Not being able to remember costs the next run a probe, no more.
    let _ = fs::write(&memory, answer(word));
    Ok(if works { Accel::Kvm } else { Accel::Tcg })
}

/// Boots a guest that only says it is alive.
fn probe(image: &Image) -> Result<bool> {
    let dir = std::env::temp_dir().join(format!("drbd-probe-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
    let initrd_file = dir.join("initrd");
    let result = initrd::build(
        &initrd_file,
        &image.base_initrd,
        Path::new("/dev/null"),
        &[],
    )
    .and_then(|()| boot(image, &initrd_file));
    let _ = fs::remove_dir_all(&dir);
    result
}

fn boot(image: &Image, initrd_file: &Path) -> Result<bool> {
    let mut command: Command = process::tied("qemu-system-x86_64");
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
    ]);
    command.args([
        "-machine", "q35", "-m", "256", "-smp", "2", "-serial", "stdio",
    ]);
    command.args(Accel::Kvm.arguments());
    command
        .arg("-kernel")
        .arg(&image.vmlinuz)
        .arg("-initrd")
        .arg(initrd_file);
    command.args(["-append", "console=ttyS0 panic=-1 lab_probe=1"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = process::start(command)
        .map_err(|error| Error::Host(format!("cannot start qemu-system-x86_64: {error}")))?;
    let reader = child.stdout.take().map(|mut pipe| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).contains("drbd-lab: alive")
        })
    });
    let end = Instant::now() + PROBE_LIMIT;
    while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    Ok(reader.is_some_and(|reader| reader.join().unwrap_or(false)))
}
