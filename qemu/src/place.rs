// SPDX-License-Identifier: GPL-2.0-or-later
//! Directories of labs on the host, and their tidying.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::dist::workspace;
use crate::error::{Context, Error, Result};

/// Logs of this many earlier labs of the same name are kept.
const LOGS_KEPT: usize = 3;

const RUN_PREFIX: &str = "drbd-lab.";

static COUNT: AtomicU32 = AtomicU32::new(0);
static SIGNALS: Once = Once::new();
static RUN_DIRS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A new directory for sockets and disks; short, as socket names must be.
/// `DRBD_LAB_DIR` says where, else the directory for temporary files.
pub(crate) fn run_dir() -> Result<PathBuf> {
    let parent = std::env::var_os("DRBD_LAB_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    remove_leftovers(&parent);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = parent.join(format!("{RUN_PREFIX}{}.{number}", std::process::id()));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .map_err(Error::file(&dir))?;
    RUN_DIRS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(dir.clone());
    tidy_on_signals();
    Ok(dir)
}

/// A new directory for logs under `target/lab`.
pub(crate) fn log_dir(name: &str) -> Result<PathBuf> {
    let parent = workspace().join("target/lab");
    fs::create_dir_all(&parent).map_err(Error::file(&parent))?;
    let prefix = format!("{name}.");
    let mut old: Vec<(std::time::SystemTime, PathBuf)> = entries(&parent)
        .filter(|path| pid_of(path, &prefix).is_some_and(|pid| !is_alive(pid)))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    old.sort();
    let excess = old.len().saturating_sub(LOGS_KEPT);
    for (_, path) in old.iter().take(excess) {
        let _ = fs::remove_dir_all(path);
    }
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = parent.join(format!("{prefix}{}.{number}", std::process::id()));
    fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
    Ok(dir)
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// The process in a name of ours, `PREFIX PID . NUMBER`.
fn pid_of(path: &Path, prefix: &str) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_prefix(prefix)?;
    name.split_once('.')?.0.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Directories whose process was killed before it could tidy up.
fn remove_leftovers(parent: &Path) {
    for path in entries(parent) {
        if pid_of(&path, RUN_PREFIX).is_some_and(|pid| !is_alive(pid)) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// On Ctrl-C and the like: the guests die with this process in any case; the
/// disks, which may be large, go with it.
fn tidy_on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    SIGNALS.call_once(|| {
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]) else {
            return;
        };
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                for dir in RUN_DIRS
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .drain(..)
                {
                    let _ = fs::remove_dir_all(dir);
                }
                std::process::exit(128 + signal);
            }
        });
    });
}

/// Waits for the host-wide lock of exclusive labs.
pub(crate) fn lock(name: &str, limit: Duration) -> Result<Flock<File>> {
    let path = std::env::temp_dir().join("drbd-lab.lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let end = Instant::now() + limit;
    let mut file = options.open(&path).map_err(Error::file(&path))?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((back, _)) => file = back,
        }
        if Instant::now() >= end {
            return Err(Error::Timeout {
                node: name.to_owned(),
                what: format!("another exclusive lab to end ({})", path.display()),
                limit,
                context: Context::default(),
            });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
