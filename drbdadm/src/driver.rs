// SPDX-License-Identifier: GPL-2.0-or-later
//! Which drbd driver this machine has.
//!
//! A driver of generation 8.4 has another command line below it, and knows less
//! of the language: everything that depends on it asks [`dialect`].

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use drbd_conf::Dialect;

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

/// The generation this run works for: that of the driver, or 8.4 if the program
/// is called by a name that ends in `-84`.
pub(crate) fn dialect() -> Dialect {
    static DIALECT: OnceLock<Dialect> = OnceLock::new();
    *DIALECT.get_or_init(|| {
        let by_name = std::env::args_os()
            .next()
            .is_some_and(|program| program.to_string_lossy().ends_with("-84"));
        if by_name || version().is_some_and(Version::is_84) {
            Dialect::V84
        } else {
            Dialect::V9
        }
    })
}

/// `-V`: versions as shell variables.
pub(crate) fn print_versions() {
    let code = |v: [u32; 3]| format!("0x{:02x}{:02x}{:02x}", v[0], v[1], v[2]);
    let own = Version::parse(env!("CARGO_PKG_VERSION")).map_or([9, 90, 0], |version| version.0);
    let kernel = version().map_or([0, 0, 0], |version| version.0);
    println!("DRBDADM_BUILDTAG=drbd-rs");
    println!(
        "DRBDADM_API_VERSION={}",
        if dialect().is_84() { 1 } else { 2 }
    );
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
