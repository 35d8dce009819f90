// SPDX-License-Identifier: GPL-2.0-or-later
//! Which drbd driver this machine has.
//!
//! A driver of the 8.4 generation speaks another dialect; the drbdadm of that
//! generation is started instead if it is installed.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::cli::Request;
use crate::command::{Act, Works};
use crate::failure::{Failure, CANNOT_EXECUTE};

/// A driver's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) [u32; 3]);

impl Version {
    /// The first `x.y.z` of a text.
    fn parse(text: &str) -> Option<Version> {
        let word = text.split_whitespace().next()?;
        let mut parts = word.split('.').map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok()
        });
        Some(Version([
            parts.next()??,
            parts.next()??,
            parts.next().flatten().unwrap_or(0),
        ]))
    }

    /// Whether the driver speaks the 8.4 dialect.
    pub(crate) fn is_84(self) -> bool {
        self.0[0] < 9
    }
}

impl Version {
    /// Whether it is this project's module.
    pub(crate) fn is_own(self) -> bool {
        self.0[0] == 9 && self.0[1] >= 90
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0[0], self.0[1], self.0[2])
    }
}

/// The version in `/proc/drbd`; a file that says `(compat 8.4)` belongs to a
/// driver of generation 9.
fn in_proc(text: &str) -> Option<Version> {
    let line = text.lines().find_map(|l| l.strip_prefix("version:"))?;
    let version = Version::parse(line)?;
    if text.contains("(compat 8.4)") && version.is_84() {
        return Some(Version([9, 0, 0]));
    }
    Some(version)
}

/// The version of the driver that is loaded, or would be; `None` if there is
/// none. `DRBD_DRIVER_VERSION_OVERRIDE` pretends another one.
pub(crate) fn version() -> Option<Version> {
    if let Ok(text) = std::env::var("DRBD_DRIVER_VERSION_OVERRIDE") {
        return Version::parse(&text);
    }
    if let Ok(text) = std::fs::read_to_string("/proc/drbd") {
        return in_proc(&text);
    }
    if let Ok(text) = std::fs::read_to_string("/sys/module/drbd/version") {
        return Version::parse(&text);
    }
    let output = Command::new("modinfo")
        .args(["-F", "version", "drbd"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    Version::parse(&String::from_utf8_lossy(&output.stdout))
}

/// Lets the drbdadm of the 8.4 generation do the work if the driver is of that
/// generation. Returns only if it is not, or if that program is not needed.
///
/// What works on files and disks alone does not need it.
pub(crate) fn hand_over(request: &Request, argv: &[String]) -> Result<Option<i32>, Failure> {
    let alone = request.command.works == Works::Alone
        || matches!(
            request.command.act,
            Act::Inspect | Act::CreateMd | Act::Meta | Act::DumpSuperblock
        );
    let Some(version) = version().filter(|version| version.is_84()) else {
        return Ok(None);
    };
    if alone {
        return Ok(None);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let error = Command::new("drbdadm-84")
        .args(argv.get(1..).unwrap_or(&[]))
        .env("PATH", format!("{path}:/lib/drbd"))
        .env("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1")
        .exec();
    Err(Failure::new(
        CANNOT_EXECUTE,
        format!("the driver is {version}, and drbdadm-84 cannot be started: {error}"),
        &[
            "this drbdadm speaks to drivers of generation 9",
            "load one:               rmmod drbd; modprobe drbd",
            "or use the 8.4 tools:   apt install drbd-utils",
        ],
    ))
}

/// `-V`: versions as shell variables.
pub(crate) fn print_versions() {
    let code = |v: [u32; 3]| format!("0x{:02x}{:02x}{:02x}", v[0], v[1], v[2]);
    let own = Version::parse(env!("CARGO_PKG_VERSION")).map_or([9, 90, 0], |version| version.0);
    let kernel = version().map_or([0, 0, 0], |version| version.0);
    println!("DRBDADM_BUILDTAG=drbd-rs");
    println!("DRBDADM_API_VERSION=2");
    println!("DRBD_KERNEL_VERSION_CODE={}", code(kernel));
    println!("DRBD_KERNEL_VERSION={}", Version(kernel));
    println!("DRBDADM_VERSION_CODE={}", code(own));
    println!("DRBDADM_VERSION={}", Version(own));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_drivers_say() {
        assert_eq!(
            in_proc("version: 8.4.11 (api:1/proto:86-101)\n"),
            Some(Version([8, 4, 11]))
        );
        assert_eq!(
            in_proc("version: 8.4.11 (compat 8.4)\n").map(Version::is_84),
            Some(false)
        );
        assert_eq!(
            in_proc("version: 9.90.0 (api:2/proto:86-101)\n"),
            Some(Version([9, 90, 0]))
        );
        assert_eq!(in_proc("nothing"), None);
        assert_eq!(Version::parse("9.1.7-rc.1"), Some(Version([9, 1, 7])));
        assert_eq!(Version::parse("x"), None);
    }
}
