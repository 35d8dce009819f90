// SPDX-License-Identifier: GPL-2.0-or-later
//! One handler for a resource at a time.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::options::Options;

const PAUSE: Duration = Duration::from_millis(200);

/// Where the lock of `resource` is; `None` if none is wanted.
fn place(options: &Options, resource: &str) -> Option<PathBuf> {
    match &options.lock_file {
        Some(file) if file.as_os_str() == "NONE" => None,
        // An absolute path stays what it is.
        Some(file) => Some(options.lock_dir.join(file)),
        None => Some(
            options
                .lock_dir
                .join(format!("fence.{}", resource.replace('/', "_"))),
        ),
    }
}

/// Takes the lock, for as long as the value lives.
///
/// # Errors
///
/// When another handler does not end, or there is no place for it.
pub(crate) fn take(options: &Options, resource: &str) -> Result<Option<Flock<File>>, String> {
    let Some(path) = place(options, resource) else {
        return Ok(None);
    };
    let failed = |error: std::io::Error| format!("cannot lock {}: {error}", path.display());
    if let Some(directory) = path.parent() {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
    }
    let mut file = File::create(&path).map_err(failed)?;
    let end = Instant::now() + options.flock_timeout();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((back, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < end => file = back,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                return Err(format!(
                    "another handler of {resource} holds {}",
                    path.display()
                ));
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        Options::read(words.iter().map(|word| (*word).to_owned()))
            .unwrap()
            .0
    }

    #[test]
    fn a_second_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("deep").display().to_string();
        let options = options(&["--lock-dir", &place, "--flock-timeout", "0"]);
        let first = take(&options, "a/b").unwrap();
        assert!(first.is_some() && dir.path().join("deep/fence.a_b").exists());
        assert!(take(&options, "a/b")
            .unwrap_err()
            .contains("another handler"));
        drop(first);
        assert!(take(&options, "a/b").is_ok());
    }

    #[test]
    fn none_is_none() {
        assert!(take(&options(&["--lock-file=NONE"]), "r0")
            .unwrap()
            .is_none());
    }
}
