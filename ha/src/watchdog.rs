// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's watchdog: it resets this node when nobody says for a while that all is well (failover.md section 6.3).

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// It can't be opened.
    #[error("cannot open the watchdog {path}: {error}\n  without hardware:  modprobe softdog; who uses it:  fuser {path}")]
    Unusable {
        /// The device.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It waits too long or too short.
    #[error("the watchdog {path} resets after {is} s, {wanted} s are configured, and it does not let itself be set\n  give its module the timeout, or configure what it has:  [watchdog] timeout = {is}")]
    WrongTimeout {
        /// The device.
        path: String,
        /// Seconds it has.
        is: u64,
        /// Seconds it should have.
        wanted: u64,
    },
}

/// An armed watchdog. Dropped without [`Watchdog::disarm`] it resets the node.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    path: PathBuf,
    /// What the kernel says of it, where it says something.
    facts: Option<PathBuf>,
}

/// Where the kernel tells of a device.
fn facts(device: &Path) -> Option<PathBuf> {
    let name = std::fs::canonicalize(device).ok()?;
    let name = name.file_name()?.to_string_lossy().into_owned();
    // The first one has an old name as well.
    let name = if name == "watchdog" {
        "watchdog0".to_owned()
    } else {
        name
    };
    let path = Path::new("/sys/class/watchdog").join(name);
    path.join("timeout").exists().then_some(path)
}

fn number(facts: Option<&PathBuf>, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(facts?.join(name)).ok()?;
    text.trim().parse().ok()
}

impl Watchdog {
    /// Sets the timeout and arms it.
    ///
    /// # Errors
    ///
    /// When it can't be opened, or its timeout is another one and can't be set.
    pub fn arm(path: &Path, timeout_s: u64) -> Result<Self, WatchdogError> {
        if !path.exists() {
            load_software();
        }
        let facts = facts(path);
        if number(facts.as_ref(), "timeout").is_some_and(|is| is != timeout_s) {
            // It opens the device and closes it again, which has to happen before this does.
            let set = Command::new("wdctl")
                .arg(format!("--settimeout={timeout_s}"))
                .arg(path)
                .output();
            if let Ok(output) = set {
                if !output.status.success() {
                    let why = String::from_utf8_lossy(&output.stderr);
                    tracing::warn!("wdctl: {}", why.trim());
                }
            }
        }
        let name = || path.display().to_string();
        if let Some(is) = number(facts.as_ref(), "timeout").filter(|is| *is != timeout_s) {
            return Err(WatchdogError::WrongTimeout {
                path: name(),
                is,
                wanted: timeout_s,
            });
        }
        let device = std::fs::OpenOptions::new().write(true).open(path);
        let device = device.map_err(|error| WatchdogError::Unusable {
            path: name(),
            error,
        })?;
        let mut watchdog = Watchdog {
            device,
            path: path.to_owned(),
            facts,
        };
        watchdog.pet();
        Ok(watchdog)
    }

    /// What kind it is, as the kernel says.
    #[must_use]
    pub fn identity(&self) -> String {
        let name = self.facts.as_ref().map(|facts| facts.join("identity"));
        let name = name.and_then(|file| std::fs::read_to_string(file).ok());
        name.map_or_else(|| "watchdog".to_owned(), |name| name.trim().to_owned())
    }

    /// A software timer: of no use when the kernel hangs.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.identity().contains("Software")
    }

    /// All is well.
    pub fn pet(&mut self) {
        if let Err(error) = self.device.write_all(b"\0") {
            tracing::error!("cannot pet the watchdog {}: {error}", self.path.display());
        }
    }

    /// Ends it: this node may go on without us.
    pub fn disarm(mut self) {
        // The letter before the end says that the end is on purpose.
        if let Err(error) = self.device.write_all(b"V") {
            tracing::error!(
                "cannot disarm the watchdog {}: {error}",
                self.path.display()
            );
        }
    }
}

fn load_software() {
    tracing::warn!("there is no watchdog: loading softdog, which can't help when the kernel hangs");
    let loaded = Command::new("modprobe").arg("softdog").output();
    match loaded {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            tracing::error!("softdog does not load: {}", why.trim());
        }
        Err(error) => tracing::error!("cannot start modprobe: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_that_it_is_well_and_that_the_end_is_on_purpose() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watchdog9");
        std::fs::write(&path, "").unwrap();
        let mut watchdog = Watchdog::arm(&path, 10).unwrap();
        watchdog.pet();
        assert!(!watchdog.is_software());
        watchdog.disarm();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0V");
        let watchdog = Watchdog::arm(&path, 10).unwrap();
        drop(watchdog);
        assert!(!std::fs::read(&path).unwrap().starts_with(b"V"));
    }

    #[test]
    fn one_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = Watchdog::arm(directory.path(), 10).unwrap_err();
        assert!(
            error.to_string().contains("cannot open the watchdog"),
            "{error}"
        );
    }
}
