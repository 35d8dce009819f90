// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel module: is it there, which version is it, load it.

use std::fs;
use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

const PROC_DRBD: &str = "/proc/drbd";
const MODPROBE: &str = "/sbin/modprobe";
/// How long /proc/drbd may take to appear after modprobe returned.
const APPEAR_TRIES: u32 = 10;
const APPEAR_PAUSE: Duration = Duration::from_millis(1);

/// Version of the driver in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl DriverVersion {
    /// Reads `MAJ.MIN.SUB`, whatever follows it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let rest = parts.next()?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        Some(Self {
            major,
            minor,
            patch: rest.get(..digits)?.parse().ok()?,
        })
    }

    fn from_proc(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        words.find(|word| *word == "version:")?;
        Self::parse(words.next()?)
    }
}

/// Version of the driver that is loaded, or that would be: environment, `/proc/drbd`, modinfo (drbd9-api.md section 1).
pub fn driver_version() -> Option<DriverVersion> {
    if let Ok(text) = std::env::var("DRBD_DRIVER_VERSION_OVERRIDE") {
        return DriverVersion::parse(&text);
    }
    if let Ok(text) = fs::read_to_string(PROC_DRBD) {
        return DriverVersion::from_proc(&text);
    }
    let output = Command::new("modinfo")
        .args(["-F", "version", "drbd"])
        .output()
        .ok()?;
    DriverVersion::parse(&String::from_utf8_lossy(&output.stdout))
}

/// Loads the module when it is not there.
///
/// # Errors
///
/// When modprobe cannot be run, or `/proc/drbd` does not appear.
pub fn load_module() -> io::Result<()> {
    let present = || fs::metadata(PROC_DRBD).is_ok();
    if present() {
        return Ok(());
    }
    let status = Command::new(MODPROBE)
        .arg("drbd")
        .status()
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("'{MODPROBE} drbd' could not be run: {error}"),
            )
        })?;
    for _ in 0..APPEAR_TRIES {
        if present() {
            return Ok(());
        }
        thread::sleep(APPEAR_PAUSE);
    }
    Err(io::Error::other(format!(
        "'{MODPROBE} drbd' ended with {status} and {PROC_DRBD} did not appear"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_stock_tools_do() {
        let v9 = DriverVersion {
            major: 9,
            minor: 2,
            patch: 0,
        };
        assert_eq!(
            DriverVersion::from_proc("version: 9.2.0-rust1 (api:2/proto:86-101)\n"),
            Some(v9)
        );
        assert_eq!(
            DriverVersion::from_proc("srcversion: X\nversion: 8.4.11 (api:1)")
                .unwrap()
                .minor,
            4
        );
        assert_eq!(DriverVersion::from_proc("drbd rust 1.0\n"), None);
        assert_eq!(DriverVersion::from_proc(""), None);
        assert_eq!(DriverVersion::parse("9.90"), None);
        assert_eq!(
            DriverVersion::parse("9.90.0\n"),
            Some(DriverVersion {
                major: 9,
                minor: 90,
                patch: 0
            })
        );
    }
}
