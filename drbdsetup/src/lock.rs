// SPDX-License-Identifier: GPL-2.0-or-later
//! The lock that keeps drbdsetup and drbdmeta off the same minor.

use std::fs::{self, File, OpenOptions};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;

use crate::Failure;

const FOLDER: &str = "/var/lock";
const LIMIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// A held lock; it ends with the value.
#[derive(Debug)]
pub(crate) struct MinorLock(#[expect(dead_code, reason = "held for its lock")] Option<File>);

impl MinorLock {
    /// Takes the lock of a minor. Where the folder cannot be made nobody else locks either.
    pub(crate) fn take(minor: u32) -> Result<Self, Failure> {
        let path = format!("{FOLDER}/drbd-147-{minor}");
        if fs::create_dir_all(FOLDER).is_err() {
            return Ok(Self(None));
        }
        let Ok(file) = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
        else {
            return Ok(Self(None));
        };
        let end = Instant::now() + LIMIT;
        loop {
            if fcntl(&file, FcntlArg::F_SETLK(&whole_file())).is_ok() {
                return Ok(Self(Some(file)));
            }
            if Instant::now() >= end {
                return Err(Failure::System(format!(
                    "minor {minor} is locked\n  another drbdsetup or drbdmeta works on it ({path})\n  try: fuser -v {path}"
                )));
            }
            thread::sleep(PAUSE);
        }
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or(1),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
