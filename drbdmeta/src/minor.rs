// SPDX-License-Identifier: GPL-2.0-or-later
//! The volume's minor: its lock, and whether it is attached.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;
use nix::sys::stat::{major, minor};

use crate::cli::Options;
use crate::failure::{Failure, EXIT_REFUSED};

/// Block major of DRBD.
const MAJOR: u64 = 147;
/// Highest minor.
const MINOR_MAX: u32 = (1 << 20) - 1;
/// How long to wait for another tool.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Reads DEVICE: a minor number, `/dev/drbdN`, a node with DRBD's major, or `-` for none.
pub(crate) fn parse(device: &str) -> Result<Option<u32>, Failure> {
    if device == "-" {
        return Ok(None);
    }
    let digits = device.strip_prefix("/dev/drbd").unwrap_or(device);
    let number = digits
        .parse::<u32>()
        .ok()
        .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let node = || {
        let found = std::fs::metadata(device).ok()?;
        let is_ours = found.file_type().is_block_device() && major(found.rdev()) == MAJOR;
        is_ours
            .then(|| minor(found.rdev()))
            .and_then(|minor| u32::try_from(minor).ok())
    };
    match number.or_else(node) {
        Some(number) if number <= MINOR_MAX => Ok(Some(number)),
        _ => Err(Failure::new(
            EXIT_REFUSED,
            format!("'{device}' is no DRBD device"),
            format!("a minor number 0..{MINOR_MAX}, /dev/drbdN or '-' is expected first"),
            "drbdmeta MINOR v08|v09 MD-DEVICE INDEX COMMAND",
        )),
    }
}

/// Takes the lock that drbdsetup and drbdmeta share for a minor. It is held while the file is
/// open.
pub(crate) fn lock(minor: u32, options: &Options) -> Result<File, Failure> {
    let path = options.lock_dir.join(format!("drbd-{MAJOR}-{minor}"));
    let what = || format!("cannot lock minor {minor}");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_CLOEXEC)
        .open(&path)
        .map_err(|error| {
            Failure::new(
                EXIT_REFUSED,
                what(),
                format!("{}: {error}", path.display()),
                "run it as root",
            )
        })?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
            Ok(_) => return Ok(file),
            Err(Errno::EACCES | Errno::EAGAIN) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(Errno::EACCES | Errno::EAGAIN) => {
                let mut holder = whole_file();
                let held = fcntl(&file, FcntlArg::F_GETLK(&mut holder)).is_ok();
                let why = if held && holder.l_pid > 0 {
                    format!("process {} holds {}", holder.l_pid, path.display())
                } else {
                    format!("another process holds {}", path.display())
                };
                return Err(Failure::new(
                    EXIT_REFUSED,
                    what(),
                    why,
                    "wait for it to end and try again",
                ));
            }
            Err(error) => {
                return Err(Failure::new(
                    EXIT_REFUSED,
                    what(),
                    error,
                    "check the lock directory",
                ));
            }
        }
    }
}

/// Whether the minor has a disk at the moment.
pub(crate) fn is_attached(minor: u32, disk_state: &mut dyn FnMut(u32) -> Option<String>) -> bool {
    if !Path::new(&format!("/sys/block/drbd{minor}")).exists() {
        return false;
    }
    disk_state(minor).is_some_and(|own| !matches!(own.as_str(), "" | "Diskless" | "Unconfigured"))
}

/// State of the minor's own disk as the installed drbdsetup tells it.
pub(crate) fn ask_drbdsetup(minor: u32) -> Option<String> {
    let output = Command::new("drbdsetup")
        .args(["dstate", &minor.to_string()])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let states = String::from_utf8_lossy(&output.stdout);
    states.trim().split('/').next().map(str::to_owned)
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_numbers_or_nodes() {
        assert_eq!(parse("-").unwrap(), None);
        assert_eq!(parse("7").unwrap(), Some(7));
        assert_eq!(parse("/dev/drbd1048575").unwrap(), Some(1_048_575));
        // The reference takes these for minor -1 and goes on.
        for wrong in [
            "",
            "+1",
            "x",
            "/dev/drbd",
            "/dev/null",
            "1048576",
            "-1",
            "7 ",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit, EXIT_REFUSED, "{wrong}");
        }
    }
}
